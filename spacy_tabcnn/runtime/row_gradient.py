"""The gradient of an embedding table, without a new table at each update."""

import torch
from torch import Tensor


class RowGradient:
    """The gradient of a table of which each update reads few rows.

    The gradient stays allocated, and only its filled rows are cleared. There are two, in turn: an
    optimiser may hold one of them until the next update hands it the other.
    """

    def __init__(self) -> None:
        self._current = _Rows()
        self._previous = _Rows()

    def add(self, table: Tensor, rows: Tensor, d_rows: Tensor) -> None:
        """Add to the gradient of a table.

        table (Tensor): A parameter (rows, width).
        rows (Tensor): Indices of its rows, int64 (n,), which may repeat.
        d_rows (Tensor): Their gradients (n, width).
        """
        if table.grad is None:
            self._previous, self._current = self._current, self._previous
            table.grad = self._current.cleared(table)
        table.grad.index_add_(0, rows, d_rows)
        self._current.filled.append(rows)


class _Rows:
    def __init__(self) -> None:
        self.gradient: Tensor | None = None
        self.filled: list[Tensor] = []

    def cleared(self, table: Tensor) -> Tensor:
        if self.gradient is None or self.gradient.shape != table.shape:
            self.gradient = torch.zeros_like(table)
        elif self.filled:
            self.gradient.index_fill_(0, torch.cat(self.filled), 0.0)
        self.filled = []
        return self.gradient
