import numpy as np
import pytest

from spacy_tabcnn.sentences import cell_index, count_cells


@pytest.mark.parametrize("length", [0, 1, 2, 3, 7])
def test_cells_are_counted_row_by_row(length):
    cells = [(row, col) for row in range(length) for col in range(row + 1, length)]
    assert [cell_index(row, col, length) for row, col in cells] == list(range(len(cells)))
    assert count_cells(np.int64(length)) == len(cells)


def test_arrays_of_cells_of_different_sentences():
    rows, cols, lengths = np.array([0, 1, 2]), np.array([1, 3, 3]), np.array([2, 5, 4])
    expected = [cell_index(*cell) for cell in zip([0, 1, 2], [1, 3, 3], [2, 5, 4], strict=True)]
    assert cell_index(rows, cols, lengths).tolist() == expected == [0, 5, 5]


def test_cells_of_each_sentence():
    assert count_cells(np.array([0, 1, 2, 10])).tolist() == [0, 0, 1, 45]
