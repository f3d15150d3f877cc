"""Table heads: word embeddings of a batch of sentences -> logits of their tables."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import torch
from thinc.api import ArgsKwargs, Model, torch2xp, xp2torch
from torch import nn

from ..arrays import Floats2d, Ints1d
from ..heads import TableBiaffine, TableCNN
from ..labels import tag_rules
from ..runtime.head_shim import build_module, pass_on_dropout, wrap_module
from ..table.logits import TableLogits


class HeadInput(NamedTuple):
    """A batch of sentences, or the loss's gradient with respect to their embeddings.

    words (Floats2d): Word embeddings (words, width), the sentences end to end.
    lengths (Ints1d): Words of each sentence, int64 (sentences,).
    known_tags (Ints1d | None): For heads whose scores depend on tags, the tag of each word, int64 (words,), negative
        where it is missing: the gold one in training, in prediction that of a given entity.
    """

    words: Floats2d
    lengths: Ints1d
    known_tags: Ints1d | None = None


def build_table_cnn(
    *,
    kernel_size: int = 3,
    hidden: list[int] | None = None,
    dropout: float | None = None,
    separable: bool = False,
    mixed_precision: bool = False,
) -> Model[HeadInput, TableLogits]:
    """Build the paper's CNN over word pairs (section 2.2). Registered as `spacy-tabcnn.TableCNN.v1`.

    kernel_size (int): Odd width and height of every kernel (paper, table 5).
    hidden (list[int] | None): Channels of the hidden layers (paper, table 5); [512] by default.
    dropout (float | None): Dropout of the word embeddings and of the hidden layers' channels. By default that of the
        `[training]` block.
    separable (bool): Whether each layer after the first is a depthwise convolution (kernel_size x kernel_size, each
        channel for itself) and then a pointwise one (1 x 1), as MobileNets do it and the paper's future work proposes.
        Spares most of the weights of these layers, and with two hidden layers or more also most of the time.
    mixed_precision (bool): Whether to compute matrix products in bfloat16, in training and prediction. Sums, logits and
        the loss stay in float32, and so does everything on a device without fast bfloat16.
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
        "table_cnn", make_module, dropout=dropout, mixed_precision=mixed_precision
    )


def build_table_biaffine(
    *,
    tag_width: int = 64,
    rank: int = 64,
    dropout: float | None = None,
    mixed_precision: bool = False,
) -> Model[HeadInput, TableLogits]:
    """Build the head of TabERT, with which the paper compares its own (section 2.1): tags from left to right, each
    given those before it, then all relations at once. Registered as `spacy-tabcnn.TableBiaffine.v1`.

    tag_width (int): Width of a tag embedding.
    rank (int): Rows of the matrices Q_r and K_r, which score relation r of the words i and j by
        (Q_r z_i + q_r)^T (K_r z_j + k_r).
    dropout (float | None): Dropout of the word and tag embeddings. By default that of the `[training]` block.
    mixed_precision (bool): Whether to compute matrix products in bfloat16, as `build_table_cnn` does.
    RETURNS (Model[HeadInput, TableLogits]): The head, built once its dimensions are known.
    """
    make_module = functools.partial(
        make_table_biaffine, tag_width=tag_width, rank=rank, dropout=dropout or 0.0
    )
    return build_torch_head(
        "table_biaffine", make_module, dropout=dropout, mixed_precision=mixed_precision
    )


def make_table_biaffine(
    *, width: int, n_tags: int, n_relations: int, **options: Any
) -> TableBiaffine:
    """Make the module of `build_table_biaffine`. A function of the module, so that a head can be pickled.

    width (int): Width of a word embedding.
    n_tags (int): Number of tags, whose rules `tag_rules` tells.
    n_relations (int): Number of relation labels.
    options (Any): Those of `TableBiaffine`.
    RETURNS (TableBiaffine): The module.
    """
    return TableBiaffine(width, n_relations, tag_rules(n_tags), **options)


def build_torch_head(
    name: str,
    make_module: Callable[..., nn.Module],
    *,
    dropout: float | None,
    mixed_precision: bool = False,
) -> Model[HeadInput, TableLogits]:
    """Wrap a torch module as a table head.

    name (str): Name of the layer.
    make_module (Callable): Called with `width`, `n_tags` and `n_relations`, returns a module with an attribute
        `dropout` and the signature of `TableBiaffine.forward`.
    dropout (float | None): Dropout in training; None follows spaCy's `set_dropout_rate`.
    mixed_precision (bool): Whether to run the module under `precision.autocast`.
    RETURNS (Model[HeadInput, TableLogits]): The head. Its dimensions are nI (the embeddings' width), n_tags and
        n_relations; the latter two come from a sample of logits given to `initialize` as Y.
    """
    return wrap_module(
        name,
        forward,
        init,
        make_module,
        dims=("n_tags", "n_relations"),
        dropout=dropout,
        mixed_precision=mixed_precision,
    )


def forward(
    model: Model[HeadInput, TableLogits], inputs: HeadInput, is_train: bool
) -> tuple[TableLogits, Callable[[TableLogits], HeadInput]]:
    if is_train:
        pass_on_dropout(model)
    words = xp2torch(inputs.words, requires_grad=is_train)
    lengths = torch.from_numpy(inputs.lengths)
    known_tags = None if inputs.known_tags is None else torch.from_numpy(inputs.known_tags)
    arguments = ArgsKwargs(args=(words, lengths, known_tags), kwargs={})
    outputs, backprop_torch = model.shims[0](arguments, is_train)

    def backprop(d_logits: TableLogits) -> HeadInput:
        gradients = [xp2torch(d_logits.tags), xp2torch(d_logits.relations)]
        backprop_torch(ArgsKwargs(args=(outputs,), kwargs={"grad_tensors": gradients}))
        return HeadInput(torch2xp(cast(torch.Tensor, words.grad), ops=model.ops), inputs.lengths)

    tags, relations = (torch2xp(output, ops=model.ops) for output in outputs)
    return TableLogits(tags, relations, inputs.lengths), backprop


def init(model: Model[HeadInput, TableLogits], X: Any = None, Y: TableLogits | None = None) -> None:
    build_module(
        model, {} if Y is None else {"n_tags": Y.tags.shape[1], "n_relations": Y.relations.shape[1]}
    )
