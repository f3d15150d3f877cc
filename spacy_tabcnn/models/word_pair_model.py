"""PFN: documents -> logits of spans and of ordered pairs of words."""

import functools
from collections.abc import Callable
from typing import cast

import torch
from spacy.tokens import Doc
from thinc.api import ArgsKwargs, Model, torch2xp, xp2torch
from thinc.types import Floats2d

from ..heads import PFN
from ..runtime.head_shim import build_module, pass_on_dropout, wrap_module
from ..word_pairs.logits import WordPairLogits
from .table_heads import HeadInput
from .table_model import TableInput, join_layers


def build_pfn(
    tok2vec: Model[list[Doc], list[Floats2d]],
    *,
    hidden: int = 300,
    dropout: float | None = None,
    dropconnect: float = 0.1,
    nested: bool = False,
    mixed_precision: bool = False,
    onednn: bool = True,
) -> Model[TableInput, WordPairLogits]:
    """Build PFN (Yan et al., 2021). Registered as `spacy-tabcnn.PFN.v1`.

    A recurrent cell, the partition filter, reads the words from left to right and computes features
    for entities, for relations and for both. One table scores the spans from their first and last
    words, another one the relations from the first words of two entities.

    tok2vec (Model[list[Doc], list[Floats2d]]): Word embeddings, (words, width) a document.
    hidden (int): Width of the cell's state and of its features.
    dropout (float | None): Dropout of the word embeddings and of the vectors of cells. By default
        the dropout of the `[training]` block.
    dropconnect (float): Share of the weights of the cell's state that training drops, drawn once
        for a batch. The other weights are enlarged, so a prediction uses all as they are.
    nested (bool): Whether another table scores the relations from the last words of two entities.
        A relation then needs both cells. For predicted entities that share a first word.
    mixed_precision (bool): Whether to compute matrix products in bfloat16; see `build_table_cnn`.
    onednn (bool): Whether oneDNN may compute matrix products on a CPU, where it is faster.
    RETURNS (Model[TableInput, WordPairLogits]): Scores the tables of a batch of documents. To
        initialise it, pass documents as X and logits of the wanted numbers of labels as Y.
    """
    make_module = functools.partial(
        PFN, hidden=hidden, dropout=dropout or 0.0, dropconnect=dropconnect, nested=nested
    )
    head: Model[HeadInput, WordPairLogits] = wrap_module(
        "pfn_head",
        forward_head,
        init_head,
        make_module,
        dims=("n_types", "n_relations"),
        dropout=dropout,
        mixed_precision=mixed_precision,
        onednn=onednn,
    )
    model = join_layers("pfn", tok2vec, head)
    model.attrs["nested"] = nested
    return model


def forward_head(
    model: Model[HeadInput, WordPairLogits], inputs: HeadInput, is_train: bool
) -> tuple[WordPairLogits, Callable[[WordPairLogits], HeadInput]]:
    """Run the torch module."""
    if is_train:
        pass_on_dropout(model)
    windows = inputs.windows
    words = xp2torch(inputs.words, requires_grad=is_train)
    arguments = ArgsKwargs(args=(words, torch.from_numpy(windows.lengths)), kwargs={})
    outputs, backprop_torch = model.shims[0](arguments, is_train)

    def backprop(d_logits: WordPairLogits) -> HeadInput:
        gradients = []
        for d_table in _list_tables(d_logits):
            gradients.append(xp2torch(d_table))
        backprop_torch(ArgsKwargs(args=(outputs,), kwargs={"grad_tensors": gradients}))
        d_words = torch2xp(cast(torch.Tensor, words.grad), ops=model.ops)
        return HeadInput(cast(Floats2d, d_words), windows)

    tables = []
    for output in outputs:
        tables.append(torch2xp(output, ops=model.ops))
    entities, relations, *others = tables
    return WordPairLogits(entities, relations, windows, *others), backprop


def _list_tables(logits: WordPairLogits) -> list[Floats2d]:
    """Return the tables in the order of the module."""
    tables = [cast(Floats2d, logits.entities), cast(Floats2d, logits.relations)]
    if logits.last_words is not None:
        tables.append(cast(Floats2d, logits.last_words))
    return tables


def init_head(
    model: Model[HeadInput, WordPairLogits],
    X: HeadInput | None = None,
    Y: WordPairLogits | None = None,
) -> None:
    """Build the module; Y has as many columns as there are labels."""
    sizes = {}
    if Y is not None:
        sizes = {"n_types": Y.entities.shape[1], "n_relations": Y.relations.shape[1]}
    build_module(model, sizes)
