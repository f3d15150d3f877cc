"""The reference of the benchmarks: the paper's table head computed as it is written."""

import functools

from spacy import registry
from thinc.api import Model

from spacy_tabcnn.heads.table_cnn.dense import DenseTableCNN
from spacy_tabcnn.models.table_heads import HeadInput, build_torch_head
from spacy_tabcnn.table.logits import TableLogits

DENSE_TABLE_CNN = "benchmarks.DenseTableCNN.v1"


@registry.architectures(DENSE_TABLE_CNN)
def build_dense_table_cnn(
    *, kernel_size: int, hidden: list[int], dropout: float | None = None
) -> Model[HeadInput, TableLogits]:
    """Build the reference as a head for the component; see `spacy-tabcnn.TableCNN.v1`.

    kernel_size (int): Odd width and height of every kernel.
    hidden (list[int]): Channels of the hidden layers.
    dropout (float | None): Dropout; None for the dropout of the `[training]` block.
    RETURNS (Model[HeadInput, TableLogits]): The head.
    """
    make_module = functools.partial(
        DenseTableCNN, kernel_size=kernel_size, hidden=hidden, dropout=dropout or 0.0
    )
    return build_torch_head("dense_table_cnn", make_module, dropout=dropout)
