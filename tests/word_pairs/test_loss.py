import numpy as np
import pytest
import torch
import torch.nn.functional as F

from spacy_tabcnn.word_pairs.gold import GoldTable, GoldWordPairs
from spacy_tabcnn.word_pairs.logits import WordPairLogits
from spacy_tabcnn.word_pairs.loss import word_pair_loss

LENGTHS, N_TYPES, N_RELATIONS = [4, 1, 2], 3, 2
N_SPANS, N_PAIRS = [10, 1, 3], [12, 0, 2]


def make_logits(windows, *, nested=False, scale=3.0, dtype="float64"):
    random = np.random.default_rng(0)

    def draw(n_cells, n_labels):
        return (scale * random.standard_normal((sum(n_cells), n_labels))).astype(dtype)

    entities, relations = draw(N_SPANS, N_TYPES), draw(N_PAIRS, N_RELATIONS)
    last_words = draw(N_PAIRS, N_RELATIONS) if nested else None
    return WordPairLogits(entities, relations, windows, last_words)


def make_gold():
    """Three sentences; the relations of the last one are missing."""
    entities = GoldTable(_weigh(N_SPANS), np.array([0, 3, 11]), np.array([0, 2, 1]))
    weights = _weigh(N_PAIRS)
    weights[-2:] = 0.0
    relations = GoldTable(weights, np.array([2, 2]), np.array([0, 1]))
    return GoldWordPairs(entities, relations, relations._replace(cells=np.array([1, 4])))


def _weigh(n_cells):
    return np.repeat(1 / np.array(LENGTHS, dtype="float32"), n_cells)


def loss_by_torch(logits, gold):
    """The cross-entropy of each sentence divided by its number of words, and its gradient."""
    total, gradients = 0.0, []
    tables = [logits.entities, logits.relations, logits.last_words]
    for table, labels in zip(tables, gold, strict=True):
        if table is None:
            continue
        array = torch.tensor(table, requires_grad=True)
        target = torch.zeros_like(array)
        target[labels.cells, labels.labels] = 1.0
        by_cell = F.binary_cross_entropy_with_logits(array, target, reduction="none").sum(dim=1)
        loss = (by_cell * torch.tensor(labels.weights)).sum()
        loss.backward()
        total += loss.item()
        gradients.append(array.grad.numpy())
    return total, gradients


@pytest.mark.parametrize("nested", [False, True])
def test_loss_and_gradient_are_those_of_torch(cut, nested):
    logits, gold = make_logits(cut(LENGTHS), nested=nested), make_gold()
    loss, gradient = word_pair_loss(logits, gold)
    expected, gradients = loss_by_torch(logits, gold)
    assert float(loss) == pytest.approx(expected)
    found = [gradient.entities, gradient.relations, gradient.last_words][: 2 + nested]
    for one, other in zip(found, gradients, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)
    assert gradient.windows is logits.windows and (gradient.last_words is None) != nested


def test_missing_annotation_has_no_gradient(cut):
    _, gradient = word_pair_loss(make_logits(cut(LENGTHS)), make_gold())
    assert not gradient.relations[-2:].any() and gradient.relations[:-2].all()


def test_confident_errors_do_not_overflow(cut):
    logits = make_logits(cut(LENGTHS), scale=1e4, dtype="float32")
    loss, gradient = word_pair_loss(logits, make_gold())
    assert np.isfinite(loss) and np.isfinite(gradient.entities).all()
    assert gradient.entities.dtype == np.float32


def test_sizes_have_to_fit(cut):
    logits = make_logits(cut(LENGTHS))
    with pytest.raises(ValueError, match="table_loss: 13 cells, but the weights of 14 cells"):
        word_pair_loss(logits._replace(entities=logits.entities[1:]), make_gold())


def test_nothing_to_learn(cut):
    empty = GoldTable(np.zeros(0, "float32"), np.zeros(0, np.int64), np.zeros(0, np.int64))
    logits = WordPairLogits(np.zeros((0, 3), "f"), np.zeros((0, 2), "f"), cut([]))
    loss, gradient = word_pair_loss(logits, GoldWordPairs(empty, empty, empty))
    assert float(loss) == 0.0 and gradient.entities.shape == (0, 3)
