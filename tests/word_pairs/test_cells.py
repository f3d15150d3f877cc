import numpy as np
import pytest
import torch

from spacy_tabcnn.heads.pfn import cells as torch_cells
from spacy_tabcnn.word_pairs.cells import CellFinder, list_pairs, list_spans

CUTS = [([3, 1, 4, 2], 256), ([7, 2, 11], 4), ([2], 2), ([], 4)]
KINDS = {
    "spans": (list_spans, CellFinder.find_spans, lambda i, j: i <= j),
    "pairs": (list_pairs, CellFinder.find_pairs, lambda i, j: i != j),
}


@pytest.fixture(params=CUTS, ids=str)
def windows(request, cut):
    return cut(*request.param)


@pytest.mark.parametrize("kind", KINDS)
def test_cells_are_listed_row_by_row(windows, kind, count_cells):
    list_cells, _, is_cell = KINDS[kind]
    cells = list_cells(windows)
    listed = list(zip(*(column.tolist() for column in cells), strict=True))
    assert listed == count_cells(windows, is_cell)
    finder = CellFinder(windows)
    assert len(listed) == {"spans": finder.n_spans, "pairs": finder.n_pairs}[kind]


def test_some_spans_are_listed(cut):
    windows, index = cut([7, 2, 11], 4), np.array([0, 3, 4, 17, 30])
    for some, all_ in zip(list_spans(windows, index), list_spans(windows), strict=True):
        assert some.tolist() == all_[index].tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_cells_are_found_where_they_count(windows, kind):
    list_cells, find, _ = KINDS[kind]
    cells = list_cells(windows)
    owned = np.flatnonzero(cells.are_owned(windows))
    sentence = windows.sentence_of[cells.window[owned]]
    found = find(CellFinder(windows), sentence, cells.row[owned], cells.col[owned])
    assert found.tolist() == owned.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_each_cell_of_a_sentence_counts_once(cut, kind):
    list_cells, _, is_cell = KINDS[kind]
    windows = cut([7], 4)
    cells = list_cells(windows)
    owned = cells.are_owned(windows)
    found = list(zip(cells.row[owned].tolist(), cells.col[owned].tolist(), strict=True))
    assert len(set(found)) == len(found)
    assert set(found) == {(i, j) for _, i, j in zip(*map(np.ndarray.tolist, cells), strict=True)}
    assert all(is_cell(i, j) for i, j in found)


def test_words_that_share_a_window(cut):
    """Windows of the words 0 to 3, 2 to 5 and 4 to 6."""
    finder = CellFinder(cut([7], 4))
    one, other = np.array([0, 0, 5, 6]), np.array([3, 4, 2, 3])
    assert finder.share_window(0, one, other).tolist() == [True, False, True, False]


@pytest.mark.parametrize("kind", KINDS)
def test_the_network_has_the_same_cells(cut, kind, count_cells):
    windows = cut([3, 1, 4, 2])
    lengths, device = torch.from_numpy(windows.lengths), torch.device("cpu")
    make = {"spans": torch_cells.Cells.of_spans, "pairs": torch_cells.Cells.of_pairs}[kind]
    cells = make(lengths, device)
    starts = windows.sentences.starts()
    expected = [
        (starts[window] + i, starts[window] + j)
        for window, i, j in count_cells(windows, KINDS[kind][2])
    ]
    for size in (1, 5, 1000):
        parts = [torch.stack(part, dim=1) for part in cells.parts(size)]
        assert list(map(tuple, torch.cat(parts).tolist())) == expected
        assert cells.total == len(expected)
