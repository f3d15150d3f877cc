"""A following convolution, from the cells of one band to the cells of the next, chunk by chunk.

First each source cell's contribution through each of the k * k kernel positions is computed, by one
product. Then each target cell sums the contributions of the cells in its window. Cells outside the
sentence contribute nothing, as with zero padding.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

from ..products import Products
from .layout import Band, Layout, Neighbours

# The number of cells of a product is rounded up to a multiple of this number, or of a smaller one
# if there are few. Each number of cells may need a kernel of its own, which takes time to make and
# memory to keep.
ROUND_CELLS, ROUND_FEW_CELLS = 128, 64

# Numbers the values that the source cells of some rows of a band are made from, one row for each
# cell.
NumberSources = Callable[[Band, range], Tensor]


def chunk_size(device: torch.device) -> int:
    """Return the number of floats of a chunk: a CPU's cache holds them, or they keep a GPU busy."""
    if device.type == "cpu":
        return 2**19
    return 2**24


class LayerKernel(NamedTuple):
    """The weights of a following layer, in the form in which they are multiplied.

    kernel (Tensor): (k * k, channels, source channels) or, depthwise, (k * k, channels).
    bias (Tensor): (channels,).
    pointwise (tuple[Tensor, Tensor] | None): After a depthwise convolution, weight and bias of a
        linear layer.
    """

    kernel: Tensor
    bias: Tensor
    pointwise: tuple[Tensor, Tensor] | None = None

    @classmethod
    def of(cls, layer: nn.Module, precision: torch.dtype, *, is_last: bool) -> "LayerKernel":
        """Arrange the weights of a layer.

        layer (nn.Module): A `Conv2d`, or a `Sequential` of a depthwise and a pointwise one.
        precision (torch.dtype): The type in which products are computed.
        is_last (bool): Whether it is the last layer.
        RETURNS (LayerKernel): The weights.
        """
        if isinstance(layer, nn.Conv2d):
            kernel = layer.weight.permute(2, 3, 0, 1).flatten(0, 1)
            return cls(kernel.to(precision).contiguous(), cast(Tensor, layer.bias))
        depthwise, pointwise = map(_weight_and_bias, cast(nn.Sequential, layer))
        by_position, by_channel = depthwise[0].t(), pointwise[0]
        if not is_last:
            linear = (by_channel.to(precision), pointwise[1].to(precision))
            return cls(by_position, depthwise[1], linear)
        # The last layer has few channels, as many as there are labels: one product with the product
        # of both kernels is faster than two steps.
        kernel = (by_position[:, None] * by_channel).to(precision)
        return cls(kernel, by_channel @ depthwise[1] + pointwise[1])


class Chunk:
    """Some rows of a step's source band, few enough that their cells stay in the cache.

    step (Step): The step.
    rows (range): The rows.
    """

    def __init__(self, step: "Step", rows: range):
        self.step = step
        self.rows = rows
        self.cells = step.source.span(rows)
        self.n_cells = self.cells.stop - self.cells.start
        self.n_padded = _round_up(self.n_cells)
        reached = step.layout.widen(rows, step.reach)
        first, stop = step.target.rows.start, step.target.rows.stop
        self.reached = range(max(reached.start, first), min(reached.stop, stop))
        self.targets = step.target.span(self.reached)

    @functools.cached_property
    def source_numbers(self) -> Tensor:
        """The numbers of the values that the source cells are made from; see `NumberSources`.

        Rows of zeros follow up to the padded number of cells.
        """
        numbers = self.step.number_sources(self.step.source, self.rows)
        return F.pad(numbers, (0, 0, 0, self.n_padded - self.n_cells))

    @functools.cached_property
    def slots(self) -> Tensor:
        """The places of the contributions to each target cell: int64 (target cells, k * k).

        A chunk's contributions have k * k places for each cell, and for one more cell before and
        after them, which stands for all cells outside the chunk.
        """
        n_positions = len(self.step.down)
        cells = self.step.windows.of(self.reached)
        cells.sub_(self.cells.start - 1).clamp_(0, self.n_cells + 1)
        return cells.mul_(n_positions).add_(torch.arange(n_positions, device=cells.device))

    @functools.cached_property
    def readers(self) -> Tensor:
        """The target cells that read each source cell through each kernel position.

        Indices among the targets counted from 1, or 0 for none: int64 (padded source cells, k * k).
        """
        indices = self.step.readers.of(self.rows).sub_(self.targets.start - 1).clamp_(min=0)
        return F.pad(indices, (0, 0, 0, self.n_padded - self.n_cells))


class Step:
    """The way from one band to the next: the cells that a kernel of k * k positions connects.

    layout (Layout): The words.
    source (Band): The cells that are read.
    target (Band): The cells that are computed.
    kernel_size (int): Width k of the kernel.
    number_sources (NumberSources): Numbers the values that the source cells are made from.
    """

    def __init__(
        self,
        layout: Layout,
        source: Band,
        target: Band,
        kernel_size: int,
        number_sources: NumberSources,
    ):
        self.layout = layout
        self.source, self.target = source, target
        self.reach = kernel_size // 2
        self.number_sources = number_sources
        offsets = layout.numbers(range(-self.reach, self.reach + 1))
        self.down, self.right = offsets.repeat_interleave(kernel_size), offsets.repeat(kernel_size)

    def chunks(self, kernel: Tensor) -> Iterable[Chunk]:
        """Divide the source's rows into chunks.

        The cells and contributions of a chunk stay in the CPU's cache.

        kernel (Tensor): The kernel; see `LayerKernel`.
        RETURNS (Iterable[Chunk]): The chunks. The indices of a single chunk are kept for the next
            call.
        """
        n_contributions = kernel.shape[0] * kernel.shape[1]
        if kernel.dim() == 3:
            # A quarter of the contributions of a product: it would be too narrow to be fast if all
            # had to fit.
            n_contributions //= 4
        n_cells = chunk_size(kernel.device) // (kernel.shape[-1] + n_contributions)
        if self.source.starts[-1] <= n_cells:
            return [self.single_chunk]
        return map(functools.partial(Chunk, self), self.source.split(n_cells))

    @functools.cached_property
    def single_chunk(self) -> Chunk:
        """All rows as one chunk."""
        return Chunk(self, self.source.rows)

    @functools.cached_property
    def windows(self) -> Neighbours:
        """The source cells in the window of each target cell."""
        return Neighbours(self.layout, self.target, self.source, self.down, self.right)

    @functools.cached_property
    def readers(self) -> Neighbours:
        """The target cells whose windows hold each source cell."""
        return Neighbours(self.layout, self.source, self.target, -self.down, -self.right)


class Cells(Protocol):
    """The input cells of a layer, computed from stored values; again in the backward pass."""

    def activations(self, values: Tensor, chunk: Chunk) -> Tensor:
        """Compute the cells of a chunk, then any numbers: (padded cells, channels)."""

    def add_gradient(self, d_values: Tensor, d_cells: Tensor, cells: Tensor, chunk: Chunk) -> None:
        """Add the gradient of a chunk's cells to the values' gradient.

        The cells and their gradient are overwritten.
        """


class PairCells:
    """The cells of the first layer: the ReLU of the sum of a row's and a column's vector."""

    def activations(self, values: Tensor, chunk: Chunk) -> Tensor:
        """Compute a chunk's cells from the vectors of `WordVectors`; see `Cells`."""
        return F.embedding_bag(chunk.source_numbers, values, mode="sum").relu_()

    def add_gradient(self, d_values: Tensor, d_cells: Tensor, cells: Tensor, chunk: Chunk) -> None:
        """Add the gradient of a chunk's cells to the vectors' gradient; see `Cells`."""
        d_cells.mul_(cells.sign_())
        for summand in chunk.source_numbers[: chunk.n_cells].unbind(1):
            d_values.index_add_(0, summand, d_cells)


class HiddenCells(NamedTuple):
    """The cells of a following hidden layer: the ReLU of its output, with dropout.

    mask (Tensor | None): Dropout's factors for each sentence, (sentences, channels), if there is
        dropout.
    """

    mask: Tensor | None

    def activations(self, values: Tensor, chunk: Chunk) -> Tensor:
        """Compute a chunk's cells from the layer's output; see `Cells`."""
        padded = values.new_zeros(chunk.n_padded, values.shape[1])
        cells = torch.clamp_min(values[chunk.cells], 0.0, out=padded[: chunk.n_cells])
        if self.mask is not None:
            cells.mul_(self._factors(self.mask, chunk))
        return padded

    def add_gradient(self, d_values: Tensor, d_cells: Tensor, cells: Tensor, chunk: Chunk) -> None:
        """Write the gradient of a chunk's cells to the output's gradient; see `Cells`."""
        d_cells.mul_(cells.sign_())
        if self.mask is not None:
            d_cells.mul_(self._factors(self.mask, chunk))
        d_values[chunk.cells] = d_cells

    @staticmethod
    def _factors(mask: Tensor, chunk: Chunk) -> Tensor:
        return mask.index_select(0, chunk.source_numbers[: chunk.n_cells, 0])


class Convolution(Function):
    """A following convolution."""

    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        kernel: Tensor,
        bias: Tensor,
        cells: Cells,
        step: Step,
        products: Products,
    ) -> Tensor:
        """Compute the layer's output.

        values (Tensor): The values that the source cells are made from.
        kernel (Tensor): (k * k, channels, source channels) or, depthwise, (k * k, channels).
        bias (Tensor): (channels,).
        cells (Cells): Makes the source cells.
        step (Step): The cells that the layer connects.
        products (Products): Computes matrix products.
        RETURNS (Tensor): (target cells, channels).
        """
        ctx.save_for_backward(values, kernel)
        ctx.cells, ctx.step, ctx.products = cells, step, products
        n_positions, n_channels = kernel.shape[:2]
        targets = bias.repeat(step.target.starts[-1], 1)
        buffer = kernel.new_empty(0)
        for chunk in step.chunks(kernel):
            if len(buffer) < chunk.n_padded + 2:
                buffer = kernel.new_empty(chunk.n_padded + 2, n_positions * n_channels)
            contributions = buffer[: chunk.n_padded + 2]
            inputs = cells.activations(values, chunk)
            if kernel.dim() == 2:
                by_position = contributions[1:-1].unflatten(1, kernel.shape)
                torch.mul(inputs[:, None], kernel, out=by_position)
            else:
                by_channel = kernel.flatten(0, 1).t()
                products.multiply_into(contributions[1:-1], inputs, by_channel, kernel.dtype)
            # The cells before and after the chunk's cells stand for all outside the chunk.
            contributions[0] = contributions[chunk.n_cells + 1] = 0
            by_slot = contributions.view(-1, n_channels).to(targets.dtype)
            targets[chunk.targets] += F.embedding_bag(chunk.slots, by_slot, mode="sum")
        return targets

    @staticmethod
    def backward(ctx: Any, *d_outputs: Tensor) -> tuple[Tensor | None, ...]:
        """Compute the gradients of the values, the kernel and the bias."""
        (values, kernel), (d_targets,) = ctx.saved_tensors, d_outputs
        cells, step, products = ctx.cells, ctx.step, ctx.products
        d_values = torch.zeros_like(values)
        d_kernel = d_targets.new_zeros(kernel.shape)
        for chunk in step.chunks(kernel):
            inputs = cells.activations(values, chunk)
            d_reached = F.pad(d_targets[chunk.targets], (0, 0, 1, 0))
            d_contributions = d_reached.index_select(0, chunk.readers.flatten())
            d_contributions = d_contributions.view(chunk.n_padded, -1)
            if kernel.dim() == 2:
                by_position = d_contributions.unflatten(1, kernel.shape)
                d_kernel += (by_position * inputs[:, None]).sum(0)
                d_inputs = by_position.mul_(kernel).sum(1)
            else:
                by_channel = kernel.flatten(0, 1)
                d_inputs = torch.empty_like(inputs)
                products.multiply_into(
                    d_kernel.flatten(0, 1), d_contributions.t(), inputs, kernel.dtype, add=True
                )
                products.multiply_into(d_inputs, d_contributions, by_channel, kernel.dtype)
            n_cells = chunk.n_cells
            cells.add_gradient(d_values, d_inputs[:n_cells], inputs[:n_cells], chunk)
        return d_values, d_kernel.to(kernel.dtype), d_targets.sum(0), None, None, None


def _weight_and_bias(conv: nn.Module) -> tuple[Tensor, Tensor]:
    """Return the weight of a convolution, as a matrix with a row for each channel, and the bias."""
    layer = cast(nn.Conv2d, conv)
    return layer.weight.flatten(1), cast(Tensor, layer.bias)


def _round_up(n_cells: int) -> int:
    """Round a number of cells up to one of few sizes."""
    unit = ROUND_CELLS
    if n_cells < 2 * ROUND_CELLS:
        unit = ROUND_FEW_CELLS
    return -(-n_cells // unit) * unit
