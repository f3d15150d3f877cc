"""Table heads: word embeddings of a batch of tables -> logits of their words and cells."""

import functools
from collections.abc import Callable
from typing import NamedTuple, cast

import torch
from thinc.api import ArgsKwargs, Model, torch2xp, xp2torch
from thinc.types import Floats2d
from torch import nn

from ..arrays import Ints1d
from ..heads import TableBiaffine, TableCNN, TableSequence
from ..labels import tag_rules
from ..runtime.head_shim import build_module, pass_on_dropout, wrap_module
from ..sentences import Windows
from ..table.logits import TableLogits

# The attribute of a head that states the maximum number of words of a table.
MAX_WORDS = "max_words"


class HeadInput(NamedTuple):
    """A batch of tables, or the loss's gradient with respect to their word embeddings.

    words (Floats2d): Word embeddings (rows, width), the words of all windows end to end.
    windows (Windows): The cut of the batch: each window is a table.
    known_tags (Ints1d | None): For heads whose scores depend on tags, the known tag of each row,
        int64 (rows,), negative where it is missing. In training the gold tag, in prediction the tag
        of a given entity.
    """

    words: Floats2d
    windows: Windows
    known_tags: Ints1d | None = None


def check_table(name: str, table: Model[HeadInput, TableLogits]) -> None:
    """Check that a model can be the table head of another one.

    name (str): Name of the other one.
    table (Model[HeadInput, TableLogits]): The model.
    RAISES (ValueError): If the width of its word embeddings cannot be set.
    """
    if table.has_dim("nI") is False:
        raise ValueError(
            f"{name}: its table head is the model {table.name!r}; expected a table head, such as "
            "spacy-tabcnn.TableCNN.v1"
        )


def build_table_cnn(
    *,
    kernel_size: int = 3,
    hidden: list[int] | None = None,
    dropout: float | None = None,
    separable: bool = False,
    mixed_precision: bool = False,
    onednn: bool = True,
) -> Model[HeadInput, TableLogits]:
    """Build the paper's CNN over word pairs (section 2.2).

    Registered as `spacy-tabcnn.TableCNN.v1`.

    kernel_size (int): Odd width and height of every kernel (paper, table 5).
    hidden (list[int] | None): Channels of the hidden layers (paper, table 5); [512] by default.
    dropout (float | None): Dropout of the word embeddings and of the channels of the hidden layers.
        By default the dropout of the `[training]` block.
    separable (bool): Whether each layer after the first is a depthwise convolution (kernel_size x
        kernel_size, each channel by itself) followed by a pointwise convolution (1 x 1), as in
        MobileNets and in the paper's future work. Saves most of the weights of these layers, and
        with two hidden layers or more also most of their time.
    mixed_precision (bool): Whether to compute matrix products in bfloat16, in training and
        prediction. Sums, logits and the loss stay in float32. On a device without fast bfloat16
        everything stays in float32.
    onednn (bool): Whether oneDNN may compute matrix products on a CPU, where it is faster.
    RETURNS (Model[HeadInput, TableLogits]): The head, built once its dimensions are known.
    """
    make_module = functools.partial(
        TableCNN,
        kernel_size=kernel_size,
        hidden=[512] if hidden is None else hidden,
        dropout=dropout or 0.0,
        separable=separable,
    )
    return build_torch_head(
        "table_cnn", make_module, dropout=dropout, mixed_precision=mixed_precision, onednn=onednn
    )


def build_table_biaffine(
    *,
    tag_width: int = 64,
    rank: int = 64,
    dropout: float | None = None,
    mixed_precision: bool = False,
    onednn: bool = True,
) -> Model[HeadInput, TableLogits]:
    """Build the head of TabERT (paper, section 2.1).

    It predicts tags from left to right, each given the tags before it, then all relations at once.
    Registered as `spacy-tabcnn.TableBiaffine.v1`.

    tag_width (int): Width of a tag embedding.
    rank (int): Rows of the matrices Q_r and K_r, which score relation r of the words i and j by
        (Q_r z_i + q_r)^T (K_r z_j + k_r).
    dropout (float | None): Dropout of the word and tag embeddings. By default the dropout of the
        `[training]` block.
    mixed_precision (bool): Whether to compute matrix products in bfloat16; see `build_table_cnn`.
    onednn (bool): Whether oneDNN may compute matrix products on a CPU, where it is faster.
    RETURNS (Model[HeadInput, TableLogits]): The head, built once its dimensions are known.
    """
    make_module = functools.partial(
        make_table_biaffine, tag_width=tag_width, rank=rank, dropout=dropout or 0.0
    )
    return build_torch_head(
        "table_biaffine",
        make_module,
        dropout=dropout,
        mixed_precision=mixed_precision,
        onednn=onednn,
    )


def make_table_biaffine(
    *, width: int, n_tags: int, n_relations: int, tag_width: int, rank: int, dropout: float
) -> TableBiaffine:
    """Make the module of `build_table_biaffine`. It is a function of the Python module, so that a
    head can be pickled.

    width (int): Width of a word embedding.
    n_tags (int): Number of tags; `tag_rules` has their rules.
    n_relations (int): Number of relation labels.
    tag_width (int): See `build_table_biaffine`, as for the arguments that follow.
    rank (int): Rows of Q_r and K_r.
    dropout (float): Dropout of the embeddings.
    RETURNS (TableBiaffine): The module.
    """
    return TableBiaffine(
        width, n_relations, tag_rules(n_tags), tag_width=tag_width, rank=rank, dropout=dropout
    )


def build_table_sequence(
    *,
    hidden: int = 200,
    n_layers: int = 3,
    n_heads: int = 8,
    dropout: float | None = None,
    max_words: int = 256,
    mixed_precision: bool = False,
    onednn: bool = True,
) -> Model[HeadInput, TableLogits]:
    """Build the table and sequence encoders of Table-Sequence.

    A recurrence over the cells of the table and self-attention over the words read each other,
    layer by layer. Tags are read off the words, relations off the table. It is the slowest head.
    Registered as `spacy-tabcnn.TableSequence.v1`.

    hidden (int): Width of the states of words and cells, even and a multiple of `n_heads`.
    n_layers (int): Number of layers of both encoders.
    n_heads (int): Number of attention heads of a layer.
    dropout (float | None): Dropout of the word embeddings, in the layers over words, and of the
        last states of words and cells. By default the dropout of the `[training]` block.
    max_words (int): Maximum number of words of a table. The component refuses a `max_length` above
        it. The memory of the head grows with the number of cells, about 6 KB a cell in training
        with three layers.
    mixed_precision (bool): Whether to compute the products of the recurrence in bfloat16; see
        `build_table_cnn`.
    onednn (bool): Whether oneDNN may compute matrix products on a CPU, where it is faster.
    RETURNS (Model[HeadInput, TableLogits]): The head, built once its dimensions are known.
    Source: Wang and Lu (2020), "Two are better than one", EMNLP.
    """
    make_module = functools.partial(
        TableSequence, hidden=hidden, n_layers=n_layers, n_heads=n_heads, dropout=dropout or 0.0
    )
    head = build_torch_head(
        "table_sequence",
        make_module,
        dropout=dropout,
        mixed_precision=mixed_precision,
        onednn=onednn,
    )
    head.attrs[MAX_WORDS] = max_words
    return head


def build_torch_head(
    name: str,
    make_module: Callable[..., nn.Module],
    *,
    dropout: float | None,
    mixed_precision: bool = False,
    onednn: bool = True,
) -> Model[HeadInput, TableLogits]:
    """Wrap a torch module as a table head.

    name (str): Name of the layer.
    make_module (Callable): Called with `width`, `n_tags` and `n_relations`, returns a module with
        an attribute `dropout` and the signature of `TableBiaffine.forward`.
    dropout (float | None): Dropout in training; None follows spaCy's `set_dropout_rate`.
    mixed_precision (bool): Whether to run the module under `precision.autocast`.
    onednn (bool): Whether oneDNN may compute matrix products on a CPU, where it is faster.
    RETURNS (Model[HeadInput, TableLogits]): The head. Its dimensions are nI (the width of the word
        embeddings), n_tags and n_relations. The latter two come from a sample of logits given to
        `initialize` as Y.
    """
    return wrap_module(
        name,
        forward,
        init,
        make_module,
        dims=("n_tags", "n_relations"),
        dropout=dropout,
        mixed_precision=mixed_precision,
        onednn=onednn,
    )


def forward(
    model: Model[HeadInput, TableLogits], inputs: HeadInput, is_train: bool
) -> tuple[TableLogits, Callable[[TableLogits], HeadInput]]:
    """Run the torch module of a head."""
    if is_train:
        pass_on_dropout(model)
    windows = inputs.windows
    words = xp2torch(inputs.words, requires_grad=is_train)
    lengths = torch.from_numpy(windows.lengths)
    tags = None if inputs.known_tags is None else torch.from_numpy(inputs.known_tags)
    arguments = ArgsKwargs(args=(words, lengths, tags), kwargs={})
    outputs, backprop_torch = model.shims[0](arguments, is_train)

    def backprop(d_logits: TableLogits) -> HeadInput:
        d_tags, d_relations = cast(Floats2d, d_logits.tags), cast(Floats2d, d_logits.relations)
        gradients = [xp2torch(d_tags), xp2torch(d_relations)]
        backprop_torch(ArgsKwargs(args=(outputs,), kwargs={"grad_tensors": gradients}))
        d_words = torch2xp(cast(torch.Tensor, words.grad), ops=model.ops)
        return HeadInput(cast(Floats2d, d_words), windows)

    tag_logits, relation_logits = outputs
    logits = TableLogits(
        torch2xp(tag_logits, ops=model.ops), torch2xp(relation_logits, ops=model.ops), windows
    )
    return logits, backprop


def init(
    model: Model[HeadInput, TableLogits],
    X: HeadInput | None = None,
    Y: TableLogits | None = None,
) -> None:
    """Build the module; Y has as many columns as there are labels."""
    sizes = {}
    if Y is not None:
        sizes = {"n_tags": Y.tags.shape[1], "n_relations": Y.relations.shape[1]}
    build_module(model, sizes)
