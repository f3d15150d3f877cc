"""The word-pair units: the scores of all pairs of words of a sentence."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ..dropout import draw_factors
from ..growth import NEW_LABEL_MARGIN
from .cells import Cells


def chunk_size(device: torch.device) -> int:
    """Return the number of floats of a chunk: a CPU's cache holds them, or they keep a GPU busy."""
    if device.type == "cpu":
        return 2**18
    return 2**24


class WordPairUnit(nn.Module):
    """The scores of the labels of pairs of words.

    With the features f of the words for the task, and the features s of the words that stand by,

        g      = max over t of tanh(W_g [s_t ; f_t] + b_g)      one vector for a sentence
        z_ij   = W_z [f_i ; f_j ; g] + b_z
        logits = W_l ELU(Dropout(LayerNorm(z_ij))) + b_l

    z_ij is the sum of a vector of i and a vector of j. Cells are computed chunk by chunk, and
    again in the backward pass, so that no more than a chunk of them is held.

    hidden (int): Width of the features.
    n_labels (int): Number of labels; may be 0.
    Source: Yan et al. (2021), sections 3.3 and 3.4. Normalisation and dropout are in the authors'
        code only.
    """

    def __init__(self, hidden: int, n_labels: int):
        super().__init__()
        self.n_labels = n_labels
        self.context = nn.Linear(2 * hidden, hidden)
        self.pair = nn.Linear(3 * hidden, hidden)
        self.norm = nn.LayerNorm(hidden)
        # torch warns of a layer without outputs, so there is always one; `forward` cuts it off.
        self.label = nn.Linear(hidden, max(n_labels, 1))

    def forward(
        self,
        own: Tensor,
        other: Tensor,
        lengths: Tensor,
        cells: Cells,
        *,
        dropout: float,
        precision: torch.dtype,
    ) -> Tensor:
        """Score cells.

        own (Tensor): The features f, float (words, hidden).
        other (Tensor): The features s, float (words, hidden).
        lengths (Tensor): Words of each sentence, int64 (sentences,), on the CPU.
        cells (Cells): The cells.
        dropout (float): Share of elements to drop; 0 outside training.
        precision (dtype): The type in which products are computed.
        RETURNS (Tensor): Logits, each for a sigmoid, float (cells, labels).
        """
        first, second, third = self.pair.weight.to(precision).chunk(3, dim=1)
        both = torch.cat([other, own], dim=1).to(precision)
        context = F.linear(both, self.context.weight.to(precision)).to(own.dtype)
        context = _segment_maxima((context + self.context.bias).tanh(), lengths)
        by_sentence = F.linear(context.to(precision), third).to(own.dtype) + self.pair.bias
        vectors = F.linear(own.to(precision), torch.cat([first, second])).to(own.dtype)
        left, right = vectors.chunk(2, dim=1)
        n_words = lengths.to(own.device)
        left = left + by_sentence.repeat_interleave(n_words, dim=0, output_size=len(own))
        logits: Tensor = ScoreCells.apply(
            left,
            right.contiguous(),
            self.norm.weight,
            self.norm.bias,
            self.label.weight,
            self.label.bias,
            cells,
            dropout,
            precision,
        )
        return logits[:, : self.n_labels]

    @torch.no_grad()
    def start_labels(self, n_old: int) -> None:
        """Start the labels after the first ones as improbable.

        n_old (int): Number of labels that have learned weights.
        """
        bound = self.label.in_features**-0.5  # as `Linear` starts
        nn.init.uniform_(self.label.weight[n_old:], -bound, bound)
        self.label.bias[n_old:] = -NEW_LABEL_MARGIN


class ScoreCells(torch.autograd.Function):
    """The logits of cells from the vectors of their words; see `WordPairUnit`.

    The backward pass computes the cells again, with the same dropout: its random numbers depend on
    a seed and on the number of the chunk.
    """

    @staticmethod
    def forward(
        ctx: Any,
        left: Tensor,
        right: Tensor,
        gain: Tensor,
        shift: Tensor,
        weight: Tensor,
        bias: Tensor,
        cells: Cells,
        dropout: float,
        precision: torch.dtype,
    ) -> Tensor:
        """Compute the logits.

        left (Tensor): The vector of each word as i, float (words, hidden).
        right (Tensor): The vector of each word as j, likewise.
        gain (Tensor): The weights of the normalisation, float (hidden,).
        shift (Tensor): Its bias, likewise.
        weight (Tensor): W_l, float (labels, hidden).
        bias (Tensor): b_l, float (labels,).
        cells (Cells): The cells.
        dropout (float): Share of elements to drop.
        precision (dtype): The type in which products are computed.
        RETURNS (Tensor): float (cells, labels).
        """
        chunks = _Chunks(cells, len(gain), dropout, left.device)
        logits = left.new_empty(cells.total, len(bias))
        start = 0
        for row, col, generator in chunks:
            pairs = left.index_select(0, row) + right.index_select(0, col)
            scores = _score(pairs, gain, shift, weight, bias, dropout, generator, precision)
            logits[start : start + len(row)] = scores
            start += len(row)
        ctx.save_for_backward(left, right, gain, shift, weight, bias)
        ctx.chunks, ctx.dropout, ctx.precision = chunks, dropout, precision
        return logits

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_logits: Tensor) -> tuple[Tensor | None, ...]:
        """Compute the cells again, and go back through them."""
        left, right, *parameters = ctx.saved_tensors
        d_left, d_right = torch.zeros_like(left), torch.zeros_like(right)
        d_parameters = [*map(torch.zeros_like, parameters)]
        start = 0
        for row, col, generator in ctx.chunks:
            pairs = left.index_select(0, row) + right.index_select(0, col)
            inputs = [pairs, *map(torch.Tensor.detach, parameters)]
            with torch.enable_grad():
                for array in inputs:
                    array.requires_grad_()
                scores = _score(*inputs, ctx.dropout, generator, ctx.precision)
            d_chunk = d_logits[start : start + len(row)]
            d_pairs, *d_chunk_parameters = torch.autograd.grad(scores, inputs, d_chunk)
            d_left.index_add_(0, row, d_pairs)
            d_right.index_add_(0, col, d_pairs)
            for total, gradient in zip(d_parameters, d_chunk_parameters, strict=True):
                total += gradient
            start += len(row)
        return d_left, d_right, *d_parameters, None, None, None


class _Chunks:
    """The chunks of cells, each with a generator of random numbers if there is dropout.

    cells (Cells): The cells.
    width (int): Number of floats of a cell.
    dropout (float): Share of elements to drop.
    device (torch.device): The device.
    """

    def __init__(self, cells: Cells, width: int, dropout: float, device: torch.device):
        self.cells = cells
        self.size = max(1, chunk_size(device) // width)
        self.device = device
        self.seed: int | None = None
        if dropout:
            self.seed = int(torch.randint(2**62, ()))

    def __iter__(self) -> Any:
        for number, (row, col) in enumerate(self.cells.parts(self.size)):
            yield row, col, self._make_generator(number)

    def _make_generator(self, number: int) -> torch.Generator | None:
        if self.seed is None:
            return None
        return torch.Generator(self.device).manual_seed(self.seed + number)


def _score(
    pairs: Tensor,
    gain: Tensor,
    shift: Tensor,
    weight: Tensor,
    bias: Tensor,
    dropout: float,
    generator: torch.Generator | None,
    precision: torch.dtype,
) -> Tensor:
    """Compute the logits of the vectors z of cells."""
    vectors = F.layer_norm(pairs, gain.shape, gain, shift)
    if generator is not None:
        vectors = vectors * draw_factors(vectors, dropout, generator)
    vectors = F.elu(vectors)
    return F.linear(vectors.to(precision), weight.to(precision)).to(pairs.dtype) + bias


def _segment_maxima(rows: Tensor, lengths: Tensor) -> Tensor:
    """Compute the maximum over the words of each sentence, never over words of others.

    rows (Tensor): float (words, width).
    lengths (Tensor): Words of each sentence, int64 (sentences,), on the CPU.
    RETURNS (Tensor): float (sentences, width).
    """
    words = torch.arange(len(rows), device=rows.device)
    starts = (lengths.cumsum(0) - lengths).to(rows.device)
    return F.embedding_bag(words, rows, starts, mode="max")
