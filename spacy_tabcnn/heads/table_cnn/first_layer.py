"""The first convolution, computed on words instead of word pairs.

**Derivation.** The input of cell (i, j) is [e_i ; e_j]. The kernel K has a half Krow that reads e_i
and a half Kcol that reads e_j. With a = (k - 1) / 2, rows h and columns w of the kernel counted
from -a to a, and n words, zero padding leaves in cell (i, j) the terms inside the table:

    H[i, j] = b + sum of Row_w[i] over the w with 0 <= j + w < n
                + sum of Col_h[j] over the h with 0 <= i + h < n
    Row_w[i] = sum over h of Krow[h, w] e_(i+h)
    Col_h[j] = sum over w of Kcol[h, w] e_(j+w)

where e outside the sentence is zero. Row_w and Col_h are 1-D convolutions over the sentence, so
each is one product of all *windows* [e_(i-a) ; ... ; e_(i+a)] with a matrix. No product over cells
is left.

The w that are inside the table follow each other, from some first to some last. So the sum over w
is a difference of two prefix sums P_m[i] = Row_(-a)[i] + ... + Row_m[i], one up to the last w, less
one up to the w before the first. A sum of convolutions is a convolution with the sum of the
kernels: P_m is the product of the windows with one *prefix kernel*, Krow[:, -a] + ... + Krow[:, m].
Columns are computed likewise, but their sums run from h = a down to -a.

**Edges and corners.** On and above the diagonal, the table has two long edges, its right edge and
its top edge. At these, the last w are missing for all rows, and the first h for all columns. So the
vectors with the prefix sums up to 0, ..., a, that is, all sums that begin at the first w or at the
last h, are computed for all words: the *edge vectors*. The other two edges touch the band only in
its corners: where the first w are missing (j < a), i is small, too; where the last h are missing (i
>= n - a), j is large, too. So the *corner vectors*, differences of two prefix sums, are computed
for the first words of a sentence, for its rows, and for its last words, for its columns.

**Example: n = 4 words, k = 3.** Here a = 1, and h and w run over -1, 0, 1.

    j =            0                1, 2                 3
    w inside       0, 1             -1, 0, 1             -1, 0
    row vector     P_1 - P_-1       P_1                  P_0
    of word i      (corner)         (edge, full)         (edge, one short)

    i =            0                1, 2                 3
    h inside       0, 1             -1, 0, 1             -1, 0
    column vector  Q_0              Q_-1                 Q_-1 - Q_1
    of word j      (edge, short)    (edge, full)         (corner)

with Q_m[j] = Col_1[j] + ... + Col_m[j], counted down from h = 1. The cell in row 1 and column 3 is

    H[1, 3] = b + P_0[1] + Q_-1[3]

and the cell (0, 0), in a corner, H[0, 0] = b + (P_1 - P_-1)[0] + Q_0[0]. The last layer's window in
cell (i, j) with i <= j reads cells down to j - i = -2, so rows 0, 1 and 2 are read in column 0:
three words have corner vectors. A full convolution would need 4 * 4 * 9 products of a kernel matrix
with a pair of words; here there are 4 windows for each of 4 prefix kernels, and 3 for each of the 2
others.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

from ..products import Products
from ..transfers import to_device
from .layout import Band, Layout

ROWS, COLUMNS = 0, 1


class VectorIndex(NamedTuple):
    """The numbers of the vectors, and the two vectors whose sum is a cell of the first layer.

    All vectors are the rows of one matrix, in this order:

    - edge vectors (words, a + 1, 2 axes). The second axis counts the offsets between the middle and
      the edge that are inside the sentence, from 0 to a: the prefix sum ends there.
    - corner vectors (2 axes, corner words, a, a + 1). The third axis is the prefix sum that is
        taken
      away, the last axis as for edge vectors.

    The number of a cell's vector is the sum of a term of the vector's own word, `edge_start` or
    `corner_start`, and of a term of the cell's other word, `variant`, which decides on the offsets.

    n_edges (int): Number of edge vectors.
    n_vectors (int): Number of all vectors.
    reach (int): Half the kernel, a.
    corner_words (Tensor): The words with corner vectors for rows, the first ones of each sentence,
        and for columns, the last ones, int64 (2 axes, corner words).
    sentence (Tensor): The sentence of each vector, int64 (vectors,).
    edge_start (Tensor): Number of the first edge vector of each word, int64 (words,).
    corner_start (Tensor): Number of its first corner vector, if it has one, int64 (2 axes, words).
    variant (Tensor): The term of each word for the vector of another word, int64 (2 axes, words).
    in_corner (Tensor): Whether this is the term of a corner vector, bool (2 axes, words).
    """

    n_edges: int
    n_vectors: int
    reach: int
    corner_words: Tensor
    sentence: Tensor
    edge_start: Tensor
    corner_start: Tensor
    variant: Tensor
    in_corner: Tensor

    @classmethod
    def of(cls, layout: Layout, reach: int, *, margin: int) -> "VectorIndex":
        """Number the vectors.

        layout (Layout): The words.
        reach (int): Half the kernel, a.
        margin (int): Number of diagonals below the main diagonal that are computed.
        RETURNS (VectorIndex): The numbers.
        """
        sentence, before, after = layout.on_cpu
        n_sums = reach + 1  # that end at the middle or nearer to the edge
        edge_start = torch.arange(len(sentence)) * 2 * n_sums
        n_edges = len(sentence) * 2 * n_sums

        # Rows have their edge on the right and their corner on the left, columns at the top and at
        # the bottom.
        to_edge, to_corner = torch.stack([after, before]), torch.stack([before, after])
        in_corner = to_corner < reach
        # The computed cells of a corner's columns are in the first rows of a sentence.
        n_corner_words = 0
        if reach:
            n_corner_words = reach + margin
        has_corner_vectors = to_corner < n_corner_words
        corner_words = has_corner_vectors.nonzero()[:, 1].view(2, -1)
        corner_number = has_corner_vectors.cumsum(1) - 1
        corner_number[COLUMNS] += corner_words.shape[1]
        corner_start = n_edges + corner_number * reach * n_sums

        sum_at_edge = to_edge.clamp(max=reach)
        sum_taken_away = reach - 1 - to_corner
        edge_variant = 2 * sum_at_edge + torch.tensor([[ROWS], [COLUMNS]])
        variant = torch.where(in_corner, sum_taken_away * n_sums + sum_at_edge, edge_variant)

        corner_sentences = sentence[corner_words.flatten()].repeat_interleave(reach * n_sums)
        sentences = torch.cat([sentence.repeat_interleave(2 * n_sums), corner_sentences])
        tensors = (corner_words, sentences, edge_start, corner_start, variant, in_corner)
        on_device = [to_device(tensor, layout.sentence.device) for tensor in tensors]
        return cls(n_edges, len(sentences), reach, *on_device)

    def summands(self, band: Band, rows: range) -> Tensor:
        """Find the two vectors of each cell of some rows of a band: int64 (cells, 2)."""
        row, col = band.cells(rows)
        return torch.stack([self._vector(ROWS, row, col), self._vector(COLUMNS, col, row)], dim=1)

    def edges_and_corners(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Divide the matrix of vectors into views.

        vectors (Tensor): (vectors, channels).
        RETURNS (tuple[Tensor, Tensor]): Edge vectors (words, a + 1, 2 axes, channels) and corner
            vectors (2 axes, corner words, a, a + 1, channels).
        """
        n_channels, n_variants = vectors.shape[1], self.reach + 1
        edges = vectors[: self.n_edges].view(-1, n_variants, 2, n_channels)
        corner_shape = (2, self.corner_words.shape[1], self.reach, n_variants, n_channels)
        return edges, vectors[self.n_edges :].view(corner_shape)

    def _vector(self, axis: int, word: Tensor, other: Tensor) -> Tensor:
        """Number the vectors of words in the cells that they share with other words."""
        start = torch.where(
            self.in_corner[axis].index_select(0, other),
            self.corner_start[axis].index_select(0, word),
            self.edge_start.index_select(0, word),
        )
        return start + self.variant[axis].index_select(0, other)


class PrefixKernels(NamedTuple):
    """The prefix kernels, each a matrix with a row for each channel and a column for each input.

    edges (Tensor): The sums that end at the middle or nearer to the edge, one after the other,
        ((a + 1) * 2 axes * channels, k * width).
    corners (Tensor): The sums that end before the middle, (a, 2 axes, channels, k * width).
    """

    edges: Tensor
    corners: Tensor

    @classmethod
    def of(cls, weight: Tensor, precision: torch.dtype) -> "PrefixKernels":
        """Sum the kernels.

        weight (Tensor): The weight of a `Conv2d`, float (channels, 2 * width, k, k).
        precision (torch.dtype): The type in which products are computed.
        RETURNS (PrefixKernels): The kernels, in this type.
        """
        sums = prefix_sums(weight).to(precision)
        reach = weight.shape[-1] // 2
        return cls(sums[reach:].flatten(0, 2), sums[:reach])

    def by_input(self) -> "PrefixKernels":
        """Store the edges' kernels input by input: products with few words read them faster."""
        return self._replace(edges=self.edges.t().contiguous().t())


class WordVectors(Function):
    """The edge vectors and corner vectors of all words."""

    @staticmethod
    def forward(
        ctx: Any,
        windows: Tensor,
        weight: Tensor,
        bias: Tensor,
        kernels: PrefixKernels,
        index: VectorIndex,
        products: Products,
    ) -> Tensor:
        """Compute the vectors.

        windows (Tensor): The k embeddings round each word, float (words, k * width).
        weight (Tensor): The layer's weight, only to send its gradient to.
        bias (Tensor): The layer's bias, (channels,).
        kernels (PrefixKernels): The weight's prefix kernels. Their type is the products' precision.
        index (VectorIndex): The order of the vectors.
        products (Products): Computes matrix products.
        RETURNS (Tensor): (vectors, channels).
        """
        reach, precision = index.reach, kernels.edges.dtype
        inputs = windows.to(precision)
        vectors = bias.new_empty(index.n_vectors, len(bias))
        edges, corners = index.edges_and_corners(vectors)
        products.multiply_into(edges.flatten(1), inputs, kernels.edges.t(), precision)
        edges[:, :, ROWS] += bias
        for axis, words in enumerate(index.corner_words):
            sums = edges[:, :, axis].index_select(0, words)
            corner_inputs = inputs.index_select(0, words)
            for last in range(reach):
                taken_away = products.multiply(corner_inputs, kernels.corners[last, axis].t())
                torch.sub(sums, taken_away[:, None], out=corners[axis, :, last])
        ctx.save_for_backward(windows)
        ctx.kernels, ctx.index, ctx.products = kernels, index, products
        return vectors

    @staticmethod
    def backward(ctx: Any, *d_outputs: Tensor) -> tuple[Tensor | None, ...]:
        """Compute the gradients of the windows, the weight and the bias."""
        (windows,) = ctx.saved_tensors
        kernels, index, products = ctx.kernels, ctx.index, ctx.products
        reach, precision = index.reach, kernels.edges.dtype
        inputs = windows.to(precision)
        d_edges, d_corners = index.edges_and_corners(d_outputs[0].contiguous())
        d_bias = d_edges[:, :, ROWS].sum((0, 1)) + d_corners[ROWS].sum((0, 1, 2))
        d_sums = d_edges.clone()
        for axis, words in enumerate(index.corner_words):
            d_sums[:, :, axis].index_add_(0, words, d_corners[axis].sum(1))
        d_taken_away = -d_corners.sum(3)  # (2 axes, corner words, a, channels)

        d_weight = _weight_gradient(d_sums, d_taken_away, inputs, index, products)
        if not ctx.needs_input_grad[0]:
            return None, d_weight, d_bias, None, None, None

        d_windows = torch.empty_like(windows)
        products.multiply_into(d_windows, d_sums.flatten(1), kernels.edges, precision)
        for axis, words in enumerate(index.corner_words):
            for last in range(reach):
                d_sum = d_taken_away[axis, :, last].to(precision)
                d_inputs = products.multiply(d_sum, kernels.corners[last, axis])
                d_windows.index_add_(0, words, d_inputs.to(windows.dtype))
        return d_windows, d_weight, d_bias, None, None, None


def prefix_sums(weight: Tensor) -> Tensor:
    """Sum the kernels of the first convolution up to each offset of an axis.

    Rows' kernels are summed from the first column w on, columns' kernels from the last row h down.

    weight (Tensor): The weight of a `Conv2d`, float (channels, 2 * width, k, k).
    RETURNS (Tensor): For each number of offsets and each axis the matrix of a 1-D convolution,
        float (k, 2 axes, channels, k * width).
    """
    kernel = weight.permute(0, 2, 3, 1).contiguous()
    n_channels, kernel_size, _, width = kernel.shape
    sums = weight.new_empty(kernel_size, 2, n_channels, kernel_size, width // 2)
    for axis in (ROWS, COLUMNS):
        parts = _kernels_by_offset(kernel, axis)
        sums[0, axis] = parts[0]
        for last in range(1, kernel_size):
            torch.add(sums[last - 1, axis], parts[last], out=sums[last, axis])
    return sums.flatten(3)


def _weight_gradient(
    d_sums: Tensor, d_taken_away: Tensor, inputs: Tensor, index: VectorIndex, products: Products
) -> Tensor:
    """Compute the gradient of the weight from the gradients of the prefix sums.

    d_sums (Tensor): Of the sums for all words, float (words, a + 1, 2 axes, channels).
    d_taken_away (Tensor): Of the sums for corner words, float (2 axes, corner words, a, channels).
    inputs (Tensor): The windows (words, k * width), in the products' precision.
    index (VectorIndex): The order of the vectors.
    products (Products): Computes matrix products.
    RETURNS (Tensor): float (channels, 2 * width, k, k).
    """
    reach, n_channels = index.reach, d_sums.shape[-1]
    kernel_size = 2 * reach + 1
    width = inputs.shape[1] // kernel_size
    d_kernel = d_sums.new_empty(n_channels, kernel_size, kernel_size, 2 * width)
    for axis, words in enumerate(index.corner_words):
        corner_inputs, d_parts = inputs[words], _kernels_by_offset(d_kernel, axis)
        # A kernel is part of the sums that end at its offset or later.
        d_later = d_sums.new_zeros(n_channels, kernel_size * width)
        for last in reversed(range(kernel_size)):
            if last < reach:
                d_sum, sum_inputs = d_taken_away[axis, :, last], corner_inputs
            else:
                d_sum, sum_inputs = d_sums[:, last - reach, axis], inputs
            products.multiply_into(d_later, d_sum.t(), sum_inputs, inputs.dtype, add=True)
            d_parts[last].copy_(d_later.view_as(d_parts[last]))
    return d_kernel.permute(0, 3, 1, 2).contiguous()


def _kernels_by_offset(kernel: Tensor, axis: int) -> list[Tensor]:
    """Divide a kernel into views in the order of the prefix sums of an axis.

    kernel (Tensor): (channels, k, k, 2 * width).
    axis (int): The axis.
    RETURNS (list[Tensor]): For rows from the first column w on, for columns from the last row h up
        to the first: (channels, k, width) each.
    """
    rows, columns = kernel.unflatten(3, (2, -1)).unbind(3)
    if axis == ROWS:
        return [*rows.unbind(2)]
    return [*columns.unbind(1)][::-1]
