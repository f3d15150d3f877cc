"""Candidates: the spans and the pairs of spans that are scored."""

import random

import numpy as np

from ..arrays import Ints1d, Ints2d
from .gold import GoldSpans


def all_spans(lengths: Ints1d, max_width: int) -> Ints2d:
    """List every span of the sentences of a batch.

    lengths (Ints1d): Number of words of each sentence, int64 (sentences,).
    max_width (int): Maximum number of words of a span.
    RETURNS (Ints2d): First word, end (exclusive) and sentence of each span, int64 (spans, 3), by
        first word and width.
    """
    sentence = np.repeat(np.arange(len(lengths)), lengths)
    word = np.arange(len(sentence))
    n_to_end = lengths.cumsum()[sentence] - word
    n_spans = np.minimum(n_to_end, max_width)  # that begin with each word
    start = np.repeat(word, n_spans)
    width = 1 + np.arange(len(start)) - (n_spans.cumsum() - n_spans)[start]
    return np.stack([start, start + width, sentence[start]], axis=1)


def all_pairs(spans: Ints2d, max_length: int) -> Ints2d:
    """List the ordered pairs of spans of one sentence.

    spans (Ints2d): First word, end (exclusive) and sentence of spans in text order that do not
        overlap, (spans, 3).
    max_length (int): Maximum number of words from the first word of the one span to the last word
        of the other.
    RETURNS (Ints2d): Head and tail of each pair, int64 (pairs, 2), as indices of the spans; each
        pair in both orders.
    """
    start, end, sentence = spans.T
    index = np.arange(len(spans))
    same_sentence = np.searchsorted(sentence, sentence, side="right")
    within_reach = np.searchsorted(end, start + max_length, side="right")
    n_right = np.maximum(np.minimum(same_sentence, within_reach) - index - 1, 0)
    left = np.repeat(index, n_right)
    right = left + 1 + np.arange(len(left)) - (n_right.cumsum() - n_right)[left]
    return np.concatenate([np.stack([left, right], axis=1), np.stack([right, left], axis=1)])


def sample_candidates(
    gold: GoldSpans,
    lengths: Ints1d,
    *,
    max_width: int,
    max_length: int,
    negative_entities: int,
    negative_relations: int,
) -> tuple[Ints2d, Ints2d]:
    """Choose the candidates to learn from.

    They are all gold items and, for each sentence, a random sample of other items. A negative span
    is any other span, also one that overlaps an entity. A word whose annotation is missing is in no
    negative span. A negative pair joins two entities between which no relation holds in this
    direction. The draws follow Python's `random`, which spaCy seeds.

    gold (GoldSpans): The gold of a batch.
    lengths (Ints1d): Number of words of each sentence.
    max_width (int): Maximum number of words of a span.
    max_length (int): Maximum number of words from the first word of the one span of a pair to the
        last word of the other.
    negative_entities (int): Maximum number of negative spans of a sentence.
    negative_relations (int): Maximum number of negative pairs of a sentence.
    RETURNS (tuple[Ints2d, Ints2d]): Spans (spans, 3), the entities first, and pairs of entities
        (pairs, 2), as in `SpanLogits`.
    """
    others = all_spans(lengths, max_width)
    others = others[(gold.find(others) < 0) & ~gold.touches_missing(others)]
    negative_spans = others[_draw(others[:, 2], negative_entities)]
    spans = np.concatenate([gold.spans, negative_spans])

    pairs = all_pairs(gold.spans, max_length)
    pairs = pairs[gold.has_relations[gold.spans[pairs[:, 0], 2]]]
    is_gold = gold.labels(gold.spans, pairs).any(axis=1)
    positives, others = pairs[is_gold], pairs[~is_gold]
    sentence = gold.spans[others[:, 0], 2]
    return spans, np.concatenate([positives, others[_draw(sentence, negative_relations)]])


def _draw(groups: Ints1d, n: int) -> Ints1d:
    """Draw up to n items of each group.

    groups (Ints1d): The group of each item, (items,).
    RETURNS (Ints1d): Indices of the drawn items, in order.
    """
    generator = np.random.default_rng(random.getrandbits(64))
    order = generator.permutation(len(groups))
    order = order[np.argsort(groups[order], kind="stable")]
    grouped = groups[order]
    rank = np.arange(len(order)) - np.searchsorted(grouped, grouped)
    return np.sort(order[rank < n])
