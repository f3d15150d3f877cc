"""Logits of tables."""

from typing import NamedTuple

from ..arrays import Floats2d
from ..sentences import Windows


class TableLogits(NamedTuple):
    """Logits of a batch of tables, or the loss's gradient with respect to them.

    tags (Floats2d): (rows, tags), the words of all windows end to end.
    relations (Floats2d): (cells, relation labels), the cells i < j of each window, row by row,
        window by window.
    windows (Windows): The cut of the batch: each window is a table.
    """

    tags: Floats2d
    relations: Floats2d
    windows: Windows
