"""doccano's JSONL, one document a line: `{id, text, entities: [{id, start_offset, end_offset, label}],
relations: [{id, from_id, to_id, type}]}`.

Offsets count characters (code points) and the end is exclusive; `from_id` and `to_id` name entities of the
same line.
"""

import json
from collections.abc import Iterable
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc

from .annotations import ORIG_ID, RelationIndices, annotate, get_field, get_label, parse_lines
from .characters import CharacterEntities, extract_spans
from .report import ConversionReport

ItemId = int | str


def doccano_to_docs(
    lines: Iterable[str], nlp: Language, *, source: str = "<data>", strict: bool = False
) -> tuple[list[Doc], ConversionReport]:
    """Turn doccano's JSONL into annotated documents. An entity that does not begin and end at token
    boundaries is left out.

    lines (Iterable[str]): The lines; blank ones are skipped.
    nlp (Language): Its tokenizer makes the tokens.
    source (str): The file, for messages.
    strict (bool): Stop at the first thing that cannot be kept.
    RETURNS (tuple[list[Doc], ConversionReport]): The documents, and what was read and left out.
    RAISES (ValueError): If the data is malformed, or in strict mode.
    """
    report = ConversionReport(source, strict)
    docs = []
    for where, record in parse_lines(lines, source):
        doc = nlp.make_doc(get_field(record, "text", str, where))
        found = CharacterEntities(doc, report)
        _get_entities(record, found, where)
        relations = _get_relations(record, found, where)
        orig_id = record.get("id")
        docs.append(
            annotate(doc, found.entities, relations, orig_id=orig_id, report=report, where=where)
        )
    return docs, report


def docs_to_doccano(
    docs: Iterable[Doc], *, source: str = "<docs>", strict: bool = False
) -> tuple[list[str], ConversionReport]:
    """Turn documents into doccano's JSONL. A document keeps its id if it has one; entities and relations are
    numbered through the file. Scores have no place in this format.

    docs (Iterable[Doc]): Annotated documents.
    source (str): The file they come from, for messages.
    strict (bool): Stop at the first thing that cannot be represented.
    RETURNS (tuple[list[str], ConversionReport]): The lines, and what was written and left out.
    RAISES (ValueError): In strict mode.
    """
    report = ConversionReport(source, strict)
    lines = []
    n_entities = n_relations = 0
    for index, doc, spans, relations in extract_spans(docs, report=report, source=source):
        record = {
            "id": doc.user_data.get(ORIG_ID, index),
            "text": doc.text,
            "entities": [
                {
                    "id": n_entities + position,
                    "start_offset": span.start_char,
                    "end_offset": span.end_char,
                    "label": span.label_,
                }
                for position, span in enumerate(spans)
            ],
            "relations": [
                {
                    "id": n_relations + position,
                    "from_id": n_entities + head,
                    "to_id": n_entities + tail,
                    "type": label,
                }
                for position, (head, tail, label) in enumerate(relations)
            ],
        }
        lines.append(json.dumps(record, ensure_ascii=False))
        n_entities += len(spans)
        n_relations += len(relations)
    return lines, report


def _get_entities(record: Any, found: CharacterEntities, where: str) -> None:
    for position, entity in enumerate(get_field(record, "entities", list, where)):
        here = f"{where}, entity {position}"
        start, end = (
            get_field(entity, "start_offset", int, here),
            get_field(entity, "end_offset", int, here),
        )
        label = get_label(entity, "label", here)
        found.add(_get_id(entity, "id", here), start, end, label, here)


def _get_relations(record: Any, found: CharacterEntities, where: str) -> list[RelationIndices]:
    relations = []
    for position, relation in enumerate(get_field(record, "relations", list, where)):
        here = f"{where}, relation {position}"
        head, tail = (
            found.find(_get_id(relation, key, here), key, here) for key in ("from_id", "to_id")
        )
        relations.append((head, tail, get_label(relation, "type", here)))
    return relations


def _get_id(record: Any, key: str, where: str) -> ItemId:
    # An id is a number in doccano's own exports; files made by hand often use strings.
    if isinstance(record, dict) and isinstance(record.get(key), str):
        return get_field(record, key, str, where)
    return get_field(record, key, int, where)
