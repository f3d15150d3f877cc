"""Logits -> entities and relations."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..labels import NO_RELATION, LabelScheme
from .loss import log_softmax
from .types import Floats2d, Ints1d, TableLogits, cell_index, count_cells

Aggregation = Literal["mean", "any"]


class EntityPrediction(NamedTuple):
    """An entity of a sentence: first word, end (exclusive), type, and its words' geometric mean tag probability."""

    start: int
    end: int
    label: str
    score: float


class RelationPrediction(NamedTuple):
    """A relation between two entities of a sentence: their indices in its entities, type and probability."""

    head: int
    tail: int
    label: str
    score: float


class TablePrediction(NamedTuple):
    """The entities of a sentence in text order, and the relations between them."""

    entities: list[EntityPrediction]
    relations: list[RelationPrediction]


def decode_tables(
    logits: TableLogits,
    scheme: LabelScheme,
    *,
    aggregation: Aggregation = "mean",
    min_score: float | None = None,
    type_constraints: bool = True,
) -> list[TablePrediction]:
    """Read entities and relations off a batch of tables.

    Entities are the most probable valid BILOU sequence of the diagonal. Each pair of entities gets the one relation
    that its cells, all words of the one by all words of the other, agree on.

    logits (TableLogits): Logits of a batch of tables, as numpy arrays.
    scheme (LabelScheme): The labels.
    aggregation (str): "mean": a pair's probabilities are the normalised geometric mean over its cells. "any": one
        cell is enough, as in the paper; the most probable label of all cells counts.
    min_score (float | None): With a number, a pair gets its most probable relation if that is at least so probable.
        With None, if it beats "none", in the mean or in any cell.
    type_constraints (bool): Whether a relation may only join the pairs of entity types that the scheme lists.
    RETURNS (list[TablePrediction]): The prediction for each sentence.
    """
    lengths = logits.lengths
    tag_log_probs = log_softmax(logits.tags)
    tags = viterbi(tag_log_probs, lengths, scheme)
    best = np.take_along_axis(tag_log_probs, tags[:, None], axis=1)[:, 0] if len(tags) else np.zeros(0)
    entities = []
    for start, end in _slices(lengths):
        entities.append(
            [
                EntityPrediction(first, last, label, float(np.exp(best[start + first : start + last].mean())))
                for first, last, label in scheme.tagged_spans(tags[start:end])
            ]
        )
    relations = decode_relations(
        log_softmax(logits.relations),
        lengths,
        entities,
        scheme,
        aggregation=aggregation,
        min_score=min_score,
        type_constraints=type_constraints,
    )
    return [TablePrediction(*prediction) for prediction in zip(entities, relations, strict=True)]


def viterbi(log_probs: Floats2d, lengths: Ints1d, scheme: LabelScheme) -> Ints1d:
    """Find the most probable valid BILOU sequence of each sentence.

    log_probs (Floats2d): Log-probabilities of the tags, (words, tags), the sentences end to end.
    lengths (Ints1d): Words of each sentence.
    scheme (LabelScheme): The labels.
    RETURNS (Ints1d): A tag for each word, int64 (words,).
    """
    if not len(log_probs):
        return np.zeros(0, dtype=np.int64)
    may_start, may_follow, may_end = scheme.tag_transitions()
    penalty = np.where(may_follow, 0.0, -np.inf)  # (tags, next tags)
    # All sentences advance together; a sentence that has ended keeps its scores.
    n_steps, n_sentences = int(lengths.max()), len(lengths)
    first = np.cumsum(lengths) - lengths
    padded = np.zeros((n_steps, n_sentences, scheme.n_tags))
    sentence = np.repeat(np.arange(n_sentences), lengths)
    padded[np.arange(len(log_probs)) - first[sentence], sentence] = log_probs
    scores = padded[0] + np.where(may_start, 0.0, -np.inf)
    previous = np.zeros((n_steps, n_sentences, scheme.n_tags), dtype=np.int64)
    for step in range(1, n_steps):
        paths = scores[:, :, None] + penalty
        previous[step] = paths.argmax(axis=1)
        running = (step < lengths)[:, None]
        scores = np.where(running, paths.max(axis=1) + padded[step], scores)
    tag = (scores + np.where(may_end, 0.0, -np.inf)).argmax(axis=1)
    tags = np.zeros((n_steps, n_sentences), dtype=np.int64)
    for step in range(n_steps - 1, -1, -1):
        tags[step] = tag
        tag = np.where((step > 0) & (step < lengths), previous[step, np.arange(n_sentences), tag], tag)
    return tags[np.arange(len(log_probs)) - first[sentence], sentence]


def decode_relations(
    log_probs: Floats2d,
    lengths: Ints1d,
    entities: list[list[EntityPrediction]],
    scheme: LabelScheme,
    *,
    aggregation: Aggregation = "mean",
    min_score: float | None = None,
    type_constraints: bool = True,
) -> list[list[RelationPrediction]]:
    """Find the relations between given entities; see `decode_tables`.

    log_probs (Floats2d): Log-probabilities of the relation labels, (cells, relation labels).
    lengths (Ints1d): Words of each sentence.
    entities (list[list[EntityPrediction]]): The entities of each sentence, in text order, not overlapping.
    RETURNS (list[list[RelationPrediction]]): The relations of each sentence, by the order of their entities.
    """
    relations: list[list[RelationPrediction]] = [[] for _ in entities]
    pairs = [
        (sentence, left, right)
        for sentence, spans in enumerate(entities)
        for left in range(len(spans))
        for right in range(left + 1, len(spans))
    ]
    if not pairs or not scheme.relations:
        return relations
    allowed = np.ones((len(pairs), scheme.n_relations), dtype=bool)
    if type_constraints:
        index = {label: i for i, label in enumerate(scheme.entities)}
        types = np.array([[index[entities[s][e].label] for e in (left, right)] for s, left, right in pairs])
        allowed = scheme.allowed_relations()[types[:, 0], types[:, 1]]
    scores = _aggregate(log_probs, lengths, entities, pairs, allowed, aggregation, votes_only=min_score is None)
    first = NO_RELATION if aggregation == "mean" and min_score is None else NO_RELATION + 1
    labels = first + scores[:, first:].argmax(axis=1)
    probs = np.exp(scores[np.arange(len(pairs)), labels])
    threshold = np.nextafter(0, 1) if min_score is None else max(min_score, np.nextafter(0, 1))
    for pair in np.flatnonzero((labels != NO_RELATION) & (probs >= threshold)):
        sentence, left, right = pairs[pair]
        label, head_first = scheme.relation_label(int(labels[pair]))
        head, tail = (left, right) if head_first else (right, left)
        relations[sentence].append(RelationPrediction(head, tail, label, float(probs[pair])))
    return relations


def _aggregate(
    log_probs: Floats2d,
    lengths: Ints1d,
    entities: list[list[EntityPrediction]],
    pairs: list[tuple[int, int, int]],
    allowed: NDArray[np.bool_],
    aggregation: Aggregation,
    *,
    votes_only: bool,
) -> NDArray[np.float64]:
    """Log-probabilities of each pair's relation labels, over its cells: (pairs, relation labels), as `allowed`; minus
    infinity for labels that are not allowed."""
    sentence = np.array([s for s, _, _ in pairs])
    row, n_rows = np.array([_extent(entities[s][left]) for s, left, _ in pairs]).T
    col, n_cols = np.array([_extent(entities[s][right]) for s, _, right in pairs]).T
    n_cells = n_rows * n_cols
    first = np.cumsum(n_cells) - n_cells
    pair = np.repeat(np.arange(len(pairs)), n_cells)
    down, right = np.divmod(np.arange(len(pair)) - first[pair], n_cols[pair])
    cells_before = np.cumsum(count_cells(lengths)) - count_cells(lengths)
    cells = cells_before[sentence][pair] + cell_index(row[pair] + down, col[pair] + right, lengths[sentence][pair])
    cell_scores = np.asarray(log_probs, dtype=np.float64)[cells]
    if aggregation == "mean":
        return np.where(allowed, log_softmax(np.add.reduceat(cell_scores, first) / n_cells[:, None]), -np.inf)
    cell_scores = np.where(allowed[pair], cell_scores, -np.inf)
    if votes_only:
        winner = cell_scores.argmax(axis=1)[:, None] == np.arange(cell_scores.shape[1])
        cell_scores = np.where(winner, cell_scores, -np.inf)
    return np.maximum.reduceat(cell_scores, first)


def _extent(entity: EntityPrediction) -> tuple[int, int]:
    return entity.start, entity.end - entity.start


def _slices(lengths: Ints1d) -> list[tuple[int, int]]:
    ends = np.cumsum(lengths)
    return list(zip((ends - lengths).tolist(), ends.tolist(), strict=True))
