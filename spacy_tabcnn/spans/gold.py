"""Examples -> gold spans and relations, and the labels of candidates."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from spacy.training import Example

from ..alignment import AlignedGold, align_gold
from ..arrays import Bools1d, Ints1d, Ints2d
from ..labels import MISSING, LabelScheme
from ..relations import has_relations
from ..sentences import Sentences
from .logits import NO_ENTITY


class GoldSpans(NamedTuple):
    """The gold of a batch. Words and sentences are counted over the batch.

    spans (Ints2d): First word, end (exclusive) and sentence of each entity, int64 (entities, 3), in
        text order.
    types (Ints1d): Index of the type of each entity, int64 (entities,).
    relations (Ints2d): Head, tail (indices of entities) and index of the type of each relation,
        int64 (relations, 3).
    is_missing (Bools1d): Whether the entity of each word is unknown, bool (words,).
    has_relations (Bools1d): Whether relations are annotated in each sentence, bool (sentences,).
    n_relations (int): Number of relation types.
    """

    spans: Ints2d
    types: Ints1d
    relations: Ints2d
    is_missing: Bools1d
    has_relations: Bools1d
    n_relations: int

    def find(self, spans: Ints2d) -> Ints1d:
        """Find spans among the entities.

        spans (Ints2d): As in `SpanLogits`, (spans, 3).
        RETURNS (Ints1d): Index of the entity with the boundaries of each span, or -1, int64
            (spans,).
        """
        if not len(self.spans):
            return np.full(len(spans), -1)
        nearest = np.searchsorted(self.spans[:, 0], spans[:, 0])
        nearest = np.minimum(nearest, len(self.spans) - 1)
        is_same = (self.spans[nearest, :2] == spans[:, :2]).all(axis=1)
        return np.where(is_same, nearest, -1)

    def touches_missing(self, spans: Ints2d) -> Bools1d:
        """Check whether spans hold a word whose entity is unknown.

        spans (Ints2d): As in `SpanLogits`, (spans, 3).
        RETURNS (Bools1d): bool (spans,).
        """
        n_before = np.append(0, self.is_missing.cumsum())
        return n_before[spans[:, 1]] > n_before[spans[:, 0]]

    def span_types(self, spans: Ints2d) -> Ints1d:
        """Return the types of spans.

        spans (Ints2d): As in `SpanLogits`, (spans, 3).
        RETURNS (Ints1d): Index of the type of each span, or `MISSING` where the type is not
            annotated, int64 (spans,).
        """
        entity = self.find(spans)
        other = np.where(self.touches_missing(spans), MISSING, NO_ENTITY)
        return np.where(entity < 0, other, np.append(self.types, NO_ENTITY)[entity])

    def labels(self, spans: Ints2d, pairs: Ints2d) -> Ints2d:
        """Return the relation labels of pairs of spans.

        spans (Ints2d): As in `SpanLogits`, (spans, 3).
        pairs (Ints2d): Head and tail, indices of spans, (pairs, 2), each pair once.
        RETURNS (Ints2d): For each pair and relation type, 1 if the relation holds, else 0, or
            `MISSING` where relations are not annotated, int64 (pairs, relation types).
        """
        labels = np.zeros((len(pairs), self.n_relations), dtype=np.int64)
        head, tail = self.find(spans)[pairs.T]
        # One number for each pair of entities. A pair with a span that is no entity gets -1.
        n_codes = len(self.spans) + 1
        code = np.where((head < 0) | (tail < 0), -1, head * n_codes + tail)
        gold_code = self.relations[:, 0] * n_codes + self.relations[:, 1]
        order = np.argsort(code)
        place = np.searchsorted(code[order], gold_code)
        found = np.append(code[order], -1)[place] == gold_code
        labels[order[place[found]], self.relations[found, 2]] = 1
        labels[~self.has_relations[spans[pairs[:, 0], 2]]] = MISSING
        return labels


def gold_spans(
    examples: Sequence[Example],
    sentences: Sentences,
    scheme: LabelScheme,
    *,
    max_width: int,
    max_length: int,
) -> tuple[GoldSpans, Counter[str]]:
    """Collect the gold of a batch.

    examples (Sequence[Example]): Words belong to their predicted documents, entities and relations
        to their references. `doc.ents` or `doc._.relations` that were never set are missing.
    sentences (Sentences): The sentences of the predicted documents.
    scheme (LabelScheme): The labels.
    max_width (int): Maximum number of words of an entity.
    max_length (int): Maximum number of words from the first word of the one argument of a relation
        to the last word of the other.
    RETURNS (tuple[GoldSpans, Counter[str]]): The gold, and the number of entities and relations
        that cannot be represented, by reason.
    """
    skipped: Counter[str] = Counter()
    batch = _GoldBatch(scheme)
    for eg, bounds in zip(examples, sentences.by_doc, strict=True):
        aligned, eg_skipped = align_gold(eg, bounds, scheme, max_width=max_width)
        skipped += eg_skipped
        n_lost = batch.add(aligned, max_length)
        skipped[f"relations over more than {max_length} words"] += n_lost
        batch.has_relations.extend([has_relations(eg.reference)] * len(bounds))
    return batch.to_arrays(), +skipped  # without the reasons that count nothing


class _GoldBatch:
    """The gold of a batch while its documents are added."""

    def __init__(self, scheme: LabelScheme):
        self.types = {label: 1 + i for i, label in enumerate(scheme.entities)}
        self.relation_types = {label: i for i, label in enumerate(scheme.relations)}
        self.spans: list[tuple[int, int, int]] = []
        self.span_types: list[int] = []
        self.relations: list[tuple[int, int, int]] = []
        self.is_missing: list[Bools1d] = [np.zeros(0, dtype=bool)]
        self.has_relations: list[bool] = []
        self.n_words = 0

    def add(self, aligned: AlignedGold, max_length: int) -> int:
        """Add the gold of a document, whose sentences follow those in `has_relations`.

        RETURNS (int): Number of relations left out, since their arguments are too far apart.
        """
        entities = sorted(aligned.entities)
        position = {bounds: len(self.spans) + i for i, bounds in enumerate(entities)}
        n_lost = 0
        for head, tail, label in aligned.relations:
            if max(head[1], tail[1]) - min(head[0], tail[0]) > max_length:
                n_lost += 1
            else:
                arguments = position[head], position[tail]
                self.relations.append((*arguments, self.relation_types[label]))
        for start, end in entities:
            label, sentence = aligned.entities[start, end]
            in_batch = len(self.has_relations) + sentence
            self.spans.append((self.n_words + start, self.n_words + end, in_batch))
            self.span_types.append(self.types[label])
        self.is_missing.append(aligned.is_missing)
        self.n_words += len(aligned.is_missing)
        return n_lost

    def to_arrays(self) -> GoldSpans:
        return GoldSpans(
            np.array(self.spans, dtype=np.int64).reshape(-1, 3),
            np.array(self.span_types, dtype=np.int64),
            np.array(self.relations, dtype=np.int64).reshape(-1, 3),
            np.concatenate(self.is_missing),
            np.array(self.has_relations, dtype=bool),
            len(self.relation_types),
        )
