"""A bidirectional LSTM over the words of sentences, on a ragged batch."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from .transfers import to_device


class BiLSTM(nn.Module):
    """A bidirectional LSTM that reads each sentence by itself.

    width (int): Width of a word embedding.
    units (int): Width of the output of each direction.
    Source: Hochreiter and Schmidhuber (1997), with forget gates.
    """

    def __init__(self, width: int, units: int):
        super().__init__()
        self.lstm = nn.LSTM(width, units, bidirectional=True)

    def forward(self, words: Tensor, lengths: Tensor, dropout: float) -> Tensor:
        """Read the words of a batch of sentences.

        words (Tensor): Word embeddings, float (sum(lengths), width), the sentences end to end.
        lengths (Tensor): Words per sentence, int64 (batch,), on the CPU; at least one word in all.
        dropout (float): In training, the share of the embeddings' elements that is dropped.
        RETURNS (Tensor): The outputs of both directions side by side, (sum(lengths), 2 * units).
        """
        order, n_running = by_position(lengths)
        place = torch.empty_like(order)
        place[order] = torch.arange(len(order))
        read = F.dropout(words, dropout, self.training)
        read = read.index_select(0, to_device(order, words.device))
        outputs = self.lstm(PackedSequence(read, n_running))[0].data
        return outputs.index_select(0, to_device(place, words.device))


def by_position(lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Order the words of a batch by their position in the sentence, as recurrences read them.

    At each position the words of longer sentences come first.

    lengths (Tensor): Words per sentence, int64 (batch,).
    RETURNS (tuple[Tensor, Tensor]): The words in that order, int64 (words,), and the number of
        sentences that have a word at each position, int64 (longest sentence,).
    """
    sentence = torch.arange(len(lengths)).repeat_interleave(lengths)
    position = torch.arange(len(sentence)) - (lengths.cumsum(0) - lengths)[sentence]
    rank = lengths.argsort(descending=True, stable=True).argsort()
    order = (position * len(lengths) + rank[sentence]).argsort()
    return order, position.bincount()
