"""The reference against the head it stands for."""

import pytest
import torch

from spacy_tabcnn.heads import TableCNN
from spacy_tabcnn.heads.table_cnn.dense import DenseTableCNN

SIZES = {"width": 6, "n_tags": 9, "n_relations": 5}


def make_pair(**options):
    """A head and the reference with the same weights."""
    torch.manual_seed(0)
    head = TableCNN(**SIZES, **options)
    dense = DenseTableCNN(**SIZES, **options)
    dense.load_state_dict(head.state_dict())
    return head, dense


def make_words(lengths):
    return torch.randn(sum(lengths), SIZES["width"], generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kernel_size", [3, 5])
@pytest.mark.parametrize("hidden", [(8,), (8, 7)])
@pytest.mark.parametrize("length", [1, 2, 5, 30])
def test_equals_the_head_on_a_sentence(kernel_size, hidden, length):
    head, dense = make_pair(kernel_size=kernel_size, hidden=hidden)
    words = make_words([length])
    for actual, expected in zip(
        dense.eval()(words, torch.tensor([length])),
        head.eval()(words, torch.tensor([length])),
        strict=True,
    ):
        assert actual.shape == expected.shape
        torch.testing.assert_close(actual, expected, atol=1e-4, rtol=0)


def test_gradients_equal_those_of_the_head():
    gradients = []
    for module in make_pair(hidden=(8, 7), dropout=0.0):
        words = make_words([9]).requires_grad_()
        tags, relations = module(words, torch.tensor([9]))
        (tags.sin().sum() + relations.cos().sum()).backward()
        gradients.append([words.grad, *(parameter.grad for parameter in module.parameters())])
    for actual, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)


def test_lays_out_the_cells_of_a_batch_as_the_head_does():
    # With kernels of one word there is no padding that could leak.
    lengths = [4, 1, 9, 2]
    head, dense = make_pair(kernel_size=1, hidden=(8,))
    words = make_words(lengths)
    for actual, expected in zip(
        dense.eval()(words, torch.tensor(lengths)),
        head.eval()(words, torch.tensor(lengths)),
        strict=True,
    ):
        torch.testing.assert_close(actual, expected, atol=1e-4, rtol=0)


def test_drops_words_and_hidden_channels_in_training_only():
    _, dense = make_pair(dropout=0.5)
    words, lengths = make_words([9]), torch.tensor([9])
    assert not torch.equal(dense(words, lengths)[0], dense(words, lengths)[0])
    dense.eval()
    assert torch.equal(dense(words, lengths)[0], dense(words, lengths)[0])
