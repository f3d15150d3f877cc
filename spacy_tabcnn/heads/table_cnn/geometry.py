"""All indices that a head needs for a batch. They depend on the sentences' lengths only."""

import functools
import itertools
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from .convolution import Step
from .first_layer import VectorIndex
from .layout import Band, Layout

# The geometry of a single sentence of at most this number of words is kept for the next sentence of
# that length. A short sentence's indices would take as much time as its products.
SHORT_SENTENCE = 64


def geometry_of(
    lengths: Tensor, device: torch.device, *, kernel_size: int, n_layers: int
) -> "Geometry":
    """Number the words and cells of a batch.

    lengths (Tensor): Words of each sentence, int64 (sentences,), on the CPU.
    device (torch.device): The embeddings' device.
    kernel_size (int): Width k of the kernels.
    n_layers (int): Number of layers L.
    RETURNS (Geometry): The indices, which may be shared: do not change them.
    """
    if len(lengths) == 1 and int(lengths[0]) <= SHORT_SENTENCE:
        return _geometry_of_sentence(int(lengths[0]), device, kernel_size, n_layers)
    return Geometry(lengths, device, kernel_size, n_layers)


@functools.lru_cache(maxsize=SHORT_SENTENCE)
def _geometry_of_sentence(
    n_words: int, device: torch.device, kernel_size: int, n_layers: int
) -> "Geometry":
    # Training could not use tensors that were made in inference mode, so the cached property is
    # computed here.
    with torch.inference_mode(False):
        geometry = Geometry(torch.tensor([n_words]), device, kernel_size, n_layers)
        _ = geometry.whole
        return geometry


class Part(NamedTuple):
    """The way of some rows of a batch of tables through the layers.

    steps (list[Step]): The step to each layer after the first.
    diagonal (Tensor): Indices of the last layer's cells i = j, int64 (rows,).
    above (Tensor): Indices of its cells i < j, int64 (cells,).
    """

    steps: list[Step]
    diagonal: Tensor
    above: Tensor


class Geometry:
    """The indices of a batch; see `geometry_of`."""

    def __init__(self, lengths: Tensor, device: torch.device, kernel_size: int, n_layers: int):
        self.layout = Layout.of(lengths, device)
        self.kernel_size = kernel_size
        reach = kernel_size // 2
        # The diagonals below the main diagonal that each layer needs for the layers that follow.
        self.margins = [2 * reach * n_following for n_following in reversed(range(n_layers))]
        self.vectors = VectorIndex.of(self.layout, reach, margin=self.margins[0])
        self.neighbours = self.layout.neighbours(reach)

    @functools.cached_property
    def whole(self) -> Part:
        """All rows as one part."""
        return self.part(self.layout.rows)

    def part(self, rows: range) -> Part:
        """Number the cells that some rows of the last layer depend on."""
        bands = []
        for margin in self.margins:
            wider = self.layout.widen(rows, margin // 2)
            bands.append(Band.of(self.layout, wider, lowest=-margin))
        steps = []
        number_sources = self.vectors.summands
        for source, target in itertools.pairwise(bands):
            steps.append(Step(self.layout, source, target, self.kernel_size, number_sources))
            number_sources = self._sentences
        return Part(steps, *bands[-1].diagonal_and_above())

    def split(self, n_cells: int) -> Iterator[Part]:
        """Divide the rows so that each part's second layer has at most `n_cells` cells, or one row.

        A part computes again some rows round it, which the parts next to it compute, too.
        """
        stored = Band.of(self.layout, self.layout.rows, lowest=-self.margins[1])
        return map(self.part, stored.split(n_cells))

    def _sentences(self, band: Band, rows: range) -> Tensor:
        """Find the sentence of each cell of some rows of a band: int64 (cells, 1)."""
        row, _ = band.cells(rows)
        return self.layout.sentence.index_select(0, row)[:, None]
