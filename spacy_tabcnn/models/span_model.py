"""SpERT: documents -> logits of spans and of pairs of spans."""

import functools
from collections.abc import Callable
from typing import NamedTuple, cast

import numpy as np
import torch
from spacy.tokens import Doc
from thinc.api import ArgsKwargs, Model, torch2xp, xp2torch
from thinc.types import Floats2d

from ..arrays import Ints2d
from ..heads.span_classifier import SpERT
from ..runtime.head_shim import build_module, pass_on_dropout, wrap_module
from ..sentences import Sentences
from ..spans.candidates import all_pairs, all_spans
from ..spans.logits import SpanLogits, choose_entities
from .features import work_at_once
from .sentence_embeddings import (
    SentenceEmbedding,
    SentenceEmbeddings,
    SentenceInput,
    build_sentence_embeddings,
)
from .table_model import init as init_model
from .torch_twin import make_twins


class Candidates(NamedTuple):
    """Spans and pairs to score, as in `SpanLogits`."""

    spans: Ints2d
    pairs: Ints2d


class SpanInput(NamedTuple):
    """A batch of documents with its cut into sentences.

    docs (list[Doc]): The documents.
    sentences (Sentences): Their sentences.
    max_length (int): Maximum number of words from the first word of the one span of a pair to the
        last word of the other.
    candidates (Candidates | None): In training, the candidates to learn from. In prediction None:
        the model scores every span, and every pair of the spans that are entities.
    """

    docs: list[Doc]
    sentences: Sentences
    max_length: int
    candidates: Candidates | None = None


class SpanHeadInput(NamedTuple):
    """Embeddings of a batch, and the candidates to score."""

    embeddings: SentenceEmbeddings
    candidates: Candidates


class SpanHeadLogits(NamedTuple):
    """Logits of candidates: of spans (spans, types), and of pairs (pairs, relation types)."""

    entities: Floats2d
    relations: Floats2d


def build_spert(
    tok2vec: Model[list[Doc], list[Floats2d]],
    *,
    sentence_embedding: SentenceEmbedding,
    max_width: int = 10,
    width_embedding: int = 25,
    dropout: float | None = None,
    mixed_precision: bool = False,
    onednn: bool = True,
) -> Model[SpanInput, SpanLogits]:
    """Build SpERT (Eberts and Ulges, 2020). Registered as `spacy-tabcnn.SpERT.v1`.

    Spans are pooled over words, and words, by the tok2vec, over sub-words. With
    `spacy-tabcnn.reduce_max.v1` the result is the maximum over the sub-words of the span, as in the
    original.

    tok2vec (Model[list[Doc], list[Floats2d]]): Word embeddings, (words, width) a document.
    sentence_embedding (str): The embedding of a sentence: "cls" (the embedding of [CLS], as in the
        original; the tok2vec has to be a listener to a transformer) or "max" (the maximum over its
        words).
    max_width (int): Maximum number of words of an entity.
    width_embedding (int): Width of the embedding of the number of words of a span.
    dropout (float | None): Dropout of the features of spans and pairs. By default the dropout of
        the `[training]` block.
    mixed_precision (bool): Whether to compute the classifiers in bfloat16; see `build_table_cnn`.
    onednn (bool): Whether oneDNN may compute matrix products on a CPU, where it is faster.
    RETURNS (Model[SpanInput, SpanLogits]): Scores the candidates of a batch. Memory grows with the
        number of words, not with its square. To initialise it, pass documents as X and logits of
        the wanted numbers of labels as Y.
    RAISES (ValueError): If sentence_embedding does not fit the tok2vec.
    """
    work_at_once(tok2vec)
    make_twins(tok2vec)
    try:
        embeddings = build_sentence_embeddings(tok2vec, sentence_embedding)
    except ValueError as err:
        raise ValueError(f"spacy-tabcnn.SpERT.v1: {err}") from err
    head: Model[SpanHeadInput, SpanHeadLogits] = wrap_module(
        "spert_head",
        forward_head,
        init_head,
        functools.partial(
            SpERT, max_width=max_width, width_embedding=width_embedding, dropout=dropout or 0.0
        ),
        dims=("n_types", "n_relations"),
        dropout=dropout,
        mixed_precision=mixed_precision,
        onednn=onednn,
    )
    return Model(
        "spert",
        forward,
        init=init_model,
        layers=[embeddings, head],
        attrs={"max_width": max_width},
        refs={"tok2vec": tok2vec, "embeddings": embeddings, "head": head},
    )


def forward(
    model: Model[SpanInput, SpanLogits], inputs: SpanInput, is_train: bool
) -> tuple[SpanLogits, Callable[[SpanLogits], list[Doc]]]:
    """Score the candidates of a batch; in prediction all spans, then the pairs of entities."""
    if not is_train:
        return predict(model, inputs), _refuse_backprop
    if inputs.candidates is None:
        raise ValueError("spacy-tabcnn.SpERT.v1: cannot train without candidates in the SpanInput")
    embed, head = model.layers
    spans, pairs = inputs.candidates
    sentences = inputs.sentences
    embeddings, backprop_embed = embed(SentenceInput(inputs.docs, sentences), is_train)
    scores, backprop_head = head(SpanHeadInput(embeddings, inputs.candidates), is_train)

    def backprop(d_logits: SpanLogits) -> list[Doc]:
        d_entities = cast(Floats2d, d_logits.entities)
        d_relations = cast(Floats2d, d_logits.relations)
        d_scores = SpanHeadLogits(d_entities, d_relations)
        return backprop_embed(backprop_head(d_scores).embeddings)

    return SpanLogits(spans, scores.entities, pairs, scores.relations, sentences), backprop


def predict(model: Model[SpanInput, SpanLogits], inputs: SpanInput) -> SpanLogits:
    """Score every span, then every pair of the spans that are entities.

    model (Model[SpanInput, SpanLogits]): SpERT.
    inputs (SpanInput): The documents; candidates are not read.
    RETURNS (SpanLogits): The logits, with the choice of the entities.
    """
    embed, head = model.layers
    # Embeddings of an empty document can be zero wide, which layers that concatenate refuse.
    docs = [doc for doc in inputs.docs if len(doc)]
    by_doc = [*filter(None, inputs.sentences.by_doc)]
    embeddings = embed.predict(SentenceInput(docs, Sentences(by_doc)))
    spans = all_spans(inputs.sentences.lengths, model.attrs["max_width"])
    no_pairs = np.zeros((0, 2), dtype=np.int64)
    entities = head.predict(SpanHeadInput(embeddings, Candidates(spans, no_pairs))).entities
    choice = choose_entities(spans, entities)
    chosen = spans[choice.best]
    pairs = all_pairs(chosen, inputs.max_length)
    relations = head.predict(SpanHeadInput(embeddings, Candidates(chosen, pairs))).relations
    pairs_of_all = choice.best[pairs]
    return SpanLogits(spans, entities, pairs_of_all, relations, inputs.sentences, choice)


def _refuse_backprop(d_logits: SpanLogits) -> list[Doc]:
    raise ValueError("spacy-tabcnn.SpERT.v1: a prediction has no gradient; train with begin_update")


def forward_head(
    model: Model[SpanHeadInput, SpanHeadLogits], inputs: SpanHeadInput, is_train: bool
) -> tuple[SpanHeadLogits, Callable[[SpanHeadLogits], SpanHeadInput]]:
    """Run the torch module of the classifiers."""
    if is_train:
        pass_on_dropout(model)
    words = xp2torch(inputs.embeddings.words, requires_grad=is_train)
    sentences = xp2torch(inputs.embeddings.sentences, requires_grad=is_train)
    spans, pairs = map(torch.from_numpy, inputs.candidates)
    arguments = ArgsKwargs(args=(words, sentences, spans, pairs), kwargs={})
    outputs, backprop_torch = model.shims[0](arguments, is_train)

    def backprop(d_logits: SpanHeadLogits) -> SpanHeadInput:
        gradients = [xp2torch(d_logits.entities), xp2torch(d_logits.relations)]
        backprop_torch(ArgsKwargs(args=(outputs,), kwargs={"grad_tensors": gradients}))
        d_words = torch2xp(cast(torch.Tensor, words.grad), ops=model.ops)
        d_sentences = torch2xp(cast(torch.Tensor, sentences.grad), ops=model.ops)
        d_embeddings = SentenceEmbeddings(cast(Floats2d, d_words), cast(Floats2d, d_sentences))
        return SpanHeadInput(d_embeddings, inputs.candidates)

    entities, relations = outputs
    logits = SpanHeadLogits(
        cast(Floats2d, torch2xp(entities, ops=model.ops)),
        cast(Floats2d, torch2xp(relations, ops=model.ops)),
    )
    return logits, backprop


def init_head(
    model: Model[SpanHeadInput, SpanHeadLogits],
    X: SpanHeadInput | None = None,
    Y: SpanLogits | None = None,
) -> None:
    """Build the module; Y has as many columns as there are labels."""
    sizes = {}
    if Y is not None:
        sizes = {"n_types": Y.entities.shape[1], "n_relations": Y.relations.shape[1]}
    build_module(model, sizes)
