"""The word-pair units: the scores of all pairs of words of a sentence."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ..dropout import draw_mask, round_share
from ..growth import NEW_LABEL_MARGIN
from .cells import Cells
from .products import add_product, multiply

EPS = 1e-5  # of the normalisation, torch's own default
MAX_SEED = 2**62


def chunk_size(device: torch.device) -> int:
    """Return the number of floats of a chunk: a CPU's cache holds them, or they keep a GPU busy."""
    if device.type == "cpu":
        return 2**18
    return 2**24


class WordPairUnit(nn.Module):
    """The scores of the labels of pairs of words.

    With the features f of the words for the task, and other features s of the words,

        g      = max over t of tanh(W_g [s_t ; f_t] + b_g)      one vector for a sentence
        z_ij   = W_z [f_i ; f_j ; g] + b_z
        logits = W_l ELU(Dropout(LayerNorm(z_ij))) + b_l

    z_ij is the sum of a vector of i and a vector of j. Cells are computed chunk by chunk, and
    again in the backward pass, so that no more than a chunk of them is held.

    hidden (int): Width of the features.
    n_labels (int): Number of labels; may be 0.
    Source: Yan et al. (2021), section 3.3. The normalisation and the dropout are in the authors'
        code only.
    """

    def __init__(self, hidden: int, n_labels: int):
        super().__init__()
        self.n_labels = n_labels
        self.context = nn.Linear(2 * hidden, hidden)
        self.pair = nn.Linear(3 * hidden, hidden)
        self.norm = nn.LayerNorm(hidden, eps=EPS)
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
        by_word, by_context = self.context.weight.to(precision), self.pair.weight.to(precision)
        of_first, of_second, of_context = by_context.chunk(3, dim=1)
        both = torch.cat([other, own], dim=1)
        context = add_product(self.context.bias, both, by_word.t()).tanh()
        by_sentence = add_product(self.pair.bias, _find_maxima(context, lengths), of_context.t())
        left, right = multiply(own, torch.cat([of_first, of_second]).t()).chunk(2, dim=1)
        sentence = lengths.to(own.device)
        left = left + by_sentence.repeat_interleave(sentence, dim=0, output_size=len(own))
        logits: Tensor = ScoreCells.apply(
            left,
            right,
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
        chunks = _Chunks(left.contiguous(), right.contiguous(), gain, shift, cells, dropout)
        by_label = weight.t().to(precision)
        logits = left.new_empty(cells.total, len(bias))
        for chunk in chunks:
            logits[chunk.span] = add_product(bias, chunk.vectors, by_label)
        ctx.save_for_backward(weight)
        ctx.chunks, ctx.precision = chunks, precision
        return logits

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_logits: Tensor) -> tuple[Tensor | None, ...]:
        """Compute the cells again, and go back through them."""
        (weight,) = ctx.saved_tensors
        chunks: _Chunks = ctx.chunks
        by_label = weight.to(ctx.precision)
        d_left, d_right = torch.zeros_like(chunks.left), torch.zeros_like(chunks.right)
        d_gain, d_shift = torch.zeros_like(chunks.gain), torch.zeros_like(chunks.shift)
        d_weight = torch.zeros_like(weight)
        for chunk in chunks:
            d_chunk = d_logits[chunk.span]
            d_weight += multiply(d_chunk.t(), chunk.vectors.to(ctx.precision))
            d_vectors = multiply(d_chunk, by_label)
            d_pairs, d_chunk_gain, d_chunk_shift = chunks.go_back(chunk, d_vectors)
            d_gain += d_chunk_gain
            d_shift += d_chunk_shift
            d_left.index_add_(0, chunk.row, d_pairs)
            d_right.index_add_(0, chunk.col, d_pairs)
        return d_left, d_right, d_gain, d_shift, d_weight, d_logits.sum(dim=0), None, None, None


class _Chunk(NamedTuple):
    """Some cells of a batch.

    span (slice): Their indices.
    row (Tensor): Row of each cell, int64 (cells,).
    col (Tensor): Column of each cell, likewise.
    pairs (Tensor): z, float (cells, hidden).
    moments (tuple[Tensor, Tensor]): Mean and inverse standard deviation of z, (cells, 1).
    mask (Tensor | None): 0 for an element that is dropped, else 1, float (cells, hidden).
    vectors (Tensor): ELU(Dropout(LayerNorm(z))), float (cells, hidden).
    """

    span: slice
    row: Tensor
    col: Tensor
    pairs: Tensor
    moments: tuple[Tensor, Tensor]
    mask: Tensor | None
    vectors: Tensor


class _Chunks:
    """The cells of a batch, chunk by chunk. They can be computed several times, always alike.

    left (Tensor): The vector of each word as i, float (words, hidden).
    right (Tensor): The vector of each word as j, likewise.
    gain (Tensor): The weights of the normalisation, float (hidden,).
    shift (Tensor): Its bias, likewise.
    cells (Cells): The cells.
    dropout (float): Share of elements to drop.
    """

    def __init__(
        self,
        left: Tensor,
        right: Tensor,
        gain: Tensor,
        shift: Tensor,
        cells: Cells,
        dropout: float,
    ):
        self.left, self.right, self.cells, self.dropout = left, right, cells, dropout
        # What dropout keeps is enlarged by the normalisation.
        self.scale = 1.0 / (1.0 - round_share(dropout))
        self.gain, self.shift = gain * self.scale, shift * self.scale
        self.seed = 0
        if dropout:
            self.seed = int(torch.randint(MAX_SEED, ()))

    def __iter__(self) -> Iterator[_Chunk]:
        size = max(1, chunk_size(self.left.device) // len(self.gain))
        first = 0
        for number, (row, col) in enumerate(self.cells.parts(size)):
            span = slice(first, first + len(row))
            yield self._compute(number, span, row, col)
            first = span.stop

    def _compute(self, number: int, span: slice, row: Tensor, col: Tensor) -> _Chunk:
        pairs = self.left.index_select(0, row).add_(self.right.index_select(0, col))
        normed, *moments = torch.native_layer_norm(
            pairs, self.gain.shape, self.gain, self.shift, EPS
        )
        # ELU(x) = max(x, exp(min(x, 0)) - 1). torch's own takes twice the time on a CPU.
        vectors = torch.maximum(normed, normed.clamp(max=0.0).exp_().sub_(1.0), out=normed)
        mask = None
        if self.dropout:
            generator = torch.Generator(vectors.device).manual_seed(self.seed + number)
            mask = draw_mask(vectors, self.dropout, generator)
            vectors = vectors.mul_(mask)  # the same as before the ELU, since ELU(0) = 0
        mean, deviation = moments
        return _Chunk(span, row, col, pairs, (mean, deviation), mask, vectors)

    def go_back(self, chunk: _Chunk, d_vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the gradients of a chunk.

        chunk (_Chunk): The chunk.
        d_vectors (Tensor): The gradient of its vectors, which is overwritten.
        RETURNS (tuple[Tensor, Tensor, Tensor]): The gradients of z, of the weights of the
            normalisation and of its bias.
        """
        if chunk.mask is not None:
            d_vectors = d_vectors.mul_(chunk.mask)
        # The derivative of ELU is 1 above 0, else its output + 1.
        d_normed = d_vectors.mul_(chunk.vectors.clamp(max=0.0).add_(1.0))
        d_pairs, d_gain, d_shift = torch.ops.aten.native_layer_norm_backward(
            d_normed,
            chunk.pairs,
            self.gain.shape,
            *chunk.moments,
            self.gain,
            self.shift,
            [True, True, True],
        )
        return d_pairs, d_gain * self.scale, d_shift * self.scale


def _find_maxima(rows: Tensor, lengths: Tensor) -> Tensor:
    """Compute the maximum over the words of each sentence, never over words of others.

    rows (Tensor): float (words, width).
    lengths (Tensor): Words of each sentence, int64 (sentences,), on the CPU.
    RETURNS (Tensor): float (sentences, width).
    """
    maxima = []
    for sentence in rows.split(lengths.tolist()):
        maxima.append(sentence.max(dim=0).values)
    return torch.stack(maxima)
