"""Logits of spans and of pairs of spans."""

from typing import NamedTuple

import numpy as np
from thinc.util import to_numpy

from ..arrays import Floats1d, Floats2d, Ints1d, Ints2d, log_softmax
from ..sentences import Sentences

NO_ENTITY = 0  # index of the type "none"; entity type i of a label scheme has the index 1 + i


class SpanChoice(NamedTuple):
    """The decision which spans are entities.

    types (Ints1d): Index of the most probable type of each span, int64 (spans,).
    scores (Floats1d): Probability of that type, (spans,).
    best (Ints1d): Indices of the entities that do not overlap, int64, in text order. Of entities
        that overlap, the more probable one is among the best.
    """

    types: Ints1d
    scores: Floats1d
    best: Ints1d


class SpanLogits(NamedTuple):
    """Logits of candidates of a batch, or the loss's gradient with respect to them.

    spans (Ints2d): First word, end (exclusive) and sentence of each span, int64 (spans, 3), always
        a numpy array. Words and sentences are counted over the batch.
    entities (Floats2d): Logits of the entity types, "none" included, (spans, types).
    pairs (Ints2d): Head and tail of each pair, indices of spans, int64 (pairs, 2), always a numpy
        array.
    relations (Floats2d): Logits of the relation types, each for a sigmoid, (pairs, relation
        types).
    sentences (Sentences): The cut of the batch.
    choice (SpanChoice | None): In prediction, the spans that are entities; None in training.
    """

    spans: Ints2d
    entities: Floats2d
    pairs: Ints2d
    relations: Floats2d
    sentences: Sentences
    choice: SpanChoice | None = None


def choose_entities(spans: Ints2d, logits: Floats2d) -> SpanChoice:
    """Decide which spans are entities: those with a type that is more probable than "none".

    spans (Ints2d): As in `SpanLogits`, (spans, 3).
    logits (Floats2d): Logits of the entity types, "none" included, (spans, types), numpy or cupy.
    RETURNS (SpanChoice): The decision. The best entities are chosen one by one, the most probable
        first; an entity that overlaps a chosen one is left out. Of two equally probable entities
        the earlier span comes first.
    """
    on_host = to_numpy(logits)
    if not len(on_host):
        empty = np.zeros(0, dtype=np.int64)
        return SpanChoice(empty, np.zeros(0), empty)
    log_probs = log_softmax(on_host)
    types = log_probs.argmax(axis=1)
    scores = np.exp(np.take_along_axis(log_probs, types[:, None], axis=1)[:, 0])
    return SpanChoice(types, scores, _drop_overlaps(spans, types, scores))


def _drop_overlaps(spans: Ints2d, types: Ints1d, scores: Floats1d) -> Ints1d:
    predicted = np.flatnonzero(types != NO_ENTITY)
    by_score = predicted[np.argsort(-scores[predicted], kind="stable")]
    is_taken = np.zeros(spans[:, 1].max(initial=0), dtype=bool)
    chosen: list[int] = []
    for i, (start, end, _) in zip(by_score.tolist(), spans[by_score].tolist(), strict=True):
        if not is_taken[start:end].any():
            is_taken[start:end] = True
            chosen.append(i)
    return np.array(sorted(chosen), dtype=np.int64)
