"""Losses and decoding of logits on the device, against the same logits on the CPU."""

import numpy as np
import pytest
from thinc.api import get_current_ops
from thinc.types import Ragged

from spacy_tabcnn.arrays import cross_entropy
from spacy_tabcnn.labels import MISSING, LabelScheme
from spacy_tabcnn.models.pooling import build_mix_layers, build_reduce_max
from spacy_tabcnn.sentences import Sentences, Windows
from spacy_tabcnn.spans.decode import decode_spans
from spacy_tabcnn.spans.logits import SpanLogits, choose_entities
from spacy_tabcnn.spans.loss import span_loss
from spacy_tabcnn.table.decode import decode_tables
from spacy_tabcnn.table.logits import TableLogits
from spacy_tabcnn.word_pairs.cells import CellFinder
from spacy_tabcnn.word_pairs.decode import choose_best, decode_entities, decode_relations
from spacy_tabcnn.word_pairs.gold import GoldTable, GoldWordPairs
from spacy_tabcnn.word_pairs.logits import WordPairLogits
from spacy_tabcnn.word_pairs.loss import word_pair_loss

from .conftest import assert_near

RNG = np.random.default_rng(0)


def make_scheme():
    return LabelScheme(["LOC", "PER"], {"LiveIn": [("PER", "LOC")]})


def test_cross_entropy(device):
    logits, labels = RNG.standard_normal((20, 5)).astype("float32"), RNG.integers(0, 5, 20)
    labels[3] = MISSING
    expected, d_expected = cross_entropy(logits, labels)
    with device.use():
        loss, gradient = cross_entropy(get_current_ops().asarray(logits), labels)
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)
    assert_near(gradient, d_expected, tolerance=1e-5)


def make_span_logits(asarray):
    spans = np.array([[0, 1, 0], [0, 2, 0], [1, 2, 0], [3, 5, 1]])
    pairs = np.array([[0, 2], [2, 0]])
    rng = np.random.default_rng(1)
    entities = asarray(rng.standard_normal((4, 3)).astype("float32"))
    relations = asarray(rng.standard_normal((2, 1)).astype("float32"))
    return SpanLogits(spans, entities, pairs, relations, Sentences([[(0, 2)], [(0, 3)]]))


def test_span_loss(device):
    types, labels = np.array([0, 1, MISSING, 2]), np.array([[0], [1]])
    expected, d_expected = span_loss(make_span_logits(np.asarray), types, labels)
    with device.use():
        loss, gradient = span_loss(make_span_logits(get_current_ops().asarray), types, labels)
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)
    assert_near(gradient.entities, d_expected.entities, tolerance=1e-5)
    assert_near(gradient.relations, d_expected.relations, tolerance=1e-5)


@pytest.mark.parametrize("max_length", [50, 6])
@pytest.mark.parametrize("aggregation", ["mean", "any"])
def test_tables(max_length, aggregation, device):
    scheme = make_scheme()
    windows = Windows(Sentences.of_lengths([9, 3, 14]), max_length)
    rng = np.random.default_rng(2)
    tags = rng.standard_normal((windows.n_rows, scheme.n_tags)).astype("float32")
    relations = rng.standard_normal((windows.n_cells, scheme.n_relations)).astype("float32")
    expected = decode_tables(TableLogits(tags, relations, windows), scheme, aggregation=aggregation)
    with device.use():
        asarray = get_current_ops().asarray
        logits = TableLogits(asarray(tags), asarray(relations), windows)
        found = decode_tables(logits, scheme, aggregation=aggregation)
    assert found == expected


def test_spans(device):
    expected = decode_spans(make_span_logits(np.asarray), make_scheme(), min_score=0.3)
    with device.use():
        logits = make_span_logits(get_current_ops().asarray)
        assert choose_entities(logits.spans, logits.entities).best.dtype == np.int64
        assert decode_spans(logits, make_scheme(), min_score=0.3) == expected


def make_word_pair_logits(asarray):
    windows = Windows(Sentences.of_lengths([9, 3, 14]), 6)
    finder, rng = CellFinder(windows), np.random.default_rng(3)
    tables = []
    for n_cells, n_labels in ((finder.n_spans, 2), (finder.n_pairs, 1), (finder.n_pairs, 1)):
        tables.append(asarray(rng.standard_normal((n_cells, n_labels)).astype("float32")))
    return WordPairLogits(*tables[:2], windows, tables[2])


def test_word_pair_loss(device):
    logits = make_word_pair_logits(np.asarray)
    tables = []
    for array in (logits.entities, logits.relations, logits.last_words):
        weights = RNG.random(len(array)).astype("float32")
        tables.append(GoldTable(weights, np.array([0, 2, 5]), np.array([0, 0, 0])))
    gold = GoldWordPairs(*tables)
    expected, d_expected = word_pair_loss(logits, gold)
    with device.use():
        loss, gradient = word_pair_loss(make_word_pair_logits(get_current_ops().asarray), gold)
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)
    assert_near(gradient.entities, d_expected.entities, tolerance=1e-5)
    assert_near(gradient.relations, d_expected.relations, tolerance=1e-5)
    assert_near(gradient.last_words, d_expected.last_words, tolerance=1e-5)


def decode_word_pairs(logits):
    entities = [*map(choose_best, decode_entities(logits, make_scheme(), threshold=0.5))]
    options = {"min_score": 0.3, "type_constraints": False}
    return entities, decode_relations(logits, make_scheme(), entities, **options)


def test_word_pairs(device):
    entities, relations = decode_word_pairs(make_word_pair_logits(np.asarray))
    with device.use():
        found, edges = decode_word_pairs(make_word_pair_logits(get_current_ops().asarray))
    assert found == entities and edges == relations and any(edges)


@pytest.mark.parametrize(
    "build", [build_reduce_max, lambda: build_mix_layers(2, build_reduce_max())]
)
def test_pooling(build, device):
    data = RNG.standard_normal((6, 8)).astype("float32")
    lengths = np.array([2, 0, 3, 1, 0], dtype="int32")
    words, backprop = build().begin_update(Ragged(data, lengths))
    d_words = RNG.standard_normal(words.shape).astype("float32")
    d_data = backprop(d_words).dataXd
    with device.use():
        ops = get_current_ops()
        subwords = Ragged(ops.asarray(data), ops.asarray(lengths))
        found, backprop_found = build().begin_update(subwords)
        d_found = backprop_found(ops.asarray(d_words)).dataXd
    assert_near(found, words, tolerance=1e-5)
    assert_near(d_found, d_data, tolerance=1e-5)
