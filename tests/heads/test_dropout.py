import pytest
import torch

from spacy_tabcnn.heads.checks import check_dropout
from spacy_tabcnn.heads.dropout import draw_mask, drop, round_share


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_share_of_the_elements_is_dropped(share):
    mask = draw_mask(torch.zeros(1000, 300), share, torch.Generator().manual_seed(0))
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert 1.0 - mask.mean().item() == pytest.approx(share, abs=0.005)
    assert mask.mean(dim=0).std() < 0.05 and mask.mean(dim=1).std() < 0.05


def test_nothing_is_dropped_without_dropout():
    array = torch.randn(3, 5)
    assert drop(array, 0.0) is array
    assert draw_mask(array, 0.0).all()


@pytest.mark.parametrize("shape", [(0, 4), (1,), (3, 5, 7)])
def test_any_shape_and_type(shape):
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        mask = draw_mask(torch.zeros(shape, dtype=dtype), 0.5)
        assert (mask.shape, mask.dtype) == (shape, dtype)


def test_a_seed_decides_on_the_elements():
    array = torch.zeros(40, 30)
    one, same, other = (
        draw_mask(array, 0.5, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(one, same) and not torch.equal(one, other)
    torch.manual_seed(3)
    first = drop(torch.ones(9), 0.5)
    torch.manual_seed(3)
    assert torch.equal(drop(torch.ones(9), 0.5), first)


def test_the_mean_stays():
    dropped = drop(torch.ones(1000, 300), 0.3)
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.01)
    assert dropped.unique().tolist() == pytest.approx([0.0, 1 / (1 - round_share(0.3))])


def test_dropped_elements_have_no_gradient():
    array = torch.ones(100, requires_grad=True)
    dropped = drop(array, 0.5)
    dropped.sum().backward()
    assert torch.equal(array.grad, dropped.detach())


@pytest.mark.parametrize("dropout", [-0.1, 1.0, 0.999999, float("nan")])
def test_a_share_that_drops_everything_is_refused(dropout):
    with pytest.raises(ValueError, match="expected a share from 0"):
        check_dropout("Head", dropout)
