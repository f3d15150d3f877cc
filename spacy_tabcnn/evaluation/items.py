"""Entities and relations as plain values, to compare those of two documents that may differ in tokens."""

from collections.abc import Callable
from itertools import accumulate
from typing import NamedTuple

from spacy.tokens import Doc, Span

from ..relations import ENTITY_SCORES_KEY, get_relations


class EntityItem(NamedTuple):
    """An entity: its type, and its boundaries in characters other than whitespace, which documents that differ in
    tokens share; `end` is exclusive."""

    start: int
    end: int
    label: str


class RelationItem(NamedTuple):
    """A relation between two entities."""

    head: EntityItem
    tail: EntityItem
    label: str


def entity_items(doc: Doc) -> dict[EntityItem, float | None]:
    """RETURNS (dict[EntityItem, float | None]): The entities of a document and their scores."""
    place = _placer(doc)
    stored = doc.user_data.get(ENTITY_SCORES_KEY, ())
    scores = {(start, end, label): score for start, end, label, score in stored}
    return {place(ent): scores.get((ent.start, ent.end, ent.label_)) for ent in doc.ents}


def relation_items(doc: Doc) -> dict[RelationItem, float]:
    """RETURNS (dict[RelationItem, float]): The relations of a document and their scores."""
    place = _placer(doc)
    return {
        RelationItem(place(head), place(tail), label): score
        for head, tail, label, score in get_relations(doc)
    }


def _placer(doc: Doc) -> Callable[[Span], EntityItem]:
    spaces_before = [0, *accumulate(map(str.isspace, doc.text))]
    return lambda span: EntityItem(
        span.start_char - spaces_before[span.start_char],
        span.end_char - spaces_before[span.end_char],
        span.label_,
    )
