"""Errors of predicted entities and relations, one by one."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from operator import eq, itemgetter
from typing import Literal, NamedTuple, TypeVar, get_args

from spacy.training import Example

from ..relations import has_relations
from .items import EntityItem, Item, RelationItem, entity_items, relation_items

Unit = Literal["entity", "relation"]
Kind = Literal["missed", "spurious", "wrong type", "wrong direction", "wrong boundary", "correct"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# The number of findings of each unit and kind.
ErrorCounts = Counter[tuple[Unit, Kind]]


class ErrorFinding(NamedTuple):
    """The comparison of a gold item with a predicted one.

    unit (str): "entity" or "relation".
    kind (str): The kind of error, or "correct"; see `compare_entities` and `compare_relations`.
    gold (EntityItem | RelationItem | None): The gold item; None if the predicted one is spurious.
    predicted (EntityItem | RelationItem | None): The predicted item; None if the gold one was
        missed.
    score (float | None): The probability of the predicted item, if it has one.
    """

    unit: Unit
    kind: Kind
    gold: Item | None
    predicted: Item | None
    score: float | None = None


ItemT = TypeVar("ItemT", EntityItem, RelationItem)
# How well a gold item and a predicted one match under a kind of error; 0 if they do not.
Match = Callable[[ItemT, ItemT], int]
# The kinds of error that pair a gold item with a predicted one, in the order in which they apply.
Rules = Sequence[tuple[Kind, Match[ItemT]]]


def find_errors(example: Example) -> list[ErrorFinding]:
    """Compare the predicted entities and relations of an example with the gold ones. Units that the
    reference is not annotated with are left out.

    example (Example): The predicted and the reference document.
    RETURNS (list[ErrorFinding]): Entities, then relations, each in text order. The number of
        "correct" findings equals the number of hits of the strict scores of `score_relations`.
    """
    gold, predicted = example.reference, example.predicted
    findings: list[ErrorFinding] = []
    if gold.has_annotation("ENT_IOB"):
        entities = entity_items(predicted)
        findings += compare_entities(entity_items(gold), entities, scores=entities)
    if has_relations(gold):
        relations = relation_items(predicted)
        findings += compare_relations(relation_items(gold), relations, scores=relations)
    return findings


def count_errors(findings: Iterable[ErrorFinding]) -> ErrorCounts:
    """Count findings by unit and kind.

    findings (Iterable[ErrorFinding]): The findings.
    RETURNS (ErrorCounts): The numbers.
    """
    return Counter(map(itemgetter(0, 1), findings))


def compare_entities(
    gold: Iterable[EntityItem],
    predicted: Iterable[EntityItem],
    *,
    scores: Mapping[EntityItem, float | None] | None = None,
) -> list[ErrorFinding]:
    """Compare predicted entities with gold ones. Each entity belongs to one finding, and each
    finding is of one kind:

    - "correct": boundaries and type are right.
    - "wrong type": only the type is wrong.
    - "wrong boundary": only the boundaries are wrong, and the two entities overlap.
    - "missed", "spurious": there is no such counterpart.

    gold (Iterable[EntityItem]): The gold entities.
    predicted (Iterable[EntityItem]): The predicted entities.
    scores (Mapping[EntityItem, float | None] | None): The scores of predicted entities.
    RETURNS (list[ErrorFinding]): The findings, in text order.
    """
    rules: Rules[EntityItem] = (
        ("correct", eq),
        ("wrong type", _have_same_boundaries),
        ("wrong boundary", _match_entity_boundaries),
    )
    return _compare("entity", gold, predicted, rules, scores or {})


def compare_relations(
    gold: Iterable[RelationItem],
    predicted: Iterable[RelationItem],
    *,
    scores: Mapping[RelationItem, float | None] | None = None,
) -> list[ErrorFinding]:
    """Compare predicted relations with gold ones. Each relation belongs to one finding, and each
    finding is of one kind:

    - "correct": label, direction, and boundaries and types of both arguments are right.
    - "wrong type": the label or the types of the arguments are wrong, and nothing else.
    - "wrong direction": head and tail are swapped, and nothing else is wrong.
    - "wrong boundary": only the boundaries of the arguments are wrong, and the arguments overlap
      the gold ones.
    - "missed", "spurious": there is no such counterpart.

    gold (Iterable[RelationItem]): The gold relations.
    predicted (Iterable[RelationItem]): The predicted relations.
    scores (Mapping[RelationItem, float | None] | None): The scores of predicted relations.
    RETURNS (list[ErrorFinding]): The findings, in text order.
    """
    rules: Rules[RelationItem] = (
        ("correct", eq),
        ("wrong type", _have_same_arguments),
        ("wrong direction", _are_swapped),
        ("wrong boundary", _match_argument_boundaries),
    )
    return _compare("relation", gold, predicted, rules, scores or {})


def _compare(
    unit: Unit,
    gold: Iterable[ItemT],
    predicted: Iterable[ItemT],
    rules: Rules[ItemT],
    scores: Mapping[ItemT, float | None],
) -> list[ErrorFinding]:
    """Pair items one to one by the first rule that applies. The items without a pair are missed or
    spurious."""
    missed, spurious = sorted(set(gold)), sorted(set(predicted))
    findings: list[tuple[ItemT, ErrorFinding]] = []
    for kind, match in rules:
        for item, best in _pair_items(missed, spurious, match):
            findings.append((item, ErrorFinding(unit, kind, item, best, scores.get(best))))
    for item in missed:
        findings.append((item, ErrorFinding(unit, "missed", item, None)))
    for item in spurious:
        findings.append((item, ErrorFinding(unit, "spurious", None, item, scores.get(item))))
    findings.sort(key=itemgetter(0))
    return [finding for _, finding in findings]


def _pair_items(
    gold: list[ItemT], predicted: list[ItemT], match: Match[ItemT]
) -> list[tuple[ItemT, ItemT]]:
    """Pair each gold item with the predicted item that matches it best. The pairs are removed from
    both lists."""
    pairs = []
    for item in list(gold):
        best = max(predicted, key=partial(match, item), default=None)
        if best is not None and match(item, best):
            gold.remove(item)
            predicted.remove(best)
            pairs.append((item, best))
    return pairs


def _have_same_boundaries(gold: EntityItem, predicted: EntityItem) -> bool:
    return gold[:2] == predicted[:2]


def _match_entity_boundaries(gold: EntityItem, predicted: EntityItem) -> int:
    if gold.label != predicted.label:
        return 0
    return _count_overlap(gold, predicted)


def _have_same_arguments(gold: RelationItem, predicted: RelationItem) -> bool:
    return _have_same_boundaries(gold.head, predicted.head) and _have_same_boundaries(
        gold.tail, predicted.tail
    )


def _are_swapped(gold: RelationItem, predicted: RelationItem) -> bool:
    return gold == RelationItem(predicted.tail, predicted.head, predicted.label)


def _match_argument_boundaries(gold: RelationItem, predicted: RelationItem) -> int:
    if gold.label != predicted.label:
        return 0
    head = _match_entity_boundaries(gold.head, predicted.head)
    tail = _match_entity_boundaries(gold.tail, predicted.tail)
    if not head or not tail:
        return 0
    return head + tail


def _count_overlap(one: EntityItem, other: EntityItem) -> int:
    """Count the characters that two entities share."""
    return max(min(one.end, other.end) - max(one.start, other.start), 0)
