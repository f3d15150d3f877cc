"""Gold entities and relations: from plain data to a `Doc`, and from a `Doc` to plain data."""

from bisect import bisect_right
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from spacy.tokens import Doc, Span

from ..documents import ORIG_ID
from ..relations import Relation, get_relations, has_relations, is_text, set_relations
from ..sentences import Sentences
from .conversion import ConversionReport, Reason
from .fields import is_number_of_id, shorten
from .files import JsonValue
from .options import Overlap

# (start, end, label) in tokens; the end is exclusive.
EntityOffsets: TypeAlias = tuple[int, int, str]
# (head, tail, label); head and tail are positions in a list of entities.
RelationIndices: TypeAlias = tuple[int, int, str]

_NO_ENTITY = -1  # in place of an entity's position
_MAX_SHOWN = 20  # words of an entity in a message

UNSET_ENTITIES = "documents without annotation of entities, which stays unset"
UNSET_RELATIONS = "documents without annotation of relations, which stays unset"
# The reason for leaving out an entity, by the entity that stays.
_OVERLAP_REASONS: dict[Overlap, Reason] = {
    Overlap.LONGEST: Reason.OVERLAP,
    Overlap.SHORTEST: Reason.OVERLAP_SMALLER,
    Overlap.FIRST: Reason.OVERLAP_EARLIER,
}


class PlainAnnotation(NamedTuple):
    """The annotation of one document as plain data.

    entities (list[EntityOffsets]): The entities, in text order.
    relations (list[RelationIndices]): The relations, in the order of `doc._.relations`.
    """

    entities: list[EntityOffsets]
    relations: list[RelationIndices]


def set_gold(
    doc: Doc,
    entities: Sequence[EntityOffsets | None] | None,
    relations: Iterable[RelationIndices] | None,
    *,
    orig_id: JsonValue,
    report: ConversionReport,
    where: str,
    overlap: Overlap = Overlap.LONGEST,
) -> Doc:
    """Set the gold entities and relations of a document and count them.

    Of two overlapping entities one is left out, together with its relations. Of two equally long
    entities, the one that begins later is left out, or else the later one in the list. An entity
    that repeats another entity with the same label is merged with it. Two relations of one pair of
    entities are both kept if their labels differ.

    doc (Doc): The document to annotate.
    entities (Sequence[EntityOffsets | None] | None): Its entities, in the order that the relations
        refer to. None stands for an entity that was left out before. None for the whole sequence
        means that entities were not annotated: they stay unset.
    relations (Iterable[RelationIndices] | None): Its relations. None means that relations were not
        annotated: they stay unset.
    orig_id (JsonValue): The id of the document in its corpus, or None.
    report (ConversionReport): Counts the kept and the left-out parts.
    where (str): File and sentence, for messages.
    overlap (Overlap): The entity that stays of overlapping entities.
    RETURNS (Doc): The same document. Entities are in text order, relations in the order given.
    RAISES (ValueError): In strict mode.
    """
    kept: dict[int, EntityOffsets] = {}
    merged: dict[int, int] = {}
    if entities is None:
        entities = []
        report.noted[UNSET_ENTITIES] += 1
    else:
        kept, merged = _resolve_overlaps(doc, entities, overlap, report, where)
        doc.set_ents([_make_span(doc, entity) for entity in kept.values()], default="outside")
        report.entities.update(map(_get_label, kept.values()))
    if relations is None:
        report.noted[UNSET_RELATIONS] += 1
    else:
        set_relations(doc, _keep_relations(doc, relations, entities, kept, merged, report, where))
    if orig_id is not None:
        doc.user_data[ORIG_ID] = orig_id
    report.n_docs += 1
    return doc


def get_gold(
    doc: Doc,
    *,
    report: ConversionReport,
    where: str,
    sentence_of: Sequence[int] | None = None,
    may_lack: Collection[str] = (),
) -> PlainAnnotation:
    """Return the entities and relations of a document and count them; the inverse of `set_gold`.

    doc (Doc): An annotated document.
    report (ConversionReport): Counts the kept and the left-out parts.
    where (str): File and document, for messages.
    sentence_of (Sequence[int] | None): The sentence of each token, for a format whose entities and
        relations each lie within one sentence. Those that do not are left out. None if the format
        has no such rule.
    may_lack (Collection[str]): The annotation that a document need not have in the format:
        "entities", "relations", or "both" for a format in which they are annotated together.
    RETURNS (PlainAnnotation): The entities and relations.
    RAISES (ValueError): In strict mode.
    """
    _count_missing_annotation(doc, report, where, may_lack)
    if sentence_of is None:
        sentence_of = [0] * len(doc)
    entities, left_out = _get_entities(doc, sentence_of, report, where)
    positions = _index_by_offsets(entities)
    found: dict[RelationIndices, None] = {}
    for relation in get_relations(doc):
        head = positions.get(_offsets(relation.head), _NO_ENTITY)
        tail = positions.get(_offsets(relation.tail), _NO_ENTITY)
        indices = (head, tail, relation.label)
        reason = _find_problem(relation, indices, left_out, found, sentence_of)
        if reason is None:
            found[indices] = None
            report.relations[relation.label] += 1
        else:
            text = f"{relation.label} ({relation.head.text!r} -> {relation.tail.text!r})"
            report.drop(reason, where, text)
    report.n_docs += 1
    return PlainAnnotation(entities, list(found))


def get_doc_id(doc: Doc, where: str) -> str | int | float | None:
    """Return the id that a document has in its corpus, for writing.

    doc (Doc): The document.
    where (str): File and document, for messages.
    RETURNS (str | int | float | None): The value of `doc.user_data["orig_id"]`; None if there is
        none.
    RAISES (ValueError): If it is neither a string nor a finite number of at most 64 bits.
    """
    orig_id = doc.user_data.get(ORIG_ID)
    if orig_id is None or is_text(orig_id) or is_number_of_id(orig_id):
        return orig_id
    raise ValueError(
        f"{where}: doc.user_data[{ORIG_ID!r}] is {shorten(ascii(orig_id))}; expected a string or a "
        "number, finite and of at most 64 bits. Set it again"
    )


def show_words(doc: Doc, start: int, end: int) -> str:
    """Return some words of a document for a message, the first ones of many.

    doc (Doc): The document.
    start (int): The first word.
    end (int): The word after the last one.
    RETURNS (str): Their text in quotes.
    """
    text = doc[start : min(end, start + _MAX_SHOWN)].text
    if end - start > _MAX_SHOWN:
        text += "…"
    return repr(text)


def number_sentences(doc: Doc) -> list[int]:
    """Return the sentence of each token of a document.

    doc (Doc): The document. Without sentence boundaries it is one sentence.
    RETURNS (list[int]): For each token the number of its sentence, from 0.
    """
    return Sentences.of_docs([doc]).of_words().tolist()


def _resolve_overlaps(
    doc: Doc,
    entities: Sequence[EntityOffsets | None],
    overlap: Overlap,
    report: ConversionReport,
    where: str,
) -> tuple[dict[int, EntityOffsets], dict[int, int]]:
    """Choose the entities that stay.

    RETURNS (tuple[dict[int, EntityOffsets], dict[int, int]]): The entities to keep by position, and
        for the position of each entity that repeats another one the position of the latter.
    """
    kept: dict[int, EntityOffsets] = {}
    merged: dict[int, int] = {}
    in_order: list[tuple[int, int, int]] = []  # start, end and position of the kept entities
    for index, entity in _order_entities(entities, overlap):
        start, end, _ = entity
        place = bisect_right(in_order, (start, len(doc), len(entities)))
        rival = _find_overlap(in_order, place, start, end)
        if rival is None:
            kept[index] = entity
            in_order.insert(place, (start, end, index))
        elif kept[rival] == entity:
            merged[index] = rival
            report.drop(Reason.DUPLICATE_ENTITY, where, _show(doc, entity))
        else:
            reason = _OVERLAP_REASONS[overlap]
            report.drop(reason, where, _show(doc, entity), _show(doc, kept[rival]))
    return kept, merged


def _find_overlap(
    in_order: Sequence[tuple[int, int, int]], place: int, start: int, end: int
) -> int | None:
    """Return the position of the first kept entity that overlaps another one, or None.

    `in_order` holds start, end and position of the kept entities, which do not overlap, and `place`
    is the place of the other entity among them.
    """
    if place > 0:
        _, other_end, position = in_order[place - 1]
        if start < other_end:
            return position
    if place < len(in_order):
        other_start, _, position = in_order[place]
        if other_start < end:
            return position
    return None


def _order_entities(
    entities: Sequence[EntityOffsets | None], overlap: Overlap
) -> list[tuple[int, EntityOffsets]]:
    """Return the entities that are present with their positions, those that stay first.

    Equally long entities are sorted by their first token, and then stay in the order of the list.
    """

    def order(item: tuple[int, EntityOffsets]) -> tuple[int, int]:
        start, end, _ = item[1]
        length = end - start
        if overlap is Overlap.LONGEST:
            length = -length
        return length, start

    present = [(index, entity) for index, entity in enumerate(entities) if entity is not None]
    if overlap is Overlap.FIRST:
        return present
    return sorted(present, key=order)


def _keep_relations(
    doc: Doc,
    relations: Iterable[RelationIndices],
    entities: Sequence[EntityOffsets | None],
    kept: Mapping[int, EntityOffsets],
    merged: Mapping[int, int],
    report: ConversionReport,
    where: str,
) -> list[Relation]:
    """Return the relations that stay; `kept` and `merged` come from `_resolve_overlaps`."""
    found: dict[RelationIndices, Relation] = {}
    for head, tail, label in relations:
        head, tail = merged.get(head, head), merged.get(tail, tail)
        if head not in kept:
            report.drop(Reason.LOST_ARGUMENT, where, label, _show(doc, entities[head]))
        elif tail not in kept:
            report.drop(Reason.LOST_ARGUMENT, where, label, _show(doc, entities[tail]))
        elif head == tail:
            text = _show_relation(doc, label, kept[head], kept[tail])
            report.drop(Reason.SELF_RELATION, where, text)
        elif (head, tail, label) in found:
            text = _show_relation(doc, label, kept[head], kept[tail])
            report.drop(Reason.DUPLICATE_RELATION, where, text)
        else:
            spans = _make_span(doc, kept[head]), _make_span(doc, kept[tail])
            found[head, tail, label] = Relation(*spans, label)
            report.relations[label] += 1
    return list(found.values())


def lacks_entities(doc: Doc) -> bool:
    """Check whether the entities of a document were never set.

    doc (Doc): The document.
    RETURNS (bool): Whether they are unset. A document without words has none.
    """
    return len(doc) > 0 and not doc.has_annotation("ENT_IOB")


def is_unannotated(doc: Doc) -> bool:
    """Check whether neither entities nor relations of a document were ever set.

    doc (Doc): The document.
    RETURNS (bool): Whether they are unset.
    """
    return lacks_entities(doc) and not has_relations(doc)


def _count_missing_annotation(
    doc: Doc, report: ConversionReport, where: str, may_lack: Collection[str]
) -> None:
    if is_unannotated(doc) and "both" in may_lack:
        may_lack = ("entities", "relations")
    text = repr(shorten(doc.text.strip()))
    if lacks_entities(doc) and "entities" in may_lack:
        report.noted[UNSET_ENTITIES] += 1
    elif lacks_entities(doc):
        report.drop(Reason.NO_ENTITY_ANNOTATION, where, text)
    elif not doc.has_annotation("ENT_IOB", require_complete=True):
        report.drop(Reason.PARTIAL_ENTITY_ANNOTATION, where, text)
    if not has_relations(doc) and "relations" in may_lack:
        report.noted[UNSET_RELATIONS] += 1
    elif not has_relations(doc):
        report.drop(Reason.NO_RELATION_ANNOTATION, where, text)


def _get_entities(
    doc: Doc, sentence_of: Sequence[int], report: ConversionReport, where: str
) -> tuple[list[EntityOffsets], set[tuple[int, int]]]:
    """Return the entities that a format can hold, and the boundaries of the others.

    They have a label and lie within one sentence.
    """
    entities: list[EntityOffsets] = []
    left_out: set[tuple[int, int]] = set()
    for ent in doc.ents:
        if not ent.label_.strip():
            left_out.add((ent.start, ent.end))
            report.drop(Reason.UNLABELLED_ENTITY, where, _show(doc, _offsets(ent)))
        elif sentence_of[ent.start] == sentence_of[ent.end - 1]:
            entities.append(_offsets(ent))
            report.entities[ent.label_] += 1
        else:
            left_out.add((ent.start, ent.end))
            report.drop(Reason.ENTITY_ACROSS_SENTENCES, where, _show(doc, _offsets(ent)))
    return entities, left_out


def _index_by_offsets(entities: Sequence[EntityOffsets]) -> dict[EntityOffsets, int]:
    """Return the position of each entity by its offsets, with its label and with none.

    The argument of a relation may have been set as a span without a label, such as doc[2:4].
    """
    positions = {}
    for index, (start, end, label) in enumerate(entities):
        positions[start, end, ""] = index
        positions[start, end, label] = index
    return positions


def _find_problem(
    relation: Relation,
    indices: RelationIndices,
    left_out: set[tuple[int, int]],
    found: Container[RelationIndices],
    sentence_of: Sequence[int],
) -> Reason | None:
    """Return the reason for leaving out a relation, or None.

    `left_out` holds the boundaries of entities that were left out, `found` the relations so far.
    """
    head, tail, _ = indices
    if not relation.label.strip():
        return Reason.UNLABELLED_RELATION
    if _uses(relation, left_out):
        return Reason.LOST_ARGUMENT
    if head == _NO_ENTITY or tail == _NO_ENTITY:
        return Reason.NOT_AN_ENTITY
    if head == tail:
        return Reason.SELF_RELATION
    if indices in found:
        return Reason.DUPLICATE_RELATION
    if sentence_of[relation.head.start] != sentence_of[relation.tail.start]:
        return Reason.RELATION_ACROSS_SENTENCES
    return None


def _uses(relation: Relation, boundaries: set[tuple[int, int]]) -> bool:
    """Check whether an argument of a relation has one of these boundaries."""
    head, tail = relation.head, relation.tail
    return (head.start, head.end) in boundaries or (tail.start, tail.end) in boundaries


def _make_span(doc: Doc, entity: EntityOffsets) -> Span:
    start, end, label = entity
    return Span(doc, start, end, label=label)


def _get_label(entity: EntityOffsets) -> str:
    return entity[2]


def _offsets(span: Span) -> EntityOffsets:
    return span.start, span.end, span.label_


def _show(doc: Doc, entity: EntityOffsets | None) -> str:
    if entity is None:
        return ""
    start, end, label = entity
    return f"{show_words(doc, start, end)} ({label}, tokens {start}-{end})"


def _show_relation(doc: Doc, label: str, head: EntityOffsets, tail: EntityOffsets) -> str:
    return f"{label} ({_show(doc, head)} -> {_show(doc, tail)})"
