import numpy as np
import pytest
from spacy.util import fix_random_seed

from spacy_tabcnn.spans.candidates import all_pairs, all_spans, sample_candidates
from spacy_tabcnn.spans.gold import GoldSpans

SIZES = {"max_width": 10, "max_length": 256}


def make_gold(spans=(), relations=(), *, n_words=30, n_sentences=1, missing=(), has_relations=True):
    is_missing = np.isin(np.arange(n_words), missing)
    return GoldSpans(
        np.array(spans, dtype=np.int64).reshape(-1, 3),
        np.ones(len(spans), dtype=np.int64),
        np.array(relations, dtype=np.int64).reshape(-1, 3),
        is_missing,
        np.full(n_sentences, has_relations),
        2,
    )


def sample(gold, lengths, *, entities=100, relations=100, **sizes):
    spans, pairs = sample_candidates(
        gold,
        np.array(lengths),
        **{**SIZES, **sizes},
        negative_entities=entities,
        negative_relations=relations,
    )
    return [tuple(span) for span in spans.tolist()], [tuple(pair) for pair in pairs.tolist()]


def test_all_spans():
    spans = all_spans(np.array([3, 1, 2]), 2)
    assert spans.tolist() == [
        *([0, 1, 0], [0, 2, 0], [1, 2, 0], [1, 3, 0], [2, 3, 0]),
        [3, 4, 1],
        *([4, 5, 2], [4, 6, 2], [5, 6, 2]),
    ]
    assert all_spans(np.zeros(0, np.int64), 2).shape == (0, 3)


def test_all_spans_nest_and_overlap():
    """13 words: all of one word, but four less of ten."""
    counts = np.bincount(np.diff(all_spans(np.array([13]), 10)[:, :2]).ravel())
    assert counts.tolist() == [0, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4]


def test_all_pairs_stay_in_a_sentence():
    spans = np.array([[0, 2, 0], [3, 4, 0], [5, 6, 1], [6, 9, 1], [20, 21, 2]])
    assert all_pairs(spans, 256).tolist() == [[0, 1], [2, 3], [1, 0], [3, 2]]
    assert all_pairs(spans[:0], 256).shape == (0, 2)


@pytest.mark.parametrize(
    "max_length, expected", [(4, []), (5, [(0, 1)]), (9, [(0, 1), (1, 2)]), (12, 3)]
)
def test_pairs_over_too_many_words_are_left_out(max_length, expected):
    pairs = all_pairs(np.array([[0, 2, 0], [3, 5, 0], [10, 12, 0]]), max_length)
    ascending = [tuple(pair) for pair in pairs.tolist() if pair[0] < pair[1]]
    assert len(pairs) == 2 * len(ascending)
    assert ascending == expected or len(ascending) == expected


def test_gold_spans_come_first_and_negatives_are_others():
    gold = make_gold([(0, 2, 0), (4, 5, 0)], n_words=8)
    spans, _ = sample(gold, [8])
    assert spans[:2] == [(0, 2, 0), (4, 5, 0)]
    assert len(spans) == len(set(spans)) == 36  # every span of 8 words
    assert (0, 3, 0) in spans and (1, 2, 0) in spans  # also those that overlap an entity


@pytest.mark.parametrize("n", [0, 1, 7])
def test_number_of_negative_spans_of_each_sentence(n):
    gold = make_gold([(0, 2, 0)], n_words=29, n_sentences=3)
    spans, _ = sample(gold, [20, 1, 8], entities=n)
    counts = np.bincount([sentence for _, _, sentence in spans[1:]], minlength=3)
    assert counts.tolist() == [n, min(n, 1), n]


def test_words_without_annotation_are_in_no_negative():
    spans, _ = sample(make_gold(n_words=6, missing=[2, 3]), [6])
    assert sorted(spans) == [(0, 1, 0), (0, 2, 0), (1, 2, 0), (4, 5, 0), (4, 6, 0), (5, 6, 0)]


def test_pairs_are_gold_and_unrelated_ones():
    """The other direction of a relation is a negative."""
    gold = make_gold([(0, 1, 0), (2, 3, 0), (5, 6, 0)], [(0, 1, 0), (0, 1, 1)])
    _, pairs = sample(gold, [30])
    assert pairs[0] == (0, 1)
    assert sorted(pairs) == [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]


@pytest.mark.parametrize("n", [0, 2])
def test_number_of_negative_pairs_of_each_sentence(n):
    spans = [(3 * i, 3 * i + 1, 0) for i in range(4)] + [
        (20 + 3 * i, 21 + 3 * i, 1) for i in range(3)
    ]
    _, pairs = sample(make_gold(spans, [(0, 3, 1)], n_sentences=2), [20, 10], relations=n)
    assert pairs[0] == (0, 3)
    assert [sum(pair[0] < 4 for pair in pairs[1:]), sum(pair[0] >= 4 for pair in pairs[1:])] == [
        n,
        n,
    ]


def test_no_pairs_where_relations_are_not_annotated():
    _, pairs = sample(make_gold([(0, 1, 0), (2, 3, 0)], has_relations=False), [30])
    assert pairs == []


def test_samples_follow_the_seed():
    gold = make_gold([(i, i + 1, 0) for i in range(0, 30, 3)], [(0, 1, 0)])
    samples = []
    for seed in (1, 1, 2):
        fix_random_seed(seed)
        samples.append(sample(gold, [30], entities=20, relations=5))
    fix_random_seed(1)
    sample(gold, [30])
    again = sample(gold, [30], entities=20, relations=5)
    assert samples[0] == samples[1]
    assert samples[0] != samples[2] and samples[0] != again
