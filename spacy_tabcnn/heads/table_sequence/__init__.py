"""The table and sequence encoders of Wang and Lu (EMNLP 2020), computed diagonal by diagonal.

diagonals: the cells of a ragged batch, in the order of computation.
recurrence: the table encoder, with a backward pass that keeps states only.
attention: the sequence encoder, which attends by the table.
module: the head.
"""

from .module import TableSequence

__all__ = ["TableSequence"]
