"""The paper's table head: a 2-D CNN over the table of word pairs (section 2.2, equations 2-6), without the table.

Written plainly, the head convolves an n x n x 2d tensor per sentence. Here the same numbers come from three facts:

1. The input cell (i, j) is [e_i ; e_j], so the first convolution is a sum of a term that depends on the row word and
   one that depends on the column word. Each is a 1-D convolution over the sentence; zero padding only takes terms
   away near the border, in k patterns per axis (for n >= k). See `TableCNN._first_layer`.
2. Only cells on and above the diagonal are read, so each layer is computed on that band of the table alone, widened
   by what the windows of the following layers reach. See `_Band`.
3. Sentences are ragged, not padded: all words of a batch end to end, all cells of a batch end to end. Each sentence
   keeps its own border, so a batch gives what its sentences give one by one.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TableCNN(nn.Module):
    """A CNN over word pairs whose last layer holds the relation logits and, on its diagonal, feeds the tag logits.

    width (int): Width d of a word embedding.
    n_tags (int): Number of BILOU tags |E|, "O" included.
    n_relations (int): Number of relation labels |R|, "none" (index 0) and both directions included.
    kernel_size (int): Odd width and height k of every kernel (paper, table 5).
    hidden (Sequence[int]): Channels of the L - 1 hidden layers (paper, table 5); at least one.
    dropout (float): Share of the word embeddings' elements that training drops, and of each hidden layer's
        channels, which it drops in all cells of a sentence alike.
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
    ):
        super().__init__()
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"TableCNN: kernel_size is {kernel_size}; expected an odd number, such as 3 or 5")
        if not hidden or min(width, n_tags, n_relations, *hidden) < 1:
            raise ValueError(
                f"TableCNN: width={width}, n_tags={n_tags}, n_relations={n_relations}, hidden={list(hidden)}; "
                "expected positive sizes and at least one hidden layer"
            )
        if not 0.0 <= dropout < 1.0:
            raise ValueError(f"TableCNN: dropout is {dropout}; expected a share from 0 up to, but not including, 1")
        channels = [2 * width, *hidden, n_relations]
        self.kernel_size = kernel_size
        self.dropout = dropout
        self.convs = nn.ModuleList(
            nn.Conv2d(n_in, n_out, kernel_size, padding=kernel_size // 2)
            for n_in, n_out in itertools.pairwise(channels)
        )
        self.tagger = nn.Linear(n_relations, n_tags)

    def forward(self, words: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Score the tables of a batch of sentences.

        words (Tensor): Word embeddings, float (sum(lengths), width), the sentences of the batch end to end.
        lengths (Tensor): Words per sentence, int64 (batch,). Keep it on the CPU: the cells are laid out there.
        RETURNS (tuple[Tensor, Tensor]): Tag logits (sum(lengths), n_tags) and relation logits
            (sum(n(n-1)/2), n_relations): the cells i < j of each sentence, row by row, sentence by sentence.
        RAISES (ValueError): If the lengths do not add up to the number of words.
        """
        layout = _Layout.of(lengths.cpu())
        if len(layout.position) != len(words):
            raise ValueError(
                f"TableCNN: the lengths add up to {len(layout.position)} words, but {len(words)} embeddings came"
            )
        if not len(words):
            return words.new_zeros(0, self.tagger.out_features), words.new_zeros(0, self.tagger.in_features)
        reach = self.kernel_size // 2
        last = len(self.convs) - 1
        bands = [_Band.of(layout, lowest=-2 * reach * (last - layer)) for layer in range(last + 1)]

        words = F.dropout(words, self.dropout, self.training)
        cells = self._first_layer(words, layout, bands[0])
        for layer in range(1, last + 1):
            cells = self._convolve(cells, layer, layout, bands[layer - 1], bands[layer])
            if layer < last:
                cells = F.relu(cells)
                if self.training:
                    sentence = layout.sentence[bands[layer].row].to(cells.device)
                    cells = cells * F.embedding(sentence, self._channel_mask(layout, cells))

        # In the last band, the cells j >= i, the diagonal is the first cell of each row.
        on_diagonal = torch.zeros(len(cells), dtype=torch.bool)
        on_diagonal[bands[last].row_start] = True
        diagonal, above = on_diagonal.nonzero()[:, 0], (~on_diagonal).nonzero()[:, 0]
        return self.tagger(cells[diagonal.to(cells.device)]), cells[above.to(cells.device)]

    def _first_layer(self, words: Tensor, layout: "_Layout", band: "_Band") -> Tensor:
        """First convolution and ReLU on the cells of a band: (cells, hidden[0]).

        With the kernel split into the half that reads e_i and the half that reads e_j, and h, w from -a to a,

            H1[i, j] = b + sum of Row_w[i] over 0 <= j+w < n  +  sum of Col_h[j] over 0 <= i+h < n
            Row_w[i] = sum over h of Krow[:, :, h, w] e_(i+h)
            Col_h[j] = sum over w of Kcol[:, :, h, w] e_(j+w)

        Which terms the border leaves depends on the other axis's position alone, so each word gets one row vector
        and one column vector per border pattern, and a cell is the sum of one of each.
        """
        conv, k, (n_words, width) = self._conv(0), self.kernel_size, words.shape
        n_channels = conv.out_channels
        bias = cast(Tensor, conv.bias)
        device = words.device

        # The window of k words round each word: (words, k * width).
        window = torch.arange(k) - k // 2
        inside = layout.inside(window)
        index = torch.where(inside, torch.arange(n_words)[:, None] + window, n_words)
        windows = F.embedding(index.to(device), F.pad(words, (0, 0, 0, 1))).reshape(n_words, k * width)
        row_kernel = conv.weight[:, :width].permute(2, 1, 3, 0).reshape(k * width, k * n_channels)
        col_kernel = conv.weight[:, width:].permute(3, 1, 2, 0).reshape(k * width, k * n_channels)
        row_terms = (windows @ row_kernel).view(n_words, k, n_channels)
        col_terms = (windows @ col_kernel).view(n_words, k, n_channels)

        # A border pattern is the set of window offsets that stay inside the sentence: (patterns, k).
        patterns, pattern = torch.unique(inside, dim=0, return_inverse=True)
        n_patterns = len(patterns)
        patterns = patterns.to(device, words.dtype)
        row_vectors = patterns @ row_terms + bias  # (words, patterns, channels)
        col_vectors = patterns @ col_terms
        if self.training:
            # Masking both summands masks their sum, on far fewer rows than there are cells; ReLU keeps zeros zero.
            mask = F.embedding(layout.sentence.to(device), self._channel_mask(layout, row_vectors))[:, None]
            row_vectors, col_vectors = row_vectors * mask, col_vectors * mask

        vectors = torch.cat([row_vectors.flatten(0, 1), col_vectors.flatten(0, 1)])
        summands = torch.stack(
            [
                band.row * n_patterns + pattern[band.col],
                (n_words + band.col) * n_patterns + pattern[band.row],
            ],
            dim=1,
        )
        return F.relu(F.embedding_bag(summands.to(device), vectors, mode="sum"))

    def _convolve(self, cells: Tensor, layer: int, layout: "_Layout", source: "_Band", target: "_Band") -> Tensor:
        """A following convolution, from the cells of one band to those of the next: (cells, channels).

        One product gives each source cell's contribution through each of the k*k kernel positions; a target cell
        sums the contributions of its window. Cells outside the sentence contribute nothing, as zero padding does.
        """
        conv, k = self._conv(layer), self.kernel_size
        kernel = conv.weight.permute(1, 2, 3, 0).reshape(conv.in_channels, k * k * conv.out_channels)
        contributions = (cells @ kernel).view(len(cells) * k * k, conv.out_channels)
        window = torch.arange(k) - k // 2
        down, right = window.repeat_interleave(k), window.repeat(k)
        row = target.row[:, None] + down
        inside = layout.inside(down)[target.row] & layout.inside(right)[target.col]
        row = torch.where(inside, row, 0)
        cell = source.row_start[row] + target.col[:, None] + right - source.row_first[row]
        # No target lies above the first row, so the first cell never contributes through the kernel's last
        # position: its slot is free to mean "outside".
        outside = k * k - 1
        slot = torch.where(inside, cell * k * k + torch.arange(k * k), outside)
        padding = outside if k > 1 else None
        return F.embedding_bag(slot.to(cells.device), contributions, mode="sum", padding_idx=padding) + cast(
            Tensor, conv.bias
        )

    def _conv(self, layer: int) -> nn.Conv2d:
        return cast(nn.Conv2d, self.convs[layer])

    def _channel_mask(self, layout: "_Layout", activations: Tensor) -> Tensor:
        """Dropout's factor for each channel of each sentence: (batch, channels)."""
        return F.dropout(activations.new_ones(layout.batch_size, activations.shape[-1]), self.dropout)


class _Layout(NamedTuple):
    """Where each word of a batch stands: int64 tensors of shape (words,) on the CPU."""

    batch_size: int
    sentence: Tensor  # index of its sentence
    length: Tensor  # length of its sentence
    position: Tensor  # index in its sentence

    @classmethod
    def of(cls, lengths: Tensor) -> "_Layout":
        sentence = torch.repeat_interleave(lengths)
        start = lengths.cumsum(0) - lengths
        return cls(len(lengths), sentence, lengths[sentence], torch.arange(len(sentence)) - start[sentence])

    def inside(self, offsets: Tensor) -> Tensor:
        """Tell whether a word's neighbour at each offset is in the same sentence: bool (words, offsets)."""
        neighbour = self.position[:, None] + offsets
        return (neighbour >= 0) & (neighbour < self.length[:, None])


class _Band(NamedTuple):
    """The cells with j - i >= lowest of a batch of tables, row by row: int64 tensors on the CPU.

    Rows and columns are named by the index of their word in the batch.
    """

    row: Tensor  # (cells,)
    col: Tensor  # (cells,)
    row_start: Tensor  # (words,) index of the first cell of each row
    row_first: Tensor  # (words,) column of that cell

    @classmethod
    def of(cls, layout: _Layout, *, lowest: int) -> "_Band":
        word = torch.arange(len(layout.position))
        first = (layout.position + lowest).clamp(min=0)
        n_cells = layout.length - first
        row_start = n_cells.cumsum(0) - n_cells
        row_first = word - layout.position + first
        row = torch.repeat_interleave(n_cells)
        col = torch.arange(len(row)) - row_start[row] + row_first[row]
        return cls(row, col, row_start, row_first)
