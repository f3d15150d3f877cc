"""Examples -> gold spans and relations, and the labels of candidates."""

from collections import Counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from spacy.training import Example

from ..alignment import align_gold
from ..arrays import Ints1d, Ints2d
from ..labels import MISSING, LabelScheme
from ..relations import has_relations
from ..sentences import sentence_bounds
from .logits import NO_ENTITY


class GoldSpans(NamedTuple):
    """The gold of a batch. Words and sentences are counted over the batch.

    spans (Ints2d): First word, end (exclusive) and sentence of each entity, int64 (entities, 3), in text order.
    types (Ints1d): Index of the type of each entity, int64 (entities,).
    relations (Ints2d): Head, tail (indices of entities) and index of the type of each relation, int64 (relations, 3).
    is_missing (NDArray[np.bool_]): Whether entities are not annotated on a word, (words,).
    has_relations (NDArray[np.bool_]): Whether relations are annotated in a sentence, (sentences,).
    n_relations (int): Number of relation types.
    """

    spans: Ints2d
    types: Ints1d
    relations: Ints2d
    is_missing: NDArray[np.bool_]
    has_relations: NDArray[np.bool_]
    n_relations: int

    def find(self, spans: Ints2d) -> Ints1d:
        """Find spans among the entities.

        spans (Ints2d): As in `SpanLogits`, (spans, 3).
        RETURNS (Ints1d): Index of the entity with a span's boundaries, or -1, int64 (spans,).
        """
        if not len(self.spans):
            return np.full(len(spans), -1)
        nearest = np.minimum(np.searchsorted(self.spans[:, 0], spans[:, 0]), len(self.spans) - 1)
        return np.where((self.spans[nearest, :2] == spans[:, :2]).all(axis=1), nearest, -1)

    def touches_missing(self, spans: Ints2d) -> NDArray[np.bool_]:
        """Tell whether spans hold a word on which entities are not annotated.

        spans (Ints2d): As in `SpanLogits`, (spans, 3).
        RETURNS (NDArray[np.bool_]): bool (spans,).
        """
        n_before = np.append(0, np.cumsum(self.is_missing))
        return n_before[spans[:, 1]] > n_before[spans[:, 0]]

    def span_types(self, spans: Ints2d) -> Ints1d:
        """Label spans.

        spans (Ints2d): As in `SpanLogits`, (spans, 3).
        RETURNS (Ints1d): Index of the type of each span, or `MISSING` where that is not annotated, int64 (spans,).
        """
        entity = self.find(spans)
        other = np.where(self.touches_missing(spans), MISSING, NO_ENTITY)
        return np.where(entity < 0, other, np.append(self.types, NO_ENTITY)[entity])

    def labels(self, spans: Ints2d, pairs: Ints2d) -> Ints2d:
        """Label pairs of spans.

        spans (Ints2d): As in `SpanLogits`, (spans, 3).
        pairs (Ints2d): Head and tail, indices of spans, (pairs, 2), each pair once.
        RETURNS (Ints2d): For each pair and relation type, 1 if it holds, else 0, or `MISSING` where that is not
            annotated, int64 (pairs, relation types).
        """
        labels = np.zeros((len(pairs), self.n_relations), dtype=np.int64)
        entity = self.find(spans)
        head, tail = entity[pairs.T]
        # -1, no entity, gets a number that no relation has.
        code = head * (len(self.spans) + 1) + tail
        code[(head < 0) | (tail < 0)] = -1
        order = np.argsort(code)
        gold_code = self.relations[:, 0] * (len(self.spans) + 1) + self.relations[:, 1]
        place = np.searchsorted(code[order], gold_code)
        found = np.append(code[order], -1)[place] == gold_code
        labels[order[place[found]], self.relations[found, 2]] = 1
        labels[~self.has_relations[spans[pairs[:, 0], 2]]] = MISSING
        return labels


def gold_spans(
    examples: list[Example], scheme: LabelScheme, *, max_width: int, max_length: int
) -> tuple[GoldSpans, Counter[str]]:
    """Collect the gold of a batch.

    examples (list[Example]): Words and sentences are those of their predicted documents, entities and relations those
        of their references. `doc.ents` or `doc._.relations` that were never set are missing.
    scheme (LabelScheme): The labels.
    max_width (int): Most words of an entity.
    max_length (int): Most words from the first of the one argument of a relation to the last of the other.
    RETURNS (tuple[GoldSpans, Counter[str]]): The gold, and how many entities and relations could not be represented,
        by reason.
    """
    skipped: Counter[str] = Counter()
    spans: list[tuple[int, int, int]] = []
    types: list[int] = []
    relations: list[tuple[int, int, int]] = []
    is_missing: list[NDArray[np.bool_]] = []
    is_annotated: list[bool] = []
    type_index = {label: 1 + i for i, label in enumerate(scheme.entities)}
    relation_index = {label: i for i, label in enumerate(scheme.relations)}
    n_words = 0
    for eg in examples:
        aligned, eg_skipped = align_gold(eg, scheme, max_width=max_width)
        skipped += eg_skipped
        entities = sorted(aligned.entities)
        position = {bounds: len(spans) + i for i, bounds in enumerate(entities)}
        for head, tail, label in aligned.relations:
            if max(head[1], tail[1]) - min(head[0], tail[0]) > max_length:
                skipped[f"relations over more than {max_length} words"] += 1
            else:
                relations.append((position[head], position[tail], relation_index[label]))
        for start, end in entities:
            label, sentence = aligned.entities[start, end]
            spans.append((n_words + start, n_words + end, len(is_annotated) + sentence))
            types.append(type_index[label])
        is_missing.append(aligned.is_missing)
        is_annotated += [has_relations(eg.reference)] * len(sentence_bounds(eg.predicted))
        n_words += len(eg.predicted)
    gold = GoldSpans(
        np.array(spans, dtype=np.int64).reshape(-1, 3),
        np.array(types, dtype=np.int64),
        np.array(relations, dtype=np.int64).reshape(-1, 3),
        np.concatenate([np.zeros(0, dtype=bool), *is_missing]),
        np.array(is_annotated, dtype=bool),
        len(relation_index),
    )
    return gold, skipped
