"""Relations and entity scores as plain data for JSON.

They are the values of `doc._.relations_json` and `doc._.entity_scores_json`. spaCy's `Doc.to_json`
and `Doc.from_json` write and read them; `doc._.relations` cannot be written, since JSON has no
place for spans.
"""

from collections.abc import Iterable, Sequence
from typing import TypedDict, TypeVar

from spacy.tokens import Doc, Span

from .relations import (
    Relation,
    get_relations,
    has_relations,
    is_text,
    list_entity_scores,
    set_entity_scores,
    set_relations,
)
from .storage import count_characters

_ItemT = TypeVar("_ItemT")
_MAX_SHOWN = 200  # characters of a value in a message


class SpanJson(TypedDict):
    """A span of words.

    start (int): Its first character in the text.
    end (int): The character after its last one.
    label (str): Its type.
    """

    start: int
    end: int
    label: str


class RelationJson(TypedDict):
    """A relation.

    head (SpanJson): The argument at which the relation starts.
    tail (SpanJson): The argument to which it points.
    label (str): Its type.
    score (float): Its probability.
    """

    head: SpanJson
    tail: SpanJson
    label: str
    score: float


class EntityScoreJson(SpanJson):
    """A predicted entity.

    score (float): Its probability.
    """

    score: float


def get_relations_json(doc: Doc) -> list[RelationJson] | None:
    """Return the relations of a document as plain data; the getter of `doc._.relations_json`.

    doc (Doc): The document.
    RETURNS (list[RelationJson] | None): The relations, or None if they were never set.
    """
    if not has_relations(doc):
        return None
    return [_relation_to_json(relation) for relation in get_relations(doc)]


def set_relations_json(doc: Doc, relations: Sequence[RelationJson] | None) -> None:
    """Set the relations of a document; the setter of `doc._.relations_json`.

    doc (Doc): The document.
    relations (Sequence[RelationJson] | None): The relations. None leaves the document as it is.
    RAISES (ValueError): If the value has another form, or characters are no words of the document.
    """
    if relations is None:
        return
    found = []
    for relation in _check_items(relations, "relations_json"):
        _check_keys(relation, RelationJson, "relations_json")
        head = _find_span(doc, relation["head"], "relations_json")
        tail = _find_span(doc, relation["tail"], "relations_json")
        found.append(Relation(head, tail, relation["label"], relation["score"]))
    set_relations(doc, found)


def get_entity_scores_json(doc: Doc) -> list[EntityScoreJson]:
    """Return the scores of predicted entities; the getter of `doc._.entity_scores_json`.

    doc (Doc): The document.
    RETURNS (list[EntityScoreJson]): The entities with their scores; empty if none were predicted.
    """
    scores: list[EntityScoreJson] = []
    for span, score in list_entity_scores(doc):
        scores.append({**_span_to_json(span), "score": score})
    return scores


def set_entity_scores_json(doc: Doc, scores: Sequence[EntityScoreJson]) -> None:
    """Set the scores of predicted entities; the setter of `doc._.entity_scores_json`.

    doc (Doc): The document.
    scores (Sequence[EntityScoreJson]): The entities with their scores.
    RAISES (ValueError): If the value has another form, or characters are no words of the document.
    """
    spans: list[Span] = []
    values: list[float] = []
    for entity in _check_items(scores, "entity_scores_json"):
        spans.append(_find_span(doc, entity, "entity_scores_json"))
        _check_keys(entity, EntityScoreJson, "entity_scores_json")
        values.append(entity["score"])
        if not isinstance(values[-1], int | float) or not 0.0 <= values[-1] <= 1.0:
            raise ValueError(_describe_form("entity_scores_json", entity))
    set_entity_scores(doc, spans, values)


def _relation_to_json(relation: Relation) -> RelationJson:
    head, tail, label, score = relation
    return {
        "head": _span_to_json(head),
        "tail": _span_to_json(tail),
        "label": label,
        "score": score,
    }


def _span_to_json(span: Span) -> SpanJson:
    return {"start": span.start_char, "end": span.end_char, "label": span.label_}


def _check_items(items: Iterable[_ItemT], name: str) -> Iterable[_ItemT]:
    """Check that a value is a list, or a tuple after it was read from a .spacy file."""
    if not isinstance(items, list | tuple):
        raise ValueError(_describe_form(name, items))
    return items


def _check_keys(data: object, kind: type, name: str) -> None:
    """Check that a value is an object with the keys of its kind."""
    if not isinstance(data, dict) or not data.keys() >= kind.__annotations__.keys():
        raise ValueError(_describe_form(name, data))


def _find_span(doc: Doc, data: SpanJson | EntityScoreJson, name: str) -> Span:
    _check_keys(data, SpanJson, name)
    start, end, label = data["start"], data["end"], data["label"]
    # spaCy takes true and fractions for offsets, and numbers for labels.
    if type(start) is not int or type(end) is not int or not is_text(label):
        raise ValueError(_describe_form(name, data))
    span = None
    if 0 <= start < end <= count_characters(doc):
        span = doc.char_span(start, end, label=label)
    if span is None:
        raise ValueError(
            f"doc._.{name}: the characters {start} to {end} are {doc.text[start:end]!r} in this "
            "document; expected whole words. Read the value on the same text and words"
        )
    return span


def _describe_form(name: str, value: object) -> str:
    shown = ascii(value)
    if len(shown) > _MAX_SHOWN:
        shown = f"{shown[:_MAX_SHOWN]}…"
    return f"doc._.{name}: {shown} has another form; expected the value that Doc.to_json wrote"
