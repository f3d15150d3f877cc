import pytest
import torch
import torch.nn.functional as F

from spacy_tabcnn.runtime import onednn_operator, products
from spacy_tabcnn.runtime.products import OneDNNProducts


@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True), (True, True)])
def test_products_of_transposed_matrices(by_onednn, arrays, transposed):
    left, right = arrays((5, 6) if transposed[0] else (6, 5), (4, 5) if transposed[1] else (5, 4))
    left = left.detach().t() if transposed[0] else left.detach()
    right = right.detach().t() if transposed[1] else right.detach()
    multiply = OneDNNProducts().multiply
    torch.testing.assert_close(multiply(left, right), (left.double() @ right.double()).float())
    torch.testing.assert_close(
        multiply(left[::2], right[:, 1:]), (left.double()[::2] @ right.double()[:, 1:]).float()
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("add", [False, True])
def test_products_are_written_into_parts_of_a_matrix(by_onednn, dtype, add):
    # Whole numbers, so that only the result is rounded.
    left, right = torch.arange(12.0).view(3, 4), torch.arange(20.0).view(4, 5)
    out = torch.full((3, 6), float("nan"))
    out[:, :5] = 1.0 if add else float("nan")
    OneDNNProducts().multiply_into(out[:, :5], left, right, dtype, add=add)
    wanted = (left.double() @ right.double()).to(dtype).float() + add
    torch.testing.assert_close(out[:, :5], wanted, rtol=0, atol=0)
    assert out[:, 5].isnan().all()


def test_other_precisions_stay(by_onednn, arrays):
    for dtype in (torch.float64, torch.bfloat16):
        left, right = (array.detach().to(dtype) for array in arrays((6, 5), (5, 4)))
        assert OneDNNProducts().multiply(left, right).dtype == dtype


def test_small_products_are_left_to_torch(monkeypatch, arrays):
    monkeypatch.setattr(products, "prefers_onednn", lambda: True)
    monkeypatch.setattr(onednn_operator, "MIN_SIZE", 6 * 5 * 4)
    monkeypatch.setattr(F, "linear", lambda *args: "torch's")
    left, right = (array.detach() for array in arrays((6, 5), (5, 4)))
    multiply = OneDNNProducts().multiply
    assert isinstance(multiply(left, right), torch.Tensor)
    assert multiply(left[1:], right) == "torch's"
