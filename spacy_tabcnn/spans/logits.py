"""What the functions over spans share."""

from typing import NamedTuple

from ..arrays import Floats2d, Ints2d

NO_ENTITY = 0  # index of the type "none"; entity type i of a label scheme has the index 1 + i


class SpanLogits(NamedTuple):
    """Logits of candidates of a batch, or the loss's gradient with respect to them.

    spans (Ints2d): First word, end (exclusive) and sentence of each span, int64 (spans, 3), always a numpy array. Words
        and sentences are counted over the batch.
    entities (Floats2d): Logits of the entity types, "none" included, (spans, types).
    pairs (Ints2d): Head and tail of each pair, indices of spans, int64 (pairs, 2), always a numpy array.
    relations (Floats2d): Logits of the relation types, each by itself, (pairs, relation types).
    """

    spans: Ints2d
    entities: Floats2d
    pairs: Ints2d
    relations: Floats2d
