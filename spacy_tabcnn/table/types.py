"""Shapes that the table's functions share."""

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

# Floats of a numpy or a cupy array, (rows, columns). thinc's own Floats2d knows too few of their methods.
Floats2d: TypeAlias = Any
Ints1d: TypeAlias = NDArray[np.int64]
Ints2d: TypeAlias = NDArray[np.int64]


class TableLogits(NamedTuple):
    """Logits of a batch of tables, or the loss's gradient with respect to them. A table is a window: a sentence, or a
    part of a long one.

    tags (Floats2d): (words, tags), the words of all windows end to end.
    relations (Floats2d): (cells, relation labels), the cells i < j of each window, row by row, window by window.
    lengths (Ints1d): Words of each window, int64 (windows,), always a numpy array.
    """

    tags: Floats2d
    relations: Floats2d
    lengths: Ints1d


def count_cells(lengths: Ints1d) -> Ints1d:
    """Count the cells above the diagonal.

    lengths (Ints1d): Words of each window.
    RETURNS (Ints1d): Cells i < j of each window's table.
    """
    return lengths * (lengths - 1) // 2


def cell_index(row: Ints1d, col: Ints1d, length: Ints1d | int) -> Ints1d:
    """Find a cell above the diagonal in its window's flat list of cells.

    row (Ints1d): The cell's row i.
    col (Ints1d): The cell's column j > i.
    length (Ints1d | int): Words of the window.
    RETURNS (Ints1d): Index of the cell, counted row by row.
    """
    return row * (2 * length - row - 1) // 2 + col - row - 1
