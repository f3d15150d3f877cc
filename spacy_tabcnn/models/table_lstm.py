"""An LSTM over the words of each table, whose states a table head reads."""

import functools
from collections.abc import Callable
from typing import cast

import torch
from thinc.api import ArgsKwargs, Model, torch2xp, xp2torch
from thinc.types import Floats2d

from ..heads import BiLSTM
from ..runtime.head_shim import build_module, pass_on_dropout, wrap_module
from ..table.logits import TableLogits
from .table_heads import HeadInput, check_table

NAME = "spacy-tabcnn.TableLSTM.v1"


def build_table_lstm(
    table: Model[HeadInput, TableLogits],
    *,
    units: int = 240,
    dropout: float | None = None,
) -> Model[HeadInput, TableLogits]:
    """Put an LSTM before a table head.

    Registered as `spacy-tabcnn.TableLSTM.v1`.

    The LSTM reads the words of each table from both ends. The head reads its states in the place of
    the word embeddings. spaCy's encoders of sequences read whole documents instead, so that the
    scores of a sentence would depend on the sentences around it.

    table (Model[HeadInput, TableLogits]): The table head, such as `spacy-tabcnn.TableCNN.v1`.
    units (int): Width of the states of each direction.
    dropout (float | None): Dropout of the word embeddings that the LSTM reads. By default the
        dropout of the `[training]` block.
    RETURNS (Model[HeadInput, TableLogits]): The head.
    RAISES (ValueError): If the table is not a table head.
    """
    check_table(NAME, table)
    lstm: Model[HeadInput, Floats2d] = wrap_module(
        "bilstm",
        forward_lstm,
        init_lstm,
        functools.partial(BiLSTM, units=units, dropout=dropout or 0.0),
        dims=(),
        dropout=dropout,
        mixed_precision=False,
    )
    init_both = functools.partial(init, width=2 * units)
    return Model("table_lstm", forward, init=init_both, dims={"nI": None}, layers=[lstm, table])


def forward(
    model: Model[HeadInput, TableLogits], inputs: HeadInput, is_train: bool
) -> tuple[TableLogits, Callable[[TableLogits], HeadInput]]:
    """Compute the states of the words, and score the tables by them."""
    lstm, table = model.layers
    states, backprop_lstm = lstm(inputs, is_train)
    logits, backprop_table = table(inputs._replace(words=states), is_train)

    def backprop(d_logits: TableLogits) -> HeadInput:
        d_words: HeadInput = backprop_lstm(backprop_table(d_logits).words)
        return d_words

    return logits, backprop


def init(
    model: Model[HeadInput, TableLogits],
    X: HeadInput | None = None,
    Y: TableLogits | None = None,
    *,
    width: int,
) -> None:
    """Build both modules; Y has as many columns as there are labels.

    width (int): Width of the states.
    """
    for layer, n_inputs in zip(model.layers, (model.get_dim("nI"), width), strict=True):
        if not layer.has_dim("nI"):
            layer.set_dim("nI", n_inputs)
        layer.initialize(Y=Y)


def forward_lstm(
    model: Model[HeadInput, Floats2d], inputs: HeadInput, is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], HeadInput]]:
    """Run the torch module of the LSTM."""
    if is_train:
        pass_on_dropout(model)
    words = xp2torch(inputs.words, requires_grad=is_train)
    lengths = torch.from_numpy(inputs.windows.lengths)
    states, backprop_torch = model.shims[0](ArgsKwargs(args=(words, lengths), kwargs={}), is_train)

    def backprop(d_states: Floats2d) -> HeadInput:
        gradients = [xp2torch(d_states)]
        backprop_torch(ArgsKwargs(args=([states],), kwargs={"grad_tensors": gradients}))
        d_words = torch2xp(cast(torch.Tensor, words.grad), ops=model.ops)
        return HeadInput(cast(Floats2d, d_words), inputs.windows)

    return cast(Floats2d, torch2xp(states, ops=model.ops)), backprop


def init_lstm(
    model: Model[HeadInput, Floats2d],
    X: HeadInput | None = None,
    Y: TableLogits | None = None,
) -> None:
    """Build the module. Its size does not depend on labels."""
    build_module(model, {})
