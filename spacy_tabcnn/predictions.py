"""Predicted entities and relations, as plain values."""

from typing import NamedTuple


class EntityPrediction(NamedTuple):
    """An entity of a sentence: first word, end (exclusive), type, and its words' geometric mean tag probability, or 1
    for a given one."""

    start: int
    end: int
    label: str
    score: float = 1.0


class RelationPrediction(NamedTuple):
    """A relation between two entities of a sentence: their indices in its entities, type and probability."""

    head: int
    tail: int
    label: str
    score: float
