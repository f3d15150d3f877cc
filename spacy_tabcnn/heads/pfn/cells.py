"""The cells of the tables of a ragged batch: the pairs of words that are scored, row by row."""

from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ..transfers import to_device


class Cells(NamedTuple):
    """The cells of some kind in the tables of a batch, row by row.

    The words of all sentences stand end to end, and a row is named by its word. Sizes are read on
    the CPU, so the host never waits for a GPU.

    starts (list[int]): Index of the first cell of each row, then the number of cells (rows + 1,).
    n_cells (Tensor): Number of cells of each row, int64 (rows,), on the embeddings' device.
    offset (Tensor): Column minus index of the cells of each row, likewise.
    skips_diagonal (bool): Whether the cell (i, i) is left out: the columns from i on are then
        larger by one.
    """

    starts: list[int]
    n_cells: Tensor
    offset: Tensor
    skips_diagonal: bool

    @classmethod
    def of_spans(cls, lengths: Tensor, device: torch.device) -> "Cells":
        """List the cells (i, j) with i <= j.

        lengths (Tensor): Words of each sentence, int64 (sentences,), on the CPU.
        device (torch.device): The device of the embeddings.
        RETURNS (Cells): The cells.
        """
        end = lengths.cumsum(0).repeat_interleave(lengths)
        word = torch.arange(len(end))
        return cls._of_rows(end - word, word, device, skips_diagonal=False)

    @classmethod
    def of_pairs(cls, lengths: Tensor, device: torch.device) -> "Cells":
        """List the cells (i, j) with i != j; see `of_spans`."""
        first = (lengths.cumsum(0) - lengths).repeat_interleave(lengths)
        n_others = (lengths - 1).repeat_interleave(lengths)
        return cls._of_rows(n_others, first, device, skips_diagonal=True)

    @classmethod
    def _of_rows(
        cls, n_cells: Tensor, first_col: Tensor, device: torch.device, *, skips_diagonal: bool
    ) -> "Cells":
        stops = n_cells.cumsum(0)
        by_row = torch.stack([n_cells, first_col - (stops - n_cells)])
        counts, offset = to_device(by_row, device).unbind()
        return cls([0, *stops.tolist()], counts, offset, skips_diagonal)

    @property
    def total(self) -> int:
        """Return the number of cells."""
        return self.starts[-1]

    def parts(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Divide the cells into parts of whole rows.

        size (int): Maximum number of cells of a part of more than one row.
        YIELDS (tuple[Tensor, Tensor]): Row and column of each cell of a part, int64 (cells,).
        """
        n_rows, stop = len(self.n_cells), 0
        while stop < n_rows:
            first = stop
            stop = max(first + 1, bisect_right(self.starts, self.starts[first] + size) - 1)
            yield self._list(first, stop)

    def _list(self, first: int, stop: int) -> tuple[Tensor, Tensor]:
        """List the cells of some rows."""
        start, end = self.starts[first], self.starts[stop]
        rows = torch.arange(first, stop, device=self.n_cells.device)
        row = rows.repeat_interleave(self.n_cells[first:stop], output_size=end - start)
        col = torch.arange(start, end, device=row.device) + self.offset.index_select(0, row)
        if self.skips_diagonal:
            col += col >= row
        return row, col
