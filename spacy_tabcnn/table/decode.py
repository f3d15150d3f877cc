"""Logits -> entities and relations."""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from thinc.util import get_array_module, to_numpy

from ..arrays import Floats2d, Ints1d, log_softmax
from ..labels import NO_RELATION, LabelScheme
from ..predictions import EntityPrediction, RelationPrediction
from ..sentences import Windows
from .logits import TableLogits

Aggregation = Literal["mean", "any"]


class TablePrediction(NamedTuple):
    """The entities of a sentence in text order, and the relations between them."""

    entities: list[EntityPrediction]
    relations: list[RelationPrediction]


def decode_tables(
    logits: TableLogits,
    windows: Windows,
    scheme: LabelScheme,
    *,
    aggregation: Aggregation = "mean",
    min_score: float | None = None,
    type_constraints: bool = True,
    entities: list[list[EntityPrediction]] | None = None,
) -> list[TablePrediction]:
    """Read entities and relations off a batch of tables.

    Entities are the most probable valid BILOU sequence of a sentence's words, over all its windows. Each pair of
    entities that share a window gets the one relation that its cells, all words of the one by all words of the other,
    agree on.

    logits (TableLogits): Logits of a batch of tables.
    windows (Windows): The tables' sentences. Of a word or a cell that several windows hold, the logits of its owner
        are read.
    scheme (LabelScheme): The labels.
    aggregation (str): "mean": a pair's probabilities are the geometric mean over its cells, normalised over the labels
        that it may have. "any": one cell is enough, as in the paper; the most probable label of all cells counts.
    min_score (float | None): With a number, a pair gets its most probable relation if that is at least so probable.
        With None, if it beats "none", in the mean or in any cell.
    type_constraints (bool): Whether a relation may only join the pairs of entity types that the scheme lists.
    entities (list[list[EntityPrediction]] | None): The entities of each sentence, in text order and not overlapping,
        where they are known; the tags are not read then. Their types may be unknown to the scheme.
    RETURNS (list[TablePrediction]): The prediction for each sentence.
    RAISES (ValueError): If the logits are not those of the windows.
    """
    if not np.array_equal(logits.lengths, windows.lengths):
        raise ValueError(
            f"decode_tables: logits of {len(logits.lengths)} tables, {logits.lengths.sum()} words in all, for "
            f"{len(windows.lengths)} windows, {windows.lengths.sum()} words in all"
        )
    if entities is None:
        entities = decode_entities(
            _take(logits.tags, windows.rows()), windows.sentence_lengths, scheme
        )
    relations = decode_relations(
        logits.relations,
        windows,
        entities,
        scheme,
        aggregation=aggregation,
        min_score=min_score,
        type_constraints=type_constraints,
    )
    return [TablePrediction(*prediction) for prediction in zip(entities, relations, strict=True)]


def decode_entities(
    logits: Floats2d, lengths: Ints1d, scheme: LabelScheme
) -> list[list[EntityPrediction]]:
    """Find the entities of a batch of sentences; see `decode_tables`.

    logits (Floats2d): Logits of the tags, (words, tags), the sentences end to end.
    lengths (Ints1d): Words of each sentence.
    scheme (LabelScheme): The labels.
    RETURNS (list[list[EntityPrediction]]): The entities of each sentence, in text order.
    """
    entities: list[list[EntityPrediction]] = [[] for _ in lengths]
    log_probs = log_softmax(logits) if len(logits) else logits
    tags = viterbi(log_probs, lengths, scheme)
    spans = scheme.tagged_spans(tags)
    if not spans:
        return entities
    starts = np.array([start for start, _, _ in spans])
    ends = np.array([end for _, end, _ in spans])
    # Every second sum is that of an entity, the others are those of the words between. No sum starts at the last
    # item, which is there since the last entity may end with the last word.
    best = np.append(np.take_along_axis(log_probs, tags[:, None], axis=1)[:, 0], 0.0)
    sums = np.add.reduceat(best, np.stack([starts, ends], axis=1).ravel())[::2]
    scores = np.exp(sums / (ends - starts))
    first_word = np.cumsum(lengths) - lengths
    sentences = np.searchsorted(first_word, starts, side="right") - 1
    offsets = first_word[sentences].tolist()
    for sentence, offset, (start, end, label), score in zip(
        sentences.tolist(), offsets, spans, scores.tolist(), strict=True
    ):
        entities[sentence].append(EntityPrediction(start - offset, end - offset, label, score))
    return entities


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
    sentence = np.repeat(np.arange(len(lengths)), lengths)
    is_first, is_last = (
        np.diff(sentence, prepend=-1) > 0,
        np.diff(sentence, append=len(lengths)) > 0,
    )
    tags = log_probs.argmax(axis=1)
    # Where the most probable tags of the words are a valid sequence, none is better.
    fits = np.where(is_first, may_start[tags], may_follow[np.roll(tags, 1), tags]) & (
        ~is_last | may_end[tags]
    )
    to_search = np.bincount(sentence[~fits], minlength=len(lengths)) > 0
    if to_search.any():
        searched = to_search[sentence]
        tags[searched] = _search(log_probs[searched], lengths[to_search], scheme)
    return tags


def _search(log_probs: Floats2d, lengths: Ints1d, scheme: LabelScheme) -> Ints1d:
    """Viterbi's algorithm. All sentences advance together, the longest first, so that those that go on are always the
    first ones; the words lie step by step, without padding."""
    may_start, may_follow, may_end = scheme.tag_transitions()
    # Many tags may follow the same ones (an O, B or U those that close): the best of these is found once for all.
    predecessors, group = np.unique(may_follow.T, axis=0, return_inverse=True)  # (groups, tags)
    group = group.reshape(-1)
    penalty = np.where(predecessors, 0.0, -np.inf)
    rank = np.argsort(np.argsort(-lengths, kind="stable"))
    sentence = np.repeat(np.arange(len(lengths)), lengths)
    step = np.arange(len(log_probs)) - (np.cumsum(lengths) - lengths)[sentence]
    n_running = np.bincount(step)
    begin = np.cumsum(n_running) - n_running
    place = begin[step] + rank[sentence]
    word_scores = np.zeros(log_probs.shape)
    word_scores[place] = log_probs

    slices = [
        slice(first, first + n) for first, n in zip(begin.tolist(), n_running.tolist(), strict=True)
    ]
    scores = word_scores[slices[0]] + np.where(may_start, 0.0, -np.inf)
    previous = np.zeros((len(log_probs), len(predecessors)), dtype=np.int64)
    for words in slices[1:]:
        running = slice(words.stop - words.start)
        paths = scores[running, None] + penalty  # (sentences, groups, tags)
        previous[words] = paths.argmax(axis=2)
        scores[running] = paths.max(axis=2)[:, group] + word_scores[words]
    tag = (scores + np.where(may_end, 0.0, -np.inf)).argmax(axis=1)
    tags = np.zeros(len(log_probs), dtype=np.int64)
    for words in reversed(slices):
        running = slice(words.stop - words.start)
        tags[words] = tag[running]
        tag[running] = previous[words][np.arange(len(tag[running])), group[tag[running]]]
    return tags[place]


def decode_relations(
    logits: Floats2d,
    windows: Windows,
    entities: list[list[EntityPrediction]],
    scheme: LabelScheme,
    *,
    aggregation: Aggregation = "mean",
    min_score: float | None = None,
    type_constraints: bool = True,
) -> list[list[RelationPrediction]]:
    """Find the relations between given entities; see `decode_tables`.

    logits (Floats2d): Logits of the relation labels, (cells, relation labels).
    windows (Windows): The tables' sentences.
    entities (list[list[EntityPrediction]]): The entities of each sentence, in text order, not overlapping. No
        constrained relation joins those whose type the scheme does not know.
    RETURNS (list[list[RelationPrediction]]): The relations of each sentence, by the order of their entities.
    """
    relations: list[list[RelationPrediction]] = [[] for _ in entities]
    counts = np.array([len(spans) for spans in entities], dtype=np.int64)
    sentence = np.repeat(np.arange(len(entities)), counts)
    unknown = len(scheme.entities)
    type_index = {label: i for i, label in enumerate(scheme.entities)}
    rows = [
        (ent.start, ent.end, type_index.get(ent.label, unknown))
        for spans in entities
        for ent in spans
    ]
    start, end, kind = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    left, right = _pairs(windows, sentence, start, end)
    if not len(left) or not scheme.relations:
        return relations
    allowed = np.ones((len(left), scheme.n_relations), dtype=bool)
    if type_constraints:
        allowed = scheme.allowed_relations()[kind[left], kind[right]]

    spans = np.stack([start, end], axis=1)
    cells, pair = windows.blocks(sentence[left], spans[left], spans[right])
    log_probs = log_softmax(_take(logits, cells))
    scores = _aggregate(log_probs, pair, allowed, aggregation, votes_only=min_score is None)

    lowest = NO_RELATION if aggregation == "mean" and min_score is None else NO_RELATION + 1
    labels = lowest + scores[:, lowest:].argmax(axis=1)
    probs = np.exp(scores[np.arange(len(labels)), labels], dtype=np.float64)
    threshold = np.nextafter(0, 1) if min_score is None else max(min_score, np.nextafter(0, 1))
    found = np.flatnonzero((labels != NO_RELATION) & (probs >= threshold))
    first_entity = (np.cumsum(counts) - counts)[sentence]
    rank = np.arange(len(start)) - first_entity  # of each entity in its sentence
    names = [scheme.relation_label(index) for index in range(NO_RELATION + 1, scheme.n_relations)]
    columns = (sentence[left], rank[left], rank[right], labels, probs)
    for s, one, other, index, prob in zip(
        *(column[found].tolist() for column in columns), strict=True
    ):
        label, head_first = names[index - NO_RELATION - 1]
        head, tail = (one, other) if head_first else (other, one)
        relations[s].append(RelationPrediction(head, tail, label, prob))
    return relations


def _pairs(windows: Windows, sentence: Ints1d, start: Ints1d, end: Ints1d) -> tuple[Ints1d, Ints1d]:
    """List the pairs of entities that share a window, as indices of the left and of the right one."""
    offset = (np.cumsum(windows.sentence_lengths) - windows.sentence_lengths)[sentence]
    last = np.searchsorted(offset + end, offset + windows.reach(sentence, start), side="right")
    n_right = np.maximum(last - np.arange(len(start)) - 1, 0)
    left = np.repeat(np.arange(len(start)), n_right)
    return left, left + 1 + np.arange(len(left)) - (np.cumsum(n_right) - n_right)[left]


def _aggregate(
    cell_scores: Floats2d,
    pair: Ints1d,
    allowed: NDArray[np.bool_],
    aggregation: Aggregation,
    *,
    votes_only: bool,
) -> Floats2d:
    """Log-probabilities of each pair's relation labels, over its cells, which come pair by pair: (pairs, relation
    labels), as `allowed`; minus infinity for labels that are not allowed."""
    first = np.flatnonzero(np.diff(pair, prepend=-1))
    if aggregation == "mean":
        means = np.add.reduceat(cell_scores, first) / np.bincount(pair)[:, None]
        return log_softmax(np.where(allowed, means, -np.inf))
    cell_scores = np.where(allowed[pair], cell_scores, -np.inf)
    if votes_only:
        winner = cell_scores.argmax(axis=1)[:, None] == np.arange(cell_scores.shape[1])
        cell_scores = np.where(winner, cell_scores, -np.inf)
    return np.maximum.reduceat(cell_scores, first)


def _take(logits: Floats2d, rows: Ints1d) -> Floats2d:
    """Rows of a numpy or cupy array, as a numpy array."""
    return to_numpy(logits[get_array_module(logits).asarray(rows)])
