"""What is wrong with predicted entities and relations, one by one."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple, TypeVar, get_args

from spacy.training import Example

from ..relations import has_relations
from .items import EntityItem, RelationItem, entity_items, relation_items

Unit = Literal["entity", "relation"]
Kind = Literal["missed", "spurious", "wrong type", "wrong direction", "wrong boundary", "correct"]
KINDS: tuple[Kind, ...] = get_args(Kind)


class Finding(NamedTuple):
    """The comparison of a gold item with a predicted one.

    unit (str): "entity" or "relation".
    kind (str): What is wrong, if anything; see `compare_entities` and `compare_relations`.
    gold (EntityItem | RelationItem | None): The gold item; None if the predicted one is spurious.
    predicted (EntityItem | RelationItem | None): The predicted item; None if the gold one was missed.
    score (float | None): The probability of the predicted item, where it has one.
    """

    unit: Unit
    kind: Kind
    gold: EntityItem | RelationItem | None
    predicted: EntityItem | RelationItem | None
    score: float | None = None


ItemT = TypeVar("ItemT", EntityItem, RelationItem)
# How well a predicted item explains a gold one under some kind of error: not at all if 0.
Match = Callable[[ItemT, ItemT], int]


def find_errors(example: Example) -> list[Finding]:
    """Compare the predicted entities and relations of an example with the gold ones. What its reference is not
    annotated with is not compared.

    example (Example): The predicted and the reference document.
    RETURNS (list[Finding]): Entities, then relations, each in text order. As many are "correct" as the strict scores
        of `score_relations` count.
    """
    gold, predicted = example.reference, example.predicted
    findings: list[Finding] = []
    if gold.has_annotation("ENT_IOB"):
        scores = entity_items(predicted)
        findings += [
            _with_score(finding, scores) for finding in compare_entities(entity_items(gold), scores)
        ]
    if has_relations(gold):
        relation_scores = relation_items(predicted)
        found = compare_relations(relation_items(gold), relation_scores)
        findings += [_with_score(finding, relation_scores) for finding in found]
    return findings


def compare_entities(gold: Iterable[EntityItem], predicted: Iterable[EntityItem]) -> list[Finding]:
    """Tell what is wrong with predicted entities. Each belongs to one finding, each finding is of one kind:

    - "correct": boundaries and type are right.
    - "wrong type": the type alone is wrong.
    - "wrong boundary": the boundaries alone are wrong, and the two entities overlap.
    - "missed", "spurious": there is no such counterpart.

    gold (Iterable[EntityItem]): The gold entities.
    predicted (Iterable[EntityItem]): The predicted ones.
    RETURNS (list[Finding]): The findings, in text order.
    """
    rules: list[tuple[Kind, Match[EntityItem]]] = [
        ("correct", lambda g, p: int(g == p)),
        ("wrong type", lambda g, p: int(g[:2] == p[:2])),
        ("wrong boundary", lambda g, p: _overlap(g, p) if g.label == p.label else 0),
    ]
    return _compare("entity", gold, predicted, rules)


def compare_relations(
    gold: Iterable[RelationItem], predicted: Iterable[RelationItem]
) -> list[Finding]:
    """Tell what is wrong with predicted relations. Each belongs to one finding, each finding is of one kind:

    - "correct": label, direction, and boundaries and types of both arguments are right.
    - "wrong type": the label or the types of the arguments are wrong, and nothing else.
    - "wrong direction": head and tail are swapped, and nothing else is wrong.
    - "wrong boundary": the boundaries of the arguments alone are wrong, and they overlap the gold ones.
    - "missed", "spurious": there is no such counterpart.

    gold (Iterable[RelationItem]): The gold relations.
    predicted (Iterable[RelationItem]): The predicted ones.
    RETURNS (list[Finding]): The findings, in text order.
    """

    def boundary(g: RelationItem, p: RelationItem) -> int:
        if (g.label, g.head.label, g.tail.label) != (p.label, p.head.label, p.tail.label):
            return 0
        head, tail = _overlap(g.head, p.head), _overlap(g.tail, p.tail)
        return head + tail if head and tail else 0

    rules: list[tuple[Kind, Match[RelationItem]]] = [
        ("correct", lambda g, p: int(g == p)),
        ("wrong type", lambda g, p: int((g.head[:2], g.tail[:2]) == (p.head[:2], p.tail[:2]))),
        (
            "wrong direction",
            lambda g, p: int((g.head, g.tail, g.label) == (p.tail, p.head, p.label)),
        ),
        ("wrong boundary", boundary),
    ]
    return _compare("relation", gold, predicted, rules)


def _compare(
    unit: Unit,
    gold: Iterable[ItemT],
    predicted: Iterable[ItemT],
    rules: list[tuple[Kind, Match[ItemT]]],
) -> list[Finding]:
    """Pair items one to one by the first rule that pairs them; of several, with the best match."""
    left, right = sorted(set(gold)), sorted(set(predicted))
    findings: list[tuple[ItemT, Finding]] = []
    for kind, match in rules:
        for item in list(left):
            best = max(right, key=lambda other: match(item, other), default=None)
            if best is not None and match(item, best):
                left.remove(item)
                right.remove(best)
                findings.append((item, Finding(unit, kind, item, best)))
    findings += [(item, Finding(unit, "missed", item, None)) for item in left]
    findings += [(item, Finding(unit, "spurious", None, item)) for item in right]
    return [finding for _, finding in sorted(findings, key=lambda pair: pair[0])]


def _with_score(finding: Finding, scores: Mapping[Any, float | None]) -> Finding:
    return finding._replace(score=scores.get(finding.predicted))


def _overlap(one: EntityItem, other: EntityItem) -> int:
    return max(min(one.end, other.end) - max(one.start, other.start), 0)
