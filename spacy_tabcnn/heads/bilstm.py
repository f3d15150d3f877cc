"""A bidirectional LSTM over the words of sentences, on a ragged batch."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from .places import Places


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
        places = Places.of(lengths, words.device)
        read = F.dropout(words, dropout, self.training)
        read = read.index_select(0, places.order)
        # An LSTM takes the sizes of its steps on the CPU.
        steps = PackedSequence(read, torch.tensor(places.n_running))
        outputs = self.lstm(steps)[0].data
        return outputs.index_select(0, places.place)
