"""The head as a torch module with the weights of plain `Conv2d` layers."""

import functools
import itertools
from collections.abc import Iterable, Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...labels import NO_RELATION, OUTSIDE
from ..checks import check_dropout, check_lengths, check_sizes
from ..growth import check_kind, share_weights, start_labels
from ..products import Products, TorchProducts, product_precision
from ..weights import WeightCache
from .convolution import Cells, Convolution, HiddenCells, LayerKernel, PairCells, chunk_size
from .first_layer import PrefixKernels, WordVectors
from .geometry import Geometry, Part, geometry_of


class TableCNN(nn.Module):
    """A CNN over word pairs that scores tags and relations.

    The last layer holds the relation logits. The tag logits are read from its diagonal.

    width (int): Width d of a word embedding.
    n_tags (int): Number of BILOU tags |E|, "O" included.
    n_relations (int): Number of relation labels |R|, "none" (index 0) and both directions included.
    kernel_size (int): Odd width and height k of every kernel (paper, table 5).
    hidden (Sequence[int]): Channels of the L - 1 hidden layers (paper, table 5); at least one.
    dropout (float): In training, the share of the word embeddings' elements that is dropped, and
        the share of each hidden layer's channels, each dropped in all cells of a sentence.
    separable (bool): Whether each layer after the first is a depthwise convolution, k x k per
        channel, and then a pointwise one, 1 x 1 (paper, section 5: future work).
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
        check_sizes("TableCNN", kernel_size=kernel_size)
        if kernel_size % 2 == 0:
            raise ValueError(
                f"TableCNN: kernel_size is {kernel_size}; expected an odd number, such as 3 or 5"
            )
        check_sizes("TableCNN", width=width, n_tags=n_tags, n_relations=n_relations)
        if not hidden:
            raise ValueError("TableCNN: hidden is empty; expected at least one hidden layer")
        for channels in hidden:
            check_sizes("TableCNN", hidden=channels)
        check_dropout("TableCNN", dropout)
        self.kernel_size = kernel_size
        self.hidden = tuple(hidden)
        self.dropout = dropout
        self.convs = nn.ModuleList([_make_convolution(2 * width, hidden[0], kernel_size)])
        make_following = _make_convolution
        if separable:
            make_following = _make_separable
        for n_in, n_out in itertools.pairwise([*hidden, n_relations]):
            self.convs.append(make_following(n_in, n_out, kernel_size))
        self.tagger = nn.Linear(n_relations, n_tags)
        self.products: Products = TorchProducts()
        self.weight_cache = WeightCache()

    def forward(
        self, words: Tensor, lengths: Tensor, known_tags: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Score the tables of a batch of sentences. Under autocast, products have its precision.

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
        check_lengths("TableCNN", words, lengths)
        if not len(words):
            no_tags = words.new_zeros(0, self.tagger.out_features)
            return no_tags, words.new_zeros(0, self.tagger.in_features)
        with product_precision(words) as precision:
            return self._score(words, lengths, precision)

    def take_over(self, old: nn.Module) -> None:
        """Take over the weights of a head with fewer labels; see `heads.growth.GrowingHead`.

        No logit of the labels of the old head changes.
        """
        old = check_kind(self, old)
        n_relations, n_tags = old.tagger.in_features, old.tagger.out_features
        share_weights(self, old)
        last = self.convs[-1]
        if isinstance(last, nn.Sequential):
            last = last[-1]
        last = cast(nn.Conv2d, last)
        start_labels(last.weight, cast(Tensor, last.bias), first=n_relations, none=NO_RELATION)
        with torch.no_grad():
            self.tagger.weight[:, n_relations:] = 0.0
        start_labels(self.tagger.weight, self.tagger.bias, first=n_tags, none=OUTSIDE)

    def _score(
        self, words: Tensor, lengths: Tensor, precision: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """Compute tag and relation logits from at least one word."""
        geometry = geometry_of(
            lengths, words.device, kernel_size=self.kernel_size, n_layers=len(self.convs)
        )
        kernels = self._kernels(precision)
        vectors = self._word_vectors(words, geometry, kernels.first)
        logits = []
        for part in self._parts(geometry):
            logits.append(self._part_logits(vectors, part, kernels.following, len(lengths)))
        if len(logits) == 1:
            return logits[0]
        tags, relations = zip(*logits, strict=True)
        return torch.cat(tags), torch.cat(relations)

    def _kernels(self, precision: torch.dtype) -> "Kernels":
        """Arrange the weights for the products; in prediction, once until they change."""
        if self.training or torch.is_grad_enabled():
            return Kernels.of(self.convs, precision)
        compute = functools.partial(Kernels.for_prediction, self.convs, precision)
        return self.weight_cache.get([*self.convs.parameters()], precision, compute)

    def _word_vectors(self, words: Tensor, geometry: Geometry, kernels: PrefixKernels) -> Tensor:
        """Compute the vectors of the first layer: (vectors, hidden[0]); see `VectorIndex`."""
        if self.training:
            words = F.dropout(words, self.dropout)
        padded = F.pad(words, (0, 0, 1, 0))
        windows = padded.index_select(0, geometry.neighbours.flatten()).view(len(words), -1)
        conv, index = cast(nn.Conv2d, self.convs[0]), geometry.vectors
        vectors = WordVectors.apply(windows, conv.weight, conv.bias, kernels, index, self.products)
        if self.training:
            # A mask on both summands masks their sum, and there are far fewer vectors than cells.
            mask = self._channel_mask(vectors, len(geometry.layout.lengths))
            vectors = vectors * mask.index_select(0, index.sentence)
        return vectors

    def _parts(self, geometry: Geometry) -> Iterable[Part]:
        """Divide the rows so that the stored outputs of hidden layers stay small.

        Outputs are stored from the second hidden layer on. Training has to store all of them for
        the backward pass, so it does not divide.
        """
        if torch.is_grad_enabled() or len(self.hidden) == 1:
            return [geometry.whole]
        device = geometry.layout.sentence.device
        return geometry.split(32 * chunk_size(device) // sum(self.hidden))

    def _part_logits(
        self, vectors: Tensor, part: Part, kernels: list[LayerKernel], n_sentences: int
    ) -> tuple[Tensor, Tensor]:
        """Compute tag and relation logits of some rows from the vectors of the first layer."""
        values = vectors
        cells: Cells = PairCells()
        for step, layer in zip(part.steps, kernels, strict=True):
            if step is not part.steps[0]:
                mask = None
                if self.training:
                    mask = self._channel_mask(values, n_sentences)
                cells = HiddenCells(mask)
            values = Convolution.apply(values, layer.kernel, layer.bias, cells, step, self.products)
            if layer.pointwise is not None:
                weight, bias = layer.pointwise
                values = F.linear(values.to(weight.dtype), weight, bias).to(values.dtype)
        tags = self.tagger(values.index_select(0, part.diagonal))
        return tags, values.index_select(0, part.above)

    def _channel_mask(self, activations: Tensor, n_sentences: int) -> Tensor:
        """Draw dropout's factor for each channel of each sentence: (sentences, channels)."""
        ones = activations.new_ones(n_sentences, activations.shape[-1])
        return F.dropout(ones, self.dropout)


class Kernels(NamedTuple):
    """The weights of all layers, in the form in which they are multiplied.

    first (PrefixKernels): The prefix kernels of the first layer.
    following (list[LayerKernel]): The kernels of the following layers.
    """

    first: PrefixKernels
    following: list[LayerKernel]

    @classmethod
    def of(cls, convs: nn.ModuleList, precision: torch.dtype) -> "Kernels":
        """Arrange the weights.

        convs (nn.ModuleList): The layers.
        precision (torch.dtype): The type in which products are computed.
        RETURNS (Kernels): The kernels.
        """
        first = PrefixKernels.of(cast(nn.Conv2d, convs[0]).weight.detach(), precision)
        following = []
        for layer in convs[1:]:
            is_last = layer is convs[-1]
            following.append(LayerKernel.of(layer, precision, is_last=is_last))
        return cls(first, following)

    @classmethod
    def for_prediction(cls, convs: nn.ModuleList, precision: torch.dtype) -> "Kernels":
        """Arrange the weights for many products without a gradient; see `of`."""
        kernels = cls.of(convs, precision)
        if precision != torch.float32:  # products in bfloat16 read the kernels faster as they are
            return kernels
        return kernels._replace(first=kernels.first.by_input())


def _make_convolution(n_in: int, n_out: int, kernel_size: int) -> nn.Module:
    return nn.Conv2d(n_in, n_out, kernel_size, padding=kernel_size // 2)


def _make_separable(n_in: int, n_out: int, kernel_size: int) -> nn.Module:
    depthwise = nn.Conv2d(n_in, n_in, kernel_size, padding=kernel_size // 2, groups=n_in)
    return nn.Sequential(depthwise, nn.Conv2d(n_in, n_out, 1))
