"""Predicted entities and relations of a sentence or a document, as plain values."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from .arrays import NumpyFloats2d

# The probability of an entity that was not predicted, where a component has no better figure.
UNKNOWN = 0.5


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


class EntityProbabilities(Protocol):
    """The probabilities of the entities that a document may have."""

    @property
    def decisions(self) -> NumpyFloats2d:
        """Return the probabilities of each decision about entities, (decisions, labels).

        A decision is about the tag of a word or the type of a span, depending on the component.
        """

    def score(self, start: int, end: int, label: str) -> float:
        """Return the probability of an entity, predicted or not.

        start (int): Its first word in the document.
        end (int): Its end, exclusive.
        label (str): Its type.
        RETURNS (float): The probability.
        """


class DecodedProbabilities:
    """The probabilities of the predicted entities alone.

    entities (Sequence[EntityPrediction]): The predicted entities of a document.
    """

    def __init__(self, entities: Sequence[EntityPrediction]) -> None:
        self._scores: dict[tuple[int, int, str], float] = {}
        for start, end, label, score in entities:
            self._scores[start, end, label] = score

    @property
    def decisions(self) -> NumpyFloats2d:
        """Return the probability of each entity and of its absence, (entities, 2)."""
        scores = np.array(list(self._scores.values()), dtype=np.float64)
        return np.stack([scores, 1.0 - scores], axis=1)

    def score(self, start: int, end: int, label: str) -> float:
        """Return the score of an entity; `UNKNOWN` if it was not predicted."""
        return self._scores.get((start, end, label), UNKNOWN)
