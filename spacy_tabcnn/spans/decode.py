"""Logits -> entities and relations."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from thinc.util import to_numpy

from ..arrays import Floats2d, Ints1d, Ints2d, log_softmax
from ..labels import LabelScheme
from ..predictions import EntityPrediction, RelationPrediction
from .logits import NO_ENTITY, SpanLogits


class SpanPrediction(NamedTuple):
    """The entities of a document, which may overlap, in text order; the indices of the best ones that do not overlap;
    and the relations between those, whose head and tail are indices of the entities too."""

    entities: list[EntityPrediction]
    best: list[int]
    relations: list[RelationPrediction]


def decode_spans(
    logits: SpanLogits, doc_lengths: list[int], scheme: LabelScheme, *, min_score: float
) -> list[SpanPrediction]:
    """Read entities and relations off the logits of all spans.

    A span is an entity if a type is more probable than none. Of entities that overlap, the more probable one is among
    the best.

    logits (SpanLogits): Logits of all spans of a batch, and of the pairs of the best ones.
    doc_lengths (list[int]): Words of each document.
    scheme (LabelScheme): The labels.
    min_score (float): Least probability of a relation.
    RETURNS (list[SpanPrediction]): The prediction for each document; words are counted over the document.
    """
    predictions = [SpanPrediction([], [], []) for _ in doc_lengths]
    types, scores = classify_spans(logits.entities)
    predicted = np.flatnonzero(types != NO_ENTITY)
    doc_ends = np.cumsum(doc_lengths)
    doc_of = np.searchsorted(doc_ends, logits.spans[:, 0], side="right")
    offset = np.append(0, doc_ends)[doc_of]
    rank = np.full(len(logits.spans), -1)  # of each predicted span in its document
    for i in predicted.tolist():
        entities = predictions[doc_of[i]].entities
        rank[i] = len(entities)
        start, end = (logits.spans[i, :2] - offset[i]).tolist()
        entities.append(
            EntityPrediction(start, end, scheme.entities[types[i] - 1], float(scores[i]))
        )
    for i in best_spans(logits.spans, types, scores).tolist():
        predictions[doc_of[i]].best.append(int(rank[i]))

    names = list(scheme.relations)
    probs = np.exp(-np.logaddexp(0.0, -to_numpy(logits.relations)))
    for pair, label in zip(*np.nonzero(probs >= min_score), strict=True):
        head, tail = logits.pairs[pair]
        relation = RelationPrediction(
            int(rank[head]), int(rank[tail]), names[label], float(probs[pair, label])
        )
        predictions[doc_of[head]].relations.append(relation)
    for prediction in predictions:
        prediction.relations.sort(key=lambda relation: relation[:2])
    return predictions


def classify_spans(logits: Floats2d) -> tuple[Ints1d, NDArray[np.float32]]:
    """Find the most probable type of each span.

    logits (Floats2d): Logits of the entity types, "none" included, (spans, types), numpy or cupy.
    RETURNS (tuple[Ints1d, NDArray]): Its index and its probability, (spans,), numpy.
    """
    logits = to_numpy(logits)
    log_probs = log_softmax(logits) if len(logits) else logits
    types = log_probs.argmax(axis=1)
    return types, np.exp(np.take_along_axis(log_probs, types[:, None], axis=1)[:, 0])


def best_spans(spans: Ints2d, types: Ints1d, scores: NDArray[np.float32]) -> Ints1d:
    """Choose entities that do not overlap: the most probable one first, then the next that overlaps none chosen.

    spans (Ints2d): As in `SpanLogits`, (spans, 3).
    types (Ints1d): Index of the type of each span, (spans,).
    scores (NDArray): Probability of that type, (spans,). Of equal ones the earlier span comes first.
    RETURNS (Ints1d): Indices of the chosen spans, int64, in text order.
    """
    predicted = np.flatnonzero(types != NO_ENTITY)
    by_score = predicted[np.argsort(-scores[predicted], kind="stable")]
    is_taken = np.zeros(spans[:, 1].max(initial=0), dtype=bool)
    chosen = []
    for i, (start, end, _) in zip(by_score.tolist(), spans[by_score].tolist(), strict=True):
        if not is_taken[start:end].any():
            is_taken[start:end] = True
            chosen.append(i)
    return np.array(sorted(chosen), dtype=np.int64)
