import pytest
import torch

from spacy_tabcnn.runtime import precision
from spacy_tabcnn.runtime.precision import autocast, has_bfloat16

CPU = torch.device("cpu")


@pytest.fixture(params=[False, True], ids=["without", "with"])
def cpu_has_bfloat16(request, monkeypatch):
    monkeypatch.setattr(precision, "_cpu_has_bfloat16", lambda: request.param)
    return request.param


def product_type():
    return (torch.ones(2, 2) @ torch.ones(2, 2)).dtype


def test_products_are_in_bfloat16_where_that_is_faster(cpu_has_bfloat16):
    assert has_bfloat16(CPU) == cpu_has_bfloat16
    if cpu_has_bfloat16:
        with autocast(CPU, enabled=True):
            assert product_type() == torch.bfloat16
    else:
        with (
            pytest.warns(UserWarning, match="mixed_precision: this device"),
            autocast(CPU, enabled=True),
        ):
            assert product_type() == torch.float32
    assert product_type() == torch.float32


@pytest.mark.usefixtures("cpu_has_bfloat16")
def test_float32_by_request():
    with autocast(CPU, enabled=False):
        assert product_type() == torch.float32


def test_other_devices_have_none():
    assert not has_bfloat16(torch.device("meta"))
