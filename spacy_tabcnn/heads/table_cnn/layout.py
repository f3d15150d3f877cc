"""The places of the words and cells of a ragged batch.

The words of all sentences stand end to end: a word's index is its place in the batch. The rows and
columns of the tables are named by these indices, so each row and column belongs to one sentence.
"""

from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ..transfers import to_device


class Layout(NamedTuple):
    """The place of each word in its sentence.

    Sizes and chunks are decided from the copy on the CPU, so that the host never waits for a GPU.

    lengths (Tensor): Words of each sentence, int64 (sentences,), on the CPU.
    on_cpu (Tensor): The three that follow, int64 (3, words), on the CPU.
    sentence (Tensor): Index of each word's sentence, int64 (words,), on the embeddings' device.
    before (Tensor): Number of words before each word in its sentence, likewise.
    after (Tensor): Number of words after each word in its sentence, likewise.
    """

    lengths: Tensor
    on_cpu: Tensor
    sentence: Tensor
    before: Tensor
    after: Tensor

    @classmethod
    def of(cls, lengths: Tensor, device: torch.device) -> "Layout":
        """Number the words.

        lengths (Tensor): Words of each sentence, int64 (sentences,), on the CPU.
        device (torch.device): The embeddings' device.
        RETURNS (Layout): The layout.
        """
        sentence = torch.repeat_interleave(lengths)
        start = lengths.cumsum(0) - lengths
        before = torch.arange(len(sentence)) - start[sentence]
        on_cpu = torch.stack([sentence, before, lengths[sentence] - 1 - before])
        return cls(lengths, on_cpu, *to_device(on_cpu, device).unbind())

    @property
    def rows(self) -> range:
        """All rows of the batch's tables: one for each word."""
        return range(len(self.sentence))

    def numbers(self, rows: range) -> Tensor:
        """Return a range as a tensor on the embeddings' device: int64 (rows,)."""
        return torch.arange(rows.start, rows.stop, device=self.sentence.device)

    def inside(self, offsets: Tensor) -> Tensor:
        """Check whether the neighbours of each word are in its sentence: bool (words, offsets)."""
        return (offsets >= -self.before[:, None]) & (offsets <= self.after[:, None])

    def neighbours(self, reach: int) -> Tensor:
        """Number the words at most `reach` words away from each word, itself included.

        RETURNS (Tensor): The words counted from 1, and 0 for those outside the sentence: int64
            (words, 2 * reach + 1).
        """
        offsets = self.numbers(range(-reach, reach + 1))
        return (self.numbers(self.rows)[:, None] + offsets + 1) * self.inside(offsets)

    def widen(self, rows: range, reach: int) -> range:
        """Add the rows of the same sentences up to `reach` rows before and after."""
        before, after = int(self.on_cpu[1, rows.start]), int(self.on_cpu[2, rows.stop - 1])
        return range(rows.start - min(reach, before), rows.stop + min(reach, after))


class Band(NamedTuple):
    """The cells (i, j) with j - i >= lowest in some rows i of a batch of tables, row by row.

    rows (range): The rows.
    lowest (int): The lowest diagonal, 0 or less: 0 is the main diagonal, -1 the one below it.
    starts (list[int]): Index of the first cell of each row, then the number of cells (rows + 1,).
    n_cells (Tensor): Number of cells of each row, int64 (rows,), on the embeddings' device.
    origin (Tensor): Offset of each row, int64 (rows,), on the embeddings' device: cell (i, j) has
        the index origin[i] + j.
    """

    rows: range
    lowest: int
    starts: list[int]
    n_cells: Tensor
    origin: Tensor

    @classmethod
    def of(cls, layout: Layout, rows: range, *, lowest: int) -> "Band":
        """Number the cells.

        layout (Layout): The words.
        rows (range): The rows.
        lowest (int): The lowest diagonal.
        RETURNS (Band): The band.
        """
        _, before, after = layout.on_cpu[:, rows.start : rows.stop]
        n_below = before.clamp(max=-lowest)
        n_cells = n_below + 1 + after
        stops = n_cells.cumsum(0)
        first_col = torch.arange(rows.start, rows.stop) - n_below
        by_row = torch.stack([n_cells, stops - n_cells - first_col])
        device = layout.sentence.device
        return cls(rows, lowest, [0, *stops.tolist()], *to_device(by_row, device))

    def split(self, n_cells: int) -> Iterator[range]:
        """Divide the rows so that each part has at most `n_cells` cells, or one row."""
        stop = 0
        while stop < len(self.rows):
            start = stop
            stop = max(start + 1, bisect_right(self.starts, self.starts[start] + n_cells) - 1)
            yield self.rows[start:stop]

    def span(self, rows: range) -> slice:
        """Find the cells of some rows among the cells of the band."""
        first = self.rows.start
        return slice(self.starts[rows.start - first], self.starts[rows.stop - first])

    def cells(self, rows: range) -> tuple[Tensor, Tensor]:
        """List the cells of some rows.

        rows (range): Some of the band's rows.
        RETURNS (tuple[Tensor, Tensor]): Row and column of each cell, int64 (cells,).
        """
        first, span = rows.start - self.rows.start, self.span(rows)
        local = slice(first, first + len(rows))
        row = torch.repeat_interleave(self.n_cells[local], output_size=span.stop - span.start)
        cell = torch.arange(span.start, span.stop, device=row.device)
        return row + rows.start, cell - self.origin[local].index_select(0, row)

    def diagonal_and_above(self) -> tuple[Tensor, Tensor]:
        """Divide the cells of a band whose lowest diagonal is the main diagonal.

        RETURNS (tuple[Tensor, Tensor]): Indices of the cells i = j and of the cells i < j.
        """
        n_above = self.starts[-1] - len(self.rows)
        row = torch.repeat_interleave(self.n_cells - 1, output_size=n_above)
        diagonal = self.n_cells.cumsum(0) - self.n_cells
        return diagonal, torch.arange(n_above, device=row.device) + row + 1


class Neighbours:
    """The neighbours (i + down, j + right), in another band, of each cell (i, j) of a band.

    A neighbour's index is the sum of a term of the row and a term of the column. Either term is far
    below 0 where it leaves the sentence.

    layout (Layout): The words.
    band (Band): The band of the cells.
    other (Band): The band of their neighbours.
    down (Tensor): Rows from a cell to each of its neighbours, int64 (neighbours,).
    right (Tensor): Columns from a cell to each of its neighbours, likewise.
    """

    outside = -(2**60)

    def __init__(self, layout: Layout, band: Band, other: Band, down: Tensor, right: Tensor):
        words = slice(band.rows.start, band.rows.stop)
        row = layout.numbers(band.rows)[:, None] + down - other.rows.start
        origin = other.origin[row.clamp_(0, len(other.rows) - 1)]
        self.row_terms = (origin + right).where(layout.inside(down)[words], self.outside)
        self.col_terms = layout.numbers(layout.rows)[:, None].where(
            layout.inside(right), self.outside
        )
        self.band = band
        self.lowest: Tensor | None = None
        if other.lowest > band.lowest:  # some neighbours are below the other band
            self.lowest = other.lowest + down - right

    def of(self, rows: range) -> Tensor:
        """Number the neighbours of the cells of some rows.

        rows (range): Some of the band's rows.
        RETURNS (Tensor): Indices in the other band, below 0 for none: int64 (cells, neighbours).
        """
        row, col = self.band.cells(rows)
        indices = self.row_terms.index_select(0, row - self.band.rows.start)
        indices += self.col_terms.index_select(0, col)
        if self.lowest is not None:
            indices.masked_fill_((col - row)[:, None] < self.lowest, self.outside)
        return indices
