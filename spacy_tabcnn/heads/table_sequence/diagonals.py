"""The cells of the tables of a batch in the order in which the recurrence computes them.

Cell (i, j) is on the diagonal i + j. Its upper and its left neighbour are on the diagonal before.
So all cells of a diagonal, of all sentences, are computed at once. They stand next to each other:
the order of cells is by diagonal, then by sentence, then by row.

Two sentences of 2 words and 1 word, the cells as (sentence, i, j), and their places:

    diagonal 0: 0: (0, 0, 0)   1: (1, 0, 0)
    diagonal 1: 2: (0, 0, 1)   3: (0, 1, 0)
    diagonal 2: 4: (0, 1, 1)

A second recurrence begins at the last word of each sentence. At the cell (i, j) of a sentence of n
words it is the first recurrence at the flipped cell (n - 1 - i, n - 1 - j) of the reversed
sentence. So both have the same order of cells and the same neighbours, and the second one reads
the words of each sentence in reversed order.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from ..transfers import to_device


class Diagonals(NamedTuple):
    """The places of the cells of a batch, on the device of the words.

    sizes (list[int]): Number of cells of each diagonal.
    rows (Tensor): Index of the word of each cell's row, in the order of each of the two
        recurrences, int64 (2, cells).
    columns (Tensor): Index of the word of each cell's column, likewise.
    before (Tensor): Places, counted from 1, of the left and of the upper neighbour of each cell, 0
        where it is outside the table: int64 (cells, 2).
    after (Tensor): Places of the cells that read each cell as their left and as their upper
        neighbour: int64 (cells, 2). The place p on its diagonal, counted from 1, is written as 2 p
        for the reader on the right, and as 2 p + 1 for the reader below. 0 if there is none.
    flipped (Tensor): Place of each cell's flipped cell, int64 (cells,).
    by_row (Tensor): Place of each cell (i, j), sentence by sentence, row by row, int64 (cells,).
    upper (Tensor): Places of the cells (i, j) with i < j, sentence by sentence, row by row, int64
        (pairs,).
    lower (Tensor): Places of the cells (j, i), likewise.
    """

    sizes: list[int]
    rows: Tensor
    columns: Tensor
    before: Tensor
    after: Tensor
    flipped: Tensor
    by_row: Tensor
    upper: Tensor
    lower: Tensor

    @classmethod
    def of(cls, lengths: Tensor, device: torch.device) -> "Diagonals":
        """Number the cells. The host does not wait for a GPU.

        lengths (Tensor): Words of each sentence, int64 (sentences,), on the CPU; at least one word.
        device (torch.device): The device of the words.
        RETURNS (Diagonals): The places.
        """
        n_cells = lengths.square()
        sentence = torch.repeat_interleave(n_cells)
        n = lengths[sentence]
        cell = torch.arange(len(sentence))
        start = (n_cells.cumsum(0) - n_cells)[sentence]
        row = torch.div(cell - start, n, rounding_mode="floor")
        column = cell - start - row * n
        order = torch.argsort(row + column, stable=True)
        place = torch.empty_like(order).scatter_(0, order, cell)
        sizes = torch.bincount(row + column)
        # The number of a cell on its diagonal.
        number = place - (sizes.cumsum(0) - sizes)[row + column]
        flipped = 2 * start + n.square() - 1 - cell
        first = (lengths.cumsum(0) - lengths)[sentence]
        transposed = start + column * n + row
        is_last_row, is_last_column = row == n - 1, column == n - 1
        by_cell = [
            first + row,
            first + column,
            first + n - 1 - row,
            first + n - 1 - column,
            (1 + place[cell - 1]) * (column > 0),
            (1 + place[cell - n]) * (row > 0),
            2 * (1 + number[(cell + 1) * ~is_last_column]) * ~is_last_column,
            (2 * (1 + number[(cell + n) * ~is_last_row]) + 1) * ~is_last_row,
            place[flipped],
        ]
        is_upper = row < column
        arrays = [
            torch.stack(by_cell)[:, order].flatten(),
            place,
            place[is_upper],
            place[transposed[is_upper]],
        ]
        on_device = to_device(torch.cat(arrays), device)
        counts = [len(by_cell) * len(cell), *map(len, arrays[1:])]
        ordered, by_row, upper, lower = on_device.split(counts)
        ordered = ordered.view(len(by_cell), -1)
        return cls(
            sizes.tolist(),
            ordered[0:4:2],
            ordered[1:4:2],
            ordered[4:6].t().contiguous(),
            ordered[6:8].t().contiguous(),
            ordered[8],
            by_row,
            upper,
            lower,
        )

    def blocks(self, n_cells: int) -> list["Block"]:
        """Divide the diagonals into blocks.

        n_cells (int): Number of cells from which on a block ends with its diagonal.
        RETURNS (list[Block]): The blocks, from the first diagonal to the last.
        """
        blocks = []
        start = 0
        sizes: list[int] = []
        for size in self.sizes:
            sizes.append(size)
            if sum(sizes) >= n_cells:
                blocks.append(Block(start, sizes))
                start, sizes = start + sum(sizes), []
        if sizes:
            blocks.append(Block(start, sizes))
        return blocks


class Block(NamedTuple):
    """Some diagonals.

    start (int): Place of the first cell.
    sizes (list[int]): Number of cells of each diagonal.
    """

    start: int
    sizes: list[int]

    @property
    def places(self) -> slice:
        """Return the places of the cells."""
        return slice(self.start, self.start + sum(self.sizes))

    @property
    def states(self) -> slice:
        """Return the rows of the cells among all states, where a row of zeros comes first."""
        return slice(self.places.start + 1, self.places.stop + 1)

    def parts(self) -> Iterator[slice]:
        """Yield the cells of each diagonal, counted from the first cell of the block."""
        start = 0
        for size in self.sizes:
            yield slice(start, start + size)
            start += size
