"""Label Studio's JSON export.

The file is an array of tasks:

    {id, data: {text}, annotations: [{was_cancelled, result: [
        {id, type: "labels", value: {start, end, text, labels}},
        {type: "relation", from_id, to_id, direction, labels}]}]}

The labelling interface has `<Relations>`, `<Labels name="label" toName="text">` and
`<Text name="text" value="$text"/>`. Offsets count characters and the end is exclusive. Characters
are code points, and a Windows line end counts as two: see `fixCodePointsInRange` and
`normalizeText` in the editor's source, version 1.23. `text` inside `value` is not compared with the
offsets. The editor escapes line breaks there, and cuts it out by other units (UTF-16) when it loads
a task.
"""

from collections.abc import Iterable, Iterator, Sequence

from spacy.language import Language
from spacy.tokens import Doc, Span

from .character_formats import CharacterEntities, GoldSpans, get_gold_spans
from .conversion import ConversionReport, Reason
from .fields import check_array, get_field, get_items, get_label, get_optional, locate
from .files import JsonObject, JsonValue
from .gold import ORIG_ID, RelationIndices
from .options import DEFAULT_OPTIONS, ReadingOptions

_DIRECTIONS = ("right", "left", "bi")


def labelstudio_to_docs(
    tasks: JsonValue,
    nlp: Language,
    *,
    source: str = "<data>",
    strict: bool = False,
    options: ReadingOptions = DEFAULT_OPTIONS,
) -> tuple[list[Doc], ConversionReport]:
    """Turn Label Studio's JSON into annotated documents.

    The first completed annotation of a task is read. Tasks without one, and further annotations,
    are only counted. A region with several labels becomes one entity for each label. A relation
    with several labels becomes one relation for each label. The direction "bi" makes two relations.

    tasks (JsonValue): The decoded JSON array.
    nlp (Language): Its tokenizer makes the tokens.
    source (str): The file, for messages.
    strict (bool): Stop at the first entity or relation that cannot be kept.
    options (ReadingOptions): The choices of the user.
    RETURNS (tuple[list[Doc], ConversionReport]): The documents, and counts of the kept and the
        left-out parts.
    RAISES (ValueError): If the data is malformed, or in strict mode.
    """
    report = ConversionReport(source, strict)
    docs = []
    for index, task in enumerate(check_array(tasks, source)):
        where = locate(f"{source}, task {index}", "id", get_optional(task, "id"))
        # A task without a text is malformed, also if it has no annotation to read.
        get_field(task, "data", dict, where)
        completed = _get_completed(task, where)
        _count_unread(completed, report)
        if completed:
            docs.append(_read_document(task, completed[0], nlp, report, where, options))
    return docs, report


def docs_to_labelstudio(
    docs: Iterable[Doc], *, source: str = "<docs>", strict: bool = False
) -> tuple[list[JsonObject], ConversionReport]:
    """Turn documents into Label Studio's JSON.

    Each task has one completed annotation, with relations to the right. A document keeps its id if
    it has one. An annotation has no place for scores.

    docs (Iterable[Doc]): Annotated documents.
    source (str): The file they come from, for messages.
    strict (bool): Stop at the first entity or relation that cannot be represented.
    RETURNS (tuple[list[JsonObject], ConversionReport]): The JSON array, and counts of the written
        and the left-out parts.
    RAISES (ValueError): In strict mode.
    """
    report = ConversionReport(source, strict)
    gold_spans = get_gold_spans(docs, report=report, source=source)
    return list(map(_render_document, gold_spans)), report


def _get_completed(task: JsonValue, where: str) -> list[JsonValue]:
    """Return the annotations of a task that were not cancelled."""
    completed = []
    for annotation in get_field(task, "annotations", list, where):
        if not get_optional(annotation, "was_cancelled"):
            completed.append(annotation)
    return completed


def _count_unread(completed: Sequence[JsonValue], report: ConversionReport) -> None:
    """Count a task that is not read, or the annotations of a task that are not read."""
    if not completed:
        report.ignored["tasks without a completed annotation"] += 1
    elif len(completed) > 1:
        report.ignored["further annotations of a task"] += len(completed) - 1


def _read_document(
    task: JsonValue,
    annotation: JsonValue,
    nlp: Language,
    report: ConversionReport,
    where: str,
    options: ReadingOptions,
) -> Doc:
    """Return a task as a document with one of its annotations."""
    data = get_field(task, "data", dict, where)
    found = CharacterEntities(nlp.make_doc(get_field(data, "text", str, where)), report, options)
    relations = _read_results(annotation, found, where)
    return found.set_gold(relations, orig_id=get_optional(task, "id"), where=where)


def _read_results(
    annotation: JsonValue, found: CharacterEntities, where: str
) -> list[RelationIndices]:
    """Add the entities of an annotation and return its relations, which may precede them."""
    joined = []
    for here, result in get_items(annotation, "result", "result", where):
        kind = get_label(result, "type", here)
        if kind == "labels":
            _add_region(result, found, here)
        elif kind == "relation":
            joined.append((here, result))
        else:
            found.report.ignored[f"results of the type {kind!r}"] += 1
    relations: list[RelationIndices] = []
    for here, result in joined:
        relations += _get_relations(result, found, here)
    return relations


def _add_region(result: JsonValue, found: CharacterEntities, where: str) -> None:
    value = get_field(result, "value", dict, where)
    region_id = get_field(result, "id", str, where)
    start = get_field(value, "start", int, where)
    end = get_field(value, "end", int, where)
    labels = _get_labels(value, where)
    if not labels:
        what = f"{found.doc.text[start:end]!r}"
        found.leave_out(region_id, Reason.UNLABELLED_ENTITY, where, what)
    for label in labels:
        # Several labels, of one field or of two, share the region's id. The relations of the region
        # are relations of the first label.
        if region_id in found.index_of:
            found.add(None, start, end, label, where)
        else:
            found.add(region_id, start, end, label, where)


def _get_relations(
    result: JsonValue, found: CharacterEntities, where: str
) -> Iterator[RelationIndices]:
    from_id = get_field(result, "from_id", str, where)
    to_id = get_field(result, "to_id", str, where)
    source = found.find(from_id, "from_id", where)
    target = found.find(to_id, "to_id", where)
    direction = get_optional(result, "direction", "right")
    if direction not in _DIRECTIONS:
        raise ValueError(
            f"{where}: the direction is {direction!r}; expected one of {', '.join(_DIRECTIONS)}"
        )
    labels = _get_labels(result, where)
    if not labels:
        found.report.drop(Reason.UNLABELLED_RELATION, where, f"{from_id} -> {to_id}")
    for label in labels:
        if direction in ("right", "bi"):
            yield source, target, label
        if direction in ("left", "bi"):
            yield target, source, label


def _get_labels(record: JsonValue, where: str) -> list[str]:
    labels = get_optional(record, "labels") or []
    if not isinstance(labels, list) or not all(map(_is_label, labels)):
        raise ValueError(f"{where}: the field 'labels' is {labels!r}; expected a list of labels")
    return [str(label) for label in labels]


def _is_label(value: JsonValue) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _render_document(gold: GoldSpans) -> JsonObject:
    results = [
        *map(_render_region, range(len(gold.spans)), gold.spans),
        *map(_render_relation, gold.relations),
    ]
    return {
        "id": gold.doc.user_data.get(ORIG_ID, gold.position),
        "data": {"text": gold.doc.text},
        "annotations": [{"result": results}],
    }


def _render_region(position: int, span: Span) -> JsonObject:
    return {
        "id": f"T{position}",
        "from_name": "label",
        "to_name": "text",
        "type": "labels",
        "value": {
            "start": span.start_char,
            "end": span.end_char,
            "text": span.text,
            "labels": [span.label_],
        },
    }


def _render_relation(relation: RelationIndices) -> JsonObject:
    head, tail, label = relation
    return {
        "type": "relation",
        "from_id": f"T{head}",
        "to_id": f"T{tail}",
        "direction": "right",
        "labels": [label],
    }
