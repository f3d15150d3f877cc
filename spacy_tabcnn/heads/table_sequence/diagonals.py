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
        cells = _CellsByRow.of(lengths)
        diagonal = cells.row + cells.column
        order = torch.argsort(diagonal, stable=True)
        place = torch.empty_like(order).scatter_(0, order, torch.arange(len(order)))
        sizes = torch.bincount(diagonal)
        place_on_diagonal = place - (sizes.cumsum(0) - sizes)[diagonal]
        ordered = torch.stack(
            [
                *cells.words(),
                *cells.before(place + 1),
                *cells.after(place_on_diagonal + 1),
                place[cells.flipped()],
            ]
        )[:, order]
        upper, lower = cells.pairs()
        arrays = [ordered.flatten(), place, place[upper], place[lower]]
        on_device = to_device(torch.cat(arrays), device).split([*map(len, arrays)])
        words, before, after, flipped = on_device[0].view(len(ordered), -1).split([4, 2, 2, 1])
        rows, columns = words.view(2, 2, -1).unbind()
        neighbours = before.t().contiguous(), after.t().contiguous()
        return cls(sizes.tolist(), rows, columns, *neighbours, flipped[0], *on_device[1:])

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


class _CellsByRow(NamedTuple):
    """The cells of a batch, sentence by sentence, row by row, on the CPU: int64 (cells,) each.

    row (Tensor): Row of each cell in its table.
    column (Tensor): Column of each cell in its table.
    n (Tensor): Number of words of its sentence.
    first_word (Tensor): Index of the first word of its sentence.
    first_cell (Tensor): Index of the first cell of its sentence.
    """

    row: Tensor
    column: Tensor
    n: Tensor
    first_word: Tensor
    first_cell: Tensor

    @classmethod
    def of(cls, lengths: Tensor) -> "_CellsByRow":
        """List the cells of sentences; `lengths` are their numbers of words."""
        n_cells = lengths.square()
        sentence = torch.repeat_interleave(n_cells)
        n = lengths[sentence]
        first_cell = (n_cells.cumsum(0) - n_cells)[sentence]
        cell = torch.arange(len(sentence)) - first_cell
        row = torch.div(cell, n, rounding_mode="floor")
        first_word = (lengths.cumsum(0) - lengths)[sentence]
        return cls(row, cell - row * n, n, first_word, first_cell)

    def words(self) -> tuple[Tensor, ...]:
        """Return the words of the rows in both directions, then the words of the columns."""
        last_word = self.first_word + self.n - 1
        return (
            self.first_word + self.row,
            last_word - self.row,
            self.first_word + self.column,
            last_word - self.column,
        )

    def before(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Return the numbers of the left and of the upper neighbours, 0 where there is none."""
        has_left, has_upper = self.column > 0, self.row > 0
        cell = torch.arange(len(numbers))
        left, upper = numbers[cell - has_left.long()], numbers[cell - self.n * has_upper]
        return left * has_left, upper * has_upper

    def after(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Return the readers of each cell.

        RETURNS (tuple[Tensor, Tensor]): Twice the number of the cell on the right, and twice the
            number of the cell below, plus 1; 0 where there is none.
        """
        has_right, has_lower = self.column < self.n - 1, self.row < self.n - 1
        cell = torch.arange(len(numbers))
        right, lower = numbers[cell + has_right.long()], numbers[cell + self.n * has_lower]
        return 2 * right * has_right, (2 * lower + 1) * has_lower

    def flipped(self) -> Tensor:
        """Return the index of the flipped cell of each cell."""
        return 2 * self.first_cell + self.n.square() - 1 - torch.arange(len(self.n))

    def pairs(self) -> tuple[Tensor, Tensor]:
        """Return the indices of the cells (i, j) with i < j, and of the cells (j, i)."""
        is_upper = self.row < self.column
        transposed = self.first_cell + self.column * self.n + self.row
        return is_upper.nonzero().flatten(), transposed[is_upper]
