"""A table head joined with the classifier of pairs: cells of both, gradients, known tags."""

import pickle

import numpy as np
import pytest
import torch
from thinc.api import Adam, Model, set_dropout_rate

from spacy_tabcnn.arrays import average_logits
from spacy_tabcnn.labels import MISSING, OUTSIDE
from spacy_tabcnn.models.table_heads import HeadInput, build_table_cnn
from spacy_tabcnn.models.table_lstm import build_table_lstm
from spacy_tabcnn.models.table_model import find_heads
from spacy_tabcnn.models.table_pairs import PairInput, build_table_pairs
from spacy_tabcnn.sentences import Sentences, Windows
from spacy_tabcnn.table.gold import GoldTables
from spacy_tabcnn.table.logits import PairLogits, TableLogits
from spacy_tabcnn.table.loss import table_loss
from spacy_tabcnn.table.pairs import pair_entities

WIDTH, N_TAGS, N_RELATIONS = 6, 9, 5
LENGTHS = np.array([4, 1, 3])
WINDOWS = Windows(Sentences.of_lengths(LENGTHS), 256)
# B-a L-a O U-b | U-a | U-a O U-b
TAGS = np.array([1, 3, OUTSIDE, 8, 4, 4, OUTSIDE, 8])
# The cells of the two pairs: (0, 3) and (1, 3) of the first table, (0, 2) of the last.
CELLS, PAIR_OF_CELL = np.array([2, 4, 7]), np.array([0, 0, 1])


def make_inputs(known_tags=TAGS):
    words = np.random.default_rng(0).standard_normal((LENGTHS.sum(), WIDTH)).astype("float32")
    return HeadInput(words, WINDOWS, known_tags)


def make_head(*, is_initialized=True, **options):
    torch.manual_seed(0)
    table = build_table_cnn(hidden=[8], dropout=options.get("dropout"))
    head = build_table_pairs(table, units=8, **options)
    if is_initialized:
        head.set_dim("nI", WIDTH)
        labels = np.zeros((0, N_TAGS), "f"), np.zeros((0, N_RELATIONS), "f")
        head.initialize(Y=TableLogits(*labels, WINDOWS))
    return head


def assert_same(actual, expected):
    np.testing.assert_allclose(actual.tags, expected.tags, atol=1e-6)
    np.testing.assert_allclose(actual.relations, expected.relations, atol=1e-6)


def test_cells_of_pairs_get_the_mean_of_both_probabilities():
    head, inputs = make_head(), make_inputs()
    table, classifier = head.layers
    logits, of_table = head.predict(inputs), table.predict(inputs)
    of_pairs = classifier.predict(PairInput(inputs.words, pair_entities(TAGS, WINDOWS)))
    expected = of_table.relations.copy()
    expected[CELLS] = average_logits([of_table.relations[CELLS], of_pairs[PAIR_OF_CELL]])
    assert_same(logits, of_table._replace(relations=expected))
    assert logits.pairs is None and logits.windows is WINDOWS


def test_tags_decide_on_the_pairs_where_none_is_known():
    head = make_head()
    unknown = np.full(len(TAGS), MISSING)
    table = head.layers[0].shims[0]._model
    with torch.no_grad():
        table.tagger.weight.zero_()
        table.tagger.bias.copy_(torch.eye(N_TAGS)[4])  # U-a wherever it may be
    for known_tags in (None, unknown):
        logits = head.predict(make_inputs(known_tags))
        of_table = head.layers[0].predict(make_inputs(known_tags))
        assert (logits.relations != of_table.relations).any(axis=1).all()


def test_without_a_pair_the_cells_are_those_of_the_table():
    head, inputs = make_head(), make_inputs(np.full(len(TAGS), OUTSIDE))
    assert_same(head.predict(inputs), head.layers[0].predict(inputs))


def test_training_scores_the_pairs_of_the_known_tags():
    head, inputs = make_head(dropout=0.0), make_inputs()
    logits, _ = head.begin_update(inputs)
    assert_same(logits, head.layers[0].predict(inputs))
    assert logits.pairs.cells.tolist() == [2, 7]
    of_pairs = head.layers[1].predict(PairInput(inputs.words, pair_entities(TAGS, WINDOWS)))
    np.testing.assert_allclose(logits.pairs.relations, of_pairs, atol=1e-6)


def test_training_needs_known_tags():
    with pytest.raises(ValueError, match=r"TablePairs\.v1: cannot train without the known tags"):
        make_head().begin_update(make_inputs(None))


def test_the_words_learn_from_the_table_only():
    head, inputs = make_head(dropout=0.0), make_inputs()
    logits, backprop = head.begin_update(inputs)
    _, backprop_table = head.layers[0].begin_update(inputs)
    pairs = logits.pairs._replace(relations=np.ones_like(logits.pairs.relations))
    np.testing.assert_allclose(
        backprop(logits._replace(pairs=pairs)).words, backprop_table(logits).words, atol=1e-6
    )
    for layer in head.layers:
        for name, parameter in layer.shims[0]._model.named_parameters():
            assert parameter.grad is not None and parameter.grad.any(), name


def test_gradients_equal_autograd():
    head, inputs = make_head(dropout=0.0), make_inputs()
    logits, backprop = head.begin_update(inputs)
    random = np.random.default_rng(1)
    d_pairs = random.standard_normal(logits.pairs.relations.shape).astype("float32")
    backprop(logits._replace(pairs=PairLogits(logits.pairs.cells, d_pairs)))
    module = head.layers[1].shims[0]._model
    actual = {name: parameter.grad.clone() for name, parameter in module.named_parameters()}
    module.zero_grad()
    pairs = pair_entities(TAGS, WINDOWS)
    entities, places = torch.tensor(pairs.entities), torch.tensor(pairs.pairs)
    (module(torch.tensor(inputs.words), entities, places) * torch.tensor(d_pairs)).sum().backward()
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(actual[name], parameter.grad)


def test_the_classifier_learns():
    head, inputs = make_head(dropout=0.0), make_inputs()
    relations = np.zeros(WINDOWS.n_cells, dtype=np.int64)
    relations[CELLS] = np.array([1, 4])[PAIR_OF_CELL]
    gold, sgd = GoldTables(TAGS, TAGS, relations), Adam(0.01)
    for _ in range(60):
        logits, backprop = head.begin_update(inputs)
        loss, gradient = table_loss(logits, gold)
        backprop(gradient)
        head.finish_update(sgd)
    assert loss < 0.5
    assert logits.pairs.relations.argmax(axis=1).tolist() == [1, 4]


def test_dropout_of_the_training_block_reaches_both_modules():
    head = make_head()
    set_dropout_rate(head, 0.4)
    head.begin_update(make_inputs())
    assert [layer.shims[0]._model.dropout for layer in head.layers] == [0.4, 0.4]


def test_bytes_and_copies():
    head = make_head()
    expected = head.predict(make_inputs())
    others = [make_head(is_initialized=False).from_bytes(head.to_bytes())]
    others += [head.copy(), pickle.loads(pickle.dumps(head))]
    for other in others:
        assert_same(other.predict(make_inputs()), expected)
        assert [layer.get_dim("nI") for layer in find_heads(other)] == [WIDTH, WIDTH]


def test_the_table_is_a_table_head():
    with pytest.raises(ValueError, match=r"TablePairs\.v1: its table head is the model 'spert'"):
        build_table_pairs(Model("spert", lambda *arguments: None))


def test_one_classifier_of_pairs_is_enough():
    with pytest.raises(ValueError, match="its table has a spacy-tabcnn"):
        build_table_pairs(build_table_lstm(build_table_pairs(build_table_cnn())))
