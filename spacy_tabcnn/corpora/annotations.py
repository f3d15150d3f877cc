"""What all formats share: reading files, checking fields, moving annotations between plain data and a Doc."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from spacy.language import Language
from spacy.tokens import Doc, Span

from ..relations import Relation, get_relations, has_relations, set_relations
from .report import ConversionReport, Reason

ORIG_ID = "orig_id"
BYTE_ORDER_MARK = "\ufeff"

# (start, end, label) in tokens, end exclusive. None stands for an entity that was left out already.
EntityOffsets = tuple[int, int, str]
# (head, tail, label), head and tail being positions in a list of entities.
RelationIndices = tuple[int, int, str]

_KINDS: dict[type, str] = {str: "a string", int: "an integer", list: "a list", dict: "an object"}
FieldT = TypeVar("FieldT", str, int, list, dict)


class PlainAnnotation(NamedTuple):
    """The annotation of one document as plain data, ready for any format that counts in tokens.

    entities (list[EntityOffsets]): The entities, in text order.
    relations (list[RelationIndices]): The relations, in the order they have on the document.
    """

    entities: list[EntityOffsets]
    relations: list[RelationIndices]


def read_text(path: str | Path) -> str:
    """Read a UTF-8 file as it is.

    path (str | Path): The file.
    RETURNS (str): Its text, with a byte order mark and Windows line ends where it has them: some offsets count them.
    RAISES (ValueError): If the file does not exist or is not UTF-8.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file. Check the path")
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as err:
        raise ValueError(
            f"{path}: not UTF-8 text (byte {err.start}: {err.reason}). Save the file in UTF-8"
        ) from err


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    path (str | Path): The file.
    RETURNS (Any): The decoded value.
    RAISES (ValueError): If the file does not exist or is not JSON in UTF-8.
    """
    text = read_text(path).removeprefix(BYTE_ORDER_MARK)
    try:
        return json.loads(text)
    except json.JSONDecodeError as err:
        raise ValueError(
            f"{path}, line {err.lineno}, column {err.colno}: invalid JSON ({err.msg}). "
            "Expected one JSON array of sentences; a file with one object a line ends in .jsonl"
        ) from err


def read_lines(path: str | Path) -> Iterator[str]:
    """Read the lines of a file one by one, for formats with one JSON object a line.

    path (str | Path): The file, with or without a byte order mark.
    YIELDS (str): Each line without its end, blank ones included so that positions are line numbers.
    RAISES (ValueError): If the file does not exist or a line is not UTF-8.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file. Check the path")
    # Split as bytes: as text, characters that are valid inside a JSON string would end a line too, such as U+2028.
    with path.open("rb") as file_:
        for number, line in enumerate(file_, start=1):
            try:
                yield line.rstrip(b"\r\n").decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as err:
                raise ValueError(
                    f"{path}, line {number}: not UTF-8 text (byte {err.start}: {err.reason}). Save the file in UTF-8"
                ) from err


def parse_lines(lines: Iterable[str], source: str) -> Iterator[tuple[str, Any]]:
    """Decode one JSON value a line.

    lines (Iterable[str]): The lines; blank ones are skipped.
    source (str): The file, for messages.
    YIELDS (tuple[str, Any]): File and line, for messages, and the value.
    RAISES (ValueError): If a line is not JSON.
    """
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        where = f"{source}, line {number}"
        try:
            record = json.loads(line)
        except json.JSONDecodeError as err:
            raise ValueError(
                f"{where}, column {err.colno}: invalid JSON ({err.msg}). Expected one object a line"
            ) from err
        yield where, record


def write_json(path: str | Path, data: Any) -> None:
    """Write a JSON file in UTF-8, making its folder if needed.

    path (str | Path): The file.
    data (Any): What to write.
    """
    write_lines(path, [json.dumps(data, ensure_ascii=False)])


def write_lines(path: str | Path, lines: Iterable[str]) -> None:
    """Write lines of text in UTF-8, making the folder if needed.

    path (str | Path): The file.
    lines (Iterable[str]): The lines, without their ends.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as file_:
        file_.writelines(f"{line}\n" for line in lines)


def locate(source: str, index: int, record: Any = None) -> str:
    """Name a sentence of a JSON array in a message.

    source (str): The file.
    index (int): Position in the array, from 0.
    record (Any): The sentence, named by its own id as well where it has one.
    RETURNS (str): For example "train.json, sentence 3 (orig_id 17)".
    """
    orig_id = record.get(ORIG_ID) if isinstance(record, dict) else None
    return f"{source}, sentence {index}" + ("" if orig_id is None else f" (orig_id {orig_id})")


def check_array(data: Any, source: str) -> list[Any]:
    """Check that a file's content is a JSON array.

    data (Any): The decoded content.
    source (str): The file, for messages.
    RETURNS (list[Any]): The same content.
    RAISES (ValueError): If it is not a list.
    """
    if not isinstance(data, list):
        raise ValueError(
            f"{source}: holds {describe(data)} at its top level; expected a JSON array of sentences"
        )
    return data


def get_field(record: Any, key: str, kind: type[FieldT], where: str) -> FieldT:
    """Read a field of a JSON object.

    record (Any): The object.
    key (str): The field's name.
    kind (type): The type its value must have: str, int, list or dict.
    where (str): File and sentence, for messages.
    RETURNS (str | int | list | dict): The value.
    RAISES (ValueError): If the record is not an object, the field is missing or its value has another type.
    """
    if not isinstance(record, dict):
        raise ValueError(
            f"{where}: found {describe(record)}; expected an object with the field {key!r}"
        )
    if key not in record:
        raise ValueError(
            f"{where}: the field {key!r} is missing; found {sorted(record)}. Add it, or check the format"
        )
    value = record[key]
    # JSON's true and false would pass as integers.
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(
            f"{where}: the field {key!r} is {describe(value)}; expected {_KINDS[kind]}"
        )
    return value


def get_label(record: Any, key: str, where: str) -> str:
    """Read a field that holds the label of an entity or a relation.

    record (Any): The JSON object.
    key (str): The field's name.
    where (str): File and sentence, for messages.
    RETURNS (str): The label.
    RAISES (ValueError): If it is missing, not a string or empty.
    """
    label = get_field(record, key, str, where)
    if not label.strip():
        raise ValueError(
            f"{where}: the field {key!r} is {label!r}; expected a label of at least one letter"
        )
    return label


def get_tokens(record: Any, where: str) -> list[str]:
    """Read the field `tokens` of a sentence.

    record (Any): The JSON object.
    where (str): File and sentence, for messages.
    RETURNS (list[str]): The tokens; an empty list is valid.
    RAISES (ValueError): If it is missing, or an item is not a string or is empty.
    """
    return check_tokens(get_field(record, "tokens", list, where), where)


def check_tokens(tokens: Any, where: str) -> list[str]:
    """Check that a value is a list of tokens.

    tokens (Any): The decoded value; an empty list is valid.
    where (str): File and sentence, for messages.
    RETURNS (list[str]): The same value.
    RAISES (ValueError): If it is not a list, or an item is not a string or is empty.
    """
    if not isinstance(tokens, list):
        raise ValueError(f"{where}: found {describe(tokens)}; expected a list of tokens")
    for position, token in enumerate(tokens):
        if not isinstance(token, str) or not token:
            raise ValueError(
                f"{where}: token {position} is {describe(token)}; expected a non-empty string. "
                "Remove or correct it, and count the offsets anew"
            )
    return tokens


def get_relation_indices(sentence: Any, n_entities: int, where: str) -> list[RelationIndices]:
    """Read the field `relations` of a sentence in SpERT's or TablERT's layout.

    sentence (Any): The JSON object.
    n_entities (int): How many entities the sentence has.
    where (str): File and sentence, for messages.
    RETURNS (list[RelationIndices]): The relations.
    RAISES (ValueError): If the field is malformed, or an argument is not the position of an entity.
    """
    relations = []
    for position, relation in enumerate(get_field(sentence, "relations", list, where)):
        here = f"{where}, relation {position}"
        arguments = {role: get_field(relation, role, int, here) for role in ("head", "tail")}
        for role, index in arguments.items():
            if not 0 <= index < n_entities:
                raise ValueError(
                    f"{here}: its {role} is entity {index}, but the sentence has {n_entities} entities, "
                    "counted from 0. Correct the index"
                )
        relations.append((arguments["head"], arguments["tail"], get_label(relation, "type", here)))
    return relations


def describe(value: Any) -> str:
    """Name a JSON value and its type in a message.

    value (Any): The decoded value.
    RETURNS (str): For example 'a string, "Paris"'.
    """
    name = next(
        (name for kind, name in _KINDS.items() if type(value) is kind), type(value).__name__
    )
    return f"{name}, {_shorten(json.dumps(value, ensure_ascii=False))}"


def sentences_to_docs(
    sentences: Any,
    nlp: Language,
    *,
    get_entities: Callable[[Any, int, str], list[EntityOffsets]],
    source: str,
    strict: bool,
) -> tuple[list[Doc], ConversionReport]:
    """Turn a JSON array of sentences with the fields `tokens`, `relations` and `orig_id` into annotated documents.

    sentences (Any): The decoded JSON array.
    nlp (Language): Gives the vocabulary.
    get_entities (Callable): Reads the entities of a sentence, given its number of tokens and its place in the file.
    source (str): The file, for messages.
    strict (bool): Stop at the first thing that cannot be kept.
    RETURNS (tuple[list[Doc], ConversionReport]): The documents, and what was read and left out.
    RAISES (ValueError): If the data is malformed, or in strict mode.
    """
    report = ConversionReport(source, strict)
    docs = []
    for index, sentence in enumerate(check_array(sentences, source)):
        where = locate(source, index, sentence)
        doc = Doc(nlp.vocab, words=get_tokens(sentence, where))
        entities = get_entities(sentence, len(doc), where)
        relations = get_relation_indices(sentence, len(entities), where)
        docs.append(
            annotate(
                doc, entities, relations, orig_id=sentence.get(ORIG_ID), report=report, where=where
            )
        )
    return docs, report


def docs_to_sentences(
    docs: Iterable[Doc],
    *,
    entity_field: Callable[[Doc, list[EntityOffsets]], dict[str, Any]],
    source: str,
    strict: bool,
) -> tuple[list[dict[str, Any]], ConversionReport]:
    """Turn documents into a JSON array of sentences; the inverse of `sentences_to_docs`.

    docs (Iterable[Doc]): Annotated documents.
    entity_field (Callable): Makes the field that holds a document's entities.
    source (str): The file they come from, for messages.
    strict (bool): Stop at the first thing that cannot be represented.
    RETURNS (tuple[list[dict], ConversionReport]): The JSON array, and what was written and left out.
    RAISES (ValueError): In strict mode.
    """
    report = ConversionReport(source, strict)
    sentences = []
    for index, doc in enumerate(docs):
        entities, relations = extract(
            doc, report=report, where=locate(source, index, doc.user_data)
        )
        sentence = {
            "tokens": [token.text for token in doc],
            **entity_field(doc, entities),
            "relations": [
                {"type": label, "head": head, "tail": tail} for head, tail, label in relations
            ],
        }
        if ORIG_ID in doc.user_data:
            sentence[ORIG_ID] = doc.user_data[ORIG_ID]
        sentences.append(sentence)
    return sentences, report


def annotate(
    doc: Doc,
    entities: Sequence[EntityOffsets | None],
    relations: Iterable[RelationIndices],
    *,
    orig_id: Any,
    report: ConversionReport,
    where: str,
) -> Doc:
    """Put gold entities and relations on a Doc and count them.

    Of two overlapping entities the one with fewer tokens is left out (of two equally long ones, the one that
    begins later, then the later in the list) with the relations that use it. An entity that repeats another
    with the same label is merged with it. Two labels on one pair of entities are both kept.

    doc (Doc): The document to annotate.
    entities (Sequence[EntityOffsets | None]): Its entities, in the order that the relations refer to; None
        where an entity was left out already.
    relations (Iterable[RelationIndices]): Its relations.
    orig_id (Any): The corpus's own id of the document, or None.
    report (ConversionReport): Counts what is kept and what is left out.
    where (str): File and sentence, for messages.
    RETURNS (Doc): The same document; entities are in text order, relations in the order given.
    """
    kept, merged = _resolve_overlaps(doc, entities, report, where)
    spans = {
        index: Span(doc, start, end, label=label) for index, (start, end, label) in kept.items()
    }
    doc.set_ents(list(spans.values()), default="outside")
    report.entities.update(span.label_ for span in spans.values())

    found: dict[RelationIndices, Relation] = {}
    for head, tail, label in relations:
        head, tail = merged.get(head, head), merged.get(tail, tail)
        if head not in kept or tail not in kept:
            missing = entities[tail] if head in kept else entities[head]
            report.drop(Reason.LOST_ARGUMENT, where, label, _show(doc, missing) if missing else "")
            continue
        what = f"{label} ({_show(doc, kept[head])} -> {_show(doc, kept[tail])})"
        if head == tail:
            report.drop(Reason.SELF_RELATION, where, what)
        elif (head, tail, label) in found:
            report.drop(Reason.DUPLICATE_RELATION, where, what)
        else:
            found[head, tail, label] = Relation(spans[head], spans[tail], label)
    set_relations(doc, found.values())
    report.relations.update(relation.label for relation in found.values())

    if orig_id is not None:
        doc.user_data[ORIG_ID] = orig_id
    report.n_docs += 1
    return doc


def extract(
    doc: Doc, *, report: ConversionReport, where: str, sentence_of: Sequence[int] | None = None
) -> PlainAnnotation:
    """Take the entities and relations off a Doc and count them; the inverse of `annotate`.

    doc (Doc): An annotated document.
    report (ConversionReport): Counts what is kept and what is left out.
    where (str): File and document, for messages.
    sentence_of (Sequence[int] | None): The sentence of each token, for a format whose entities and relations must
        each lie within one; what does not is left out.
    RETURNS (PlainAnnotation): Its entities and relations.
    RAISES (ValueError): In strict mode.
    """
    if len(doc) and not doc.has_annotation("ENT_IOB"):
        report.drop(Reason.NO_ENTITY_ANNOTATION, where, repr(_shorten(doc.text.strip())))
    if not has_relations(doc):
        report.drop(Reason.NO_RELATION_ANNOTATION, where, repr(_shorten(doc.text.strip())))
    entities: list[EntityOffsets] = []
    left_out: set[tuple[int, int]] = set()
    for ent in doc.ents:
        offsets = (ent.start, ent.end, ent.label_)
        if sentence_of is not None and sentence_of[ent.start] != sentence_of[ent.end - 1]:
            report.drop(Reason.ENTITY_ACROSS_SENTENCES, where, _show(doc, offsets))
            left_out.add((ent.start, ent.end))
        else:
            entities.append(offsets)
    # An argument may have been set without a label of its own: doc[2:4].
    index_of = {(start, end, ""): index for index, (start, end, _) in enumerate(entities)}
    index_of.update((entity, index) for index, entity in enumerate(entities))
    found: dict[RelationIndices, None] = {}
    for relation in get_relations(doc):
        head, tail = (
            index_of.get((span.start, span.end, span.label_))
            for span in (relation.head, relation.tail)
        )
        what = f"{relation.label} ({relation.head.text!r} -> {relation.tail.text!r})"
        if not left_out.isdisjoint(
            (span.start, span.end) for span in (relation.head, relation.tail)
        ):
            report.drop(Reason.LOST_ARGUMENT, where, what)
        elif head is None or tail is None:
            report.drop(Reason.NOT_AN_ENTITY, where, what)
        elif head == tail:
            report.drop(Reason.SELF_RELATION, where, what)
        elif (head, tail, relation.label) in found:
            report.drop(Reason.DUPLICATE_RELATION, where, what)
        elif (
            sentence_of is not None
            and sentence_of[relation.head.start] != sentence_of[relation.tail.start]
        ):
            report.drop(Reason.RELATION_ACROSS_SENTENCES, where, what)
        else:
            found[head, tail, relation.label] = None
    report.n_docs += 1
    report.entities.update(label for _, _, label in entities)
    report.relations.update(label for _, _, label in found)
    return PlainAnnotation(entities, list(found))


def _resolve_overlaps(
    doc: Doc, entities: Sequence[EntityOffsets | None], report: ConversionReport, where: str
) -> tuple[dict[int, EntityOffsets], dict[int, int]]:
    """Return the entities to keep by index, and for each one that repeats another the index of that one."""
    kept: dict[int, EntityOffsets] = {}
    merged: dict[int, int] = {}
    owner: dict[int, int] = {}
    present = [(index, entity) for index, entity in enumerate(entities) if entity is not None]
    # The sort is stable: what is equally long and begins at the same token stays in the order of the list.
    for index, entity in sorted(present, key=lambda item: (item[1][0] - item[1][1], item[1][0])):
        start, end, _ = entity
        rival = next((owner[i] for i in range(start, end) if i in owner), None)
        if rival is None:
            kept[index] = entity
            owner.update(dict.fromkeys(range(start, end), index))
        elif kept[rival] == entity:
            merged[index] = rival
            report.drop(Reason.DUPLICATE_ENTITY, where, _show(doc, entity))
        else:
            report.drop(Reason.OVERLAP, where, _show(doc, entity), _show(doc, kept[rival]))
    return kept, merged


def _show(doc: Doc, entity: EntityOffsets) -> str:
    start, end, label = entity
    return f"{doc[start:end].text!r} ({label}, tokens {start}-{end})"


def _shorten(text: str, limit: int = 40) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
