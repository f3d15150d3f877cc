"""Maxima over ranges of rows, without padding."""

import torch
from torch import Tensor

from .transfers import to_device


class RangeMaxima:
    """Maxima over ranges of rows.

    Level k of the table holds the maxima over 2^k rows from each row on. Each is made of two rows
    of the level below. A range of any length is covered by two rows of one level. These overlap,
    which changes neither the maximum nor its gradient: equal maxima share it.

    Example: the maximum over the rows 2 to 6 (exclusive 7) is the maximum of two rows of level 2,
    the maxima over the rows 2 to 5 and over the rows 3 to 6.

    rows (Tensor): float (rows, width).
    lengths (Tensor): Lengths of the ranges, int64, on the CPU. Their maximum decides on the levels.
    """

    def __init__(self, rows: Tensor, lengths: Tensor):
        longest = 0
        if len(lengths):
            longest = int(lengths.max())
        levels, n_covered, first_row = [rows], [1], [0]
        while 2 * n_covered[-1] <= longest:
            below, step = levels[-1], n_covered[-1]
            first_row.append(first_row[-1] + len(below))
            levels.append(torch.maximum(below[:-step], below[step:]))
            n_covered.append(2 * step)
        self.table = torch.cat(levels)
        self.n_covered, self.first_row = torch.tensor(n_covered), torch.tensor(first_row)

    def over(self, start: Tensor, end: Tensor) -> Tensor:
        """Compute the maxima over some ranges.

        start (Tensor): First row of each range, int64 (ranges,), on the CPU.
        end (Tensor): Its end (exclusive).
        RETURNS (Tensor): Its maxima, float (ranges, width); zeros if it is empty.
        """
        device = self.table.device
        is_empty = end <= start
        start = torch.where(is_empty, 0, start)
        end = torch.where(is_empty, 1, end)
        level = torch.bucketize(end - start, self.n_covered, right=True) - 1
        left = self.first_row[level] + start
        right = self.first_row[level] + end - self.n_covered[level]
        # One transfer, for which the host does not wait.
        indices = to_device(torch.stack([left, right, is_empty.long()]), device)
        left, right, is_empty = indices.unbind()
        maxima = torch.maximum(self.table.index_select(0, left), self.table.index_select(0, right))
        return maxima.masked_fill(is_empty.bool()[:, None], 0.0)
