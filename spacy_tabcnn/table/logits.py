"""Logits of tables."""

from typing import NamedTuple

from ..arrays import Floats2d, Ints1d
from ..sentences import Windows


class PairLogits(NamedTuple):
    """Logits of pairs of gold entities, or the loss's gradient with respect to them.

    cells (Ints1d): A cell of each pair, int64 (pairs,); its label is the label of the pair.
    relations (Floats2d): (pairs, relation labels).
    """

    cells: Ints1d
    relations: Floats2d


class TableLogits(NamedTuple):
    """Logits of a batch of tables, or the loss's gradient with respect to them.

    tags (Floats2d): (rows, tags), the words of all windows end to end.
    relations (Floats2d): (cells, relation labels), the cells i < j of each window, row by row,
        window by window.
    windows (Windows): The cut of the batch: each window is a table.
    pairs (PairLogits | None): In training, of a head that also classifies pairs of entities.
    """

    tags: Floats2d
    relations: Floats2d
    windows: Windows
    pairs: PairLogits | None = None
