"""Gold annotation that models contradict with high confidence."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Literal, NamedTuple, TypeAlias, TypedDict, get_args

from spacy.tokens import Doc
from spacy.training import Example

from ..documents import ORIG_ID
from .decisions import Decisions
from .errors import ErrorFinding, Kind, Unit, find_errors
from .items import (
    EntityItem,
    Item,
    ItemRecord,
    RelationItem,
    describe_item,
    entity_items,
    list_places,
)

SuspectKind: TypeAlias = Literal[
    "missing", "extra", "wrong type", "wrong direction", "wrong boundary"
]
SUSPECT_KINDS: tuple[SuspectKind, ...] = get_args(SuspectKind)
# The kind of a suspect by the kind of the model's error, if the gold annotation were right.
_KINDS: dict[Kind, SuspectKind] = {
    "spurious": "missing",
    "missed": "extra",
    "wrong type": "wrong type",
    "wrong direction": "wrong direction",
    "wrong boundary": "wrong boundary",
}
MIN_CONFIDENCE = 0.5

# A contradiction, whatever model it is from: unit, kind, gold item, predicted item.
_Key: TypeAlias = tuple[Unit, Kind, Item | None, Item | None]


class SuspectRecord(TypedDict):
    """A suspect as plain data; see `Suspect`."""

    document: int
    id: object
    unit: str
    kind: str
    confidence: float
    follows: bool
    gold: ItemRecord | None
    predicted: ItemRecord | None
    text: str


class Suspect(NamedTuple):
    """A part of the gold annotation that is probably wrong.

    position (int): The position of its document.
    finding (ErrorFinding): The gold item and the item that models predict. The score is the
        confidence of the models, from 0 to 1.
    follows (bool): Whether the relation differs only because an argument differs, which is a
        suspect itself.
    """

    position: int
    finding: ErrorFinding
    follows: bool = False

    @property
    def kind(self) -> SuspectKind:
        """The kind: "missing" and "extra" are from the gold annotation's point of view."""
        return _KINDS[self.finding.kind]

    @property
    def confidence(self) -> float:
        """The confidence of the models that the gold annotation is wrong, from 0 to 1."""
        return self.finding.score or 0.0


def find_suspects(
    docs: Iterable[Doc],
    decisions: Iterable[Sequence[Decisions]],
    *,
    min_confidence: float = MIN_CONFIDENCE,
) -> list[Suspect]:
    """Rank the gold annotation that models contradict.

    The models must not have learned from these documents, as in a cross-validation. The confidence
    of a model is the probability that it gives to the predicted item (of a relation: times the
    lower probability of its arguments), or, for "extra", 1 minus the probability that it gives to
    the gold item. The confidence of several models is their mean; a model that does not contradict
    counts 0.

    The confidence orders the suspects of a kind, such as extra relations. It does not compare
    kinds: a model is as sure of an entity that it has not learned to see as of a wrong type. If
    each kind has as many wrong labels, a kind with few suspects has the larger share of them. So
    the place of a suspect is its rank within its kind, times the number of suspects of this kind.

    docs (Iterable[Doc]): The documents with gold annotation.
    decisions (Iterable[Sequence[Decisions]]): The annotation of each document by one or more
        models, on the tokens of the document.
    min_confidence (float): Minimum confidence, from 0 to 1, of the suspects that count.
    RETURNS (list[Suspect]): The suspects in this order. Relations that only follow from a suspect
        entity come last.
    """
    suspects: list[Suspect] = []
    for position, (doc, found) in enumerate(zip(docs, decisions, strict=True)):
        for suspect in _find_in_document(position, doc, found):
            if suspect.confidence >= min_confidence:
                suspects.append(suspect)
    return _order(suspects)


def describe_suspect(suspect: Suspect, doc: Doc) -> SuspectRecord:
    """Return a suspect as plain data.

    suspect (Suspect): The suspect.
    doc (Doc): Its document.
    RETURNS (SuspectRecord): The data, ready for JSON.
    """
    finding, text = suspect.finding, doc.text
    places = list_places(text)
    return {
        "document": suspect.position,
        "id": doc.user_data.get(ORIG_ID),
        "unit": finding.unit,
        "kind": suspect.kind,
        "confidence": round(suspect.confidence, 6),
        "follows": suspect.follows,
        "gold": describe_item(finding.gold, text, places),
        "predicted": describe_item(finding.predicted, text, places),
        "text": text,
    }


def _order(suspects: Iterable[Suspect]) -> list[Suspect]:
    """Order suspects by their rank within their kind, times the number of these."""
    by_kind: dict[tuple[bool, Unit, SuspectKind], list[Suspect]] = {}
    # Rounded, since the order of additions changes the last digits.
    for suspect in sorted(suspects, key=lambda one: (-round(one.confidence, 6), one.position)):
        kind = suspect.follows, suspect.finding.unit, suspect.kind
        by_kind.setdefault(kind, []).append(suspect)
    placed: list[tuple[bool, int, float, Suspect]] = []
    for (follows, *_), same_kind in by_kind.items():
        for rank, suspect in enumerate(same_kind, start=1):
            placed.append((follows, rank * len(same_kind), -suspect.confidence, suspect))
    placed.sort(key=itemgetter(0, 1, 2))
    return [suspect for *_, suspect in placed]


def _find_in_document(position: int, doc: Doc, decisions: Sequence[Decisions]) -> Iterator[Suspect]:
    """Find the contradictions of all models, with their mean confidence."""
    confidence: dict[_Key, float] = {}
    follows: dict[_Key, bool] = {}
    for found in decisions:
        rater = _Rater(doc, found)
        for finding in find_errors(Example(found.doc, doc)):
            if finding.kind != "correct":
                key = finding[:4]
                confidence[key] = confidence.get(key, 0.0) + rater.rate(finding)
                follows[key] = follows.get(key, True) and rater.follows(finding)
    for key, total in confidence.items():
        yield Suspect(position, ErrorFinding(*key, total / len(decisions)), follows[key])


class _Rater:
    """The confidence of one model about one document."""

    def __init__(self, gold: Doc, decisions: Decisions) -> None:
        self.decisions = decisions
        self.predicted = decisions.scores
        # The words of each gold entity.
        self.words: dict[EntityItem, tuple[int, int]] = {}
        for item, ent in zip(entity_items(gold), gold.ents, strict=True):
            self.words[item] = ent.start, ent.end

    def rate(self, finding: ErrorFinding) -> float:
        """Return the confidence that the gold annotation is wrong."""
        gold, predicted = finding.gold, finding.predicted
        if isinstance(predicted, RelationItem):
            arguments = self._score(predicted.head), self._score(predicted.tail)
            return self.decisions.relations.get(predicted, 0.0) * min(arguments)
        if isinstance(predicted, EntityItem):
            return self._score(predicted)
        if isinstance(gold, RelationItem):
            return 1.0 - self._rate_relation(gold)
        if isinstance(gold, EntityItem):
            return 1.0 - self._rate_entity(gold)
        return 0.0

    def follows(self, finding: ErrorFinding) -> bool:
        """Check whether a relation has an argument that differs."""
        for item in (finding.gold, finding.predicted):
            if isinstance(item, RelationItem):
                for argument in (item.head, item.tail):
                    if argument not in self.words or argument not in self.predicted:
                        return True
        return False

    def _score(self, entity: EntityItem) -> float:
        """Return the score of a predicted entity."""
        score = self.predicted.get(entity)
        if score is None:  # an entity that was given to the component
            return 1.0
        return score

    def _rate_entity(self, entity: EntityItem) -> float:
        """Return the probability that a model gives to a gold entity."""
        if entity not in self.words:
            return 0.0
        return self.decisions.entities.score(*self.words[entity], entity.label)

    def _rate_relation(self, relation: RelationItem) -> float:
        """Return the probability that a model gives to a gold relation."""
        head, tail, _ = relation
        if head not in self.predicted or tail not in self.predicted:
            return min(self._rate_entity(head), self._rate_entity(tail))
        candidates: Mapping[RelationItem, float] = self.decisions.relations
        if relation in candidates:
            return candidates[relation]
        # Another label is more probable, so this one has at most what is left.
        best = 0.0
        for other, score in candidates.items():
            if {other.head, other.tail} == {head, tail}:
                best = max(best, score)
        return min(best, 1.0 - best)
