"""The paper's table head: a 2-D CNN over the table of word pairs (section 2.2, equations 2-6), without the table.

Written plainly, the head convolves an n x n x 2d tensor per sentence. Here the same numbers come from four facts:

1. The input cell (i, j) is [e_i ; e_j], so the first convolution is a sum of a vector of the row's word and one of
   the column's word: 1-D convolutions over the sentence, whose kernels are the 2-D kernel summed along the other axis.
   Zero padding only shortens that sum near the border. See `_WordVectors`.
2. Only cells on and above the diagonal are read, so each layer is computed on that band of the table alone, widened
   by what the windows of the following layers reach. See `_Band`.
3. Sentences are ragged, not padded: all words of a batch end to end, all cells of a batch end to end. Each sentence
   keeps its own border, so a batch gives what its sentences give one by one.
4. A cell of the first layer is made sooner from its two vectors than read from memory, so forward and backward pass
   both make the cells chunk by chunk, in the cache, and never hold them all. See `_Convolution`.
"""

import functools
import itertools
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function

from ...runtime.products import multiply, multiply_into

# What the number of cells of a product is rounded up to.
ROUND_CELLS = 256


class TableCNN(nn.Module):
    """A CNN over word pairs whose last layer holds the relation logits and, on its diagonal, feeds the tag logits.

    width (int): Width d of a word embedding.
    n_tags (int): Number of BILOU tags |E|, "O" included.
    n_relations (int): Number of relation labels |R|, "none" (index 0) and both directions included.
    kernel_size (int): Odd width and height k of every kernel (paper, table 5).
    hidden (Sequence[int]): Channels of the L - 1 hidden layers (paper, table 5); at least one.
    dropout (float): Share of the word embeddings' elements that training drops, and of each hidden layer's
        channels, which it drops in all cells of a sentence alike.
    separable (bool): Whether each layer after the first is a depthwise convolution, k x k per channel, and a pointwise
        one, 1 x 1 (paper, section 5: future work).
    RAISES (ValueError): If a size cannot be built.
    """

    def __init__(
        self,
        width: int,
        n_tags: int,
        n_relations: int,
        *,
        kernel_size: int = 3,
        hidden: Sequence[int] = (512,),
        dropout: float = 0.3,
        separable: bool = False,
    ):
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(
                f"TableCNN: kernel_size is {kernel_size}; expected an odd number, such as 3 or 5"
            )
        if not hidden or min(width, n_tags, n_relations, *hidden) < 1:
            raise ValueError(
                f"TableCNN: width={width}, n_tags={n_tags}, n_relations={n_relations}, hidden={list(hidden)}; "
                "expected positive sizes and at least one hidden layer"
            )
        if not 0.0 <= dropout < 1.0:
            raise ValueError(
                f"TableCNN: dropout is {dropout}; expected a share from 0 up to, but not including, 1"
            )
        channels = [2 * width, *hidden, n_relations]
        self.kernel_size = kernel_size
        self.hidden = tuple(hidden)
        self.dropout = dropout
        self.convs = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(n_in, n_in, kernel_size, padding=kernel_size // 2, groups=n_in),
                nn.Conv2d(n_in, n_out, 1),
            )
            if separable and layer > 0
            else nn.Conv2d(n_in, n_out, kernel_size, padding=kernel_size // 2)
            for layer, (n_in, n_out) in enumerate(itertools.pairwise(channels))
        )
        self.tagger = nn.Linear(n_relations, n_tags)

    def forward(
        self, words: Tensor, lengths: Tensor, known_tags: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Score the tables of a batch of sentences.

        words (Tensor): Word embeddings, float (sum(lengths), width), the sentences of the batch end to end.
        lengths (Tensor): Words per sentence, int64 (batch,). Keep it on the CPU: sizes are read from it.
        known_tags (Tensor | None): Not read: here no tag depends on another.
        RETURNS (tuple[Tensor, Tensor]): Tag logits (sum(lengths), n_tags) and relation logits
            (sum(n(n-1)/2), n_relations): the cells i < j of each sentence, row by row, sentence by sentence.
        RAISES (ValueError): If the lengths do not add up to the number of words.
        """
        lengths = lengths.cpu()
        n_words = int(lengths.sum())
        if n_words != len(words):
            raise ValueError(
                f"TableCNN: the lengths add up to {n_words} words, but {len(words)} embeddings came"
            )
        if not n_words:
            return words.new_zeros(0, self.tagger.out_features), words.new_zeros(
                0, self.tagger.in_features
            )
        device = words.device.type
        precision = (
            torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else words.dtype
        )
        # Left to autocast, sums would be rounded too: below, each product is told its precision instead.
        with torch.autocast(device, enabled=False):
            layout = _Layout.of(lengths, words.device)
            words = F.dropout(words, self.dropout, self.training)
            pairs = _Pairs.of(layout, self.kernel_size // 2, margin=self._reach_from(0))
            vectors = self._word_vectors(words, layout, pairs, precision)
            tags, relations = zip(
                *(
                    self._logits(vectors, rows, layout, pairs, precision)
                    for rows in self._parts(layout)
                ),
                strict=True,
            )
            return torch.cat(tags), torch.cat(relations)

    def _word_vectors(
        self, words: Tensor, layout: "_Layout", pairs: "_Pairs", precision: torch.dtype
    ) -> Tensor:
        """Row and column vectors of the first layer: (vectors, hidden[0]), in the order that `_Pairs` defines."""
        conv = cast(nn.Conv2d, self.convs[0])
        neighbours = layout.neighbours(self.kernel_size)
        windows = (
            F.pad(words, (0, 0, 1, 0)).index_select(0, neighbours.flatten()).view(len(words), -1)
        )
        vectors: Tensor = _WordVectors.apply(windows, conv.weight, conv.bias, pairs.near, precision)
        if self.training:
            # Masking both summands masks their sum, on far fewer rows than there are cells; ReLU keeps zeros zero.
            mask = self._channel_mask(layout, vectors)
            vectors = vectors * mask.index_select(0, layout.sentence.index_select(0, pairs.word))
        return vectors

    def _parts(self, layout: "_Layout") -> Iterable[range]:
        """Divide the batch's rows so that the hidden layers that have to be stored, from the second on, stay small.

        A part computes the rows round it again that its neighbours compute too, so training, which has to store all
        parts for the backward pass anyway, does not divide.
        """
        rows = range(len(layout.sentence))
        if torch.is_grad_enabled() or len(self.hidden) == 1:
            return [rows]
        stored = _Band.of(layout, rows, lowest=-self._reach_from(1))
        return stored.split(32 * _chunk_size(layout.sentence.device) // sum(self.hidden))

    def _logits(
        self,
        vectors: Tensor,
        rows: range,
        layout: "_Layout",
        pairs: "_Pairs",
        precision: torch.dtype,
    ) -> tuple[Tensor, Tensor]:
        """Tag and relation logits of some rows of the batch's tables, from the vectors of the first layer."""
        last = len(self.convs) - 1
        bands = [
            _Band.of(
                layout,
                layout.widen(rows, self._reach_from(layer) // 2),
                lowest=-self._reach_from(layer),
            )
            for layer in range(last + 1)
        ]
        cells, source = vectors, cast(_Source, pairs)
        for layer in range(1, last + 1):
            step = _Step(layout, bands[layer - 1], bands[layer], self.kernel_size, source)
            cells = self._convolve(cells, layer, step, precision)
            mask = self._channel_mask(layout, cells) if self.training and layer < last else None
            source = _Activations(layout, mask)
        diagonal, above = bands[last].diagonal_and_above()
        return self.tagger(cells.index_select(0, diagonal)), cells.index_select(0, above)

    def _convolve(
        self, source: Tensor, layer: int, step: "_Step", precision: torch.dtype
    ) -> Tensor:
        """Output of a following layer: (target cells, channels)."""
        conv = self.convs[layer]
        if isinstance(conv, nn.Conv2d):
            kernel = conv.weight.permute(2, 3, 0, 1).flatten(0, 1).to(precision).contiguous()
            return _Convolution.apply(source, kernel, conv.bias, step)
        depthwise, pointwise = (cast(nn.Conv2d, part) for part in cast(nn.Sequential, conv))
        by_position, by_channel = depthwise.weight.flatten(1).t(), pointwise.weight.flatten(1)
        depthwise_bias, pointwise_bias = cast(Tensor, depthwise.bias), cast(Tensor, pointwise.bias)
        if layer == len(self.hidden):
            # With as few channels as there are labels, one product with both kernels' product is faster than two steps.
            kernel = (by_position[:, None] * by_channel).to(precision)
            return _Convolution.apply(
                source, kernel, by_channel @ depthwise_bias + pointwise_bias, step
            )
        cells = _Convolution.apply(source, by_position, depthwise_bias, step)
        return F.linear(
            cells.to(precision), by_channel.to(precision), pointwise_bias.to(precision)
        ).to(cells.dtype)

    def _reach_from(self, layer: int) -> int:
        """How far below the diagonal the cells of a layer are read by those on it through the layers that follow."""
        return 2 * (self.kernel_size // 2) * (len(self.convs) - 1 - layer)

    def _channel_mask(self, layout: "_Layout", activations: Tensor) -> Tensor:
        """Dropout's factor for each channel of each sentence: (batch, channels)."""
        return F.dropout(
            activations.new_ones(len(layout.lengths), activations.shape[-1]), self.dropout
        )


class _Layout(NamedTuple):
    """Where each word of a batch stands: int64 tensors of shape (words,) on the embeddings' device.

    The same numbers on the CPU decide on sizes and chunks, so that a GPU is never waited for.
    """

    lengths: Tensor  # (batch,) on the CPU
    host: Tensor  # (3, words) on the CPU: the three that follow
    sentence: Tensor  # index of its sentence
    before: Tensor  # number of words before it in its sentence
    after: Tensor  # number of words after it in its sentence

    @classmethod
    def of(cls, lengths: Tensor, device: torch.device) -> "_Layout":
        sentence = torch.repeat_interleave(lengths)
        before = torch.arange(len(sentence)) - (lengths.cumsum(0) - lengths)[sentence]
        host = torch.stack([sentence, before, lengths[sentence] - 1 - before])
        return cls(lengths, host, *host.to(device, non_blocking=True).unbind())

    def words(self, rows: range | None = None) -> Tensor:
        rows = rows or range(len(self.sentence))
        return torch.arange(rows.start, rows.stop, device=self.sentence.device)

    def inside(self, offsets: Tensor) -> Tensor:
        """Tell whether a word's neighbour at each offset is in the same sentence: bool (words, offsets)."""
        return (offsets >= -self.before[:, None]) & (offsets <= self.after[:, None])

    def neighbours(self, kernel_size: int) -> Tensor:
        """Number the k words round each word from 1 on, with 0 for those outside its sentence: (words, k)."""
        offsets = self.words(range(kernel_size)) - kernel_size // 2
        return (self.words()[:, None] + offsets + 1) * self.inside(offsets)

    def widen(self, rows: range, reach: int) -> range:
        """Add the rows of the same sentences up to `reach` rows before and after."""
        _, before, _ = self.host[:, rows.start].tolist()
        _, _, after = self.host[:, rows.stop - 1].tolist()
        return range(rows.start - min(reach, before), rows.stop + min(reach, after))


class _Band(NamedTuple):
    """The cells with j - i >= lowest in some rows of a batch of tables, row by row.

    Rows and columns are named by the index of their word in the batch.
    """

    rows: range
    lowest: int
    starts: list[int]  # (rows + 1,) index of the first cell of each row, then the number of cells
    n_cells: Tensor  # (rows,) on the embeddings' device
    origin: Tensor  # (rows,) on the embeddings' device: cell (i, j) has the index origin[i] + j

    @classmethod
    def of(cls, layout: _Layout, rows: range, *, lowest: int) -> "_Band":
        _, before, after = layout.host[:, rows.start : rows.stop]
        n_before = before.clamp(max=-lowest)
        n_cells = n_before + 1 + after
        stops = n_cells.cumsum(0)
        first_col = torch.arange(rows.start, rows.stop) - n_before
        by_row = torch.stack([n_cells, stops - n_cells - first_col])
        return cls(
            rows,
            lowest,
            [0, *stops.tolist()],
            *by_row.to(layout.sentence.device, non_blocking=True),
        )

    def split(self, n_cells: int) -> Iterator[range]:
        """Divide the rows so that each part has at most so many cells, or one row."""
        stop = 0
        while stop < len(self.rows):
            start = stop
            stop = max(start + 1, bisect_right(self.starts, self.starts[start] + n_cells) - 1)
            yield self.rows[start:stop]

    def local(self, rows: range) -> slice:
        """Where some rows stand among those of the band."""
        return slice(rows.start - self.rows.start, rows.stop - self.rows.start)

    def span(self, rows: range) -> slice:
        """Where the cells of some rows stand among those of the band."""
        local = self.local(rows)
        return slice(self.starts[local.start], self.starts[local.stop])

    def count(self, rows: range) -> int:
        """Count the cells of some rows."""
        span = self.span(rows)
        return span.stop - span.start

    def cells(self, rows: range) -> tuple[Tensor, Tensor]:
        """Give the row and the column of each cell of some rows."""
        local, span = self.local(rows), self.span(rows)
        row = torch.repeat_interleave(self.n_cells[local], output_size=span.stop - span.start)
        cell = torch.arange(span.start, span.stop, device=row.device)
        return row + rows.start, cell - self.origin[local].index_select(0, row)

    def diagonal_and_above(self) -> tuple[Tensor, Tensor]:
        """Give the indices of the cells i = j and i < j of a band that begins on the diagonal."""
        n_above = self.starts[-1] - len(self.rows)
        row = torch.repeat_interleave(self.n_cells - 1, output_size=n_above)
        return self.n_cells.cumsum(0) - self.n_cells, torch.arange(
            n_above, device=row.device
        ) + row + 1


class _Source(Protocol):
    """What a layer's input cells are computed from, again in the backward pass rather than stored."""

    def activations(self, source: Tensor, band: _Band, rows: range, size: int) -> Tensor:
        """Compute the cells of some rows of a band, followed by any numbers: (size, channels)."""

    def add_gradient(
        self, d_source: Tensor, d_cells: Tensor, cells: Tensor, band: _Band, rows: range
    ) -> None:
        """Add to the source's gradient what comes from the cells'; the cells and their gradient are overwritten."""


class _Pairs(NamedTuple):
    """Which two of the `_WordVectors` add up to each cell of the first layer.

    All words have vectors for each number of window offsets that the border's far side cuts off (the last columns for
    a row's word, the first rows for a column's word). Cells that the near side cuts lie in the corners of the band, so
    only the first words of a sentence, or the last, have vectors for these.
    """

    reach: int
    layout: _Layout
    near: (
        Tensor  # (2, near words) the first words of each sentence; the last words of each sentence
    )
    near_index: Tensor  # (2, words) where a word that is near stands among them
    code: Tensor  # (2, words) what a row's word adds for a column, and a column's word for a row, to its own index

    @classmethod
    def of(cls, layout: _Layout, reach: int, *, margin: int) -> "_Pairs":
        lengths, device, n_words = layout.lengths, layout.sentence.device, len(layout.sentence)
        n_near = lengths.clamp(max=reach + margin) if reach else torch.zeros_like(lengths)
        start = n_near.cumsum(0) - n_near
        sentence = torch.repeat_interleave(n_near)
        distance = torch.arange(len(sentence)) - start[sentence]
        stop = lengths.cumsum(0)[sentence]
        near = torch.stack([stop - lengths[sentence] + distance, stop - 1 - distance])
        near_index = start[layout.host[0]] + layout.host[1:]

        cut = (reach - torch.stack([layout.before, layout.after])).clamp(min=0)
        near_cut, far_cut = cut, cut.flip(0)
        in_corner = (reach + 1) * n_words + ((near_cut - 1) * (reach + 1) + far_cut) * near.shape[1]
        n_vectors = (reach + 1) * (n_words + reach * near.shape[1])
        code = torch.where(near_cut > 0, in_corner, far_cut * n_words)
        code[1] += n_vectors
        return cls(
            reach,
            layout,
            near.to(device, non_blocking=True),
            near_index.to(device, non_blocking=True),
            code,
        )

    @property
    def word(self) -> Tensor:
        """The word of each vector."""
        by_axis = [
            [self.layout.words()] * (self.reach + 1) + [near] * (self.reach * (self.reach + 1))
            for near in self.near
        ]
        return torch.cat([*by_axis[0], *by_axis[1]])

    def activations(self, source: Tensor, band: _Band, rows: range, size: int) -> Tensor:
        summands = torch.stack(self.summands(band, rows), dim=1)
        return F.embedding_bag(
            F.pad(summands, (0, 0, 0, size - len(summands))), source, mode="sum"
        ).relu_()

    def add_gradient(
        self, d_source: Tensor, d_cells: Tensor, cells: Tensor, band: _Band, rows: range
    ) -> None:
        d_cells.mul_(cells.sign_())
        for summand in self.summands(band, rows):
            d_source.index_add_(0, summand, d_cells)

    def summands(self, band: _Band, rows: range) -> tuple[Tensor, Tensor]:
        """Give the indices of the two vectors of each cell."""
        row, col = band.cells(rows)
        near_row = torch.where(self.layout.before[col] < self.reach, self.near_index[0, row], row)
        near_col = torch.where(self.layout.after[row] < self.reach, self.near_index[1, col], col)
        return near_row + self.code[0, col], near_col + self.code[1, row]


class _Activations(NamedTuple):
    """The ReLU of a layer's output, and dropout's factors if the layer is trained."""

    layout: _Layout
    mask: Tensor | None  # (batch, channels)

    def activations(self, source: Tensor, band: _Band, rows: range, size: int) -> Tensor:
        inputs = source[band.span(rows)]
        padded = source.new_zeros(size, source.shape[1])
        cells = torch.clamp_min(inputs, 0.0, out=padded[: len(inputs)])
        if self.mask is not None:
            cells.mul_(self.factors(band, rows))
        return padded

    def add_gradient(
        self, d_source: Tensor, d_cells: Tensor, cells: Tensor, band: _Band, rows: range
    ) -> None:
        d_cells.mul_(cells.sign_())
        if self.mask is not None:
            d_cells.mul_(self.factors(band, rows))
        d_source[band.span(rows)] = d_cells

    def factors(self, band: _Band, rows: range) -> Tensor:
        row, _ = band.cells(rows)
        return cast(Tensor, self.mask).index_select(0, self.layout.sentence.index_select(0, row))


class _WordVectors(Function):
    """The first convolution, computed on words: the row vectors and column vectors of `_Pairs`.

    With the kernel split into the half that reads e_i and the half that reads e_j, and h, w from -a to a,

        H1[i, j] = b + sum of Row_w[i] over 0 <= j+w < n  +  sum of Col_h[j] over 0 <= i+h < n
        Row_w[i] = sum over h of Krow[:, :, h, w] e_(i+h)
        Col_h[j] = sum over w of Kcol[:, :, h, w] e_(j+w)

    where e outside the sentence is zero. Both sums run over one interval of offsets, so they are differences of two
    prefix sums: over w from -a on for rows and, mirrored, over h from a down for columns. A prefix sum of the kernel is
    a kernel, so each costs one product of all windows of k words. Those that begin at -a and lack only the far end,
    a + 1 of them, are needed for all words; the a that are subtracted, at the near end of the sentence only.
    """

    @staticmethod
    def forward(
        ctx: Any,
        windows: Tensor,
        weight: Tensor,
        bias: Tensor,
        near: Tensor,
        precision: torch.dtype,
    ) -> Tensor:
        """windows: (words, k * width), weight: (channels, 2 * width, k, k). RETURNS: (vectors, channels)."""
        n_channels, reach = len(weight), weight.shape[-1] // 2
        n_words, n_near = len(windows), near.shape[1]
        kernel = weight.permute(0, 2, 3, 1).contiguous()
        ctx.save_for_backward(windows, kernel, near)
        ctx.precision = precision
        vectors = bias.new_empty(2, (reach + 1) * (n_words + reach * n_near), n_channels)
        far, corner = _split_vectors(vectors, n_words, n_near, reach)
        cut = bias.new_empty(2, reach, n_near, n_channels)
        inputs = _inputs_by_offset(windows[near].to(precision), windows.to(precision), reach)
        for axis, outputs in enumerate(_by_offset(cut, far)):
            for output, words, prefix in zip(
                outputs, inputs[axis], _prefix_kernels(kernel, axis), strict=True
            ):
                multiply_into(output, words, prefix.t(), precision)
        far[0] += bias
        for axis in range(2):
            torch.sub(far[axis][:, near[axis]], cut[axis][:, None], out=corner[axis])
        return vectors.flatten(0, 1)

    @staticmethod
    def backward(ctx: Any, *d_outputs: Tensor) -> tuple[Tensor | None, ...]:
        windows, kernel, near = ctx.saved_tensors
        precision, needs_words = ctx.precision, ctx.needs_input_grad[0]
        reach = kernel.shape[1] // 2
        far, corner = _split_vectors(
            d_outputs[0].unflatten(0, (2, -1)), len(windows), near.shape[1], reach
        )
        d_far, d_cut = far.clone(), -corner.sum(2)
        for axis in range(2):
            d_far[axis].index_add_(1, near[axis], corner[axis].sum(0))
        near_windows, d_windows, d_kernel = (
            windows[near],
            torch.zeros_like(windows),
            torch.empty_like(kernel),
        )
        d_near = torch.zeros_like(near_windows)
        inputs = _inputs_by_offset(near_windows.to(precision), windows.to(precision), reach)
        d_inputs = _inputs_by_offset(d_near, d_windows, reach)
        for axis, d_sums in enumerate(_by_offset(d_cut, d_far)):
            # A kernel is part of the prefix sums that end at its offset or later.
            d_prefix = kernel.new_zeros(len(kernel), windows.shape[1])
            by_offset = zip(_axis_kernels(d_kernel, axis), d_sums, inputs[axis], strict=True)
            for d_part, d_sum, words in reversed([*by_offset]):
                multiply_into(d_prefix, d_sum.t(), words, precision, add=True)
                d_part.copy_(d_prefix.view_as(d_part))
            if needs_words:
                for d_words, d_sum, prefix in zip(
                    d_inputs[axis], d_sums, _prefix_kernels(kernel, axis), strict=True
                ):
                    multiply_into(d_words, d_sum, prefix, precision, add=True)
        d_windows.index_add_(0, near.flatten(), d_near.flatten(0, 1))
        d_weight = d_kernel.permute(0, 3, 1, 2).contiguous()
        return (
            d_windows if needs_words else None,
            d_weight,
            far[0].sum((0, 1)) + corner[0].sum((0, 1, 2)),
            None,
            None,
        )


class _Convolution(Function):
    """A following convolution, from the cells of one band to those of the next.

    First each source cell's contribution through each of the k*k kernel positions is computed, then a target cell sums
    the contributions of its window. Cells outside the sentence contribute nothing, as zero padding does.
    """

    @staticmethod
    def forward(ctx: Any, source: Tensor, kernel: Tensor, bias: Tensor, step: "_Step") -> Tensor:
        """kernel: (k * k, channels, source channels), or for a depthwise convolution (k * k, channels).

        RETURNS: (target cells, channels).
        """
        ctx.save_for_backward(source, kernel)
        ctx.step = step
        n_positions, n_channels = kernel.shape[:2]
        targets = bias.repeat(step.target.starts[-1], 1)
        buffer = kernel.new_empty(0)
        for rows in step.split(kernel):
            cells = step.activations(source, rows)
            if len(buffer) < len(cells) + 2:
                buffer = kernel.new_empty(len(cells) + 2, n_positions * n_channels)
            contributions = buffer[: len(cells) + 2]
            if kernel.dim() == 2:
                torch.mul(
                    cells[:, None], kernel, out=contributions[1:-1].unflatten(1, kernel.shape)
                )
            else:
                contributions[1:-1] = multiply(cells.to(kernel.dtype), kernel.flatten(0, 1).t())
            # What lies outside the chunk is read from the row before its cells and the row after them.
            contributions[0] = contributions[step.source.count(rows) + 1] = 0
            reached, slots = step.slots(rows)
            by_slot = contributions.view(-1, n_channels).to(targets.dtype)
            targets[step.target.span(reached)] += F.embedding_bag(slots, by_slot, mode="sum")
        return targets

    @staticmethod
    def backward(ctx: Any, *d_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (source, kernel), step, (d_targets,) = ctx.saved_tensors, ctx.step, d_outputs
        d_source = torch.zeros_like(source)
        d_kernel = d_targets.new_zeros(kernel.shape)
        for rows in step.split(kernel):
            cells, n_cells = step.activations(source, rows), step.source.count(rows)
            reached, indices = step.target_indices(rows)
            indices = F.pad(indices, (0, 0, 0, len(cells) - n_cells))
            d_reached = F.pad(d_targets[step.target.span(reached)], (0, 0, 1, 0))
            d_contributions = d_reached.index_select(0, indices.flatten()).view(len(cells), -1)
            if kernel.dim() == 2:
                by_position = d_contributions.unflatten(1, kernel.shape)
                d_kernel += (by_position * cells[:, None]).sum(0)
                d_cells = by_position.mul_(kernel).sum(1)
            else:
                d_cells = torch.empty_like(cells)
                multiply_into(
                    d_kernel.flatten(0, 1), d_contributions.t(), cells, kernel.dtype, add=True
                )
                multiply_into(d_cells, d_contributions, kernel.flatten(0, 1), kernel.dtype)
            step.make.add_gradient(d_source, d_cells[:n_cells], cells[:n_cells], step.source, rows)
        return d_source, d_kernel.to(kernel.dtype), d_targets.sum(0), None


class _Step:
    """From one band to the next: which cells a kernel of k*k positions connects, chunk by chunk of the source."""

    def __init__(
        self, layout: _Layout, source: _Band, target: _Band, kernel_size: int, make: _Source
    ):
        self.layout, self.source, self.target, self.make = layout, source, target, make
        self.reach = kernel_size // 2
        offsets = layout.words(range(kernel_size)) - self.reach
        self.down, self.right = offsets.repeat_interleave(kernel_size), offsets.repeat(kernel_size)

    def split(self, kernel: Tensor) -> Iterator[range]:
        """Divide the source's rows so that a chunk's cells and their contributions fit in the cache.

        The contributions of a matrix product count a quarter: it would be too narrow to be fast if they had to fit.
        """
        n_positions, n_channels = kernel.shape[:2]
        n_contributions = n_positions * n_channels // (1 if kernel.dim() == 2 else 4)
        return self.source.split(_chunk_size(kernel.device) // (kernel.shape[-1] + n_contributions))

    def activations(self, source: Tensor, rows: range) -> Tensor:
        """The source's cells in some rows, and more up to a multiple of `ROUND_CELLS`: (cells, channels).

        Products of few different sizes need fewer different kernels, which take time to make and memory to keep.
        """
        size = -(-self.source.count(rows) // ROUND_CELLS) * ROUND_CELLS
        return self.make.activations(source, self.source, rows, size)

    @functools.cached_property
    def window(self) -> "_Neighbours":
        return _Neighbours(self.layout, self.target, self.source, self.down, self.right)

    @functools.cached_property
    def readers(self) -> "_Neighbours":
        return _Neighbours(self.layout, self.source, self.target, -self.down, -self.right)

    def slots(self, rows: range) -> tuple[range, Tensor]:
        """Find the target rows that some source rows reach, and where the contributions to their cells stand.

        RETURNS (tuple[range, Tensor]): The target rows, and for each of their cells the slots of its window among the
            chunk's contributions, where one more cell before and after stands for all outside: (cells, k * k).
        """
        reached = self.layout.widen(rows, self.reach)
        reached = range(
            max(reached.start, self.target.rows.start), min(reached.stop, self.target.rows.stop)
        )
        chunk = self.source.span(rows)
        cells = (
            self.window.of(reached).sub_(chunk.start - 1).clamp_(0, chunk.stop - chunk.start + 1)
        )
        n_positions = len(self.down)
        return reached, cells.mul_(n_positions).add_(torch.arange(n_positions, device=cells.device))

    def target_indices(self, rows: range) -> tuple[range, Tensor]:
        """Find the target rows that some source rows reach, and which of their cells each source cell contributes to.

        RETURNS (tuple[range, Tensor]): The target rows, and for each source cell the indices, counted from 1, of the
            cells among them that see it through each kernel position, or 0 for none: (cells, k * k).
        """
        reached = self.layout.widen(rows, self.reach)
        return reached, self.readers.of(rows).sub_(self.target.span(reached).start - 1).clamp_(
            min=0
        )


class _Neighbours:
    """Finds the neighbours (i + down, j + right) in another band of each cell (i, j) of a band.

    A neighbour's index is a term of the row plus a term of the column, either far below 0 where it leaves the sentence.
    """

    outside = -(2**60)

    def __init__(self, layout: _Layout, band: _Band, other: _Band, down: Tensor, right: Tensor):
        words = slice(band.rows.start, band.rows.stop)
        row = (layout.words(band.rows)[:, None] + down - other.rows.start).clamp(
            0, len(other.rows) - 1
        )
        self.row_terms = (other.origin[row] + right).where(layout.inside(down)[words], self.outside)
        self.col_terms = layout.words()[:, None].where(layout.inside(right), self.outside)
        self.band = band
        # Where the other band is narrower, some neighbours lie below it.
        self.lowest = other.lowest + down - right if other.lowest > band.lowest else None

    def of(self, rows: range) -> Tensor:
        """Give the indices for the cells of some rows, below 0 for none: (cells, neighbours)."""
        row, col = self.band.cells(rows)
        cells = self.row_terms.index_select(0, row - self.band.rows.start)
        cells += self.col_terms.index_select(0, col)
        if self.lowest is not None:
            cells.masked_fill_((col - row)[:, None] < self.lowest, self.outside)
        return cells


def _split_vectors(vectors: Tensor, n_words: int, n_near: int, reach: int) -> tuple[Tensor, Tensor]:
    """Views of the vectors of `_Pairs` (2, vectors, channels), rows' then columns'.

    RETURNS (tuple[Tensor, Tensor]): Those that the far side cuts by 0 to a offsets (2, a + 1, words, channels), and
        those that the near side cuts by 1 to a more (2, a, a + 1, near words, channels).
    """
    far, corner = vectors.split([(reach + 1) * n_words, reach * (reach + 1) * n_near], dim=1)
    return far.unflatten(1, (reach + 1, n_words)), corner.unflatten(1, (reach, reach + 1, n_near))


def _by_offset(near: Tensor, far: Tensor) -> list[list[Tensor]]:
    """Views of matrices of words for each axis and each offset from -a to a.

    near (Tensor): For the offsets from -a to -1 (2, a, near words, columns).
    far (Tensor): For the offsets from a down to 0 (2, a + 1, words, columns).
    """
    return [[*before, *others.unbind()[::-1]] for before, others in zip(near, far, strict=True)]


def _inputs_by_offset(near: Tensor, far: Tensor, reach: int) -> list[list[Tensor]]:
    """The same for matrices near (2, near words, columns) and far (words, columns) that all offsets share."""
    return _by_offset(near[:, None].expand(-1, reach, -1, -1), far.expand(2, reach + 1, -1, -1))


def _prefix_kernels(kernel: Tensor, axis: int) -> Iterator[Tensor]:
    """Sum the first convolution's kernels up to 1 to k offsets of an axis, in memory that each sum takes over.

    kernel (Tensor): (channels, k, k, 2 * width).
    axis (int): 0 for rows, 1 for columns.
    RETURNS (Iterator[Tensor]): For each offset, a 1-D convolution's kernel (channels, k * width).
    """
    first, *others = _axis_kernels(kernel, axis)
    prefix = first.clone(memory_format=torch.contiguous_format)
    yield prefix.flatten(1)
    for part in others:
        prefix += part
        yield prefix.flatten(1)


def _axis_kernels(kernel: Tensor, axis: int) -> list[Tensor]:
    """Views of the first convolution's kernels (channels, k, width) in the order of the prefix sums: of rows from the
    first column w on, of columns from the last row h down.

    kernel (Tensor): (channels, k, k, 2 * width).
    axis (int): 0 for rows, 1 for columns.
    """
    rows, cols = kernel.unflatten(3, (2, -1)).unbind(3)
    return [*rows.unbind(2)] if axis == 0 else [*cols.unbind(1)[::-1]]


def _chunk_size(device: torch.device) -> int:
    """How many floats to work on at a time: what a CPU's cache holds, or enough to keep a GPU busy."""
    return 2**19 if device.type == "cpu" else 2**24
