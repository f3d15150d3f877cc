"""Logits -> entities and relations."""

import functools
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from ..arrays import Bools1d, Floats1d, Ints1d, Ints2d, NumpyFloats2d, log_softmax, take_rows
from ..labels import NO_RELATION, LabelScheme, TagRules, tag_rules
from ..predictions import UNSOFTENED, EntityPrediction, RelationPrediction, Temperature, soften
from ..sentences import Sentences, Windows
from .logits import TableLogits

Aggregation = Literal["mean", "any"]
SMALLEST = float(np.nextafter(0, 1))  # the smallest probability that is not zero


class TablePrediction(NamedTuple):
    """The entities of a sentence in text order, and the relations between them."""

    entities: list[EntityPrediction]
    relations: list[RelationPrediction]


class TagProbabilities:
    """The probabilities of the entities of a document, from the tags of its words.

    logits (NumpyFloats2d): Logits of the tags, (words, tags).
    scheme (LabelScheme): The labels.
    """

    def __init__(self, logits: NumpyFloats2d, scheme: LabelScheme) -> None:
        self._log_probs = logits
        if len(logits):
            self._log_probs = log_softmax(logits)
        self._scheme = scheme

    @property
    def decisions(self) -> NumpyFloats2d:
        """Return the probabilities of the tags of each word, (words, tags)."""
        return np.exp(self._log_probs)

    def score(self, start: int, end: int, label: str) -> float:
        """Return the geometric mean of the probabilities of the tags of an entity."""
        if label not in self._scheme.entities:
            return 0.0
        tags = self._scheme.span_tags(label, end - start)
        return float(np.exp(self._log_probs[np.arange(start, end), tags].mean()))


class CandidatePairs(NamedTuple):
    """Pairs of entities that share a window, int64 arrays with an item for each pair.

    sentence (Ints1d): Index of the sentence.
    left (Ints1d): Index of the left entity among the entities of the sentence.
    right (Ints1d): Index of the right entity among the entities of the sentence.
    left_span (Ints2d): Start and end (exclusive) of the left entity in the sentence, (pairs, 2).
    right_span (Ints2d): Start and end of the right entity, (pairs, 2).
    types (Ints2d): Index of the entity type of left and right entity, (pairs, 2). The number of
        entity types stands for any unknown type.
    """

    sentence: Ints1d
    left: Ints1d
    right: Ints1d
    left_span: Ints2d
    right_span: Ints2d
    types: Ints2d


def decode_tables(
    logits: TableLogits,
    scheme: LabelScheme,
    *,
    aggregation: Aggregation = "mean",
    min_score: float | None = None,
    type_constraints: bool = True,
    temperature: Temperature = UNSOFTENED,
    entities: list[list[EntityPrediction]] | None = None,
) -> list[TablePrediction]:
    """Read entities and relations off a batch of tables.

    Entities are the most probable valid BILOU sequence of the words of a sentence, over all its
    windows. A pair of entities that share a window has a block of cells: all words of the one by
    all words of the other. The block decides on one relation for the pair.

    logits (TableLogits): Logits of a batch of tables. Of a word or a cell that several windows
        hold, the logits of its owner are read.
    scheme (LabelScheme): The labels.
    aggregation (str): "mean": a pair's probabilities are the geometric mean over its cells,
        normalised over the labels that it may have. "any": one cell is enough, as in the paper;
        the most probable label of all cells counts.
    min_score (float | None): With a number, a pair gets its most probable relation if its
        probability is at least this number. With None, a pair gets the relation if the relation
        beats "none", in the mean or in any cell.
    type_constraints (bool): Whether a relation may only join the pairs of entity types that the
        scheme lists.
    temperature (Temperature): Softens the scores, before they are compared with `min_score`.
    entities (list[list[EntityPrediction]] | None): The entities of each sentence, in text order
        and not overlapping, where they are known; the tags are not read then. The scheme need not
        know their types.
    RETURNS (list[TablePrediction]): The prediction for each sentence.
    RAISES (ValueError): If the logits do not have the size of their windows.
    """
    windows = logits.windows
    _check_size(logits)
    if entities is None:
        tags = take_rows(logits.tags, windows.rows())
        entities = decode_entities(
            tags, windows.sentences, scheme, temperature=temperature.entities
        )
    pairs = list_pairs(windows, entities, scheme)
    relations: list[list[RelationPrediction]] = [[] for _ in entities]
    if len(pairs.sentence) and scheme.relations:
        scores = score_pairs(
            logits,
            pairs,
            _allowed_labels(pairs, scheme, type_constraints),
            aggregation=aggregation,
            votes_only=min_score is None,
        )
        must_beat_none = aggregation == "mean" and min_score is None
        labels, probs = choose_labels(scores, must_beat_none=must_beat_none)
        probs = soften(probs, temperature.relations)
        found = np.flatnonzero((labels != NO_RELATION) & (probs >= max(min_score or 0, SMALLEST)))
        _add_relations(relations, pairs, labels, probs, found, scheme)
    return [*map(TablePrediction, entities, relations)]


def decode_entities(
    logits: NumpyFloats2d, sentences: Sentences, scheme: LabelScheme, *, temperature: float = 1.0
) -> list[list[EntityPrediction]]:
    """Find the entities of a batch of sentences; see `decode_tables`.

    The score of an entity is the geometric mean of the probabilities of its tags, softened.

    logits (NumpyFloats2d): Logits of the tags, (words, tags), the sentences end to end.
    sentences (Sentences): The sentences.
    scheme (LabelScheme): The labels.
    temperature (float): Softens the scores.
    RETURNS (list[list[EntityPrediction]]): The entities of each sentence, in text order.
    """
    entities: list[list[EntityPrediction]] = [[] for _ in sentences.lengths]
    if not len(logits):
        return entities
    log_probs = log_softmax(logits)
    tags = viterbi(log_probs, sentences.lengths)
    spans = scheme.tagged_spans(tags)
    if not spans:
        return entities
    scores = _score_spans(np.take_along_axis(log_probs, tags[:, None], axis=1)[:, 0], spans)
    scores = soften(scores, temperature)
    sentence_of, first_word = sentences.of_words().tolist(), sentences.starts().tolist()
    for (start, end, label), score in zip(spans, scores.tolist(), strict=True):
        sentence = sentence_of[start]
        offset = first_word[sentence]
        entities[sentence].append(EntityPrediction(start - offset, end - offset, label, score))
    return entities


def viterbi(log_probs: NumpyFloats2d, lengths: Ints1d) -> Ints1d:
    """Find the most probable valid BILOU sequence of each sentence.

    log_probs (NumpyFloats2d): Log-probabilities of the tags, (words, tags), the sentences end to
        end.
    lengths (Ints1d): Number of words of each sentence.
    RETURNS (Ints1d): A tag for each word, int64 (words,).
    """
    if not len(log_probs):
        return np.zeros(0, dtype=np.int64)
    tags = log_probs.argmax(axis=1)
    # Where the most probable tags of the words are a valid sequence, no sequence is better.
    sentence = np.repeat(np.arange(len(lengths)), lengths)
    rules = tag_rules(log_probs.shape[1])
    is_valid = _follows_rules(tags, sentence, rules)
    to_search = np.bincount(sentence[~is_valid], minlength=len(lengths)) > 0
    if to_search.any():
        searched = to_search[sentence]
        tags[searched] = _search(log_probs[searched], lengths[to_search], rules)
    return tags


def list_pairs(
    windows: Windows, entities: Sequence[Sequence[EntityPrediction]], scheme: LabelScheme
) -> CandidatePairs:
    """List the pairs of entities that share a window.

    windows (Windows): The cut of the batch.
    entities (Sequence[Sequence[EntityPrediction]]): The entities of each sentence, in text order,
        not overlapping.
    scheme (LabelScheme): The labels.
    RETURNS (CandidatePairs): The pairs, sentence by sentence, in the order of their entities.
    """
    type_index = {label: i for i, label in enumerate(scheme.entities)}
    unknown = len(scheme.entities)
    rows: list[tuple[int, int, int, int]] = []
    for sentence, spans in enumerate(entities):
        for ent in spans:
            rows.append((sentence, ent.start, ent.end, type_index.get(ent.label, unknown)))
    table = np.array(rows, dtype=np.int64).reshape(-1, 4)
    sentence_of, start, end, kind = table.T
    left, right = windows.pairs_within_reach(sentence_of, start, end)
    # Rank of each entity among the entities of its sentence.
    rank = np.arange(len(table)) - np.searchsorted(sentence_of, sentence_of)
    return CandidatePairs(
        sentence_of[left],
        rank[left],
        rank[right],
        table[left, 1:3],
        table[right, 1:3],
        np.stack([kind[left], kind[right]], axis=1),
    )


def score_pairs(
    logits: TableLogits,
    pairs: CandidatePairs,
    allowed: Bools1d,
    *,
    aggregation: Aggregation,
    votes_only: bool,
) -> NumpyFloats2d:
    """Compute the log-probabilities of the relation labels of pairs over their blocks of cells.

    logits (TableLogits): Logits of a batch of tables.
    pairs (CandidatePairs): Pairs of entities, at least one.
    allowed (Bools1d): Whether each pair may have each label, bool (pairs, relation labels).
    aggregation (str): "mean" or "any"; see `decode_tables`.
    votes_only (bool): With "any", whether a cell speaks for its most probable label only.
    RETURNS (NumpyFloats2d): (pairs, relation labels); minus infinity for labels that are not
        allowed.
    """
    cells, pair = logits.windows.blocks(pairs.sentence, pairs.left_span, pairs.right_span)
    cell_scores = log_softmax(take_rows(logits.relations, cells))  # (cells, relation labels)
    first_cell = np.flatnonzero(np.diff(pair, prepend=-1))
    if aggregation == "mean":
        n_cells = np.bincount(pair)[:, None]
        means = np.add.reduceat(cell_scores, first_cell) / n_cells
        return log_softmax(np.where(allowed, means, -np.inf))
    cell_scores = np.where(allowed[pair], cell_scores, -np.inf)
    if votes_only:
        winner = cell_scores.argmax(axis=1)[:, None] == np.arange(cell_scores.shape[1])
        cell_scores = np.where(winner, cell_scores, -np.inf)
    return np.maximum.reduceat(cell_scores, first_cell)


def choose_labels(scores: NumpyFloats2d, *, must_beat_none: bool) -> tuple[Ints1d, Floats1d]:
    """Choose the most probable relation label of each pair.

    scores (NumpyFloats2d): Log-probabilities, (pairs, relation labels).
    must_beat_none (bool): Whether "none" can be chosen, too.
    RETURNS (tuple[Ints1d, Floats1d]): The label of each pair and its probability, (pairs,).
    """
    first = NO_RELATION + int(not must_beat_none)
    labels = first + scores[:, first:].argmax(axis=1)
    probs = np.exp(scores[np.arange(len(labels)), labels], dtype=np.float64)
    return labels, probs


def _check_size(logits: TableLogits) -> None:
    windows = logits.windows
    if (len(logits.tags), len(logits.relations)) != (windows.n_rows, windows.n_cells):
        raise ValueError(
            f"decode_tables: logits of {len(logits.tags)} words and {len(logits.relations)} cells "
            f"for windows of {windows.n_rows} words and {windows.n_cells} cells"
        )


def _score_spans(log_probs: Floats1d, spans: list[tuple[int, int, str]]) -> Floats1d:
    """Compute the geometric mean of the probabilities of the words of each span."""
    starts = np.array([start for start, _, _ in spans])
    ends = np.array([end for _, end, _ in spans])
    # `reduceat` sums from each bound to the next: every second sum is an entity's, the others
    # belong to the words between entities. The last entity may end with the last word, so one more
    # item follows it.
    bounds = np.stack([starts, ends], axis=1).ravel()
    sums = np.add.reduceat(np.append(log_probs, 0.0), bounds)[::2]
    return np.exp(sums / (ends - starts))


def _follows_rules(tags: Ints1d, sentence: Ints1d, rules: TagRules) -> Bools1d:
    """Return whether each tag may follow the tag before, and may be the last tag if it is."""
    is_first = np.diff(sentence, prepend=-1) > 0
    is_last = np.append(is_first[1:], True)
    after = rules.may_follow[np.roll(tags, 1), tags]
    follows = np.where(is_first, rules.may_start[tags], after)
    return follows & (~is_last | rules.may_end[tags])


def _search(log_probs: NumpyFloats2d, lengths: Ints1d, rules: TagRules) -> Ints1d:
    """Run Viterbi's algorithm for all sentences at once, word by word.

    The longest sentences come first, so that the sentences that go on are always the first ones.
    The words lie position by position, without padding.
    """
    group, penalty = _group_predecessors(len(rules.may_start))
    place, n_running = _by_position(lengths)
    word_scores = np.zeros(log_probs.shape)
    word_scores[place] = log_probs
    ends = n_running.cumsum().tolist()
    steps = [slice(end - n, end) for end, n in zip(ends, n_running.tolist(), strict=True)]

    scores = word_scores[steps[0]] + np.where(rules.may_start, 0.0, -np.inf)
    previous = np.zeros((len(log_probs), len(penalty)), dtype=np.int64)
    for words in steps[1:]:
        running = slice(words.stop - words.start)
        paths = scores[running, None] + penalty  # (sentences, groups, tags)
        previous[words] = paths.argmax(axis=2)
        scores[running] = paths.max(axis=2)[:, group] + word_scores[words]
    tag = (scores + np.where(rules.may_end, 0.0, -np.inf)).argmax(axis=1)
    tags = np.zeros(len(log_probs), dtype=np.int64)
    for words in reversed(steps):
        running = slice(words.stop - words.start)
        tags[words] = tag[running]
        tag[running] = previous[words][np.arange(len(tag[running])), group[tag[running]]]
    return tags[place]


@functools.cache
def _group_predecessors(n_tags: int) -> tuple[Ints1d, NumpyFloats2d]:
    """Group the tags that may follow the same tags: an O, B or U follows any tag that closes.

    The best predecessor is found once for a group.

    RETURNS (tuple[Ints1d, NumpyFloats2d]): Group of each tag, (tags,), and for each group and each
        tag before it 0, or minus infinity if the tag must not come before, (groups, tags).
    """
    may_follow = tag_rules(n_tags).may_follow
    predecessors, group = np.unique(may_follow.T, axis=0, return_inverse=True)
    return group.reshape(-1), np.where(predecessors, 0.0, -np.inf)


def _by_position(lengths: Ints1d) -> tuple[Ints1d, Ints1d]:
    """Order words by their position in the sentence.

    At each position the words of longer sentences come first.

    RETURNS (tuple[Ints1d, Ints1d]): Place of each word in that order, (words,), and the number of
        sentences that have a word at each position.
    """
    rank = np.argsort(np.argsort(-lengths, kind="stable"))
    sentence = np.repeat(np.arange(len(lengths)), lengths)
    position = np.arange(len(sentence)) - (lengths.cumsum() - lengths)[sentence]
    n_running = np.bincount(position)
    first = n_running.cumsum() - n_running
    return first[position] + rank[sentence], n_running


def _allowed_labels(pairs: CandidatePairs, scheme: LabelScheme, type_constraints: bool) -> Bools1d:
    if not type_constraints:
        return np.ones((len(pairs.sentence), scheme.n_relations), dtype=bool)
    left, right = pairs.types.T
    return scheme.allowed_relations()[left, right]


def _add_relations(
    relations: list[list[RelationPrediction]],
    pairs: CandidatePairs,
    labels: Ints1d,
    probs: Floats1d,
    found: Ints1d,
    scheme: LabelScheme,
) -> None:
    """Add the relations of some pairs to their sentences."""
    for pair in found.tolist():
        name, head_first = scheme.relation_label(int(labels[pair]))
        left, right = int(pairs.left[pair]), int(pairs.right[pair])
        head, tail = (left, right) if head_first else (right, left)
        relation = RelationPrediction(head, tail, name, float(probs[pair]))
        relations[int(pairs.sentence[pair])].append(relation)
