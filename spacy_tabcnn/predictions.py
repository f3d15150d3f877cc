"""Predicted entities and relations of a sentence or a document, as plain values."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from .arrays import Ints2d, NumpyFloats2d, sigmoid

# The probability of an entity that was not predicted, where a component has no better figure.
UNKNOWN = 0.5
# Probabilities in float32 are not nearer to 1, unless they are 1.
RESOLUTION = 2.0**-24


class Temperature(NamedTuple):
    """The numbers by which the logits of scores are divided.

    Above 1, scores come nearer to 0.5. No prediction changes by itself: the order of the scores
    stays.

    entities (float): For the scores of entities, above 0.
    relations (float): For the scores of relations, above 0.
    Source: Guo et al. (2017), "On calibration of modern neural networks", section 4.2. There, the
        logits of a network are divided; here, the logit of a score.
    """

    entities: float = 1.0
    relations: float = 1.0

    @classmethod
    def of(cls, setting: Mapping[str, float]) -> "Temperature":
        """Read the temperatures from a setting.

        setting (Mapping[str, float]): The temperatures by the names of the fields; 1 where a name
            is left out.
        RETURNS (Temperature): The temperatures.
        RAISES (ValueError): If there is another name, or a temperature is no number above 0.
        """
        for name, value in setting.items():
            if name not in cls._fields:
                raise ValueError(
                    f"temperature has the name {name!r}; expected {' and '.join(cls._fields)}"
                )
            if not isinstance(value, int | float) or not 0.0 < value < math.inf:
                raise ValueError(f"temperature.{name} is {value!r}; expected a number above 0")
        return cls(**setting)

    def inverse(self) -> "Temperature":
        """Return the temperatures that take the softening back."""
        return Temperature(1.0 / self.entities, 1.0 / self.relations)

    def times(self, other: "Temperature") -> "Temperature":
        """Return the temperatures that soften as both, one after the other."""
        return Temperature(self.entities * other.entities, self.relations * other.relations)


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


# Scores stay as they are.
UNSOFTENED = Temperature()


def soften(scores: NumpyFloats2d, temperature: float) -> NumpyFloats2d:
    """Divide the logits of scores by a temperature.

    scores (NumpyFloats2d): Scores between 0 and 1, of any shape. A score of 1 is read as the
        highest one below it that float32 can represent.
    temperature (float): The temperature, above 0; 1 leaves the scores as they are.
    RETURNS (NumpyFloats2d): Scores of the same shape.
    """
    if temperature == 1.0:
        return scores
    right = np.minimum(scores, 1.0 - RESOLUTION, dtype=np.float64)
    with np.errstate(divide="ignore"):  # a score of 0 has the logit -inf
        logits = np.log(right) - np.log1p(-right)
    return sigmoid(logits / temperature)


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


class SpanProbabilities:
    """The probabilities of the entities of a document, from the types of its spans.

    spans (Ints2d): First word in the document and end (exclusive) of each span, (spans, 2).
    probabilities (NumpyFloats2d): Probability of each entity type, (spans, types).
    types (Sequence[str]): The entity types.
    decisions (NumpyFloats2d): Probabilities of each decision about entities, (decisions, labels).
    """

    def __init__(
        self,
        spans: Ints2d,
        probabilities: NumpyFloats2d,
        types: Sequence[str],
        *,
        decisions: NumpyFloats2d,
    ) -> None:
        self._rows: dict[tuple[int, int], int] = {}
        for row, (start, end) in enumerate(spans.tolist()):
            self._rows[start, end] = row
        self._probabilities = probabilities
        self._types = types
        self.decisions = decisions

    def score(self, start: int, end: int, label: str) -> float:
        """Return the probability of the type of a span; 0 for a span that cannot be found."""
        row = self._rows.get((start, end))
        if row is None or label not in self._types:
            return 0.0
        return float(self._probabilities[row, self._types.index(label)])


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
