"""Relations between entities and the extension attributes that hold them.

`doc._.relations` reads and writes a list of `Relation`; `span._.relations` reads the relations of
a span. The stored form is plain data in `doc.user_data`. So relations survive `Doc.to_bytes`,
`DocBin(store_user_data=True)`, `Doc.copy`, pickle and worker processes.

The stored form names words by their index. A document that is made of other words has no
relations: set them again after `Doc.retokenize`, `Span.as_doc` (also with `copy_user_data=True`)
and `Doc.from_docs`. `Doc.to_json` omits relations, and `to_json(underscore=["relations"])` refuses
a list that is not empty, since JSON cannot hold spans.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias, TypedDict

from spacy.tokens import Doc, Span

# Keys of doc.user_data. The values are lists of plain lists: see `_pack` and `set_entity_scores`.
RELATIONS_KEY = "spacy_tabcnn.relations"
ENTITY_SCORES_KEY = "spacy_tabcnn.entity_scores"

# First word, end (exclusive) and label of a span, as they are stored.
_PackedSpan: TypeAlias = tuple[int, int, str]


class Relation(NamedTuple):
    """A directed, typed relation between two entities of one document.

    head (Span): The argument at which the relation starts; its `label_` is the entity's type.
    tail (Span): The argument to which the relation points.
    label (str): The relation's type.
    score (float): Probability between 0 and 1; 1.0 for an annotated relation.
    """

    head: Span
    tail: Span
    label: str
    score: float = 1.0


class EntityDict(TypedDict):
    """An entity as plain data.

    start (int): Its first character in the text.
    end (int): The character after its last one.
    label (str): Its type.
    score (float | None): Its probability; None if the component gave none.
    """

    start: int
    end: int
    label: str
    score: float | None


class RelationDict(TypedDict):
    """A relation as plain data.

    head (int): Index of the head in the list of entities.
    tail (int): Index of the tail in the list of entities.
    label (str): The relation's type.
    score (float): Its probability; 1.0 for an annotated relation.
    """

    head: int
    tail: int
    label: str
    score: float


class AnnotationDict(TypedDict):
    """The annotation of a document as plain data, ready for JSON.

    entities (list[EntityDict]): The entities.
    relations (list[RelationDict]): The relations between them.
    """

    entities: list[EntityDict]
    relations: list[RelationDict]


def has_relations(doc: Doc) -> bool:
    """Check whether relations were annotated or predicted on a document.

    An empty list counts: it states that the document has no relation.

    doc (Doc): The document.
    RETURNS (bool): True if `doc._.relations` was ever set.
    """
    return RELATIONS_KEY in doc.user_data


def get_relations(doc: Doc) -> list[Relation]:
    """Return the relations of a document; the getter of `doc._.relations`.

    doc (Doc): The document.
    RETURNS (list[Relation]): Its relations, in the order they were set; empty if none were set.
        A span that was set without a label has the label of the entity with its boundaries.
    """
    stored = doc.user_data.get(RELATIONS_KEY)
    if not stored:
        return []
    types = {(ent.start, ent.end): ent.label_ for ent in doc.ents}
    relations = []
    for packed in stored:
        head = _unpack_span(doc, packed[:3], types)
        tail = _unpack_span(doc, packed[3:6], types)
        relations.append(Relation(head, tail, *packed[6:]))
    return relations


def get_span_relations(span: Span) -> list[Relation]:
    """Return the relations of a span; the getter of `span._.relations`.

    A relation belongs to a span if both its arguments lie inside the span, or if one of them has
    the same boundaries as the span. So a sentence has the relations between its words, and an
    entity has the relations in which it is head or tail.

    span (Span): The span, for example a sentence or an entity.
    RETURNS (list[Relation]): Its relations, in the order of `doc._.relations`.
    """
    relations = []
    for relation in get_relations(span.doc):
        arguments = (relation.head, relation.tail)
        is_inside = all(_contains(span, argument) for argument in arguments)
        if is_inside or _get_bounds(span) in map(_get_bounds, arguments):
            relations.append(relation)
    return relations


def set_relations(doc: Doc, relations: Iterable[Relation | Sequence[object]]) -> None:
    """Replace the relations of a document; the setter of `doc._.relations`.

    doc (Doc): The document.
    relations (Iterable): `Relation` objects, or tuples `(head, tail, label)` or
        `(head, tail, label, score)` of two spans of this document, a string and a probability.
    RAISES (ValueError): If an item has another form, a span is empty or belongs to another
        document, or a score is not a probability.
    """
    if not isinstance(relations, Iterable):
        raise ValueError(
            f"doc._.relations: {relations!r} is no list of relations; set [] to state that there "
            "are none"
        )
    stored = []
    for index, relation in enumerate(relations):
        stored.append(_pack(doc, index, relation))
    doc.user_data[RELATIONS_KEY] = stored


def set_entity_scores(doc: Doc, entities: Iterable[Span], scores: Iterable[float]) -> None:
    """Store the scores of entities; `span._.entity_score` reads them.

    doc (Doc): The document.
    entities (Iterable[Span]): Entities of the document.
    scores (Iterable[float]): A probability for each of them.
    """
    stored = []
    for ent, score in zip(entities, scores, strict=True):
        stored.append([ent.start, ent.end, ent.label_, float(score)])
    doc.user_data[ENTITY_SCORES_KEY] = stored


def list_entity_scores(doc: Doc) -> list[tuple[Span, float]]:
    """List the predicted entities and their scores.

    RETURNS (list[tuple[Span, float]]): Entities of the document with their probabilities, in the
        order they were set.
    """
    found = []
    for (start, end, label), score in _get_entity_scores(doc).items():
        found.append((Span(doc, start, end, label=label), score))
    return found


def is_storage_key(key: object) -> bool:
    """Check whether a key of `doc.user_data` stores relations or entity scores.

    key (object): The key.
    RETURNS (bool): True if this module reads and writes it.
    """
    return key in (RELATIONS_KEY, ENTITY_SCORES_KEY)


def get_entity_score(span: Span) -> float | None:
    """Return the score of a predicted entity; the getter of `span._.entity_score`.

    span (Span): A span with the boundaries and the label of a predicted entity.
    RETURNS (float | None): Its probability, or None if no such entity was predicted.
    """
    return _get_entity_scores(span.doc).get((span.start, span.end, span.label_))


def doc_to_annotation(doc: Doc) -> AnnotationDict:
    """Return the entities and relations of a document as plain data.

    doc (Doc): The document.
    RETURNS (AnnotationDict): `entities`, a list of {start, end, label, score} in characters of
        the text, and `relations`, a list of {head, tail, label, score} with indices into
        `entities`. An argument of a relation that is not in doc.ents follows the entities.
    """
    relations = get_relations(doc)
    spans = _collect_entities(doc, relations)
    indices = {bounds: index for index, bounds in enumerate(spans)}
    scores = _get_entity_scores(doc)
    return {
        "entities": [_entity_to_dict(span, scores) for span in spans.values()],
        "relations": [_relation_to_dict(relation, indices) for relation in relations],
    }


def register_extensions() -> None:
    """Register `doc._.relations`, `span._.relations` and `span._.entity_score` where missing.

    Spawned worker processes start without them, so the components call this function before they
    annotate.
    """
    if not Doc.has_extension("relations"):
        Doc.set_extension("relations", getter=get_relations, setter=set_relations)
    if not Span.has_extension("relations"):
        Span.set_extension("relations", getter=get_span_relations, setter=_refuse_span_relations)
    if not Span.has_extension("entity_score"):
        Span.set_extension("entity_score", getter=get_entity_score)


def _refuse_span_relations(span: Span, relations: object) -> None:
    # Without a setter, spaCy would store the value where no getter looks for it.
    raise ValueError(
        "span._.relations can only be read. Set the relations of the whole document with "
        "doc._.relations"
    )


def _get_bounds(span: Span) -> tuple[int, int]:
    return span.start, span.end


def _contains(span: Span, other: Span) -> bool:
    return span.start <= other.start and other.end <= span.end


def _get_entity_scores(doc: Doc) -> dict[_PackedSpan, float]:
    scores: dict[_PackedSpan, float] = {}
    for start, end, label, score in doc.user_data.get(ENTITY_SCORES_KEY, ()):
        scores.setdefault((start, end, label), score)
    return scores


def _collect_entities(doc: Doc, relations: Iterable[Relation]) -> dict[tuple[int, int], Span]:
    """Return the entities by their boundaries, followed by the other arguments of relations."""
    spans = {_get_bounds(ent): ent for ent in doc.ents}
    for relation in relations:
        for argument in (relation.head, relation.tail):
            spans.setdefault(_get_bounds(argument), argument)
    return spans


def _entity_to_dict(span: Span, scores: dict[_PackedSpan, float]) -> EntityDict:
    return {
        "start": span.start_char,
        "end": span.end_char,
        "label": span.label_,
        "score": scores.get((span.start, span.end, span.label_)),
    }


def _relation_to_dict(relation: Relation, indices: dict[tuple[int, int], int]) -> RelationDict:
    return {
        "head": indices[_get_bounds(relation.head)],
        "tail": indices[_get_bounds(relation.tail)],
        "label": relation.label,
        "score": relation.score,
    }


def _unpack_span(doc: Doc, packed: _PackedSpan, types: dict[tuple[int, int], str]) -> Span:
    start, end, label = packed
    return Span(doc, start, end, label=label or types.get((start, end), ""))


def _pack(doc: Doc, index: int, relation: object) -> list[int | str | float]:
    """Check a relation and return its stored form: both arguments, the label and the score."""
    if not isinstance(relation, Sequence) or len(relation) not in (3, 4):
        raise ValueError(
            f"doc._.relations: item {index} is {relation!r}; expected a Relation or a tuple "
            "(head_span, tail_span, label) or (head_span, tail_span, label, score)"
        )
    head, tail, label, *score = relation
    return [
        *_pack_argument(doc, index, "head", head),
        *_pack_argument(doc, index, "tail", tail),
        _check_label(index, label),
        _check_score(index, *score),
    ]


def _pack_argument(doc: Doc, index: int, role: str, span: object) -> _PackedSpan:
    if not isinstance(span, Span) or span.doc is not doc or not len(span):
        raise ValueError(
            f"doc._.relations: the {role} of item {index} is {span!r}; expected a Span of words "
            "of this document, for example doc[2:4] or an item of doc.ents"
        )
    return span.start, span.end, span.label_


def _check_label(index: int, label: object) -> str:
    if not isinstance(label, str) or not label:
        raise ValueError(
            f"doc._.relations: the label of item {index} is {label!r}; expected a non-empty string"
        )
    return label


def _check_score(index: int, score: Any = 1.0) -> float:
    try:
        value = float(score)
    except (TypeError, ValueError):
        value = math.nan
    if not 0.0 <= value <= 1.0:
        raise ValueError(
            f"doc._.relations: the score of item {index} is {score!r}; expected a probability "
            "between 0 and 1"
        )
    return value
