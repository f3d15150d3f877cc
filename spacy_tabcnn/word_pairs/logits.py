"""Logits of spans and of ordered pairs of words."""

from typing import NamedTuple

from ..arrays import Floats2d
from ..sentences import Windows


class WordPairLogits(NamedTuple):
    """Logits of the cells of a batch of tables, or the loss's gradient with respect to them.

    Each logit is for a sigmoid. `cells.py` has the order of the cells.

    entities (Floats2d): Logits of the entity types of the spans, (spans, types).
    relations (Floats2d): Logits of the relation types of the ordered pairs of words, between the
        entities that begin with the two words, (pairs, relation types).
    windows (Windows): The cut of the batch.
    last_words (Floats2d | None): The same between the entities that end with the two words; None if
        the network does not score them.
    """

    entities: Floats2d
    relations: Floats2d
    windows: Windows
    last_words: Floats2d | None = None
