"""Logits of tables."""

from typing import NamedTuple

from ..arrays import Floats2d, Ints1d


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
