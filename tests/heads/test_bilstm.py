"""The LSTM on a ragged batch."""

import pytest
import torch

from spacy_tabcnn.heads.bilstm import BiLSTM

WIDTH, UNITS = 6, 4


@pytest.fixture
def bilstm():
    torch.manual_seed(0)
    return BiLSTM(WIDTH, UNITS)


def make_words(lengths):
    return torch.randn(sum(lengths), WIDTH, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("lengths", [[1], [5], [2, 7, 1], [3, 3, 9, 3], [0, 4, 0]])
def test_each_sentence_is_read_by_itself(bilstm, lengths):
    words = make_words(lengths)
    outputs = bilstm(words, torch.tensor(lengths), 0.0)
    expected = [bilstm.lstm(part)[0] for part in words.split(lengths) if len(part)]
    torch.testing.assert_close(outputs, torch.cat(expected))


def test_gradients_equal_those_of_single_sentences(bilstm):
    lengths = [4, 1, 6]
    gradients = []
    for is_batch in (True, False):
        bilstm.zero_grad()
        words = make_words(lengths).requires_grad_()
        if is_batch:
            outputs = bilstm(words, torch.tensor(lengths), 0.0)
        else:
            outputs = torch.cat([bilstm.lstm(part)[0] for part in words.split(lengths)])
        outputs.sin().sum().backward()
        gradients.append([words.grad, *(weight.grad for weight in bilstm.parameters())])
    for actual, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(actual, expected)


def test_dropout_in_training_only(bilstm):
    words, lengths = make_words([5]), torch.tensor([5])
    assert not bilstm(words, lengths, 0.5).equal(bilstm(words, lengths, 0.5))
    bilstm.eval()
    assert bilstm(words, lengths, 0.5).equal(bilstm(words, lengths, 0.0))
