"""Predicted entities and relations of a sentence or a document, as plain values."""

from typing import NamedTuple


class EntityPrediction(NamedTuple):
    """An entity.

    start (int): Its first word, counted from the first word of the sentence or document.
    end (int): Its end, exclusive.
    label (str): Its type.
    score (float): Its probability; 1 for a given entity.
    """

    start: int
    end: int
    label: str
    score: float = 1.0


class RelationPrediction(NamedTuple):
    """A relation between two entities of a list.

    head (int): Index of the head in the list.
    tail (int): Index of the tail in the list.
    label (str): The relation type.
    score (float): Its probability.
    """

    head: int
    tail: int
    label: str
    score: float
