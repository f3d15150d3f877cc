"""The switch of oneDNN: its self-test, its environment variables, its memory."""

import os

import numpy as np
import pytest
import torch
from thinc.api import ArgsKwargs
from torch import nn

from benchmarks.common import in_fresh_process, resident_memory, to_mebibytes
from spacy_tabcnn.runtime import onednn, onednn_operator
from spacy_tabcnn.runtime.onednn import CACHE_CAPACITY, CACHES, SWITCH
from spacy_tabcnn.runtime.products import OneDNNProducts
from spacy_tabcnn.runtime.torch_shim import TorchShim

needs_onednn = pytest.mark.skipif(
    not onednn.has_onednn(), reason="this CPU or this torch has no oneDNN for products"
)


@pytest.fixture
def operator(monkeypatch):
    """Replace oneDNN's operator, on a CPU on which it would be used for products of any size."""
    calls = []
    real = onednn_operator.call_operator

    def replace(change):
        def call(inputs, weight, bias):
            calls.append(inputs.shape)
            return change(real(inputs, weight, bias))

        monkeypatch.setattr(onednn_operator, "call_operator", call)
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"cpu_name": "another"})
        monkeypatch.setattr(onednn_operator, "MIN_SIZE", 1)
        return calls

    return replace


def predict(shim):
    inputs = torch.arange(15.0).view(3, 5).sin()
    return shim.predict(ArgsKwargs((inputs,), {})).numpy()


def make_module():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))


def expected():
    return predict(TorchShim(make_module(), onednn=False))


def fail(output):
    raise RuntimeError("no such kernel")


@needs_onednn
@pytest.mark.usefixtures("first_use")
def test_layers_are_computed_by_the_operator(operator):
    calls = operator(lambda output: output)
    shim = TorchShim(make_module())
    calls.clear()  # the self-test has made calls, too
    np.testing.assert_allclose(predict(shim), expected(), atol=1e-5)
    assert len(calls) == 2


@needs_onednn
@pytest.mark.usefixtures("first_use")
def test_off_by_the_environment(operator, monkeypatch):
    monkeypatch.setenv(SWITCH, "0")
    calls = operator(lambda output: output)
    np.testing.assert_allclose(predict(TorchShim(make_module())), expected(), atol=1e-6)
    OneDNNProducts().multiply(torch.ones(6, 5), torch.ones(5, 4))
    assert not calls


@needs_onednn
@pytest.mark.usefixtures("first_use")
def test_off_by_the_config(operator):
    calls = operator(lambda output: output)
    predict(TorchShim(make_module(), onednn=False))
    assert not calls


@needs_onednn
@pytest.mark.usefixtures("first_use")
@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (fail, "its operator raised RuntimeError: no such kernel"),
        (lambda output: output + 1.0, "its product differs"),
        (lambda output: output * float("nan"), "its product differs"),
        (lambda output: output if output.shape[1] == 32 else 2 * output, "its gradient of inputs"),
    ],
    ids=["raises", "wrong values", "no numbers", "wrong gradient"],
)
def test_a_broken_operator_is_not_used(operator, change, fault):
    operator(change)
    with pytest.warns(UserWarning, match=fault) as warned:
        shim = TorchShim(make_module())
        np.testing.assert_allclose(predict(shim), expected(), atol=1e-6)
        TorchShim(make_module())
    assert len(warned) == 1


@needs_onednn
def test_the_self_test_leaves_random_numbers_alone():
    torch.manual_seed(0)
    first = torch.rand(1)
    torch.manual_seed(0)
    assert not onednn.find_fault()
    assert torch.rand(1) == first


@pytest.mark.parametrize(
    "name, expected", [("Intel Xeon", False), ("AMD EPYC", True), (None, True)]
)
def test_intels_cpus_have_a_fast_library_of_their_own(monkeypatch, name, expected):
    monkeypatch.setattr(onednn, "uses_onednn", lambda: True)
    if name is None:  # an older torch
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    else:
        monkeypatch.setattr(
            torch.cpu, "get_capabilities", lambda: {"cpu_name": name}, raising=False
        )
    assert onednn.prefers_onednn.__wrapped__() == expected


def grow(n_sizes):
    """RETURNS (float): MiB by which a process grows that multiplies matrices of so many sizes."""
    onednn.bound_product_caches()
    sizes = range(1000, 1000 + 4 * n_sizes, 4)
    left, right = torch.ones(384, sizes[-1]), torch.ones(384, sizes[-1])
    before = resident_memory()
    for n in sizes:
        onednn_operator.call_operator(left[:, :n], right[:, :n])
    return to_mebibytes(resident_memory() - before)


@needs_onednn
@pytest.mark.skipif(resident_memory() is None, reason="memory is read from Linux's /proc")
def test_kernels_of_few_sizes_are_kept(monkeypatch):
    """A process that multiplies matrices of ever new sizes does not grow."""
    for name in CACHES:
        monkeypatch.delenv(name, raising=False)
    assert in_fresh_process(grow, 300) < 100


def test_the_environment_decides_on_caches_before(monkeypatch):
    monkeypatch.setenv(CACHES[0], "7")
    monkeypatch.delenv(CACHES[1], raising=False)
    onednn.bound_product_caches()
    assert [os.environ[name] for name in CACHES] == ["7", str(CACHE_CAPACITY)]


@needs_onednn
@pytest.mark.usefixtures("first_use")
def test_caches_are_bounded_at_the_first_use(monkeypatch):
    for name in CACHES:
        monkeypatch.delenv(name, raising=False)
    onednn.has_onednn()
    assert not any(name in os.environ for name in CACHES)
    onednn.uses_onednn()
    assert all(name in os.environ for name in CACHES)
