import pytest
import torch

from spacy_tabcnn.runtime import onednn, onednn_operator, products


@pytest.fixture(params=[True, False], ids=["onednn", "torch"])
def by_onednn(request, monkeypatch):
    """Compute products of any size by oneDNN, or all by torch."""
    monkeypatch.setattr(onednn_operator, "MIN_SIZE", 1)
    monkeypatch.setattr(products, "prefers_onednn", lambda: request.param)
    return request.param


@pytest.fixture
def first_use(monkeypatch):
    """Let the next use of oneDNN be the first one of the process, with oneDNN switched on."""
    monkeypatch.delenv(onednn.SWITCH, raising=False)
    caches = (onednn.uses_onednn, onednn.prefers_onednn)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.fixture
def arrays():
    """Make random arrays of some shapes."""

    def make(*shapes):
        generator = torch.Generator().manual_seed(0)
        return [torch.randn(shape, generator=generator, requires_grad=True) for shape in shapes]

    return make
