import itertools

import numpy as np
import pytest

from spacy_tabcnn.arrays import log_softmax
from spacy_tabcnn.labels import OUTSIDE, LabelScheme
from spacy_tabcnn.predictions import EntityPrediction, RelationPrediction
from spacy_tabcnn.sentences import (
    DEFAULT_MAX_LENGTH,
    Sentences,
    Windows,
    cell_index,
    count_cells,
)
from spacy_tabcnn.table.decode import decode_tables, viterbi
from spacy_tabcnn.table.logits import TableLogits

SCHEME = LabelScheme(["PER", "LOC"], {"LiveIn": [("PER", "LOC")], "Knows": [("PER", "PER")]})
OPTIONS = [
    {},
    {"aggregation": "any"},
    {"min_score": 0.4},
    {"aggregation": "any", "min_score": 0.4},
    {"type_constraints": False},
]


def cut(lengths, max_length=DEFAULT_MAX_LENGTH):
    return Windows(Sentences.of_lengths(lengths), max_length)


def make_logits(lengths, seed=0, scheme=SCHEME):
    random = np.random.default_rng(seed)
    lengths = np.array(lengths, dtype=np.int64)
    return TableLogits(
        2.0 * random.standard_normal((lengths.sum(), scheme.n_tags)),
        2.0 * random.standard_normal((count_cells(lengths).sum(), scheme.n_relations)),
        cut(lengths),
    )


def decode(logits, scheme=SCHEME, **options):
    """Decode tables of a sentence each."""
    return decode_tables(logits, scheme, **options)


def split(logits):
    """The logits of each sentence of a batch alone."""
    words = np.split(logits.tags, np.cumsum(logits.windows.lengths)[:-1])
    cells = np.split(logits.relations, np.cumsum(count_cells(logits.windows.lengths))[:-1])
    return [
        TableLogits(tags, relations, cut([len(tags)]))
        for tags, relations in zip(words, cells, strict=True)
    ]


def probabilities(cells):
    """Log-probabilities of the relation labels of a sentence, given as the probabilities of its
    cells."""
    return np.log(np.array(cells))


def entity(start, end, label="PER"):
    return EntityPrediction(start, end, label, 1.0)


# Entities


def is_valid(tags, scheme):
    """Whether a tag sequence is BILOU, by reading it word by word."""
    is_open = None
    for tag in tags:
        kind, prefix = divmod(tag - 1, 4)
        starts = tag == OUTSIDE or prefix in (0, 3)
        if starts != (is_open is None) or (not starts and kind != is_open):
            return False
        if tag != OUTSIDE:
            is_open = kind if prefix in (0, 1) else None
    return is_open is None


@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_viterbi_finds_the_best_of_all_valid_sequences(length):
    sequences = [
        tags
        for tags in itertools.product(range(SCHEME.n_tags), repeat=length)
        if is_valid(tags, SCHEME)
    ]
    for seed in range(10):
        log_probs = log_softmax(make_logits([length], seed).tags)
        scores = log_probs[np.arange(length), np.array(sequences)].sum(axis=1)
        assert viterbi(log_probs, np.array([length])).tolist() == list(sequences[scores.argmax()])


def test_viterbi_corrects_the_most_probable_tags():
    """An I without a B: the most probable tags are no BILOU sequence."""
    probs = np.full((3, SCHEME.n_tags), 0.01)
    probs[0, [OUTSIDE, 1]] = 0.5, 0.4  # "O", or "B-PER"
    probs[1, 2] = probs[2, 3] = 0.9  # "I-PER", "L-PER"
    assert viterbi(np.log(probs), np.array([3])).tolist() == [1, 2, 3]


def test_viterbi_without_entity_types():
    assert viterbi(np.zeros((2, 1)), np.array([2])).tolist() == [OUTSIDE, OUTSIDE]


def test_entity_score_is_the_geometric_mean_of_its_tags():
    probs = np.full((3, SCHEME.n_tags), 0.01)
    probs[0, OUTSIDE] = 0.92
    probs[1, 1], probs[2, 3] = 0.92, 0.6
    probs[2, OUTSIDE] += 0.32
    logits = TableLogits(np.log(probs), np.zeros((3, SCHEME.n_relations)), cut([3]))
    ((prediction,), _) = decode(logits)[0]
    assert prediction[:3] == (1, 3, "PER")
    assert prediction.score == pytest.approx((0.92 * 0.6) ** 0.5)


# Batches


@pytest.mark.parametrize("options", OPTIONS)
def test_batch_equals_its_sentences_one_by_one(options):
    logits = make_logits([5, 1, 9, 2, 1, 7, 20, 12, 16])
    together = decode(logits, **options)
    alone = [decode(one, **options)[0] for one in split(logits)]
    assert sum(len(relations) for _, relations in together) > 3
    for prediction, expected in zip(together, alone, strict=True):
        assert [ent[:3] for ent in prediction.entities] == [ent[:3] for ent in expected.entities]
        assert [rel[:3] for rel in prediction.relations] == [rel[:3] for rel in expected.relations]
        for found, same in zip(
            itertools.chain(*prediction), itertools.chain(*expected), strict=True
        ):
            assert found.score == pytest.approx(same.score, abs=1e-9)


def test_scores_are_probabilities():
    for options in OPTIONS:
        for prediction in decode(make_logits([12, 12]), **options):
            assert all(0.0 < item.score <= 1.0 for item in itertools.chain(*prediction))


def test_scores_of_certain_logits_are_one():
    tags, relations = (
        np.full((2, SCHEME.n_tags), -1e4, "f"),
        np.full((1, SCHEME.n_relations), -1e4, "f"),
    )
    tags[0, 4] = tags[1, 8] = relations[0, 1] = 1e4
    (prediction,) = decode(TableLogits(tags, relations, cut([2])))
    assert prediction == ([(0, 1, "PER", 1.0), (1, 2, "LOC", 1.0)], [(0, 1, "LiveIn", 1.0)])


def test_empty_batch():
    assert decode(make_logits([])) == []


def test_scheme_without_relations():
    scheme = LabelScheme(["PER", "LOC"])
    (prediction,) = decode(make_logits([12], scheme=scheme), scheme)
    assert len(prediction.entities) > 2
    assert prediction.relations == []


def test_logits_of_other_windows_are_refused():
    with pytest.raises(
        ValueError, match="logits of 9 words and 36 cells for windows of 15 words and 21 cells"
    ):
        decode_tables(make_logits([9])._replace(windows=cut([9], 4)), SCHEME)


# Windows. Six words in windows of four: (0, 4) and (2, 6), which own the words 0-2 and 3-5.


def decode_windows(n_words, spans, related, *, max_length):
    """Decode windows of a sentence in which each cell that counts, and no other, says that the
    entities of some spans are LiveIn, given as their pairs of positions."""
    windows = cut([n_words], max_length)
    words, owned = windows.words(), windows.rows()
    tags = np.full((len(words), SCHEME.n_tags), 0.01)
    tags[:, 8] = 0.9  # the other copies say U-LOC
    sentence_tags = np.zeros(n_words, dtype=np.int64)
    for start, end in spans:
        sentence_tags[start:end] = SCHEME.span_tags("PER", end - start)
    tags[owned] = np.where(np.arange(SCHEME.n_tags) == sentence_tags[:, None], 0.9, 0.01)
    relations = np.full((int(count_cells(windows.lengths).sum()), SCHEME.n_relations), 0.02)
    relations[:, 3] = 0.9  # the other copies say Knows
    for i, j in itertools.combinations(range(n_words), 2):
        if windows.reach(0, i) > j:
            label = (
                1 if any(i in range(*spans[a]) and j in range(*spans[b]) for a, b in related) else 0
            )
            relations[windows.cells(0, i, j)] = np.where(
                np.arange(SCHEME.n_relations) == label, 0.9, 0.02
            )
    logits = TableLogits(np.log(tags), np.log(relations), windows)
    (prediction,) = decode_tables(logits, SCHEME, type_constraints=False)
    return [ent[:2] for ent in prediction.entities], [
        relation[:3] for relation in prediction.relations
    ]


def test_words_and_cells_are_read_where_they_count():
    spans = [(1, 2), (2, 3), (3, 4), (5, 6)]
    assert decode_windows(6, spans, [(0, 1), (1, 3)], max_length=4) == (
        spans,
        [(0, 1, "LiveIn"), (1, 3, "LiveIn")],
    )


def test_entity_longer_than_a_window():
    assert decode_windows(12, [(1, 11)], [], max_length=4)[0] == [(1, 11)]


def test_entities_that_share_no_window_are_not_related():
    """The words 1 and 4 do not, 2 and 5 do."""
    spans = [(1, 2), (2, 3), (4, 5), (5, 6)]
    _, relations = decode_windows(6, spans, list(itertools.combinations(range(4), 2)), max_length=4)
    assert [relation[:2] for relation in relations] == [(0, 1), (1, 2), (1, 3), (2, 3)]


def test_pair_whose_cells_count_in_several_windows():
    """Of the cells (1, 3) and (2, 3) the first window owns the former, the second the latter."""
    assert decode_windows(6, [(1, 3), (3, 4)], [(0, 1)], max_length=4)[1] == [(0, 1, "LiveIn")]


# Relations: which label a pair gets

CERTAIN, LIKELY, UNLIKELY = (
    [0.02, 0.92, 0.02, 0.02, 0.02],
    [0.3, 0.6, 0.04, 0.03, 0.03],
    [0.9, 0.06, 0.02, 0.01, 0.01],
)


def relate(cells, entities, n_words, **options):
    options = {"type_constraints": False, **options}
    logits = TableLogits(np.zeros((n_words, SCHEME.n_tags)), probabilities(cells), cut([n_words]))
    return decode_tables(logits, SCHEME, entities=[entities], **options)[0].relations


def test_direction():
    cells = np.full((1, 5), 0.02)
    cells[0, 1:3] = 0.2, 0.74
    assert relate(cells, [entity(0, 1, "LOC"), entity(1, 2)], 2) == [
        RelationPrediction(1, 0, "LiveIn", pytest.approx(0.74))
    ]


def test_mean_is_the_normalised_geometric_mean_over_the_cells():
    """Two words by one word: rows 0 and 1, column 2; the cell (0, 1) within the entity does not
    count."""
    cells = [UNLIKELY, LIKELY, CERTAIN]
    expected = np.sqrt(np.array(LIKELY) * np.array(CERTAIN))
    (relation,) = relate(cells, [entity(0, 2), entity(2, 3, "LOC")], 3)
    assert relation == (0, 1, "LiveIn", pytest.approx((expected / expected.sum())[1]))


def test_mean_needs_the_cells_to_agree_and_any_does_not():
    cells = [UNLIKELY, UNLIKELY, LIKELY]
    entities = [entity(0, 2), entity(2, 3, "LOC")]
    assert relate(cells, entities, 3, aggregation="mean") == []
    assert relate(cells, entities, 3, aggregation="any") == [(0, 1, "LiveIn", pytest.approx(0.6))]


def test_any_ignores_cells_whose_best_label_is_none():
    """A relation has to be the most probable label of a cell, not only more probable than in other
    cells."""
    cells = [UNLIKELY, [0.5, 0.45, 0.03, 0.01, 0.01], UNLIKELY]
    assert relate(cells, [entity(0, 2), entity(2, 3, "LOC")], 3, aggregation="any") == []


def test_any_takes_the_most_probable_label_of_all_cells():
    knows = [0.1, 0.05, 0.05, 0.7, 0.1]
    assert relate(
        [UNLIKELY, LIKELY, knows], [entity(0, 2), entity(2, 3)], 3, aggregation="any"
    ) == [(0, 1, "Knows", pytest.approx(0.7))]


def test_cells_are_those_of_the_pairs_words():
    """Each pair of a sentence gets the label of its own block of cells."""
    n, spans = 7, [entity(0, 2), entity(3, 4), entity(5, 7)]
    labels = {(0, 1): 1, (0, 2): 4, (1, 2): 2}
    cells = np.full((int(count_cells(np.int64(n))), 5), 0.01)
    cells[:, 0] = 0.96
    for (left, right), label in labels.items():
        for row in range(spans[left].start, spans[left].end):
            for col in range(spans[right].start, spans[right].end):
                cells[cell_index(row, col, n)] = np.where(np.arange(5) == label, 0.96, 0.01)
    found = relate(cells, spans, n)
    assert [relation[:3] for relation in found] == [
        (0, 1, "LiveIn"),
        (2, 0, "Knows"),
        (2, 1, "LiveIn"),
    ]


# Relations: the minimum score


@pytest.mark.parametrize("aggregation", ["mean", "any"])
def test_min_score_is_the_least_probability_of_a_relation(aggregation):
    options = {
        "cells": [LIKELY],
        "entities": [entity(0, 1), entity(1, 2)],
        "n_words": 2,
        "aggregation": aggregation,
    }
    assert len(relate(min_score=0.59, **options)) == 1
    assert relate(min_score=0.61, **options) == []


@pytest.mark.parametrize("aggregation", ["mean", "any"])
def test_min_score_replaces_the_contest_with_none(aggregation):
    options = {
        "cells": [UNLIKELY],
        "entities": [entity(0, 1), entity(1, 2)],
        "n_words": 2,
        "aggregation": aggregation,
    }
    assert relate(min_score=None, **options) == []
    assert relate(min_score=0.05, **options) == [(0, 1, "LiveIn", pytest.approx(0.06))]


def test_pair_gets_at_most_one_relation():
    assert len(relate([LIKELY], [entity(0, 1), entity(1, 2)], 2, min_score=0.0)) == 1


def test_min_score_of_zero_keeps_type_constraints():
    options = {
        "cells": [LIKELY],
        "entities": [entity(0, 1, "LOC"), entity(1, 2, "LOC")],
        "n_words": 2,
    }
    assert relate(min_score=0.0, type_constraints=True, **options) == []


# Relations: type constraints


@pytest.mark.parametrize("aggregation", ["mean", "any"])
@pytest.mark.parametrize(
    "types, expected",
    [
        (("PER", "LOC"), [(0, 1, "LiveIn")]),
        (("LOC", "PER"), [(1, 0, "LiveIn")]),
        (("PER", "PER"), []),
        (("LOC", "LOC"), []),
    ],
)
def test_type_constraints_leave_the_allowed_labels(types, expected, aggregation):
    """Both directions of LiveIn are probable; only the one from a PER to a LOC is allowed."""
    cells = [[0.1, 0.4, 0.4, 0.05, 0.05]]
    entities = [entity(0, 1, types[0]), entity(1, 2, types[1])]
    found = relate(cells, entities, 2, type_constraints=True, aggregation=aggregation)
    assert [relation[:3] for relation in found] == expected


def test_scores_are_probabilities_among_the_allowed_labels():
    """Of LiveIn from a PER to a LOC and none, which have 0.04 and 0.01 of a cell; the rest is what
    cannot be."""
    entities = [entity(0, 1, "PER"), entity(1, 2, "LOC")]
    (relation,) = relate([[0.01, 0.04, 0.85, 0.05, 0.05]], entities, 2, type_constraints=True)
    assert relation.label == "LiveIn" and relation.score == pytest.approx(0.8)


def test_without_type_constraints_any_pair_may_be_joined():
    entities = [entity(0, 1, "LOC"), entity(1, 2, "LOC")]
    assert relate([LIKELY], entities, 2, type_constraints=True) == []
    assert [relation[:3] for relation in relate([LIKELY], entities, 2)] == [(0, 1, "LiveIn")]
