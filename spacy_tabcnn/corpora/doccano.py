"""doccano's JSONL.

Each line is one document:

    {id, text, entities: [{id, start_offset, end_offset, label}],
     relations: [{id, from_id, to_id, type}]}

Offsets count characters (code points) and the end is exclusive. `from_id` and `to_id` name entities
of the same line. A file may also be one array of documents. A document without the field
`relations` has no annotation of relations.
"""

from collections.abc import Iterable, Sequence
from functools import partial

from spacy.language import Language
from spacy.tokens import Doc, Span

from ..relations import has_relations
from .character_formats import (
    CharacterEntities,
    GoldSpans,
    Offsets,
    get_gold_spans,
    make_doc,
)
from .conversion import ConversionReport
from .fields import (
    find_text_field,
    get_field,
    get_items,
    get_label,
    get_optional,
    get_orig_id,
    has_field,
)
from .files import JsonObject, JsonValue, render_line
from .gold import RelationIndices
from .options import DEFAULT_OPTIONS, ReadingOptions
from .records import Content, collect_record_docs, to_records


def doccano_to_docs(
    content: Content,
    nlp: Language,
    *,
    source: str = "<data>",
    strict: bool = False,
    options: ReadingOptions = DEFAULT_OPTIONS,
) -> tuple[list[Doc], ConversionReport]:
    """Turn doccano's JSONL into annotated documents.

    An entity that does not begin and end at token boundaries is left out.

    content (Content): Lines of JSON, a decoded array, or records.
    nlp (Language): Its tokenizer makes the tokens.
    source (str): The file, for messages.
    strict (bool): Refuse entities and relations that cannot be kept.
    options (ReadingOptions): The choices of the user.
    RETURNS (tuple[list[Doc], ConversionReport]): The documents, and counts of the kept and the
        left-out parts.
    RAISES (ValueError): If the data is malformed, or in strict mode.
    """
    report = ConversionReport(source, strict)
    records = to_records(content, source, "document", has_lines=True)
    read = partial(_read_document, nlp, options)
    return collect_record_docs(records, read, report, skip_bad=options.skip_bad), report


def docs_to_doccano(
    docs: Iterable[Doc], *, source: str = "<docs>", strict: bool = False
) -> tuple[list[str], ConversionReport]:
    """Turn documents into doccano's JSONL.

    A document keeps its id if it has one; entities and relations are numbered through the file. The
    format has no place for scores.

    docs (Iterable[Doc]): Annotated documents.
    source (str): The file they come from, for messages.
    strict (bool): Stop at the first entity or relation that cannot be represented.
    RETURNS (tuple[list[str], ConversionReport]): The lines, and counts of the written and the
        left-out parts.
    RAISES (ValueError): In strict mode.
    """
    report = ConversionReport(source, strict)
    lines = []
    n_entities = n_relations = 0
    for gold in get_gold_spans(docs, report=report, source=source, may_lack=["relations"]):
        lines.append(render_line(_render_document(gold, n_entities, n_relations)))
        n_entities += len(gold.spans)
        n_relations += len(gold.relations)
    return lines, report


def _read_document(
    nlp: Language,
    options: ReadingOptions,
    record: JsonValue,
    report: ConversionReport,
    where: str,
) -> list[Doc]:
    text_field = find_text_field(record, where, text_field=options.text_field)
    text = get_field(record, text_field, str, where)
    found = CharacterEntities(make_doc(nlp, text, where), report, options)
    _add_entities(record, found, Offsets(text, utf16=options.utf16), where)
    relations = _get_relations(record, found, where)
    return [found.set_gold(relations, orig_id=get_orig_id(record, "id", where), where=where)]


def _add_entities(
    record: JsonValue, found: CharacterEntities, offsets: Offsets, where: str
) -> None:
    for here, entity in get_items(record, "entities", "entity", where):
        start = get_field(entity, "start_offset", int, here)
        end = get_field(entity, "end_offset", int, here)
        label = get_label(entity, "label", here)
        start, end = offsets.find(start, end, here)
        found.add(_get_id(entity, "id", here), start, end, label, here)


def _get_relations(
    record: JsonValue, found: CharacterEntities, where: str
) -> list[RelationIndices] | None:
    """Return the relations of a document, or None if they were not annotated."""
    if not has_field(record, "relations"):
        return None
    relations = []
    for here, relation in get_items(record, "relations", "relation", where):
        head = found.find(_get_id(relation, "from_id", here), "from_id", here)
        tail = found.find(_get_id(relation, "to_id", here), "to_id", here)
        relations.append((head, tail, get_label(relation, "type", here)))
    return relations


def _get_id(record: JsonValue, key: str, where: str) -> int | str:
    # An id is a number in doccano's own exports; files made by hand often use strings.
    item_id = get_optional(record, key)
    if isinstance(item_id, str):
        return item_id
    return get_field(record, key, int, where)


def _render_document(gold: GoldSpans, first_entity: int, first_relation: int) -> JsonObject:
    record: JsonObject = {
        "id": gold.any_id,
        "text": gold.doc.text,
        "entities": _render_entities(gold.spans, first_entity),
    }
    if has_relations(gold.doc):
        record["relations"] = _render_relations(gold.relations, first_relation, first_entity)
    return record


def _render_entities(spans: Sequence[Span], first_id: int) -> list[JsonObject]:
    rendered: list[JsonObject] = []
    for item_id, span in enumerate(spans, start=first_id):
        rendered.append(
            {
                "id": item_id,
                "start_offset": span.start_char,
                "end_offset": span.end_char,
                "label": span.label_,
            }
        )
    return rendered


def _render_relations(
    relations: Sequence[RelationIndices], first_id: int, first_entity: int
) -> list[JsonObject]:
    rendered: list[JsonObject] = []
    for item_id, (head, tail, label) in enumerate(relations, start=first_id):
        rendered.append(
            {
                "id": item_id,
                "from_id": first_entity + head,
                "to_id": first_entity + tail,
                "type": label,
            }
        )
    return rendered
