"""Relations between entities: the extension attributes read and write them here.

`doc._.relations` reads and writes a tuple of `Relation`; `span._.relations` reads the relations of
a span. The stored form is plain data in `doc.user_data`. So relations survive `Doc.to_bytes`,
`DocBin(store_user_data=True)`, `Doc.copy`, pickle and worker processes.

Relations follow the characters on which they were set (see `storage`). They are found again after
`Doc.retokenize`, in `Doc.from_docs`, and in `Span.as_doc(copy_user_data=True)`, which keeps the
relations inside the span. Where that is not possible, reading them is an error: an argument begins
or ends inside a merged word, or the text is another one. `Span.as_doc()` copies no user data,
hence no relations; `documents.span_to_doc` does. `Doc.to_json` has no place for spans:
`to_json(underscore=["relations_json"])` writes relations as plain data.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias, TypedDict

from spacy.tokens import Doc, Span

from .storage import (
    PackedSpan,
    Place,
    find_places,
    find_span,
    has_overlap,
    has_same_text,
    has_same_words,
    is_complete,
    is_cut_off,
    is_fingerprint,
    is_packed_span,
    pack_span,
    store,
    take_fingerprint,
)

# Names of the stored data; version 0.1.0 used them as keys of doc.user_data.
RELATIONS = "spacy_tabcnn.relations"
ENTITY_SCORES = "spacy_tabcnn.entity_scores"

# Head, tail, label and score of a relation, as they are stored.
_PackedRelation: TypeAlias = Sequence[Any]
# First character, end (exclusive) and label of an entity.
_EntityKey: TypeAlias = tuple[int, int, str]


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
    RETURNS (bool): True if `doc._.relations` was ever set. For a document that `Doc.from_docs`
        made, True if it was set on all documents that have words.
    """
    _convert_old_form(doc)
    return is_complete(doc, find_places(doc, RELATIONS))


def get_relations(doc: Doc) -> tuple[Relation, ...]:
    """Return the relations of a document; the getter of `doc._.relations`.

    doc (Doc): The document.
    RETURNS (tuple[Relation, ...]): Its relations, in the order they were set; empty if none were
        set. A span that was set without a label has the label of the entity with its boundaries.
    RAISES (ValueError): If an argument no longer consists of whole words, or the relations were set
        on another text.
    """
    _convert_old_form(doc)
    places = find_places(doc, RELATIONS)
    if not places:
        return ()
    stored = _read_relations(doc, places)
    if not stored:
        return ()
    types = {(ent.start, ent.end): ent.label_ for ent in doc.ents}
    try:
        return tuple(_unpack(doc, packed, types) for packed in stored)
    except (IndexError, TypeError, ValueError) as err:
        raise ValueError(_describe_damage(RELATIONS)) from err


def get_span_relations(span: Span) -> tuple[Relation, ...]:
    """Return the relations of a span; the getter of `span._.relations`.

    A relation belongs to a span if both its arguments lie inside the span, or if one of them has
    the same boundaries as the span. So a sentence has the relations between its words, and an
    entity has the relations in which it is head or tail.

    span (Span): The span, for example a sentence or an entity.
    RETURNS (tuple[Relation, ...]): Its relations, in the order of `doc._.relations`.
    """
    relations = []
    for relation in get_relations(span.doc):
        arguments = (relation.head, relation.tail)
        is_inside = all(_contains(span, argument) for argument in arguments)
        if is_inside or _get_bounds(span) in map(_get_bounds, arguments):
            relations.append(relation)
    return tuple(relations)


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
    doc.user_data.pop(RELATIONS, None)  # the old form
    store(doc, RELATIONS, [take_fingerprint(doc), stored])


def set_entity_scores(doc: Doc, entities: Iterable[Span], scores: Iterable[float]) -> None:
    """Store the scores of entities; `span._.entity_score` reads them.

    doc (Doc): The document.
    entities (Iterable[Span]): Entities of the document.
    scores (Iterable[float]): A probability for each of them.
    """
    stored = []
    for ent, score in zip(entities, scores, strict=True):
        stored.append([pack_span(ent), float(score)])
    doc.user_data.pop(ENTITY_SCORES, None)  # the old form
    store(doc, ENTITY_SCORES, stored)


def list_entity_scores(doc: Doc) -> list[tuple[Span, float]]:
    """List the predicted entities and their scores.

    doc (Doc): The document.
    RETURNS (list[tuple[Span, float]]): Entities with their probabilities, in the order they were
        set. Entities that no longer consist of whole words are left out.
    """
    found = []
    for (start, end, label), score in get_entity_scores(doc).items():
        span = doc.char_span(start, end, label=label)
        if span is not None:
            found.append((span, score))
    return found


def get_entity_scores(doc: Doc) -> dict[tuple[int, int, str], float]:
    """Return the scores of all predicted entities.

    doc (Doc): The document.
    RETURNS (dict[tuple[int, int, str], float]): The probabilities by first character, end
        (exclusive) and type.
    """
    text = doc.text
    scores: dict[_EntityKey, float] = {}
    for key, covered, score in _iterate_scores(doc):
        if text[key[0] : key[1]] == covered:
            scores.setdefault(key, score)
    return scores


def get_entity_score(span: Span) -> float | None:
    """Return the score of a predicted entity; the getter of `span._.entity_score`.

    span (Span): A span with the boundaries and the label of a predicted entity.
    RETURNS (float | None): Its probability, or None if no such entity was predicted.
    """
    wanted = _get_key(span)
    for key, covered, score in _iterate_scores(span.doc):
        if key == wanted and covered == span.text:
            return score
    return None


def is_stored_by_key(key: object) -> bool:
    """Check whether a key of `doc.user_data` belongs to relations or entity scores.

    key (object): The key.
    RETURNS (bool): True if this module reads and writes the value.
    """
    name = key
    if isinstance(key, tuple) and len(key) == 4:
        name = key[1]
    return name in (RELATIONS, ENTITY_SCORES)


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
    scores = get_entity_scores(doc)
    return {
        "entities": [_entity_to_dict(span, scores) for span in spans.values()],
        "relations": [_relation_to_dict(relation, indices) for relation in relations],
    }


def _get_bounds(span: Span) -> tuple[int, int]:
    return span.start, span.end


def _contains(span: Span, other: Span) -> bool:
    return span.start <= other.start and other.end <= span.end


def _get_key(span: Span) -> _EntityKey:
    return span.start_char, span.end_char, span.label_


def _collect_entities(doc: Doc, relations: Iterable[Relation]) -> dict[tuple[int, int], Span]:
    """Return the entities by their boundaries, followed by the other arguments of relations."""
    spans = {_get_bounds(ent): ent for ent in doc.ents}
    for relation in relations:
        for argument in (relation.head, relation.tail):
            spans.setdefault(_get_bounds(argument), argument)
    return spans


def _entity_to_dict(span: Span, scores: dict[_EntityKey, float]) -> EntityDict:
    return {
        "start": span.start_char,
        "end": span.end_char,
        "label": span.label_,
        "score": scores.get(_get_key(span)),
    }


def _relation_to_dict(relation: Relation, indices: dict[tuple[int, int], int]) -> RelationDict:
    return {
        "head": indices[_get_bounds(relation.head)],
        "tail": indices[_get_bounds(relation.tail)],
        "label": relation.label,
        "score": relation.score,
    }


def _iterate_scores(doc: Doc) -> Iterator[tuple[_EntityKey, str, float]]:
    """Yield the entities whose scores are stored, with their text at that time.

    They may lie outside the document, if a part of a document was copied.
    """
    _convert_old_form(doc)
    try:
        for place in find_places(doc, ENTITY_SCORES):
            for (_, _, start, end, label, text), score in place.data:
                if start + place.start >= 0:
                    yield (start + place.start, end + place.start, label), text, score
    except (TypeError, ValueError) as err:
        raise ValueError(_describe_damage(ENTITY_SCORES)) from err


def _read_relations(doc: Doc, places: Sequence[Place]) -> Sequence[_PackedRelation]:
    """Return the stored relations, with the words that their arguments have now."""
    for place in places:
        if not _has_right_form(place.data):
            raise ValueError(_describe_damage(RELATIONS))
    fingerprint, stored = places[0].data
    if has_same_words(doc, places[0], fingerprint):
        return stored
    return _move_relations(doc, places)


def _has_right_form(data: object) -> bool:
    """Check the outer form of stored relations: a fingerprint and a sequence."""
    if not isinstance(data, list | tuple) or len(data) != 2:
        return False
    fingerprint, stored = data
    return is_fingerprint(fingerprint) and isinstance(stored, list | tuple)


def _move_relations(doc: Doc, places: Sequence[Place]) -> list[_PackedRelation]:
    """Find the words of relations by their characters.

    Relations that lie outside the document, fully or in part, are left out.
    """
    if has_overlap(places):
        raise ValueError(
            "doc._.relations: the document was joined of parts that Span.as_doc made of other "
            "documents, and the places of their relations overlap. Make the parts with "
            "spacy_tabcnn.span_to_doc instead, or join them with spacy_tabcnn.join_docs"
        )
    text = doc.text
    moved: list[_PackedRelation] = []
    for place in places:
        fingerprint, stored = place.data
        if not has_same_text(text, place, fingerprint):
            raise ValueError(_describe_other_text(fingerprint[0]))
        for packed in stored:
            relation = _move_relation(doc, packed, place)
            if relation is not None:
                moved.append(relation)
    return moved


def _move_relation(doc: Doc, packed: _PackedRelation, place: Place) -> _PackedRelation | None:
    if not isinstance(packed, list | tuple) or len(packed) != 4:
        raise ValueError(_describe_damage(RELATIONS))
    head, tail, label, score = packed
    if not is_packed_span(head) or not is_packed_span(tail):
        raise ValueError(_describe_damage(RELATIONS))
    if is_cut_off(doc, head, place) or is_cut_off(doc, tail, place):
        return None
    moved_head = _move_argument(doc, "head", head, label, place)
    moved_tail = _move_argument(doc, "tail", tail, label, place)
    return moved_head, moved_tail, label, score


def _move_argument(doc: Doc, role: str, packed: PackedSpan, label: str, place: Place) -> PackedSpan:
    try:
        return pack_span(find_span(doc, packed, place))
    except LookupError as err:
        raise ValueError(_describe_other_text(packed[-1])) from err
    except ValueError as err:
        raise ValueError(
            f"doc._.relations: the {role} of a relation {label!r} no longer consists of whole "
            f"words: {err}. Merge or split words before the relations are set, or set "
            "doc._.relations again"
        ) from err


def _describe_other_text(text: object) -> str:
    return (
        f"doc._.relations: the relations were set on another text ({text!r} is not where it was), "
        "and came here with doc.user_data. Set doc._.relations on this document; [] states that "
        "there are none"
    )


def _describe_damage(name: str) -> str:
    return (
        f"doc.user_data: the value of {name!r} has not the form that this package writes. Set "
        "doc._.relations again, or convert the corpus again with `spacy tabcnn convert`"
    )


def _convert_old_form(doc: Doc) -> None:
    """Store the relations and scores of version 0.1.0, which have no characters, in today's form.

    RAISES (ValueError): If they are damaged, or the words of the document have changed.
    """
    if ENTITY_SCORES in doc.user_data:
        stored = doc.user_data[ENTITY_SCORES]
        try:
            spans = [_make_span(doc, start, end, label) for start, end, label, _ in stored]
            set_entity_scores(doc, spans, [score for *_, score in stored])
        except (IndexError, TypeError, ValueError) as err:
            raise ValueError(_describe_damage(ENTITY_SCORES)) from err
    if RELATIONS in doc.user_data:
        try:
            relations = list(map(partial(_unpack_old, doc), doc.user_data[RELATIONS]))
        except (IndexError, TypeError, ValueError) as err:
            raise ValueError(_describe_damage(RELATIONS)) from err
        _check_old_words(doc, relations)
        set_relations(doc, relations)


def _unpack_old(doc: Doc, packed: Sequence[Any]) -> Relation:
    head, head_end, head_label, tail, tail_end, tail_label, label, score = packed
    return Relation(
        _make_span(doc, head, head_end, head_label),
        _make_span(doc, tail, tail_end, tail_label),
        _check_label(0, label),
        _check_score(0, score),
    )


def _check_old_words(doc: Doc, relations: Iterable[Relation]) -> None:
    """Check that the arguments are entities: they are not if words were merged, split or cut off.

    A document without entities tells nothing.
    """
    if not doc.has_annotation("ENT_IOB"):
        return
    entities = set(map(_get_bounds, doc.ents))
    for relation in relations:
        for argument in (relation.head, relation.tail):
            if _get_bounds(argument) not in entities:
                raise ValueError(
                    f"doc._.relations: {argument.text!r}, an argument of {relation.label!r}, is no "
                    "entity of the document. Version 0.1.0 stored the relations without their "
                    "characters, and the words may have changed since. Convert the corpus again "
                    "with `spacy tabcnn convert`, or set doc._.relations again"
                )


def _unpack(doc: Doc, packed: _PackedRelation, types: dict[tuple[int, int], str]) -> Relation:
    head, tail, label, score = packed
    if not isinstance(label, str) or not isinstance(score, float) or not 0.0 <= score <= 1.0:
        raise ValueError
    return Relation(_unpack_span(doc, head, types), _unpack_span(doc, tail, types), label, score)


def _unpack_span(doc: Doc, packed: PackedSpan, types: dict[tuple[int, int], str]) -> Span:
    start, end, first, last, label, _ = packed
    span = _make_span(doc, start, end, label or types.get((start, end), ""))
    if (span.start_char, span.end_char) != (first, last):
        raise IndexError
    return span


def _make_span(doc: Doc, start: object, end: object, label: str) -> Span:
    # spaCy takes fractions for indices, and empty spans.
    if not isinstance(start, int) or not isinstance(end, int) or not start < end:
        raise IndexError
    return Span(doc, start, end, label=label)


def _pack(doc: Doc, index: int, relation: object) -> _PackedRelation:
    """Check a relation and return its stored form: both arguments, the label and the score."""
    if not isinstance(relation, Sequence) or len(relation) not in (3, 4):
        raise ValueError(
            f"doc._.relations: item {index} is {relation!r}; expected a Relation or a tuple "
            "(head_span, tail_span, label) or (head_span, tail_span, label, score)"
        )
    head, tail, label, *score = relation
    return [
        _pack_argument(doc, index, "head", head),
        _pack_argument(doc, index, "tail", tail),
        _check_label(index, label),
        _check_score(index, *score),
    ]


def _pack_argument(doc: Doc, index: int, role: str, span: object) -> PackedSpan:
    if not isinstance(span, Span) or span.doc is not doc or not len(span):
        raise ValueError(
            f"doc._.relations: the {role} of item {index} is {span!r}; expected a Span of words "
            "of this document, for example doc[2:4] or an item of doc.ents"
        )
    return pack_span(span)


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
