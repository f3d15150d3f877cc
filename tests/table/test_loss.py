import numpy as np
import pytest
import torch
import torch.nn.functional as F

from spacy_tabcnn.arrays import cross_entropy, log_softmax
from spacy_tabcnn.labels import MISSING
from spacy_tabcnn.sentences import Sentences, Windows
from spacy_tabcnn.table.gold import GoldTables
from spacy_tabcnn.table.logits import PairLogits, TableLogits
from spacy_tabcnn.table.loss import table_loss

LENGTHS, N_TAGS, N_RELATIONS = [3, 1, 2], 9, 5


def cut(lengths):
    return Windows(Sentences.of_lengths(lengths), 256)


def make_logits(seed=0, scale=3.0):
    random = np.random.default_rng(seed)
    tags = (scale * random.standard_normal((6, N_TAGS))).astype("float32")
    relations = (scale * random.standard_normal((4, N_RELATIONS))).astype("float32")
    return TableLogits(tags, relations, cut(LENGTHS))


def make_gold():
    """Three tables, of three words, of one and of two; the first lacks the tag of a word, the last
    its relations."""
    tags, relations = np.array([1, 3, MISSING, 0, 8, 0]), np.array([0, 2, 4, MISSING])
    return GoldTables(tags, tags, relations)


def torch_loss(logits, labels):
    """The same by torch: (loss, gradient)."""
    logits = torch.tensor(logits, requires_grad=True)
    loss = F.cross_entropy(logits, torch.tensor(labels), reduction="sum", ignore_index=MISSING)
    loss.backward()
    return loss.item(), logits.grad.numpy()


def test_equals_torch():
    logits, gold = make_logits(), make_gold()
    loss, gradient = table_loss(logits, gold)
    tag_loss, d_tags = torch_loss(logits.tags, [1, 3, MISSING, 0, 8, 0])
    relation_loss, d_relations = torch_loss(logits.relations, [0, 2, 4, MISSING])
    assert loss == pytest.approx(tag_loss + relation_loss, rel=1e-6)
    np.testing.assert_allclose(gradient.tags, d_tags, atol=1e-6)
    np.testing.assert_allclose(gradient.relations, d_relations, atol=1e-6)


def test_pairs_have_the_label_of_their_cell():
    cells, of_pairs = np.array([1, 3, 1]), make_logits(seed=1).relations[:3]
    logits = make_logits()._replace(pairs=PairLogits(cells, of_pairs))
    loss, gradient = table_loss(logits, make_gold(), relation_weight=2.0)
    without, expected = table_loss(make_logits(), make_gold(), relation_weight=2.0)
    pair_loss, d_pairs = torch_loss(of_pairs, [2, MISSING, 2])
    assert loss == pytest.approx(without + 2.0 * pair_loss, rel=1e-6)
    np.testing.assert_allclose(gradient.pairs.relations, 2.0 * d_pairs, atol=1e-6)
    np.testing.assert_array_equal(gradient.pairs.cells, cells)
    np.testing.assert_array_equal(gradient.relations, expected.relations)


def test_gradient_has_the_form_of_the_logits():
    logits = make_logits()
    _, gradient = table_loss(logits, make_gold())
    assert gradient.tags.dtype == gradient.relations.dtype == np.float32
    assert gradient.windows is logits.windows


def test_logits_are_left_as_they_are():
    logits, before = make_logits(), make_logits()
    table_loss(logits, make_gold())
    np.testing.assert_array_equal(logits.tags, before.tags)
    np.testing.assert_array_equal(logits.relations, before.relations)


def test_missing_labels_have_neither_loss_nor_gradient():
    loss, gradient = cross_entropy(make_logits().tags[:2], np.array([MISSING, MISSING]))
    assert loss == 0.0
    assert not gradient.any()


def test_nothing_to_learn_from():
    logits = TableLogits(np.zeros((0, N_TAGS), "f"), np.zeros((0, N_RELATIONS), "f"), cut([]))
    nothing = np.zeros(0, dtype=np.int64)
    loss, gradient = table_loss(logits, GoldTables(nothing, nothing, nothing))
    assert loss == 0.0
    assert gradient.tags.shape == (0, N_TAGS) and gradient.relations.shape == (0, N_RELATIONS)


def test_perfect_logits_have_no_loss():
    labels = np.array([2, 0, 1])
    loss, gradient = cross_entropy((100.0 * np.eye(5)[labels]).astype("float32"), labels)
    assert loss == pytest.approx(0.0, abs=1e-6)
    np.testing.assert_allclose(gradient, 0.0, atol=1e-6)


def test_large_logits_do_not_overflow():
    logits = np.array([[1e4, -1e4, 0.0]], dtype="float32")
    np.testing.assert_allclose(log_softmax(logits), [[0.0, -2e4, -1e4]])
    assert cross_entropy(logits, np.array([1]))[0] == pytest.approx(2e4)


def test_log_softmax_equals_torch():
    logits = make_logits().tags
    np.testing.assert_allclose(
        log_softmax(logits), torch.log_softmax(torch.tensor(logits), dim=1), atol=1e-5
    )


def test_gold_of_another_size_is_refused():
    with pytest.raises(ValueError, match="6 items, but 3 gold labels"):
        table_loss(make_logits(), make_gold()._replace(tags=np.array([1, 3, MISSING])))
