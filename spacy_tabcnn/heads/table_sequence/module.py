"""The head as a torch module."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...labels import NO_RELATION, OUTSIDE
from ..checks import check_dropout, check_lengths, check_sizes
from ..growth import check_kind, share_weights, start_labels
from ..products import product_precision
from .attention import Groups, TableAttention
from .diagonals import Diagonals
from .recurrence import Recurrence


class TableSequence(nn.Module):
    """A table encoder and a sequence encoder that read each other, layer by layer.

    The table encoder of a layer is a recurrence over the cells from two opposite corners. It reads
    the words of a cell, the cells next to it and the same cell of the layer below. The sequence
    encoder is self-attention over the words, with scores from the table of its layer. Tags are read
    off the words, relations off the table.

    The logits of a relation between the words i < j are half the sum of the scores of the cells
    (i, j) and (j, i). In the second cell, the two directions of each relation type are exchanged.

    width (int): Width d of a word embedding.
    n_tags (int): Number of BILOU tags |E|, "O" included.
    n_relations (int): Number of relation labels |R|, "none" (index 0) and both directions included,
        so an odd number. The directions of a type have consecutive indices.
    hidden (int): Width of the states of words, and of cells: half of it for each corner.
    n_layers (int): Number of layers.
    n_heads (int): Number of attention heads; `hidden` is a multiple of it.
    dropout (float): Share of the elements that training drops, in the word embeddings, in the
        sequence encoder, and in the last states of words and cells.
    RAISES (ValueError): If a size cannot be built.
    Source: Wang and Lu (EMNLP 2020), "Two are better than one".
    """

    opposite: Tensor

    def __init__(
        self,
        width: int,
        n_tags: int,
        n_relations: int,
        *,
        hidden: int = 200,
        n_layers: int = 3,
        n_heads: int = 8,
        dropout: float = 0.5,
    ):
        super().__init__()
        check_sizes("TableSequence", width=width, n_tags=n_tags, n_relations=n_relations)
        check_sizes("TableSequence", hidden=hidden, n_layers=n_layers, n_heads=n_heads)
        if n_relations % 2 == 0:
            raise ValueError(
                f"TableSequence: n_relations is {n_relations}; expected an odd number: "
                '"none", and two directions of each relation type'
            )
        if hidden % 2 or hidden % n_heads:
            raise ValueError(
                f"TableSequence: hidden is {hidden}; expected an even number, and a multiple of "
                f"n_heads ({n_heads})"
            )
        check_dropout("TableSequence", dropout)
        self.dropout = dropout
        self.embed = nn.Linear(width, hidden)
        self.tables = nn.ModuleList()
        self.sequences = nn.ModuleList()
        for number in range(n_layers):
            self.tables.append(TableEncoder(hidden, has_table_below=number > 0))
            self.sequences.append(TableAttention(hidden, n_heads))
        self.tagger = nn.Linear(hidden, n_tags)
        self.relations = nn.Linear(hidden, n_relations)
        opposite = torch.arange(n_relations)
        opposite[1:] = opposite[1:].view(-1, 2).flip(1).flatten()
        self.register_buffer("opposite", opposite, persistent=False)

    def forward(
        self, words: Tensor, lengths: Tensor, known_tags: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Score the tables of a batch of sentences. Under autocast, the products of the recurrence
        have its precision.

        words (Tensor): Word embeddings, float (sum(lengths), width), the sentences of the batch end
            to end.
        lengths (Tensor): Words per sentence, int64 (batch,). Keep it on the CPU: sizes are read
            from it.
        known_tags (Tensor | None): Not read: here no tag depends on another.
        RETURNS (tuple[Tensor, Tensor]): Tag logits (sum(lengths), n_tags) and relation logits
            (sum(n(n-1)/2), n_relations): the cells i < j of each sentence, row by row, sentence by
            sentence.
        RAISES (ValueError): If the lengths do not add up to the number of words.
        """
        lengths = lengths.cpu()
        check_lengths("TableSequence", words, lengths)
        if not len(words):
            no_tags = words.new_zeros(0, self.tagger.out_features)
            return no_tags, words.new_zeros(0, self.relations.out_features)
        with product_precision(words) as precision:
            return self._score_parts(words, lengths, precision)

    def take_over(self, old: nn.Module) -> None:
        """Take over the weights of a head with fewer labels; see `heads.growth.GrowingHead`.

        No logit of the labels of the old head changes.
        """
        old = check_kind(self, old)
        share_weights(self, old)
        n_tags, n_relations = old.tagger.out_features, old.relations.out_features
        start_labels(self.tagger.weight, self.tagger.bias, first=n_tags, none=OUTSIDE)
        weight, bias = self.relations.weight, self.relations.bias
        start_labels(weight, bias, first=n_relations, none=NO_RELATION)

    def _score_parts(
        self, words: Tensor, lengths: Tensor, precision: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """Compute tag and relation logits from at least one word.

        Prediction divides the sentences so that the states of a part stay small. Training has to
        keep all of them for the backward pass.
        """
        lengths = lengths[lengths > 0]
        if torch.is_grad_enabled():
            return self._score(words, lengths, precision)
        tags, relations = [], []
        for part in split_sentences(lengths, max_cells(words.device)):
            n_before = int(lengths[: part.start].sum())
            stop = n_before + int(lengths[part].sum())
            logits = self._score(words[n_before:stop], lengths[part], precision)
            tags.append(logits[0])
            relations.append(logits[1])
        return torch.cat(tags), torch.cat(relations)

    def _score(
        self, words: Tensor, lengths: Tensor, precision: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """Compute tag and relation logits of some sentences, each of at least one word."""
        diagonals = Diagonals.of(lengths, words.device)
        groups = Groups.of(lengths, diagonals)
        words = self.embed(self._drop(words))
        states: Tensor | None = None
        for table, sequence in zip(self.tables, self.sequences, strict=True):
            states = table(words, states, diagonals, precision)
            words = sequence(words, states, groups, self.dropout)
        assert states is not None
        return self.tagger(self._drop(words)), self._score_pairs(self._drop(states), diagonals)

    def _score_pairs(self, states: Tensor, diagonals: Diagonals) -> Tensor:
        """Compute the relation logits of the cells i < j: (pairs, n_relations)."""
        forwards, backwards = self.relations.weight.split(states.shape[2], dim=1)
        scores = F.linear(states[0, 1:], forwards, self.relations.bias)
        from_end = F.linear(states[1, 1:], backwards)
        scores = scores + from_end.index_select(0, diagonals.flipped)
        upper = scores.index_select(0, diagonals.upper)
        lower = scores.index_select(0, diagonals.lower).index_select(1, self.opposite)
        return (upper + lower) / 2

    def _drop(self, array: Tensor) -> Tensor:
        return F.dropout(array, self.dropout, self.training)


class TableEncoder(nn.Module):
    """The table encoder of a layer; see `recurrence` for its steps, and `Weights` for its weights.

    With the states t_1 and t_2 of the left and the upper neighbour and t_3 of the same cell in the
    layer below, the vector x = ReLU(W_r s_i + W_c s_j + b) of the cell (i, j) and the sums G_x of
    products with x and G_t of products with [t_1; t_2; t_3], the state of a direction is

        r = sigmoid(G_x^r + G_t^r)      z = sigmoid(G_x^z + G_t^z)
        n = tanh(G_x^n + (1 - r) G_t^n)
        (l_1, l_2, l_3) = softmax(G_x^l + G_t^l)
        t = (1 - z) n + z (l_1 t_1 + l_2 t_2 + l_3 t_3)

    In the first layer, which has no t_3, l_1 = sigmoid(G_x^l + G_t^l) and l_2 = 1 - l_1.

    width (int): Width of the states of words, and of the states of cells in both directions.
    has_table_below (bool): Whether there is a layer below.
    """

    def __init__(self, width: int, *, has_table_below: bool):
        super().__init__()
        n_neighbours, n_sums = 2, 4
        if has_table_below:
            n_neighbours, n_sums = 3, 6
        half = width // 2
        n_inputs = n_neighbours * half
        self.row = nn.Linear(width, width)
        self.column = nn.Linear(width, width, bias=False)
        self.cell = nn.Parameter(torch.empty(2, width, n_sums * half))
        self.neighbours = nn.Parameter(torch.empty(2, n_inputs, n_sums * half))
        self.bias = nn.Parameter(torch.zeros(2, (n_sums + 1) * half))
        nn.init.uniform_(self.cell, -(width**-0.5), width**-0.5)
        nn.init.uniform_(self.neighbours, -(n_inputs**-0.5), n_inputs**-0.5)

    def forward(
        self, words: Tensor, below: Tensor | None, diagonals: Diagonals, precision: torch.dtype
    ) -> Tensor:
        """Compute the states of the cells.

        words (Tensor): The states of words, (words, width).
        below (Tensor | None): The states of the cells of the layer below.
        diagonals (Diagonals): The cells.
        precision (torch.dtype): The type in which the products of the recurrence are computed.
        RETURNS (Tensor): (2, 1 + cells, width / 2); see `Recurrence.forward`.
        """
        states: Tensor = Recurrence.apply(
            self.row(words),
            self.column(words),
            below,
            self.cell,
            self.neighbours,
            self.bias,
            diagonals,
            precision,
        )
        return states


def max_cells(device: torch.device) -> int:
    """Return the maximum number of cells of several sentences that are predicted together.

    device (torch.device): The device.
    RETURNS (int): The number. The states of two layers have 1.6 KB a cell with `hidden` = 200.
    """
    if device.type == "cpu":
        return 2**15
    return 2**18


def split_sentences(lengths: Tensor, n_cells: int) -> Iterator[slice]:
    """Divide sentences into parts with at most `n_cells` cells, or one sentence.

    lengths (Tensor): Words of each sentence, int64 (sentences,), on the CPU.
    n_cells (int): The maximum number of cells.
    RETURNS (Iterator[slice]): The sentences of each part.
    """
    start, total = 0, 0
    for number, cells in enumerate(lengths.square().tolist()):
        if total and total + cells > n_cells:
            yield slice(start, number)
            start, total = number, 0
        total += cells
    yield slice(start, len(lengths))
