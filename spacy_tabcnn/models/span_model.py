"""SpERT: documents -> logits of spans and of pairs of spans."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from spacy.tokens import Doc
from thinc.api import ArgsKwargs, Model, torch2xp, xp2torch
from thinc.types import Floats2d as ThincFloats2d

from ..arrays import Floats2d, Ints2d
from ..heads.span_classifier import SpERT
from ..runtime.head_shim import build_module, pass_on_dropout, wrap_module
from ..sentences import DEFAULT_MAX_LENGTH, sentence_lengths
from ..spans.candidates import all_pairs, all_spans
from ..spans.decode import best_spans, classify_spans
from ..spans.logits import SpanLogits
from .sentence_embeddings import SentenceEmbeddings, build_sentence_embeddings
from .table_model import init as init_model


class SpanInput(NamedTuple):
    """Documents to learn from, and the candidates to score: spans and pairs as in `SpanLogits`."""

    docs: list[Doc]
    spans: Ints2d
    pairs: Ints2d


class SpanHeadInput(NamedTuple):
    """Embeddings of a batch, and the candidates to score: spans and pairs as in `SpanLogits`."""

    embeddings: SentenceEmbeddings
    spans: Ints2d
    pairs: Ints2d


def build_spert(
    tok2vec: Model[list[Doc], list[ThincFloats2d]],
    *,
    max_width: int = 10,
    width_embedding: int = 25,
    dropout: float | None = None,
    mixed_precision: bool = False,
) -> Model[list[Doc] | SpanInput, SpanLogits]:
    """Build SpERT (Eberts and Ulges, 2020). Registered as `spacy-tabcnn.SpERT.v1`.

    Spans are pooled over words, and words, by the tok2vec, over sub-words. With `spacy-tabcnn.reduce_max.v1` that is
    the maximum over the span's sub-words, as in the original.

    tok2vec (Model[list[Doc], list[Floats2d]]): Word embeddings, (words, width) a document. If it is a listener of
        spacy-transformers, a sentence is represented by [CLS], else by the maximum over its words; see
        `build_sentence_embeddings`.
    max_width (int): Most words of an entity.
    width_embedding (int): Width of the embedding of a span's number of words.
    dropout (float | None): Dropout of the features of spans and pairs. By default that of the `[training]` block.
    mixed_precision (bool): Whether to compute the classifiers in bfloat16, as `build_table_cnn` does.
    RETURNS (Model[list[Doc] | SpanInput, SpanLogits]): Given documents, scores every span and, of those that
        `best_spans` chooses, every pair over at most so many words as its attribute `max_length`: memory grows with
        the number of words, not with its square. Train it with `SpanInput`. To initialise it, pass documents as X and
        logits of the wanted numbers of labels as Y.
    """
    embeddings = build_sentence_embeddings(tok2vec)
    head: Model[SpanHeadInput, SpanLogits] = wrap_module(
        "spert_head",
        forward_head,
        init_head,
        functools.partial(
            SpERT, max_width=max_width, width_embedding=width_embedding, dropout=dropout or 0.0
        ),
        dims=("n_types", "n_relations"),
        dropout=dropout,
        mixed_precision=mixed_precision,
    )
    return Model(
        "spert",
        forward,
        init=init_model,
        layers=[embeddings, head],
        attrs={"max_width": max_width, "max_length": DEFAULT_MAX_LENGTH},
        refs={"tok2vec": tok2vec, "embeddings": embeddings, "head": head},
    )


def forward(
    model: Model[list[Doc] | SpanInput, SpanLogits], inputs: list[Doc] | SpanInput, is_train: bool
) -> tuple[SpanLogits, Callable[[SpanLogits], list[Doc]]]:
    embeddings_layer, head = model.get_ref("embeddings"), model.get_ref("head")
    if isinstance(inputs, SpanInput):
        embeddings, backprop_embeddings = embeddings_layer(inputs.docs, is_train)
        logits, backprop_head = head(
            SpanHeadInput(embeddings, inputs.spans, inputs.pairs), is_train
        )
        return logits, lambda d_logits: backprop_embeddings(backprop_head(d_logits).embeddings)
    if is_train:
        raise ValueError("spacy-tabcnn.SpERT.v1: cannot train on documents alone; pass a SpanInput")
    # Embeddings of an empty document can be zero wide, which layers that concatenate refuse.
    docs = [doc for doc in inputs if len(doc)]
    embeddings = embeddings_layer.predict(docs)
    spans = all_spans(sentence_lengths(docs), model.attrs["max_width"])
    entities = head.predict(
        SpanHeadInput(embeddings, spans, np.zeros((0, 2), dtype=np.int64))
    ).entities
    best = best_spans(spans, *classify_spans(entities))
    pairs = all_pairs(spans[best], model.attrs["max_length"])
    relations = head.predict(SpanHeadInput(embeddings, spans[best], pairs)).relations
    return SpanLogits(spans, entities, best[pairs], relations), lambda d_logits: []


def forward_head(
    model: Model[SpanHeadInput, SpanLogits], inputs: SpanHeadInput, is_train: bool
) -> tuple[SpanLogits, Callable[[SpanLogits], SpanHeadInput]]:
    if is_train:
        pass_on_dropout(model)
    embeddings = [xp2torch(array, requires_grad=is_train) for array in inputs.embeddings]
    candidates = [torch.from_numpy(array) for array in (inputs.spans, inputs.pairs)]
    outputs, backprop_torch = model.shims[0](
        ArgsKwargs(args=(*embeddings, *candidates), kwargs={}), is_train
    )

    def backprop(d_logits: SpanLogits) -> SpanHeadInput:
        gradients = [xp2torch(d_logits.entities), xp2torch(d_logits.relations)]
        backprop_torch(ArgsKwargs(args=(outputs,), kwargs={"grad_tensors": gradients}))
        d_embeddings = (
            torch2xp(cast(torch.Tensor, array.grad), ops=model.ops) for array in embeddings
        )
        return SpanHeadInput(SentenceEmbeddings(*d_embeddings), inputs.spans, inputs.pairs)

    entities, relations = (cast(Floats2d, torch2xp(output, ops=model.ops)) for output in outputs)
    return SpanLogits(inputs.spans, entities, inputs.pairs, relations), backprop


def init_head(
    model: Model[SpanHeadInput, SpanLogits], X: Any = None, Y: SpanLogits | None = None
) -> None:
    build_module(
        model,
        {} if Y is None else {"n_types": Y.entities.shape[1], "n_relations": Y.relations.shape[1]},
    )
