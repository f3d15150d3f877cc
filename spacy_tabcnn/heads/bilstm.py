"""A bidirectional LSTM over the words of sentences, on a ragged batch."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from .checks import check_dropout, check_lengths, check_sizes
from .places import Places


class BiLSTM(nn.Module):
    """A bidirectional LSTM that reads each sentence by itself.

    width (int): Width of a word embedding.
    units (int): Width of the states of each direction.
    dropout (float): Share of the embeddings' elements that training drops.
    RAISES (ValueError): If a size cannot be built.
    Source: Hochreiter and Schmidhuber (1997), with forget gates.
    """

    def __init__(self, width: int, *, units: int, dropout: float = 0.3):
        super().__init__()
        check_sizes("BiLSTM", width=width, units=units)
        check_dropout("BiLSTM", dropout)
        self.dropout = dropout
        self.lstm = nn.LSTM(width, units, bidirectional=True)

    def forward(self, words: Tensor, lengths: Tensor) -> Tensor:
        """Compute the states of the words of a batch of sentences.

        words (Tensor): Word embeddings, float (sum(lengths), width), the sentences end to end.
        lengths (Tensor): Words of each sentence, int64 (sentences,), on the CPU.
        RETURNS (Tensor): The states of both directions side by side, (sum(lengths), 2 * units).
        RAISES (ValueError): If the lengths do not add up to the number of words.
        """
        check_lengths("BiLSTM", words, lengths)
        if not len(words):
            return words.new_zeros(0, 2 * self.lstm.hidden_size)
        places = Places.of(lengths, words.device)
        words = F.dropout(words, self.dropout, self.training)
        in_steps = words.index_select(0, places.order)
        # An LSTM takes the sizes of its steps on the CPU.
        steps = PackedSequence(in_steps, torch.tensor(places.n_running))
        states: Tensor = self.lstm(steps)[0].data
        return states.index_select(0, places.place)
