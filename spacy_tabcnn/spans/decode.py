"""Logits -> entities and relations."""

from typing import NamedTuple

import numpy as np
from thinc.util import to_numpy

from ..arrays import Ints1d, log_softmax, sigmoid, take_rows
from ..labels import LabelScheme
from ..predictions import (
    UNSOFTENED,
    EntityPrediction,
    RelationPrediction,
    SpanProbabilities,
    Temperature,
    soften,
)
from ..sentences import Sentences
from .logits import NO_ENTITY, SpanLogits, choose_entities


class SpanPrediction(NamedTuple):
    """The prediction for a document.

    entities (list[EntityPrediction]): The entities in text order; they may overlap.
    best (list[int]): Indices of the best entities that do not overlap.
    relations (list[RelationPrediction]): The relations between the best entities. Head and tail
        are indices of `entities`.
    """

    entities: list[EntityPrediction]
    best: list[int]
    relations: list[RelationPrediction]


def decode_spans(
    logits: SpanLogits,
    scheme: LabelScheme,
    *,
    min_score: float,
    temperature: Temperature = UNSOFTENED,
) -> list[SpanPrediction]:
    """Read entities and relations off the logits of all spans.

    logits (SpanLogits): Logits of all spans of a batch, and of the pairs of the best ones.
    scheme (LabelScheme): The labels.
    min_score (float): Minimum score of a relation.
    temperature (Temperature): Softens the scores, before they are compared with `min_score`.
    RETURNS (list[SpanPrediction]): The prediction for each document; words are counted over the
        document.
    """
    predictions = [SpanPrediction([], [], []) for _ in logits.sentences.by_doc]
    choice = logits.choice or choose_entities(logits.spans, logits.entities)
    doc_of_sentence, first_word = _locate_sentences(logits.sentences)
    doc_of = doc_of_sentence[logits.spans[:, 2]]
    offset = first_word[doc_of]

    scores = soften(choice.scores, temperature.entities)
    rank = np.full(len(logits.spans), -1)  # of each entity among the entities of its document
    for i in np.flatnonzero(choice.types != NO_ENTITY).tolist():
        entities = predictions[doc_of[i]].entities
        rank[i] = len(entities)
        start, end = (logits.spans[i, :2] - offset[i]).tolist()
        label = scheme.entities[choice.types[i] - 1]
        entities.append(EntityPrediction(start, end, label, float(scores[i])))
    for i in choice.best.tolist():
        predictions[doc_of[i]].best.append(int(rank[i]))

    names = list(scheme.relations)
    probs = sigmoid(to_numpy(logits.relations))
    probs = soften(probs, temperature.relations)
    for pair, label in np.argwhere(probs >= min_score).tolist():
        head, tail = logits.pairs[pair].tolist()
        score = float(probs[pair, label])
        relation = RelationPrediction(int(rank[head]), int(rank[tail]), names[label], score)
        predictions[doc_of[head]].relations.append(relation)
    for prediction in predictions:
        prediction.relations.sort(key=lambda relation: relation[:2])
    return predictions


def rate_spans(logits: SpanLogits, scheme: LabelScheme) -> list[SpanProbabilities]:
    """Return the probabilities of the entities of each document of a batch.

    logits (SpanLogits): Logits of all spans of the batch.
    scheme (LabelScheme): The labels.
    RETURNS (list[SpanProbabilities]): The probabilities for each document.
    """
    doc_of_sentence, first_word = _locate_sentences(logits.sentences)
    doc_of = doc_of_sentence[logits.spans[:, 2]]
    rated = []
    for number, first in enumerate(first_word.tolist()):
        rows = np.flatnonzero(doc_of == number)
        spans = logits.spans[rows, :2] - first
        probs = take_rows(logits.entities, rows)
        if len(probs):
            probs = np.exp(log_softmax(probs))
        without_none = probs[:, NO_ENTITY + 1 :]
        rated.append(SpanProbabilities(spans, without_none, scheme.entities, decisions=probs))
    return rated


def _locate_sentences(sentences: Sentences) -> tuple[Ints1d, Ints1d]:
    """Return the document of each sentence, and the first word of each document in the batch."""
    n_sentences = [*map(len, sentences.by_doc)]
    doc_of = np.repeat(np.arange(len(n_sentences)), n_sentences)
    n_words = np.bincount(doc_of, weights=sentences.lengths, minlength=len(n_sentences))
    return doc_of, (n_words.cumsum() - n_words).astype(np.int64)
