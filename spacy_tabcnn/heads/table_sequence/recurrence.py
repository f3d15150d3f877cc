"""A gated recurrence over a table, from two opposite corners: one step per diagonal.

The gates of a cell are sums of three products:

- with the vector of the cell itself, which is made of the words of its row and its column,
- with the states of its left and its upper neighbour,
- with the state of the same cell in the table below, from the second table on.

Only the neighbours are on the way from diagonal to diagonal. The other products are computed for
blocks of diagonals beforehand.

Training keeps nothing but the states. The backward pass computes the gates of a block from them
again, all at once, and from the gates the derivative of each state with respect to each sum. So a
step backwards is one elementwise product, one matrix product and one sum.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from .diagonals import Block, Diagonals

# In bfloat16, a CPU takes several times as long to make the kernel of a product of a new size as to
# run it. So the number of rows is rounded up.
ROUND_ROWS = 64


def block_size(device: torch.device) -> int:
    """Return the number of cells of a block: a CPU's cache holds them, or they keep a GPU busy.

    device (torch.device): The device.
    RETURNS (int): The number.
    """
    if device.type == "cpu":
        return 512
    return 2**13


class Weights(NamedTuple):
    """The weights of a recurrence. Their first axis are its two directions.

    Their columns are the sums of a cell, each as wide as the state of a direction: the part of the
    neighbours in the candidate, the reset gate, the update gate, the shares of the neighbours in
    the mix, and the part of the cell in the candidate. The shares of two neighbours are one sum,
    the shares of three are three sums.

    cell (Tensor): For the vector of a cell, (2, n_in, sums): all sums but the first.
    neighbours (Tensor): For the states of the left neighbour, the upper neighbour and, from the
        second table on, the same cell of the table below, (2, neighbours * width, sums): all sums
        but the last.
    bias (Tensor): (2, sums): all sums.
    """

    cell: Tensor
    neighbours: Tensor
    bias: Tensor

    @property
    def width(self) -> int:
        """Return the width of the state of a direction."""
        return self.bias.shape[1] - self.cell.shape[2]

    @property
    def around(self) -> Tensor:
        """Return the weights of the left and the upper neighbour."""
        return self.neighbours[:, : 2 * self.width]

    @property
    def below(self) -> Tensor:
        """Return the weights of the table below. In the first table, they have no rows."""
        return self.neighbours[:, 2 * self.width :]

    def to(self, precision: torch.dtype) -> "Weights":
        """Convert the factors of products to a precision."""
        return Weights(self.cell.to(precision), self.neighbours.to(precision), self.bias)


class Recurrence(Function):
    """The states of all cells of a table. It can be differentiated once."""

    @staticmethod
    def forward(
        ctx: Any,
        rows: Tensor,
        columns: Tensor,
        below: Tensor | None,
        cell: Tensor,
        neighbours: Tensor,
        bias: Tensor,
        diagonals: Diagonals,
        precision: torch.dtype,
    ) -> Tensor:
        """Compute the states.

        rows (Tensor): The parts of the words of the rows in the vectors of cells, (words, n_in).
            The vector of a cell is the ReLU of the sum of two parts.
        columns (Tensor): The parts of the words of the columns, likewise.
        below (Tensor | None): The states of the table below, as this returns them.
        cell (Tensor): See `Weights`, as for the next two arguments.
        neighbours (Tensor): Weights of the states of neighbours.
        bias (Tensor): Biases.
        diagonals (Diagonals): The cells.
        precision (torch.dtype): The type in which products are computed.
        RETURNS (Tensor): The states, (2, 1 + cells, width), each direction in its own order of
            cells. The first row is zero, as are all states outside a table.
        """
        inputs = Inputs(rows, columns, below)
        weights = Weights(cell, neighbours, bias).to(precision)
        states = compute_states(inputs, weights, diagonals)
        ctx.save_for_backward(*inputs, cell, neighbours, bias, states)
        ctx.diagonals, ctx.precision = diagonals, precision
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_states: Tensor) -> tuple[Tensor | None, ...]:
        """Compute the gradients of the first six arguments."""
        *tensors, cell, neighbours, bias, states = ctx.saved_tensors
        weights = Weights(cell, neighbours, bias).to(ctx.precision)
        gradients = Gradients(Inputs(*tensors), weights, ctx.diagonals)
        gradients.compute(states, d_states)
        return (*gradients.of_inputs, *gradients.of_weights, None, None)


class Inputs(NamedTuple):
    """The first three arguments of `Recurrence.forward`, or their gradients."""

    rows: Tensor
    columns: Tensor
    below: Tensor | None

    def vectors(self, diagonals: Diagonals, cells: slice) -> Tensor:
        """Compute the vectors of some cells.

        diagonals (Diagonals): The cells.
        cells (slice): Places of some of them.
        RETURNS (Tensor): (2, cells, n_in).
        """
        vectors = self.rows.index_select(0, diagonals.rows[:, cells].flatten())
        vectors += self.columns.index_select(0, diagonals.columns[:, cells].flatten())
        return vectors.relu_().unflatten(0, (2, -1))


class Cells(NamedTuple):
    """Everything from which the states of the cells of a block are computed.

    vectors (Tensor): The vectors of the cells, (2, cells, n_in).
    neighbours (Tensor): The states of their neighbours, (2, cells, neighbours, width).
    sums (Tensor): The sums of products, (2, cells, sums, width); see `Weights`.
    """

    vectors: Tensor
    neighbours: Tensor
    sums: Tensor

    @classmethod
    def prepare(
        cls, inputs: Inputs, weights: Weights, diagonals: Diagonals, block: Block
    ) -> "Cells":
        """Compute the products that do not depend on the left and the upper neighbour.

        There is room for the states of these two.
        """
        vectors = inputs.vectors(diagonals, block.places)
        n_cells, width = vectors.shape[1], weights.width
        n_neighbours = weights.neighbours.shape[1] // width
        neighbours = vectors.new_empty(2, n_cells, n_neighbours, width)
        sums = vectors.new_empty(2, n_cells, weights.bias.shape[1] // width, width)
        sums.copy_(weights.bias.view(2, 1, -1, width).expand_as(sums))
        cells = cls(vectors, neighbours, sums)
        add_product(cells.sums_of_vectors, vectors, weights.cell)
        if inputs.below is not None:
            below = inputs.below[:, block.states]
            neighbours[:, :, 2] = below
            add_product(cells.sums_of_neighbours, below, weights.below)
        return cells

    @property
    def around(self) -> Tensor:
        """The states of the left and the upper neighbour, (2, cells, 2 * width)."""
        return self.neighbours[:, :, :2].flatten(2)

    @property
    def sums_of_neighbours(self) -> Tensor:
        """The sums in which neighbours have a part: all but the last, (2, cells, sums * width)."""
        return self.sums[:, :, :-1].flatten(2)

    @property
    def sums_of_vectors(self) -> Tensor:
        """The sums in which vectors have a part: all but the first, (2, cells, sums * width)."""
        return self.sums[:, :, 1:].flatten(2)

    def split(self, sizes: list[int]) -> Iterator["Cells"]:
        """Divide the cells into those of each diagonal."""
        parts = (array.split(sizes, dim=1) for array in self)
        return map(Cells, *parts)

    def add_around(self, states: Tensor, places: Tensor, weights: Tensor) -> None:
        """Put the left and the upper neighbours in, and add their products.

        states (Tensor): All states so far, (2, 1 + cells, width).
        places (Tensor): The rows of both neighbours of each cell, int64 (2 * cells,).
        weights (Tensor): See `Weights.around`.
        """
        around = self.around
        around.copy_(states.index_select(1, places).view_as(around))
        add_product(self.sums_of_neighbours, around, weights)


class Gates(NamedTuple):
    """The gates of some cells.

    reset (Tensor): The reset gate r, (2, cells, 1, width).
    update (Tensor): The update gate z, likewise.
    shares (Tensor): The shares of the neighbours in the mix, (2, cells, neighbours, width).
    candidate (Tensor): The candidate for the new state, (2, cells, 1, width).
    mix (Tensor): The mix of the states of the neighbours, likewise.
    """

    reset: Tensor
    update: Tensor
    shares: Tensor
    candidate: Tensor
    mix: Tensor

    @classmethod
    def of(cls, cells: Cells) -> "Gates":
        """Compute the gates of cells with complete sums."""
        of_neighbours, gates, shares, of_cell = _split_sums(cells.sums)
        reset, update = gates.sigmoid().split(1, 2)
        candidate = torch.addcmul(of_cell + of_neighbours, reset, of_neighbours, value=-1.0)
        shares = _share(shares)
        mix = (shares * cells.neighbours).sum(2, keepdim=True)
        return cls(reset, update, shares, candidate.tanh_(), mix)

    def states(self) -> Tensor:
        """Compute the states of the cells, (1 - z) candidate + z mix: (2, cells, width)."""
        return torch.lerp(self.candidate, self.mix, self.update).squeeze(2)

    def differentiate(self, cells: Cells) -> tuple[Tensor, Tensor]:
        """Compute the derivatives of the states.

        cells (Cells): The cells.
        RETURNS (tuple[Tensor, Tensor]): With respect to each sum, (2, cells, sums, width), and with
            respect to the neighbours as parts of the mix, (2, cells, neighbours, width).
        """
        of_neighbours, _, shares, _ = _split_sums(cells.sums)
        keep = 1.0 - self.update
        by_cell = keep * (1.0 - self.candidate.square())
        by_neighbours = by_cell * (1.0 - self.reset)
        by_reset = -by_neighbours * of_neighbours * self.reset
        by_update = (self.mix - self.candidate) * self.update * keep
        by_mix = self.shares * self.update
        by_shares = by_mix * (cells.neighbours - self.mix)
        by_shares = by_shares[:, :, : shares.shape[2]]
        by_sums = torch.cat([by_neighbours, by_reset, by_update, by_shares, by_cell], dim=2)
        return by_sums, by_mix


def _split_sums(sums: Tensor) -> tuple[Tensor, ...]:
    """Divide sums, (2, cells, sums, width), into four groups along their third axis.

    They are the part of the neighbours in the candidate, the reset and the update gate, the shares,
    and the part of the cell in the candidate.
    """
    return sums.split((1, 2, sums.shape[2] - 4, 1), dim=2)


def _share(sums: Tensor) -> Tensor:
    """Compute shares that add up to 1.

    sums (Tensor): (2, cells, sums, width): a sum for each share, or one sum for two shares.
    RETURNS (Tensor): (2, cells, shares, width).
    """
    if sums.shape[2] > 1:
        return sums.softmax(2)
    first = sums.sigmoid()
    return torch.cat([first, 1.0 - first], dim=2)


def compute_states(inputs: Inputs, weights: Weights, diagonals: Diagonals) -> Tensor:
    """Compute the states of a table, diagonal by diagonal; see `Recurrence.forward`."""
    states = inputs.rows.new_empty(2, 1 + len(diagonals.flipped), weights.width)
    states[:, 0] = 0.0
    around = weights.around
    for block in diagonals.blocks(block_size(states.device)):
        cells = Cells.prepare(inputs, weights, diagonals, block).split(block.sizes)
        new = states[:, block.states].split(block.sizes, dim=1)
        places = diagonals.before[block.places].split(block.sizes)
        for part, before, place in zip(cells, places, new, strict=True):
            part.add_around(states, before.flatten(), around)
            place.copy_(Gates.of(part).states())
    return states


class Gradients:
    """The gradients of the arguments of a recurrence.

    inputs (Inputs): The inputs.
    weights (Weights): The weights.
    diagonals (Diagonals): The cells.
    """

    def __init__(self, inputs: Inputs, weights: Weights, diagonals: Diagonals):
        self.inputs = inputs
        self.weights = weights
        self.diagonals = diagonals
        rows, columns, below = inputs
        d_below = None
        if below is not None:
            d_below = torch.empty_like(below)
            d_below[:, 0] = 0.0
        self.of_inputs = Inputs(torch.zeros_like(rows), torch.zeros_like(columns), d_below)
        self.of_weights = Weights(
            torch.zeros_like(weights.cell, dtype=rows.dtype),
            torch.zeros_like(weights.neighbours, dtype=rows.dtype),
            torch.zeros_like(weights.bias),
        )

    def compute(self, states: Tensor, d_states: Tensor) -> None:
        """Compute the gradients, block by block.

        states (Tensor): The states, (2, 1 + cells, width).
        d_states (Tensor): Their gradients, likewise.
        """
        # What the cells of a diagonal pass on to their left and upper neighbours, after a row of
        # zeros for those that pass on nothing.
        room = states.new_zeros(2, 1 + max(self.diagonals.sizes), 2, states.shape[2])
        for block in reversed(self.diagonals.blocks(block_size(states.device))):
            cells = Cells.prepare(self.inputs, self.weights, self.diagonals, block)
            before = self.diagonals.before[block.places].flatten()
            cells.add_around(states, before, self.weights.around)
            by_sums, by_mix = Gates.of(cells).differentiate(cells)
            d_block = self._go_back(block, d_states[:, block.states], by_sums, by_mix, room)
            self._add(block, cells._replace(sums=by_sums))
            self._pass_below(block, by_sums, by_mix, d_block)

    def _go_back(
        self, block: Block, d_states: Tensor, by_sums: Tensor, by_mix: Tensor, room: Tensor
    ) -> Tensor:
        """Turn the derivatives of a block into gradients, from its last diagonal to its first.

        d_states (Tensor): The gradients of the states, as far as they do not come from cells after
            them, (2, cells, width).
        by_sums (Tensor): The derivatives with respect to the sums. The gradients replace them.
        by_mix (Tensor): The derivatives with respect to the neighbours as parts of the mix.
        room (Tensor): The gradients that the diagonal after the block passes on, (2, 1 + cells, 2,
            width). The gradients that the first diagonal of the block passes on replace them.
        RETURNS (Tensor): The gradients of the states, (2, cells, 1, width).
        """
        d_all = torch.empty_like(d_states)[:, :, None]
        weights = self.weights.around.mT
        received = room.flatten(1, 2)
        arrays = d_states, d_all, by_sums, by_mix[:, :, :2]
        parts = [array.split(block.sizes, dim=1) for array in arrays]
        readers = self.diagonals.after[block.places].split(block.sizes)
        for after, d_given, d_new, d_sums, by_around in reversed(
            list(zip(readers, *parts, strict=True))
        ):
            passed = received.index_select(1, after.flatten()).unflatten(1, (-1, 2))
            torch.add(passed.sum(2, keepdim=True), d_given[:, :, None], out=d_new)
            d_sums.mul_(d_new)
            passed_on = room[:, 1 : 1 + len(after)]
            torch.mul(by_around, d_new, out=passed_on)
            add_product(passed_on.flatten(2), d_sums[:, :, :-1].flatten(2), weights)
        return d_all

    def _add(self, block: Block, cells: Cells) -> None:
        """Add the gradients of weights and of words; the sums of the cells hold their gradients."""
        by_vectors = cells.sums_of_vectors
        add_transposed_product(self.of_weights.cell, cells.vectors, by_vectors, self._precision)
        add_transposed_product(
            self.of_weights.neighbours,
            cells.neighbours.flatten(2),
            cells.sums_of_neighbours,
            self._precision,
        )
        self.of_weights.bias.add_(cells.sums.flatten(2).sum(1))
        d_vectors = torch.zeros_like(cells.vectors)
        add_product(d_vectors, by_vectors, self.weights.cell.mT)
        d_vectors = torch.ops.aten.threshold_backward(d_vectors, cells.vectors, 0.0).flatten(0, 1)
        rows, columns = self.diagonals.rows, self.diagonals.columns
        self.of_inputs.rows.index_add_(0, rows[:, block.places].flatten(), d_vectors)
        self.of_inputs.columns.index_add_(0, columns[:, block.places].flatten(), d_vectors)

    def _pass_below(self, block: Block, d_sums: Tensor, by_mix: Tensor, d_states: Tensor) -> None:
        """Compute the gradients of the states of the table below, if there is one."""
        if self.of_inputs.below is None:
            return
        d_below = self.of_inputs.below[:, block.states]
        torch.mul(by_mix[:, :, 2], d_states[:, :, 0], out=d_below)
        add_product(d_below, d_sums[:, :, :-1].flatten(2), self.weights.below.mT)

    @property
    def _precision(self) -> torch.dtype:
        return self.weights.cell.dtype


def add_product(out: Tensor, left: Tensor, right: Tensor) -> None:
    """Add a matrix product, computed in the precision of its right side, for both directions.

    out (Tensor): (2, rows, columns).
    left (Tensor): (2, rows, inner).
    right (Tensor): (2, inner, columns).
    """
    if right.dtype == out.dtype:
        out.baddbmm_(left, right)
    else:
        out += (_convert(left, right.dtype) @ right)[:, : out.shape[1]]


def add_transposed_product(
    out: Tensor, left: Tensor, right: Tensor, precision: torch.dtype
) -> None:
    """Add the product of a transposed matrix and a matrix, for both directions.

    out (Tensor): (2, rows, columns).
    left (Tensor): (2, inner, rows).
    right (Tensor): (2, inner, columns).
    precision (torch.dtype): The type in which the product is computed.
    """
    if precision == out.dtype:
        out.baddbmm_(left.mT, right)
    else:
        out += _convert(left, precision).mT @ _convert(right, precision)


def _convert(array: Tensor, precision: torch.dtype) -> Tensor:
    """Convert an array to a lower precision; on a CPU, with zeros up to a round number of rows."""
    array = array.to(precision)
    if array.device.type == "cpu":
        array = F.pad(array, (0, 0, 0, -array.shape[1] % ROUND_ROWS))
    return array
