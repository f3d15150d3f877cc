"""The reference of the benchmarks: the paper's table head computed as it is written."""

import functools

import torch
import torch.nn.functional as F
from spacy import registry
from thinc.api import Model
from torch import Tensor

from spacy_tabcnn.heads.table_cnn.table_cnn import TableCNN
from spacy_tabcnn.models.table_heads import HeadInput, build_torch_head
from spacy_tabcnn.table.logits import TableLogits

DENSE_TABLE_CNN = "benchmarks.DenseTableCNN.v1"


class DenseTableCNN(TableCNN):
    """`TableCNN` as a plain stack of `Conv2d` over the whole table of concatenated word pairs, the sentences of a batch
    padded to the longest, as published code does it.

    Parameters, dropout and output are those of `TableCNN`, and so are the numbers for a single sentence. In a batch,
    padding reaches the cells near the end of a shorter sentence.
    """

    def forward(
        self, words: Tensor, lengths: Tensor, known_tags: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Score the tables of a batch of sentences; see `TableCNN.forward`.

        words (Tensor): Word embeddings, float (sum(lengths), width), the sentences of the batch end to end.
        lengths (Tensor): Words per sentence, int64 (batch,).
        known_tags (Tensor | None): Not read.
        RETURNS (tuple[Tensor, Tensor]): Tag logits (sum(lengths), n_tags) and relation logits
            (sum(n(n-1)/2), n_relations).
        """
        words = F.dropout(words, self.dropout, self.training)
        padded = torch.nn.utils.rnn.pad_sequence(
            words.split(lengths.tolist()), batch_first=True
        ).transpose(1, 2)
        n = padded.shape[2]
        # (batch, 2 * width, n, n)
        table = torch.cat(
            [padded[:, :, :, None].expand(-1, -1, -1, n), padded[:, :, None].expand(-1, -1, n, -1)],
            dim=1,
        )
        for layer, conv in enumerate(self.convs):
            table = conv(
                table if layer == 0 else F.dropout2d(F.relu(table), self.dropout, self.training)
            )
        cells = table.permute(0, 2, 3, 1)
        inside = torch.arange(n) < lengths.cpu()[:, None]
        above = torch.ones(n, n, dtype=torch.bool).triu(diagonal=1) & inside[:, None]
        diagonal = cells.diagonal(dim1=1, dim2=2).transpose(1, 2)
        return self.tagger(diagonal[inside.to(cells.device)]), cells[above.to(cells.device)]


@registry.architectures(DENSE_TABLE_CNN)
def build_dense_table_cnn(
    *, kernel_size: int, hidden: list[int], dropout: float | None = None
) -> Model[HeadInput, TableLogits]:
    """Build the reference as a head for the component; see `spacy-tabcnn.TableCNN.v1`.

    kernel_size (int): Odd width and height of every kernel.
    hidden (list[int]): Channels of the hidden layers.
    dropout (float | None): Dropout; None for that of the `[training]` block.
    RETURNS (Model[HeadInput, TableLogits]): The head.
    """
    make_module = functools.partial(
        DenseTableCNN, kernel_size=kernel_size, hidden=hidden, dropout=dropout or 0.0
    )
    return build_torch_head("dense_table_cnn", make_module, dropout=dropout)
