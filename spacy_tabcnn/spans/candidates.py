"""Candidates: the spans and the pairs of spans that are scored."""

import random

import numpy as np

from ..arrays import Ints1d, Ints2d
from .gold import GoldSpans


def all_spans(lengths: Ints1d, max_width: int) -> Ints2d:
    """List every span of the sentences of a batch.

    lengths (Ints1d): Words of each sentence, int64 (sentences,).
    max_width (int): Most words of a span.
    RETURNS (Ints2d): First word, end (exclusive) and sentence of each span, int64 (spans, 3), by first word and width.
    """
    sentence = np.repeat(np.arange(len(lengths)), lengths)
    word = np.arange(len(sentence))
    n_spans = np.minimum(
        np.cumsum(lengths)[sentence] - word, max_width
    )  # that begin with each word
    start = np.repeat(word, n_spans)
    width = 1 + np.arange(len(start)) - (np.cumsum(n_spans) - n_spans)[start]
    return np.stack([start, start + width, sentence[start]], axis=1)


def all_pairs(spans: Ints2d, max_length: int) -> Ints2d:
    """List the ordered pairs of spans of one sentence.

    spans (Ints2d): First word, end (exclusive) and sentence of spans in text order that do not overlap, (spans, 3).
    max_length (int): Most words from the first of the one span to the last of the other.
    RETURNS (Ints2d): Head and tail of each pair, int64 (pairs, 2), as indices of the spans; each pair in both orders.
    """
    start, end, sentence = spans.T
    index = np.arange(len(spans))
    same_sentence = np.searchsorted(sentence, sentence, side="right")
    n_right = (
        np.minimum(same_sentence, np.searchsorted(end, start + max_length, side="right"))
        - index
        - 1
    )
    n_right = np.maximum(n_right, 0)
    left = np.repeat(index, n_right)
    right = left + 1 + np.arange(len(left)) - (np.cumsum(n_right) - n_right)[left]
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
    """Choose what to learn from: all that is gold and, of each sentence, a random sample of what is not.

    A negative span is any other span, also one that overlaps an entity; words whose annotation is missing are in none.
    A negative pair is one of entities that no relation joins in this direction. The draws follow Python's `random`,
    which spaCy seeds.

    gold (GoldSpans): The gold of a batch.
    lengths (Ints1d): Words of each sentence.
    max_width (int): Most words of a span.
    max_length (int): Most words from the first of the one span of a pair to the last of the other.
    negative_entities (int): Most negative spans of a sentence.
    negative_relations (int): Most negative pairs of a sentence.
    RETURNS (tuple[Ints2d, Ints2d]): Spans (spans, 3), the entities first, and pairs of entities (pairs, 2), as
        `SpanLogits` has them.
    """
    candidates = all_spans(lengths, max_width)
    candidates = candidates[(gold.find(candidates) < 0) & ~gold.touches_missing(candidates)]
    spans = np.concatenate([gold.spans, candidates[_draw(candidates[:, 2], negative_entities)]])

    pairs = all_pairs(gold.spans, max_length)
    sentence = gold.spans[pairs[:, 0], 2]
    pairs, sentence = (array[gold.has_relations[sentence]] for array in (pairs, sentence))
    is_gold = gold.labels(gold.spans, pairs).any(axis=1)
    negatives = pairs[~is_gold][_draw(sentence[~is_gold], negative_relations)]
    return spans, np.concatenate([pairs[is_gold], negatives])


def _draw(groups: Ints1d, n: int) -> Ints1d:
    """Draw up to n items of each group: their indices, in order.

    groups (Ints1d): The group of each item, (items,).
    """
    generator = np.random.default_rng(random.getrandbits(64))
    order = generator.permutation(len(groups))
    order = order[np.argsort(groups[order], kind="stable")]
    grouped = groups[order]
    rank = np.arange(len(order)) - np.searchsorted(grouped, grouped)
    return np.sort(order[rank < n])
