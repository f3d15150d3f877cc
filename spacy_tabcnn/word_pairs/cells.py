"""The cells of the two tables of a window: spans, and ordered pairs of different words.

A window of n words has n(n+1)/2 spans (i, j), i <= j, from the first word i to the last word j,
and n(n-1) ordered pairs (i, j), i != j. Both are counted row by row, window by window. Where a
sentence has several windows, the owner of a cell is the same as in a table (`sentences.py`); the
owner of a pair is the owner of the span between its words.
"""

from typing import NamedTuple

import numpy as np

from ..arrays import Bools1d, Ints1d
from ..sentences import Windows


class Cells(NamedTuple):
    """All cells of a kind in the windows of a batch, int64 (cells,).

    window (Ints1d): Index of the window of each cell.
    row (Ints1d): The word i, a position in the sentence.
    col (Ints1d): The word j, a position in the sentence.
    """

    window: Ints1d
    row: Ints1d
    col: Ints1d

    def are_owned(self, windows: Windows) -> Bools1d:
        """Return which cells count: each cell of a sentence at most once.

        windows (Windows): The windows.
        RETURNS (Bools1d): bool (cells,).
        """
        low, high = np.minimum(self.row, self.col), np.maximum(self.row, self.col)
        return windows.owner(windows.sentence_of[self.window], low, high) == self.window


def list_spans(windows: Windows, index: Ints1d | None = None) -> Cells:
    """List the spans of all windows, or some of them.

    windows (Windows): The windows.
    index (Ints1d | None): Indices of the spans to list, int64 (cells,); None for all.
    RETURNS (Cells): The spans, all of them row by row, window by window.
    """
    window, position, n_words = _list_words(windows)
    n_spans = n_words - position
    return _list_cells(windows, window, position, n_spans, first=position, index=index)


def list_pairs(windows: Windows) -> Cells:
    """List the ordered pairs of different words of all windows.

    windows (Windows): The windows.
    RETURNS (Cells): The pairs, row by row, window by window.
    """
    window, position, n_words = _list_words(windows)
    cells = _list_cells(windows, window, position, n_words - 1, first=np.zeros_like(position))
    return cells._replace(col=cells.col + (cells.col >= cells.row))


def _list_words(windows: Windows) -> tuple[Ints1d, Ints1d, Ints1d]:
    """Return the window of each row, its position in it, and the number of words of the window."""
    lengths = windows.lengths
    window = np.repeat(np.arange(len(lengths)), lengths)
    position = np.arange(len(window)) - (lengths.cumsum() - lengths)[window]
    return window, position, lengths[window]


def _list_cells(
    windows: Windows,
    window: Ints1d,
    position: Ints1d,
    n_cells: Ints1d,
    *,
    first: Ints1d,
    index: Ints1d | None = None,
) -> Cells:
    """List the cells of rows, of which each has neighbouring columns from `first` on."""
    stops = n_cells.cumsum()
    if index is None:
        index = np.arange(n_cells.sum())
    row = np.searchsorted(stops, index, side="right")
    before = index - (stops - n_cells)[row]
    start = windows.starts[window[row]]
    return Cells(window[row], start + position[row], start + first[row] + before)


class CellFinder:
    """The indices of cells in the windows where they count.

    windows (Windows): The windows of a batch.

    Attributes:

    n_spans (int): Number of spans of all windows.
    n_pairs (int): Number of ordered pairs of all windows.
    """

    def __init__(self, windows: Windows):
        self.windows = windows
        n_words = windows.lengths
        n_spans, n_pairs = n_words * (n_words + 1) // 2, n_words * (n_words - 1)
        self.n_spans, self.n_pairs = int(n_spans.sum()), int(n_pairs.sum())
        self._first_span = n_spans.cumsum() - n_spans
        self._first_pair = n_pairs.cumsum() - n_pairs

    def share_window(self, sentence: Ints1d | int, one: Ints1d, other: Ints1d) -> Bools1d:
        """Check whether any window holds both of two words.

        sentence (Ints1d | int): Index of the sentence of each cell.
        one (Ints1d): The one word, a position in the sentence.
        other (Ints1d): The other word.
        RETURNS (Bools1d): bool (cells,).
        """
        reach = self.windows.reach(sentence, np.minimum(one, other))
        held: Bools1d = reach > np.maximum(one, other)
        return held

    def find_spans(self, sentence: Ints1d | int, first: Ints1d, last: Ints1d) -> Ints1d:
        """Find spans. A window has to hold both words.

        sentence (Ints1d | int): Index of the sentence of each span.
        first (Ints1d): First word of each span, a position in its sentence.
        last (Ints1d): Last word of each span.
        RETURNS (Ints1d): Index of each span among the spans of all windows.
        """
        window = self.windows.owner(sentence, first, last)
        start, n_words = self.windows.starts[window], self.windows.lengths[window]
        row, col = first - start, last - start
        n_before = row * (2 * n_words - row + 1) // 2
        return self._first_span[window] + n_before + col - row

    def find_pairs(self, sentence: Ints1d | int, one: Ints1d, other: Ints1d) -> Ints1d:
        """Find ordered pairs of different words. A window has to hold both words.

        sentence (Ints1d | int): Index of the sentence of each pair.
        one (Ints1d): The word i of each pair, a position in its sentence.
        other (Ints1d): The word j.
        RETURNS (Ints1d): Index of each pair among the pairs of all windows.
        """
        low, high = np.minimum(one, other), np.maximum(one, other)
        window = self.windows.owner(sentence, low, high)
        start, n_words = self.windows.starts[window], self.windows.lengths[window]
        row, col = one - start, other - start
        return self._first_pair[window] + row * (n_words - 1) + col - (col > row)
