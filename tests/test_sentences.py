import itertools

import numpy as np
import pytest

from spacy_tabcnn.sentences import (
    Sentences,
    Windows,
    count_cells,
    sentence_bounds,
    sentence_lengths,
)

# Even, odd and the shortest windows; sentences that fit, that just do not, and whose last window is
# full or not.
CUTS = [
    (length, max_length)
    for length in (1, 5, 6, 7, 8, 9, 10, 23, 40)
    for max_length in (2, 3, 6, 7, 8)
]


def cut(*lengths, max_length=6):
    return Windows(Sentences.of_lengths(lengths), max_length)


def spans_of(windows):
    """The (start, end) of each window in its sentence."""
    return list(
        zip(windows.starts.tolist(), (windows.starts + windows.lengths).tolist(), strict=True)
    )


# Sentences


def test_document_without_boundaries_is_one_sentence(make_doc):
    assert sentence_bounds(make_doc("a b . c d .")) == [(0, 6)]


def test_document_with_boundaries(make_doc):
    doc = make_doc("a b . c d .", sent_starts=[True, False, False, True, False, False])
    assert sentence_bounds(doc) == [(0, 3), (3, 6)]


def test_boundary_set_by_hand(make_doc):
    doc = make_doc("a b . c d .")
    doc[3].is_sent_start = True
    assert sentence_bounds(doc) == [(0, 3), (3, 6)]


def test_empty_document_has_no_sentence(make_doc):
    assert sentence_bounds(make_doc("")) == []


def test_lengths_of_a_batch(make_doc):
    split = make_doc("a b . c d", sent_starts=[True, False, False, True, False])
    lengths = sentence_lengths([make_doc("a b"), make_doc(""), split])
    assert lengths.dtype == np.int64
    assert lengths.tolist() == [2, 3, 2]


def test_lengths_of_an_empty_batch():
    assert sentence_lengths([]).shape == (0,)


# Windows


def test_sentences_that_fit_are_whole():
    windows = cut(3, 6, 1)
    assert windows.lengths.tolist() == [3, 6, 1]
    assert windows.sentence_of.tolist() == [0, 1, 2]
    assert not windows.overlap
    assert windows.words().tolist() == windows.rows().tolist() == list(range(10))


def test_long_sentence_is_cut():
    windows = cut(10, max_length=6)
    assert spans_of(windows) == [(0, 6), (3, 9), (6, 10)]
    assert windows.overlap


def test_long_sentence_among_others():
    windows = cut(2, 7, 4, max_length=4)
    assert windows.sentence_of.tolist() == [0, 1, 1, 1, 2]
    assert spans_of(windows) == [(0, 2), (0, 4), (2, 6), (4, 7), (0, 4)]
    assert windows.words().tolist() == [
        0,
        1,
        *range(2, 6),
        *range(4, 8),
        *range(6, 9),
        *range(9, 13),
    ]


def test_no_sentence():
    windows = cut()
    assert windows.lengths.shape == windows.words().shape == windows.rows().shape == (0,)


@pytest.mark.parametrize("length, max_length", CUTS)
def test_windows_cover_the_sentence_and_are_not_too_long(length, max_length):
    windows = cut(length, max_length=max_length)
    assert windows.lengths.max() <= max_length
    assert set(windows.words().tolist()) == set(range(length))


@pytest.mark.parametrize("length, max_length", CUTS)
def test_words_half_a_window_apart_share_one(length, max_length):
    spans = spans_of(cut(length, max_length=max_length))
    for first in range(length):
        end = min(first + max_length - max_length // 2, length)
        assert any(start <= first and end <= stop for start, stop in spans)


@pytest.mark.parametrize("length, max_length", CUTS)
def test_a_word_reaches_to_the_end_of_its_last_window(length, max_length):
    windows = cut(3, length, max_length=max_length)
    spans = spans_of(cut(length, max_length=max_length))
    for position in range(length):
        assert windows.reach(1, position) == max(
            stop for start, stop in spans if start <= position < stop
        )


@pytest.mark.parametrize("length, max_length", CUTS)
def test_pairs_within_reach_share_a_window(length, max_length):
    windows = cut(length, length, max_length=max_length)
    spans = []
    for sentence, start in itertools.product((0, 1), range(0, length, 3)):
        spans.append((sentence, start, min(start + 1 + start % 2, length)))
    expected = []
    for left, right in itertools.combinations(range(len(spans)), 2):
        (sentence, start, _), (other, _, end) = spans[left], spans[right]
        if sentence == other and windows.reach(sentence, start) >= end:
            expected.append((left, right))
    found = windows.pairs_within_reach(*np.array(spans).T)
    assert list(zip(*np.stack(found).tolist(), strict=True)) == expected


@pytest.mark.parametrize("length, max_length", CUTS)
def test_owner_is_where_a_cell_is_furthest_from_a_cut(length, max_length):
    """The ends of a sentence are no cuts."""
    windows = cut(length, max_length=max_length)
    spans = spans_of(windows)

    def margin(window, row, col):
        start, end = spans[window]
        if row < start or col >= end:
            return -1
        return min(row - start if start > 0 else length, end - 1 - col if end < length else length)

    for row, col in itertools.combinations_with_replacement(range(length), 2):
        margins = [margin(window, row, col) for window in range(len(spans))]
        if max(margins) >= 0:
            assert margins[int(windows.owner(0, row, col))] == max(margins)


@pytest.mark.parametrize("length, max_length", CUTS)
def test_row_of_a_word(length, max_length):
    """Each word of each sentence has one row, which holds it."""
    windows = cut(2, length, 3, length, max_length=max_length)
    assert windows.words()[windows.rows()].tolist() == list(range(2 * length + 5))


@pytest.mark.parametrize("length, max_length", CUTS)
def test_index_of_a_cell(length, max_length):
    """Each cell that a window of the second sentence holds is found among the cells of its
    owner."""
    windows = cut(4, length, max_length=max_length)
    listed = []  # all cells, window by window and row by row, as (sentence, row, col)
    for sentence, (start, end) in zip(windows.sentence_of.tolist(), spans_of(windows), strict=True):
        listed.extend((sentence, *cell) for cell in itertools.combinations(range(start, end), 2))
    assert len(listed) == count_cells(windows.lengths).sum()
    held = sorted({cell for cell in listed if cell[0] == 1})
    rows, cols = (np.array([cell[axis] for cell in held], dtype=np.int64) for axis in (1, 2))
    assert [listed[index] for index in windows.cells(1, rows, cols)] == held


@pytest.mark.parametrize("length, max_length", CUTS)
def test_each_cell_that_windows_hold_counts_once(length, max_length):
    windows = cut(4, length, max_length=max_length)
    sentence, row, col, index = windows.owned_cells()
    cells = list(zip(sentence.tolist(), row.tolist(), col.tolist(), strict=True))
    assert len(cells) == len(set(cells))
    assert windows.cells(sentence, row, col).tolist() == index.tolist()
    held = itertools.combinations(range(length), 2)
    assert {cell[1:] for cell in cells if cell[0] == 1} == {
        (i, j) for i, j in held if windows.reach(1, i) > j
    }
