"""Self-attention over the words of a sentence, where a table scores the pairs of words."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..transfers import to_device
from .diagonals import Diagonals

# The score of a cell outside the table: a probability of zero, in any precision, unless all cells
# of a row are outside. It is finite, so that such a row has no probabilities that are not numbers.
OUTSIDE_SCORE = -1e4
# Sentences are padded to the longest sentence of their group. The shortest one has more than this
# share of its words.
MIN_SHARE = 0.75


class Group(NamedTuple):
    """Sentences of similar length, padded to the same length n.

    words (Tensor): Index of each word in the batch, counted from 1, or 0 for none: int64
        (sentences * n,).
    cells (Tensor): Place of each cell, counted from 1, or 0 for none: int64 (sentences * n * n,).
    n_sentences (int): Number of sentences.
    """

    words: Tensor
    cells: Tensor
    n_sentences: int


class Groups(NamedTuple):
    """The sentences of a batch in groups of similar length.

    groups (list[Group]): The groups.
    order (Tensor): For each word, its place among the padded words of all groups: int64 (words,).
    flipped (Tensor): See `Diagonals`.
    """

    groups: list[Group]
    order: Tensor
    flipped: Tensor

    @classmethod
    def of(cls, lengths: Tensor, diagonals: Diagonals) -> "Groups":
        """Group the sentences. The host does not wait for a GPU.

        lengths (Tensor): Words of each sentence, int64 (sentences,), on the CPU; at least one word
            each.
        diagonals (Diagonals): The cells of the batch.
        RETURNS (Groups): The groups.
        """
        longest_first = torch.argsort(lengths, descending=True, stable=True)
        sizes = _group_sizes(lengths[longest_first])
        words, cells = [], []
        for sentences in longest_first.split(sizes):
            padded = _pad(lengths, sentences)
            words.append(padded[0])
            cells.append(padded[1])
        order = _find_words(torch.cat(words))
        arrays = [*words, *cells, order]
        device = diagonals.flipped.device
        on_device = to_device(torch.cat(arrays), device).split([*map(len, arrays)])
        places = F.pad(diagonals.by_row + 1, (1, 0))
        groups = []
        for number, size in enumerate(sizes):
            by_row = on_device[len(sizes) + number]
            groups.append(Group(on_device[number], places.index_select(0, by_row), size))
        return cls(groups, on_device[-1], diagonals.flipped)


def _pad(lengths: Tensor, sentences: Tensor) -> tuple[Tensor, Tensor]:
    """Number the padded words and cells of some sentences.

    lengths (Tensor): Words of each sentence of the batch, int64 (sentences,).
    sentences (Tensor): Indices of some of them.
    RETURNS (tuple[Tensor, Tensor]): See `Group.words`, and the same for the cells of the batch,
        sentence by sentence, row by row.
    """
    n_cells = lengths.square()
    first_word = (lengths.cumsum(0) - lengths)[sentences, None]
    first_cell = (n_cells.cumsum(0) - n_cells)[sentences, None, None]
    n = lengths[sentences, None]
    position = torch.arange(int(n.max()))
    inside = position < n
    words = (first_word + position + 1) * inside
    cells = first_cell + position[:, None] * n[:, :, None] + position + 1
    return words.flatten(), (cells * inside[:, :, None] * inside[:, None]).flatten()


def _find_words(padded: Tensor) -> Tensor:
    """Find the place of each word among padded words, which are counted from 1."""
    places = padded.nonzero().flatten()
    order = torch.empty_like(places)
    order[padded[places] - 1] = places
    return order


def _group_sizes(lengths: Tensor) -> list[int]:
    """Divide lengths in descending order into groups of similar ones; count each group."""
    sizes: list[int] = []
    longest = 0
    for length in lengths.tolist():
        if length <= MIN_SHARE * longest or not sizes:
            sizes.append(0)
            longest = length
        sizes[-1] += 1
    return sizes


class TableAttention(nn.Module):
    """A Transformer layer over words, where a table's states take the place of queries and keys.

    width (int): Width of the states of words, and of the states of cells in both directions.
    n_heads (int): Number of heads, a divisor of `width`.
    """

    def __init__(self, width: int, n_heads: int):
        super().__init__()
        self.n_heads = n_heads
        # The two halves of the states of a cell are stored by direction.
        self.score = nn.Parameter(torch.empty(2, width // 2, n_heads))
        nn.init.uniform_(self.score, -(width**-0.5), width**-0.5)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)
        self.attended_norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, 4 * width)
        self.outer = nn.Linear(4 * width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, words: Tensor, states: Tensor, groups: Groups, dropout: float) -> Tensor:
        """Compute new states of words.

        words (Tensor): The states of words, (words, width).
        states (Tensor): The states of cells, (2, 1 + cells, width / 2); see `Recurrence`.
        groups (Groups): The sentences.
        dropout (float): Share of the elements that training drops.
        RETURNS (Tensor): (words, width).
        """
        attended = F.relu(self.output(self._attend(words, states, groups)))
        words = self.attended_norm(words + F.dropout(attended, dropout, self.training))
        inner = F.dropout(F.relu(self.inner(words)), dropout, self.training)
        outer = F.dropout(self.outer(inner), dropout, self.training)
        normed: Tensor = self.norm(words + outer)
        return normed

    def _attend(self, words: Tensor, states: Tensor, groups: Groups) -> Tensor:
        """Compute the weighted means of values, for all heads: (words, width)."""
        forwards, backwards = torch.bmm(states[:, 1:], self.score).unbind()
        scores = forwards + backwards.index_select(0, groups.flipped)
        scores = F.pad(scores, (0, 0, 1, 0), value=OUTSIDE_SCORE)
        values = F.pad(self.value(words), (0, 0, 1, 0))
        attended = []
        for group in groups.groups:
            shape = (group.n_sentences, -1, self.n_heads)
            n = len(group.words) // group.n_sentences
            by_head = scores.index_select(0, group.cells).view(group.n_sentences, n, n, -1)
            shares = by_head.permute(0, 3, 1, 2).softmax(-1)
            of_group = values.index_select(0, group.words).view(*shape, values.shape[1] // shape[2])
            means = shares @ of_group.transpose(1, 2)
            attended.append(means.transpose(1, 2).reshape(-1, values.shape[1]))
        return torch.cat(attended).index_select(0, groups.order)
