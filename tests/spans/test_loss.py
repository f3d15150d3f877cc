import numpy as np
import pytest
import torch
import torch.nn.functional as F

from spacy_tabcnn.labels import MISSING
from spacy_tabcnn.sentences import Sentences
from spacy_tabcnn.spans.logits import SpanLogits
from spacy_tabcnn.spans.loss import span_loss


def make_logits(n_spans=6, n_pairs=4, scale=1.0):
    random = np.random.default_rng(0)
    return SpanLogits(
        np.zeros((n_spans, 3), np.int64),
        (scale * random.standard_normal((n_spans, 3))).astype("float32"),
        np.zeros((n_pairs, 2), np.int64),
        (scale * random.standard_normal((n_pairs, 2))).astype("float32"),
        Sentences([]),
    )


@pytest.mark.parametrize("scale", [1.0, 500.0])
def test_loss_and_gradient_are_those_of_torch(scale):
    logits = make_logits(scale=scale)
    types, labels = np.array([0, 1, 2, 0, 1, 0]), np.array([[0, 1], [0, 0], [1, 1], [1, 0]])
    loss, gradient = span_loss(logits, types, labels)
    entities, relations = (
        torch.tensor(array, requires_grad=True) for array in (logits.entities, logits.relations)
    )
    expected = F.cross_entropy(entities, torch.tensor(types))
    expected = expected + F.binary_cross_entropy_with_logits(
        relations, torch.tensor(labels, dtype=torch.float32)
    )
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    np.testing.assert_allclose(gradient.entities, entities.grad, atol=1e-6)
    np.testing.assert_allclose(gradient.relations, relations.grad, atol=1e-6)
    assert gradient.entities.dtype == gradient.relations.dtype == np.float32


def test_missing_labels_do_not_count():
    logits = make_logits()
    types, labels = np.array([0, 1, 2, 0, 1, 0]), np.array([[0, 1], [0, 0], [1, 1], [1, 0]])
    types[3:], labels[1:] = MISSING, MISSING
    loss, gradient = span_loss(logits, types, labels)
    few = SpanLogits(
        logits.spans[:3],
        logits.entities[:3],
        logits.pairs[:1],
        logits.relations[:1],
        Sentences([]),
    )
    expected, expected_gradient = span_loss(few, types[:3], labels[:1])
    assert loss == pytest.approx(expected)
    np.testing.assert_allclose(gradient.entities[:3], expected_gradient.entities)
    assert not gradient.entities[3:].any() and not gradient.relations[1:].any()


def test_nothing_to_learn():
    loss, gradient = span_loss(make_logits(0, 0), np.zeros(0, np.int64), np.zeros((0, 2), np.int64))
    assert loss == 0.0
    assert (gradient.entities.shape, gradient.relations.shape) == ((0, 3), (0, 2))
