"""Logits -> entities and relations."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from thinc.util import to_numpy

from ..arrays import Bools1d, Ints1d, NumpyFloats2d, sigmoid, take_rows
from ..labels import LabelScheme
from ..predictions import EntityPrediction, RelationPrediction, SpanProbabilities, soften
from .cells import CellFinder, list_spans
from .logits import WordPairLogits


def decode_entities(
    logits: WordPairLogits, scheme: LabelScheme, *, threshold: float, temperature: float = 1.0
) -> list[list[EntityPrediction]]:
    """Find the entities of a batch: each span with a type that is probable enough.

    An entity has its most probable type, and the probability of this type, softened, as its score.

    logits (WordPairLogits): Logits of a batch of tables. Of a span that several windows hold, the
        logits of its owner are read.
    scheme (LabelScheme): The labels.
    threshold (float): Minimum score of an entity.
    temperature (float): Softens the scores.
    RETURNS (list[list[EntityPrediction]]): The entities of each sentence, in text order. They may
        overlap.
    """
    windows = logits.windows
    entities: list[list[EntityPrediction]] = [[] for _ in windows.sentences.lengths]
    if not len(logits.entities):
        return entities
    on_host = to_numpy(logits.entities)
    types = on_host.argmax(axis=1)
    best = on_host[np.arange(len(types)), types]
    probs = soften(sigmoid(best), temperature)
    found = np.flatnonzero(probs >= threshold)
    spans = list_spans(windows, found)
    is_owned = spans.are_owned(windows)
    found = found[is_owned]
    for sentence, first, last, kind, score in zip(
        windows.sentence_of[spans.window[is_owned]].tolist(),
        spans.row[is_owned].tolist(),
        spans.col[is_owned].tolist(),
        types[found].tolist(),
        probs[found].tolist(),
        strict=True,
    ):
        label = scheme.entities[kind]
        entities[sentence].append(EntityPrediction(first, last + 1, label, score))
    for one in entities:
        one.sort(key=_bounds)  # windows are not in the order of the spans that they own
    return entities


def rate_spans(logits: WordPairLogits, scheme: LabelScheme) -> list[SpanProbabilities]:
    """Return the probabilities of the entities of each document of a batch.

    logits (WordPairLogits): Logits of a batch of tables. Of a span that several windows hold, the
        logits of its owner are read.
    scheme (LabelScheme): The labels.
    RETURNS (list[SpanProbabilities]): The probabilities for each document.
    """
    windows = logits.windows
    cells = list_spans(windows)
    owned = np.flatnonzero(cells.are_owned(windows))
    first = windows.sentences.starts()[windows.sentence_of[cells.window[owned]]]
    spans = np.stack([first + cells.row[owned], first + cells.col[owned] + 1], axis=1)
    probs = sigmoid(take_rows(logits.entities, owned))
    rated = []
    n_before = 0
    for bounds in windows.sentences.by_doc:
        stop = n_before + sum(end - start for start, end in bounds)
        rows = np.flatnonzero((spans[:, 0] >= n_before) & (spans[:, 0] < stop))
        # Each type of each span is a decision of its own: the type, or not.
        each = probs[rows].ravel()
        decisions = np.stack([each, 1.0 - each], axis=1)
        rated.append(
            SpanProbabilities(
                spans[rows] - n_before, probs[rows], scheme.entities, decisions=decisions
            )
        )
        n_before = stop
    return rated


def choose_best(entities: Sequence[EntityPrediction]) -> list[EntityPrediction]:
    """Choose entities of a sentence that do not overlap.

    They are chosen one by one, the most probable first. An entity that overlaps a chosen one is
    left out. Of two equally probable entities the earlier one comes first.

    entities (Sequence[EntityPrediction]): The entities in text order.
    RETURNS (list[EntityPrediction]): The chosen ones, in text order.
    """
    is_taken = [False] * max(map(_get_end, entities), default=0)
    chosen = []
    for ent in sorted(entities, key=_get_score, reverse=True):
        if not any(is_taken[ent.start : ent.end]):
            is_taken[ent.start : ent.end] = [True] * (ent.end - ent.start)
            chosen.append(ent)
    return sorted(chosen, key=_bounds)


def decode_relations(
    logits: WordPairLogits,
    scheme: LabelScheme,
    entities: Sequence[Sequence[EntityPrediction]],
    *,
    min_score: float,
    type_constraints: bool,
    temperature: float = 1.0,
) -> list[list[RelationPrediction]]:
    """Find the relations between entities of a batch.

    Two entities get each relation whose probability in the cell of their first words is high
    enough and, if last words are scored, its probability in the cell of their last words as well.
    The score of a relation is the lower of the two probabilities, softened.

    logits (WordPairLogits): Logits of a batch of tables. Of a cell that several windows hold, the
        logits of its owner are read.
    scheme (LabelScheme): The labels.
    entities (Sequence[Sequence[EntityPrediction]]): The entities of each sentence in text order,
        which do not overlap. The scheme need not know their types.
    min_score (float): Minimum score of a relation.
    type_constraints (bool): Whether a relation may only join the pairs of entity types that the
        scheme lists.
    temperature (float): Softens the scores.
    RETURNS (list[list[RelationPrediction]]): The relations of each sentence, by head and tail.
    """
    relations: list[list[RelationPrediction]] = [[] for _ in entities]
    pairs = _list_pairs(logits, entities, scheme)
    if not len(pairs.sentence) or not scheme.relations:
        return relations
    scores = soften(_score_pairs(logits, pairs), temperature)
    is_found = scores >= min_score
    if type_constraints:
        is_found &= _find_allowed(pairs, scheme)
    names = list(scheme.relations)
    for pair, label in np.argwhere(is_found).tolist():
        relation = RelationPrediction(
            int(pairs.head[pair]), int(pairs.tail[pair]), names[label], float(scores[pair, label])
        )
        relations[int(pairs.sentence[pair])].append(relation)
    for one in relations:
        one.sort(key=_arguments)
    return relations


class _Pairs(NamedTuple):
    """Ordered pairs of entities, int64 arrays with an item for each pair.

    sentence (Ints1d): Index of the sentence.
    head (Ints1d): Index of the head among the entities of the sentence.
    tail (Ints1d): Index of the tail.
    head_type (Ints1d): Index of the type of the head; the number of types for an unknown type.
    tail_type (Ints1d): Index of the type of the tail, likewise.
    first_cell (Ints1d): The cell of the first words.
    last_cell (Ints1d | None): The cell of the last words, if these are scored.
    """

    sentence: Ints1d
    head: Ints1d
    tail: Ints1d
    head_type: Ints1d
    tail_type: Ints1d
    first_cell: Ints1d
    last_cell: Ints1d | None


def _list_pairs(
    logits: WordPairLogits, entities: Sequence[Sequence[EntityPrediction]], scheme: LabelScheme
) -> _Pairs:
    """List the ordered pairs of entities whose cells a window holds."""
    windows, finder = logits.windows, CellFinder(logits.windows)
    sentence, first, last, kind = _tabulate(entities, scheme)
    left, right = windows.pairs_within_reach(sentence, first, first + 1)
    if logits.last_words is not None:
        fits = finder.share_window(sentence[left], last[left], last[right])
        left, right = left[fits], right[fits]
    head, tail = np.concatenate([left, right]), np.concatenate([right, left])
    last_cell: Ints1d | None = None
    if logits.last_words is not None:
        last_cell = finder.find_pairs(sentence[head], last[head], last[tail])
    # Rank of each entity among the entities of its sentence.
    rank = np.arange(len(sentence)) - np.searchsorted(sentence, sentence)
    first_cell = finder.find_pairs(sentence[head], first[head], first[tail])
    arguments = rank[head], rank[tail], kind[head], kind[tail]
    return _Pairs(sentence[head], *arguments, first_cell, last_cell)


def _tabulate(
    entities: Sequence[Sequence[EntityPrediction]], scheme: LabelScheme
) -> tuple[Ints1d, ...]:
    """Return the sentence, the first and the last word and the type of each entity of a batch."""
    type_index = {label: i for i, label in enumerate(scheme.entities)}
    rows: list[tuple[int, int, int, int]] = []
    for sentence, spans in enumerate(entities):
        for ent in spans:
            kind = type_index.get(ent.label, len(type_index))
            rows.append((sentence, ent.start, ent.end - 1, kind))
    return tuple(np.array(rows, dtype=np.int64).reshape(-1, 4).T)


def _score_pairs(logits: WordPairLogits, pairs: _Pairs) -> NumpyFloats2d:
    """Compute the probabilities of the relation types of pairs, (pairs, relation types)."""
    lowest = take_rows(logits.relations, pairs.first_cell)
    if logits.last_words is not None and pairs.last_cell is not None:
        lowest = np.minimum(lowest, take_rows(logits.last_words, pairs.last_cell))
    return sigmoid(lowest)


def _find_allowed(pairs: _Pairs, scheme: LabelScheme) -> Bools1d:
    """Return which relation types the types of the arguments allow, (pairs, relation types)."""
    by_direction = scheme.allowed_relations()[pairs.head_type, pairs.tail_type]
    # Of each type, the label for a head that precedes its tail: the left argument is the head.
    return by_direction[:, 1::2]


def _bounds(entity: EntityPrediction) -> tuple[int, int]:
    return entity.start, entity.end


def _get_end(entity: EntityPrediction) -> int:
    return entity.end


def _get_score(entity: EntityPrediction) -> float:
    return entity.score


def _arguments(relation: RelationPrediction) -> tuple[int, int]:
    return relation.head, relation.tail
