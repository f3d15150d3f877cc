"""The reference: the paper's table head as it is written, a stack of `Conv2d` over whole tables."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .module import TableCNN


class DenseTableCNN(TableCNN):
    """`TableCNN` as a plain stack of `Conv2d` over the whole table of concatenated word pairs.

    The sentences of a batch are padded to the longest, as in published code. Parameters, dropout
    and output are as for `TableCNN`, and so are the logits of a single sentence. In a batch,
    padding reaches the cells near the end of a shorter sentence.
    """

    def forward(
        self, words: Tensor, lengths: Tensor, known_tags: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Score the tables of a batch of sentences; see `TableCNN.forward`."""
        return dense_logits(self, words, lengths)


def dense_logits(head: TableCNN, words: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Score the tables of a batch of sentences by the weights of a head (paper, equations 2-6).

    head (TableCNN): The head.
    words (Tensor): Word embeddings, float (sum(lengths), width), the sentences of the batch end to
        end.
    lengths (Tensor): Words per sentence, int64 (batch,).
    RETURNS (tuple[Tensor, Tensor]): Tag logits (sum(lengths), n_tags) and relation logits
        (sum(n(n-1)/2), n_relations).
    """
    words = F.dropout(words, head.dropout, head.training)
    sentences = words.split(lengths.tolist())
    padded = pad_sequence(sentences, batch_first=True).transpose(1, 2)
    n = padded.shape[2]
    rows = padded[:, :, :, None].expand(-1, -1, -1, n)
    columns = padded[:, :, None].expand(-1, -1, n, -1)
    # (batch, channels, n, n): at first 2 * width, then those of each layer.
    first, *following = head.convs
    table = first(torch.cat([rows, columns], dim=1))
    for conv in following:
        table = conv(F.dropout2d(F.relu(table), head.dropout, head.training))
    cells = table.permute(0, 2, 3, 1)
    inside = torch.arange(n) < lengths.cpu()[:, None]
    above = torch.ones(n, n, dtype=torch.bool).triu(diagonal=1) & inside[:, None]
    diagonal = cells.diagonal(dim1=1, dim2=2).transpose(1, 2)
    return head.tagger(diagonal[inside.to(cells.device)]), cells[above.to(cells.device)]
