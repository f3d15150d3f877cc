import numpy as np
import pytest

from spacy_tabcnn.labels import LabelScheme
from spacy_tabcnn.predictions import EntityPrediction, RelationPrediction
from spacy_tabcnn.sentences import Sentences, Windows
from spacy_tabcnn.word_pairs.cells import CellFinder
from spacy_tabcnn.word_pairs.decode import (
    choose_best,
    decode_entities,
    decode_relations,
    rate_spans,
)
from spacy_tabcnn.word_pairs.logits import WordPairLogits

SCHEME = LabelScheme(["PER", "LOC"], {"LiveIn": [("PER", "LOC")], "Visit": []})
PERSON, PLACE = EntityPrediction(0, 2, "PER"), EntityPrediction(3, 4, "LOC")


def make_logits(windows, spans=(), pairs=(), last_pairs=None):
    """Logits of given probabilities (sentence, i, j, label, probability); others are low."""
    finder = CellFinder(windows)

    def fill(n_cells, find, values, labels):
        probs = np.full((n_cells, len(labels)), 0.01)
        for sentence, i, j, label, prob in values:
            (cell,) = find(np.array([sentence]), np.array([i]), np.array([j]))
            probs[cell, labels.index(label)] = prob
        return np.log(probs) - np.log1p(-probs)

    relations = list(SCHEME.relations)
    last_words = None
    if last_pairs is not None:
        last_words = fill(finder.n_pairs, finder.find_pairs, last_pairs, relations)
    return WordPairLogits(
        fill(finder.n_spans, finder.find_spans, spans, SCHEME.entities),
        fill(finder.n_pairs, finder.find_pairs, pairs, relations),
        windows,
        last_words,
    )


def relate(logits, entities, min_score=0.5, type_constraints=False):
    return decode_relations(
        logits, SCHEME, entities, min_score=min_score, type_constraints=type_constraints
    )


def assert_predictions(found, expected):
    for ones, others in zip(found, expected, strict=True):
        assert [one[:3] for one in ones] == [other[:3] for other in others]
        assert [one[3] for one in ones] == pytest.approx([other[3] for other in others])


def test_entities_are_the_spans_that_are_probable_enough(cut):
    spans = [(0, 0, 1, "PER", 0.9), (0, 3, 3, "LOC", 0.5), (2, 0, 0, "PER", 0.4)]
    logits = make_logits(cut([4, 1, 2]), spans)
    assert_predictions(
        decode_entities(logits, SCHEME, threshold=0.5),
        [[EntityPrediction(0, 2, "PER", 0.9), EntityPrediction(3, 4, "LOC", 0.5)], [], []],
    )
    found = decode_entities(logits, SCHEME, threshold=0.3)
    assert_predictions(found[2:], [[EntityPrediction(0, 1, "PER", 0.4)]])


def test_a_span_has_its_most_probable_type(cut):
    logits = make_logits(cut([2]), [(0, 0, 1, "PER", 0.7), (0, 0, 1, "LOC", 0.8)])
    found = decode_entities(logits, SCHEME, threshold=0.5)
    assert_predictions(found, [[EntityPrediction(0, 2, "LOC", 0.8)]])


@pytest.mark.parametrize("threshold, n_found", [(0.0, 6), (1.0, 0)])
def test_extreme_thresholds(cut, threshold, n_found):
    logits = make_logits(cut([3]), [(0, 0, 1, "PER", 0.9)])
    assert len(decode_entities(logits, SCHEME, threshold=threshold)[0]) == n_found


def test_entities_of_windows_are_in_text_order_and_there_once(cut):
    """Windows of the words 0 to 3, 2 to 5 and 4 to 6."""
    spans = [(0, 0, 0, "PER", 0.9), (0, 2, 4, "LOC", 0.8), (0, 4, 6, "PER", 0.7)]
    found = decode_entities(make_logits(cut([7], 4), spans), SCHEME, threshold=0.5)
    assert [(ent.start, ent.end) for ent in found[0]] == [(0, 1), (2, 5), (4, 7)]


def test_every_span_of_a_document_has_probabilities():
    """Documents of two sentences, of no words, and of one sentence in windows of 4 words."""
    windows = Windows(Sentences([[(0, 2), (2, 3)], [], [(0, 6)]]), 4)
    spans = [(0, 0, 1, "PER", 0.9), (1, 0, 0, "LOC", 0.4), (2, 3, 5, "PER", 0.3)]
    first, empty, last = rate_spans(make_logits(windows, spans), SCHEME)
    assert first.score(0, 2, "PER") == pytest.approx(0.9)
    assert first.score(2, 3, "LOC") == pytest.approx(0.4)
    assert last.score(3, 6, "PER") == pytest.approx(0.3)
    # Across sentences, across windows, and of an unknown type.
    assert first.score(1, 3, "PER") == last.score(0, 6, "PER") == first.score(0, 1, "ORG") == 0.0
    assert len(first.decisions) == 2 * (3 + 1) and len(empty.decisions) == 0
    assert first.decisions[0].tolist() == pytest.approx([0.01, 0.99])
    assert len(last.decisions) == 2 * (10 + 10 - 3)


def test_the_best_entities_do_not_overlap():
    entities = [
        EntityPrediction(0, 3, "PER", 0.6),
        EntityPrediction(0, 1, "PER", 0.8),
        EntityPrediction(2, 4, "LOC", 0.7),
        EntityPrediction(4, 5, "LOC", 0.5),
    ]
    assert choose_best(entities) == entities[1:]
    assert choose_best([]) == []


def test_of_equally_probable_entities_the_earlier_one_is_chosen():
    entities = [EntityPrediction(0, 2, "PER", 0.6), EntityPrediction(1, 3, "PER", 0.6)]
    assert choose_best(entities) == entities[:1]


def test_relations_are_in_the_cells_of_first_words(cut):
    pairs = [(1, 0, 3, "LiveIn", 0.9), (1, 3, 0, "Visit", 0.6), (1, 1, 3, "Visit", 0.9)]
    found = relate(make_logits(cut([2, 4]), pairs=pairs), [[], [PERSON, PLACE]])
    expected = [RelationPrediction(0, 1, "LiveIn", 0.9), RelationPrediction(1, 0, "Visit", 0.6)]
    assert_predictions(found, [[], expected])


def test_two_entities_can_have_several_relations(cut):
    pairs = [(0, 0, 3, "LiveIn", 0.9), (0, 0, 3, "Visit", 0.6)]
    logits = make_logits(cut([4]), pairs=pairs)
    assert len(relate(logits, [[PERSON, PLACE]])[0]) == 2
    assert len(relate(logits, [[PERSON, PLACE]], min_score=0.7)[0]) == 1


def test_type_constraints(cut):
    pairs = [(0, 3, 0, "LiveIn", 0.9), (0, 3, 0, "Visit", 0.6), (0, 0, 3, "LiveIn", 0.7)]
    logits = make_logits(cut([4]), pairs=pairs)
    found = relate(logits, [[PERSON, PLACE]], type_constraints=True)
    expected = [RelationPrediction(0, 1, "LiveIn", 0.7), RelationPrediction(1, 0, "Visit", 0.6)]
    assert_predictions(found, [expected])
    unknown = [[PERSON._replace(label="NAME"), PLACE]]
    assert [edge.label for edge in relate(logits, unknown, type_constraints=True)[0]] == ["Visit"]
    assert len(relate(logits, unknown)[0]) == 3


def test_last_words_have_to_agree(cut):
    pairs = [(0, 0, 3, "LiveIn", 0.9), (0, 0, 3, "Visit", 0.9)]
    last_pairs = [(0, 1, 3, "LiveIn", 0.6)]
    logits = make_logits(cut([4]), pairs=pairs, last_pairs=last_pairs)
    found = relate(logits, [[PERSON, PLACE]])
    assert_predictions(found, [[RelationPrediction(0, 1, "LiveIn", 0.6)]])


@pytest.mark.parametrize("last_pairs, n_found", [(None, 1), ([], 0)])
def test_a_window_has_to_hold_the_cells(cut, last_pairs, n_found):
    """Windows of the words 0 to 3, 2 to 5 and 4 to 6: no window holds the last words 1 and 4."""
    logits = make_logits(cut([7], 4), pairs=[(0, 0, 3, "LiveIn", 0.9)], last_pairs=last_pairs)
    entities = [[EntityPrediction(0, 2, "PER"), EntityPrediction(3, 5, "LOC")]]
    assert len(relate(logits, entities)[0]) == n_found
    far = [[EntityPrediction(0, 1, "PER"), EntityPrediction(5, 6, "LOC")]]
    assert relate(logits, far, min_score=0.0) == [[]]


def test_no_relation_types(cut):
    scheme = LabelScheme(["PER", "LOC"])
    logits = make_logits(cut([4]))._replace(relations=np.zeros((12, 0)))
    options = {"min_score": 0.0, "type_constraints": True}
    assert decode_relations(logits, scheme, [[PERSON, PLACE]], **options) == [[]]


def test_no_words(cut):
    logits = make_logits(cut([]))
    assert decode_entities(logits, SCHEME, threshold=0.5) == [] == relate(logits, [])
