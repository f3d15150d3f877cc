"""Entities and relations as plain values, to compare documents that differ in tokens."""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple, TypedDict

from spacy.tokens import Doc, Span

from ..relations import get_entity_scores, get_relations


class EntityItem(NamedTuple):
    """An entity as a plain value. Documents with the same characters other than whitespace share
    its boundaries, whatever their tokens.

    start (int): Number of characters other than whitespace before the entity.
    end (int): Number of characters other than whitespace up to the end of the entity (exclusive).
    label (str): Type of the entity.
    """

    start: int
    end: int
    label: str


class RelationItem(NamedTuple):
    """A relation as a plain value.

    head (EntityItem): The entity that the relation starts from.
    tail (EntityItem): The entity that the relation points to.
    label (str): Type of the relation.
    """

    head: EntityItem
    tail: EntityItem
    label: str


# An item of either kind.
Item = EntityItem | RelationItem


class EntityRecord(TypedDict):
    """An entity in characters of the text.

    start, end (int): Its first character and the character after its last one.
    label (str): Its type.
    text (str): Its text.
    """

    start: int
    end: int
    label: str
    text: str


class RelationRecord(TypedDict):
    """A relation with its arguments."""

    head: EntityRecord
    tail: EntityRecord
    label: str


ItemRecord = EntityRecord | RelationRecord


def entity_items(doc: Doc) -> dict[EntityItem, float | None]:
    """Collect the entities of a document.

    doc (Doc): The document.
    RETURNS (dict[EntityItem, float | None]): The score of each entity; None for an entity without
        a score.
    """
    scores = get_entity_scores(doc)
    spaces_before = _count_spaces(doc)
    items = {}
    for ent in doc.ents:
        key = ent.start_char, ent.end_char, ent.label_
        items[_make_item(ent, spaces_before)] = scores.get(key)
    return items


def relation_items(doc: Doc) -> dict[RelationItem, float]:
    """Collect the relations of a document.

    doc (Doc): The document.
    RETURNS (dict[RelationItem, float]): The score of each relation.
    """
    spaces_before = _count_spaces(doc)
    items = {}
    for head, tail, label, score in get_relations(doc):
        head_item, tail_item = _make_item(head, spaces_before), _make_item(tail, spaces_before)
        items[RelationItem(head_item, tail_item, label)] = score
    return items


def _count_spaces(doc: Doc) -> list[int]:
    """Count the whitespace before each character of a text, and before its end."""
    return [0, *accumulate(map(str.isspace, doc.text))]


def _make_item(span: Span, spaces_before: list[int]) -> EntityItem:
    return EntityItem(
        span.start_char - spaces_before[span.start_char],
        span.end_char - spaces_before[span.end_char],
        span.label_,
    )


def list_places(text: str) -> list[int]:
    """List the positions of the characters other than whitespace.

    text (str): The text.
    RETURNS (list[int]): Their positions in the text.
    """
    return [place for place, char in enumerate(text) if not char.isspace()]


def describe_item(item: Item | None, text: str, places: Sequence[int]) -> ItemRecord | None:
    """Return an item as plain data, in characters of the text.

    item (EntityItem | RelationItem | None): The item.
    text (str): The text of its document.
    places (Sequence[int]): The characters other than whitespace, see `list_places`.
    RETURNS (EntityRecord | RelationRecord | None): The data, ready for JSON; None for None. An
        entity of whitespace begins and ends at 0.
    """
    if item is None:
        return None
    if isinstance(item, EntityItem):
        return describe_entity(item, text, places)
    head = describe_entity(item.head, text, places)
    tail = describe_entity(item.tail, text, places)
    return {"head": head, "tail": tail, "label": item.label}


def describe_entity(item: EntityItem, text: str, places: Sequence[int]) -> EntityRecord:
    """Return an entity as plain data; see `describe_item`."""
    start = end = 0
    if item.start < item.end:
        start, end = places[item.start], places[item.end - 1] + 1
    return {"start": start, "end": end, "label": item.label, "text": text[start:end]}
