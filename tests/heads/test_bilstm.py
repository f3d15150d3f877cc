"""The LSTM on a ragged batch."""

import pytest
import torch

from spacy_tabcnn.heads import BiLSTM

WIDTH, UNITS = 6, 4


def make_module(*, dropout=0.0):
    torch.manual_seed(0)
    return BiLSTM(WIDTH, units=UNITS, dropout=dropout)


def make_words(lengths):
    return torch.randn(sum(lengths), WIDTH, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("lengths", [[1], [5], [2, 7, 1], [3, 3, 9, 3], [0, 4, 0]])
def test_each_sentence_is_read_by_itself(lengths):
    module, words = make_module(), make_words(lengths)
    expected = [module.lstm(part)[0] for part in words.split(lengths) if len(part)]
    torch.testing.assert_close(module(words, torch.tensor(lengths)), torch.cat(expected))


@pytest.mark.parametrize("lengths", [[], [0, 0]])
def test_no_words(lengths):
    lengths = torch.tensor(lengths, dtype=torch.int64)
    assert make_module()(torch.zeros(0, WIDTH), lengths).shape == (0, 2 * UNITS)


def test_gradients_equal_those_of_single_sentences():
    module, lengths = make_module(), [4, 1, 6]
    gradients = []
    for is_batch in (True, False):
        module.zero_grad()
        words = make_words(lengths).requires_grad_()
        if is_batch:
            states = module(words, torch.tensor(lengths))
        else:
            states = torch.cat([module.lstm(part)[0] for part in words.split(lengths)])
        states.sin().sum().backward()
        gradients.append([words.grad, *(weight.grad for weight in module.parameters())])
    for actual, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(actual, expected)


def test_dropout_in_training_only():
    module, words, lengths = make_module(dropout=0.5), make_words([5]), torch.tensor([5])
    assert not module(words, lengths).equal(module(words, lengths))
    module.eval()
    scores = module(words, lengths)
    module.dropout = 0.0
    assert module(words, lengths).equal(scores)


@pytest.mark.parametrize("options", [{"units": 0}, {"dropout": 1.0}, {"dropout": -0.1}])
def test_options_that_cannot_be_built(options):
    with pytest.raises(ValueError, match="BiLSTM: "):
        BiLSTM(WIDTH, **{"units": UNITS, **options})


def test_lengths_that_do_not_add_up():
    with pytest.raises(ValueError, match="BiLSTM: the lengths add up to 4 words, but 3 embeddings"):
        make_module()(make_words([3]), torch.tensor([4]))
