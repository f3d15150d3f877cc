"""Weights as bytes: what is saved comes back, anything else is refused."""

import json
import struct
import zipfile
from io import BytesIO

import pytest
import torch
from safetensors.torch import save
from torch import nn

from spacy_tabcnn.heads.tensors import (
    check_archive,
    check_fit,
    dump_tensors,
    load_tensors,
    parse_tensors,
)


class Tied(nn.Module):
    """Two layers that share a weight, and a buffer of whole numbers."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 3, bias=False)
        self.second = nn.Linear(3, 3, bias=False)
        self.second.weight = self.first.weight
        self.register_buffer("positions", torch.arange(3))


def test_weights_come_back():
    module, other = nn.Linear(3, 2), nn.Linear(3, 2)
    load_tensors(other, parse_tensors(dump_tensors(module)))
    torch.testing.assert_close(other.weight, module.weight, rtol=0, atol=0)


def test_a_shared_weight_is_saved_once_and_stays_shared():
    module, other = Tied(), Tied()
    tensors = parse_tensors(dump_tensors(module))
    assert set(tensors) == {"first.weight", "positions"}
    load_tensors(other, tensors)
    assert other.second.weight is other.first.weight
    torch.testing.assert_close(other.second.weight, module.second.weight, rtol=0, atol=0)


def test_half_precision_takes_the_precision_of_the_module():
    module = nn.Linear(3, 2)
    load_tensors(module, parse_tensors(dump_tensors(nn.Linear(3, 2).half())))
    assert module.weight.dtype == torch.float32


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_are_refused(value):
    with pytest.raises(ValueError, match=r"'weight' holds numbers that are not finite"):
        parse_tensors(save({"weight": torch.tensor([0.0, value])}))


@pytest.mark.parametrize("data", [b"", b"x" * 20, None, "x", struct.pack("<Q", 2**62) + b"{}"])
def test_other_bytes_are_refused(data):
    with pytest.raises(ValueError, match="safetensors"):
        parse_tensors(data)


def test_an_archive_of_torch_is_refused():
    buffer = BytesIO()
    torch.save({"weight": torch.zeros(1)}, buffer)
    with pytest.raises(ValueError, match=r"an archive of torch\.save"):
        parse_tensors(buffer.getvalue())


def test_a_shape_beyond_the_data_is_refused():
    header = json.dumps({"a": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4]}})
    with pytest.raises(ValueError, match="safetensors"):
        parse_tensors(struct.pack("<Q", len(header)) + header.encode() + b"\0" * 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("bias"), "lack 'bias'"),
        (lambda tensors: tensors.update(evil=torch.zeros(1)), "hold 'evil'"),
        (lambda tensors: tensors.update(bias=torch.zeros(3)), r"'bias' has the shape \(3,\)"),
        (lambda tensors: tensors.update(bias=torch.zeros(2).long()), "'bias' is of type torch.int"),
        (lambda tensors: tensors.update(bias=torch.zeros(2).bool()), "'bias' is of type torch.bo"),
    ],
)
def test_weights_that_do_not_fit_are_refused(change, message):
    module = nn.Linear(3, 2)
    tensors = dict(module.state_dict())
    change(tensors)
    with pytest.raises(ValueError, match=message):
        check_fit(module, tensors)


def test_a_module_without_memory_is_enough_for_the_check():
    with torch.device("meta"):
        module = nn.Linear(10**9, 10**6)
    with pytest.raises(ValueError, match="shape"):
        check_fit(module, dict(nn.Linear(3, 2).state_dict()))


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_compressed_archive_is_refused(compression):
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("data", b"\0" * 10**6)
    if compression == zipfile.ZIP_STORED:
        check_archive(buffer.getvalue())
        return
    with pytest.raises(ValueError, match="compressed"):
        check_archive(buffer.getvalue())


def test_a_damaged_archive_is_refused():
    with pytest.raises(ValueError, match="damaged"):
        check_archive(b"PK\x03\x04" + b"x" * 50)
