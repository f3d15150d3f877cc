"""Tags -> entities and pairs of entities, as positions in rows and cells."""

import itertools

import numpy as np
import pytest

from spacy_tabcnn.labels import MISSING, OUTSIDE, LabelScheme
from spacy_tabcnn.sentences import Sentences, Windows, cell_index, count_cells
from spacy_tabcnn.table.pairs import decode_tags, pair_entities

OUT, B_PER, I_PER, L_PER, U_PER, B_LOC, I_LOC, L_LOC, U_LOC = range(9)
SCHEME = LabelScheme(["PER", "LOC"])


def cut(lengths, max_length=256):
    return Windows(Sentences.of_lengths(lengths), max_length)


def pairs_one_by_one(tags, windows):
    """(first row, end, type) of both entities of each pair, and its cells."""
    expected = []
    first_row = first_cell = 0
    for length in windows.lengths.tolist():
        scheme_spans = SCHEME.tagged_spans(tags[first_row : first_row + length])
        for one, other in itertools.combinations(scheme_spans, 2):
            places = [
                (first_row + start, first_row + end, SCHEME.entities.index(label))
                for start, end, label in (one, other)
            ]
            cells = [
                first_cell + cell_index(i, j, length)
                for i in range(*one[:2])
                for j in range(*other[:2])
            ]
            expected.append((*places, cells))
        first_row += length
        first_cell += count_cells(np.array([length]))[0]
    return expected


def list_found(found):
    rows = []
    for number, (left, right) in enumerate(found.pairs.tolist()):
        ents = [tuple(found.entities[place].tolist()) for place in (left, right)]
        rows.append((*ents, found.cells[found.pair_of_cell == number].tolist()))
    return rows


@pytest.mark.parametrize("max_length", [256, 6])
def test_pairs_of_each_table(max_length):
    """Also where the tables of a long sentence overlap, and a word counts twice."""
    windows = cut([5, 1, 9, 2], max_length)
    words = [U_PER, OUT, B_LOC, L_LOC, U_LOC, U_PER, *[OUT, U_LOC, U_PER] * 3, B_PER, L_PER]
    tags = np.array(words)[windows.words()]
    found = pair_entities(tags, windows)
    expected = pairs_one_by_one(tags, windows)
    assert len(expected) > 8
    assert list_found(found) == expected
    assert found.first_cells().tolist() == [cells[0] for *_, cells in expected]


def test_an_entity_that_a_window_cuts_is_left_out():
    windows = cut([6], max_length=4)  # the words 0 to 3 and 2 to 5
    tags = np.array([U_PER, B_LOC, I_LOC, L_LOC, U_PER, OUT])[windows.words()]
    found = pair_entities(tags, windows)
    assert found.entities.tolist() == [[0, 1, 0], [1, 4, 1], [6, 7, 0]]
    assert found.pairs.tolist() == [[0, 1]]


def test_no_entities_and_no_words():
    for tags, lengths in ([OUT, MISSING], [2]), ([], []):
        found = pair_entities(np.array(tags, dtype=np.int64), cut(lengths))
        assert found.entities.shape == (0, 3) and found.pairs.shape == (0, 2)
        assert not len(found.cells) and not len(found.first_cells())


def make_tag_logits(tags):
    return 5.0 * np.eye(SCHEME.n_tags, dtype="float32")[tags]


def test_the_most_probable_valid_tags():
    logits = make_tag_logits([B_PER, L_PER, I_LOC])
    assert decode_tags(logits, cut([2, 1]), None).tolist() == [B_PER, L_PER, OUTSIDE]


def test_known_tags_replace_the_others():
    logits = make_tag_logits([B_PER, L_PER, U_LOC])
    known = np.array([MISSING, OUTSIDE, U_PER])
    assert decode_tags(logits, cut([3]), known).tolist() == [B_PER, OUTSIDE, U_PER]


def test_no_tags_to_decode():
    assert decode_tags(make_tag_logits([])[:0], cut([]), None).tolist() == []
