"""Label Studio's JSON export.

The file is an array of tasks:

    {id, data: {text}, annotations: [{was_cancelled, completed_by, result: [
        {id, type: "labels", to_name, value: {start, end, text, labels}},
        {type: "relation", from_id, to_id, direction, labels}]}],
     predictions: [{result}]}

The labelling interface has `<Relations>`, `<Labels name="label" toName="text">` and
`<Text name="text" value="$text"/>`. `labelstudio_texts` reads the other kinds of text. Old versions
name the annotations `completions`. Offsets count characters and the end is exclusive. Characters
are code points, and a Windows line end counts as two: see `fixCodePointsInRange` and
`normalizeText` in the editor's source, version 1.23. `text` inside `value` is not compared with the
offsets of plain text. The editor escapes line breaks there, and cuts it out by other units (UTF-16)
when it loads a task.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial

from spacy.language import Language
from spacy.tokens import Doc, Span

from ..documents import ORIG_ID
from .character_formats import CharacterEntities, GoldSpans, get_gold_spans, make_doc
from .conversion import ConversionReport, Reason
from .fields import (
    get_field,
    get_items,
    get_label,
    get_optional,
    get_orig_id,
    has_any_field,
    has_field,
    locate,
    shorten,
)
from .files import JsonObject, JsonValue
from .gold import RelationIndices, is_unannotated
from .labelstudio_texts import TaskText, is_html_region, read_text
from .options import (
    ALL_ANNOTATORS,
    DEFAULT_OPTIONS,
    FIRST_ANNOTATOR,
    OTHER_ANNOTATORS,
    ReadingOptions,
)
from .records import Content, Record, collect_record_docs, to_records

# The relations of a direction: head and tail, each 0 for `from_id` and 1 for `to_id`.
_DIRECTIONS = {"right": [(0, 1)], "left": [(1, 0)], "bi": [(0, 1), (1, 0)]}
# The types of regions that mark characters. Other types whose names end in "labels" mark pixels or
# seconds.
_TEXT_LABELS = ("labels", "hypertextlabels", "paragraphlabels")
# The fields of a task with its annotations, in new and in old versions.
_ANNOTATIONS = ("annotations", "completions")


def labelstudio_to_docs(
    tasks: Content,
    nlp: Language,
    *,
    source: str = "<data>",
    strict: bool = False,
    options: ReadingOptions = DEFAULT_OPTIONS,
) -> tuple[list[Doc], ConversionReport]:
    """Turn Label Studio's JSON into annotated documents.

    The first completed annotation of a task is read, unless an option chooses another. Tasks
    without one, and further annotations, are only counted. A region with several labels becomes one
    entity for each label. A relation with several labels becomes one relation for each label. The
    direction "bi" makes two relations.

    tasks (Content): The decoded JSON array, or records.
    nlp (Language): Its tokenizer makes the tokens.
    source (str): The file, for messages.
    strict (bool): Refuse entities and relations that cannot be kept.
    options (ReadingOptions): The choices of the user.
    RETURNS (tuple[list[Doc], ConversionReport]): The documents, and counts of the kept and the
        left-out parts.
    RAISES (ValueError): If the data is malformed, or in strict mode.
    """
    report = ConversionReport(source, strict)
    records = list(to_records(tasks, source, "task"))
    read = partial(_read_task, nlp, options, _has_html(records))
    return collect_record_docs(records, read, report, skip_bad=options.skip_bad), report


def docs_to_labelstudio(
    docs: Iterable[Doc], *, source: str = "<docs>", strict: bool = False
) -> tuple[list[JsonObject], ConversionReport]:
    """Turn documents into Label Studio's JSON.

    Each task has one completed annotation, with relations to the right. The task of a document
    whose entities and relations were never set has none. A document keeps its id if it has one. An
    annotation has no place for scores; see `preannotation`.

    docs (Iterable[Doc]): Annotated documents.
    source (str): The file they come from, for messages.
    strict (bool): Stop at the first entity or relation that cannot be represented.
    RETURNS (tuple[list[JsonObject], ConversionReport]): The JSON array, and counts of the written
        and the left-out parts.
    RAISES (ValueError): In strict mode.
    """
    report = ConversionReport(source, strict)
    gold_spans = get_gold_spans(docs, report=report, source=source, may_lack=["both"])
    return list(map(_render_document, gold_spans)), report


def _has_html(records: Iterable[Record]) -> bool:
    """Check whether a file has a region of HTML. Then the texts without regions are HTML, too."""
    for record in records:
        if record.problem:
            continue
        for annotation in _list_items(record.value, "annotations", "completions", "predictions"):
            if _marks_html(annotation, is_html=False):
                return True
    return False


def _marks_html(annotation: JsonValue, is_html: bool) -> bool:
    """Check whether the text of an annotation is HTML; `is_html` is the answer without a region."""
    regions = []
    for result in _list_items(annotation, "result"):
        if get_optional(result, "type") in _TEXT_LABELS:
            regions.append(result)
    if not regions:
        return is_html
    return any(map(is_html_region, regions))


def _list_items(record: JsonValue, *keys: str) -> Iterator[JsonValue]:
    """Return the items of all of these fields that hold a list."""
    for key in keys:
        items = get_optional(record, key)
        if isinstance(items, list):
            yield from items


def _read_task(
    nlp: Language,
    options: ReadingOptions,
    is_html: bool,
    task: JsonValue,
    report: ConversionReport,
    where: str,
) -> list[Doc]:
    orig_id = get_orig_id(task, "id", where)
    where = locate(where, "id", orig_id)
    # A task without a text is malformed, also if it has no annotation to read.
    data = get_field(task, "data", dict, where)
    completed: list[JsonValue] = []
    if has_any_field(task, _ANNOTATIONS) or not options.unannotated:
        completed = get_completed(task, where)
    docs = []
    for annotation in _choose_annotations(task, completed, options, report):
        text, tag = read_text(
            data,
            _find_tags(annotation),
            text_field=options.text_field,
            is_html=_marks_html(annotation, is_html),
            utf16=options.utf16,
            where=where,
        )
        doc = make_doc(nlp, text.text, where)
        found = CharacterEntities(doc, report, options, keep_scores=not completed)
        relations = _read_results(annotation, found, text, tag, where)
        docs.append(found.set_gold(relations, orig_id=orig_id, where=where))
    if options.unannotated and not docs:
        text, _ = read_text(
            data,
            [],
            text_field=options.text_field,
            is_html=is_html,
            utf16=options.utf16,
            where=where,
        )
        docs.append(_make_unannotated(nlp, text.text, orig_id))
        report.n_docs += 1
    return docs


def _make_unannotated(nlp: Language, text: str, orig_id: JsonValue) -> Doc:
    doc = nlp.make_doc(text)
    if orig_id is not None:
        doc.user_data[ORIG_ID] = orig_id
    return doc


def _count_unannotated(report: ConversionReport, options: ReadingOptions) -> None:
    """Count a task without a completed annotation, which may be read all the same."""
    counts = report.ignored
    if options.unannotated:
        counts = report.noted
    counts["tasks without a completed annotation"] += 1


def _choose_annotations(
    task: JsonValue,
    completed: list[JsonValue],
    options: ReadingOptions,
    report: ConversionReport,
) -> Sequence[JsonValue]:
    """Return the annotations of a task to read, and count the others."""
    wanted = completed
    if options.annotator not in (FIRST_ANNOTATOR, ALL_ANNOTATORS):
        wanted = [item for item in completed if options.annotator in get_annotators(item)]
        _count(report.ignored, OTHER_ANNOTATORS, len(completed) - len(wanted))
    if not completed:
        return _choose_predictions(task, options, report)
    if not wanted:
        _count_unannotated(report, options)
        return []
    if options.annotator == ALL_ANNOTATORS:
        _count(report.noted, "further annotations of a task, as documents", len(wanted) - 1)
        return wanted
    _count(report.ignored, "further annotations of a task", len(wanted) - 1)
    return wanted[:1]


def _choose_predictions(
    task: JsonValue, options: ReadingOptions, report: ConversionReport
) -> Sequence[JsonValue]:
    """Return the prediction of a task without an annotation, if predictions are read."""
    predictions = list(_list_items(task, "predictions"))
    if options.predictions and predictions:
        report.noted["documents with predictions as their annotation"] += 1
        _count(report.ignored, "further predictions of a task", len(predictions) - 1)
        return predictions[:1]
    _count_unannotated(report, options)
    _count(report.ignored, "predictions", len(predictions))
    return []


def _count(counts: dict[str, int], name: str, number: int) -> None:
    """Add a number to counts, except for 0."""
    if number:
        counts[name] = counts.get(name, 0) + number


def get_completed(task: JsonValue, where: str) -> list[JsonValue]:
    """Return the annotations of a task that were not cancelled.

    task (JsonValue): The task.
    where (str): File and task, for messages.
    RETURNS (list[JsonValue]): The annotations.
    RAISES (ValueError): If the task has no such field.
    """
    field = "annotations"
    if not has_field(task, field) and has_field(task, "completions"):
        field = "completions"
    if not has_field(task, field) and has_field(task, "predictions"):
        return []
    completed = []
    for annotation in get_field(task, field, list, where):
        if not get_optional(annotation, "was_cancelled"):
            completed.append(annotation)
    return completed


def get_annotators(annotation: JsonValue) -> list[str]:
    """Return the names of an annotation's annotator: id, e-mail address and user name.

    annotation (JsonValue): The annotation.
    RETURNS (list[str]): The names; none if the annotation does not say.
    """
    user = get_optional(annotation, "completed_by")
    names = []
    if isinstance(user, dict):
        names = [str(user.get(key)) for key in ("id", "email", "username")]
        names.append(f"{user.get('first_name')} {user.get('last_name')}")
    elif user is not None:
        names.append(str(user))
    # For example "ada@example.org, 1".
    created = get_optional(annotation, "created_username")
    if isinstance(created, str):
        names += map(str.strip, created.split(","))
    return names


def _find_tags(annotation: JsonValue) -> list[str]:
    """Return the names of the tags that the regions of an annotation mark, in their order."""
    tags: dict[str, None] = {}
    for result in _list_items(annotation, "result"):
        tag = get_optional(result, "to_name")
        if get_optional(result, "type") in _TEXT_LABELS and isinstance(tag, str):
            tags[tag] = None
    return list(tags)


def _read_results(
    annotation: JsonValue, found: CharacterEntities, text: TaskText, tag: str, where: str
) -> list[RelationIndices]:
    """Add the entities of an annotation and return its relations, which may precede them."""
    joined = []
    others: dict[str, str] = {}
    for here, result in get_items(annotation, "result", "result", where):
        kind = get_label(result, "type", here)
        if kind in _TEXT_LABELS:
            _add_region(result, kind, found, text, tag, here)
        elif kind == "relation":
            joined.append((here, result))
        else:
            _count_other(result, kind, found, here)
            others[str(get_optional(result, "id"))] = kind
    relations: list[RelationIndices] = []
    for here, result in joined:
        for relation in _get_relations(result, found, others, here):
            relations.append(relation)
            found.set_relation_score(relation, get_optional(result, "score"))
    return relations


def _count_other(result: JsonValue, kind: str, found: CharacterEntities, where: str) -> None:
    """Count a result that marks no characters."""
    if kind.endswith("labels"):
        found.report.drop(Reason.NOT_IN_TEXT, where, f"a region of the type {kind!r}")
    else:
        found.report.ignored[f"results of the type {kind!r}"] += 1


def _add_region(
    result: JsonValue,
    kind: str,
    found: CharacterEntities,
    text: TaskText,
    tag: str,
    where: str,
) -> None:
    value = get_field(result, "value", dict, where)
    region_id = get_field(result, "id", str, where)
    labels = _get_labels(value, kind, where)
    if tag and get_optional(result, "to_name") != tag:
        what = f"{get_optional(value, 'text')!r} (of {get_optional(result, 'to_name')!r})"
        _leave_out(found, region_id, Reason.OTHER_TEXT, where, what)
        return
    start, end = text.find(value, where)
    if not labels:
        _leave_out(found, region_id, Reason.UNLABELLED_ENTITY, where, repr(text.text[start:end]))
    for label in labels:
        # Several labels, of one field or of two, share the region's id. The relations of the region
        # are relations of the first label.
        if region_id in found.index_of:
            found.add(None, start, end, label, where)
        else:
            found.add(region_id, start, end, label, where)
        found.set_score(get_optional(result, "score"))


def _leave_out(
    found: CharacterEntities, region_id: str, reason: Reason, where: str, what: str
) -> None:
    """Count a region as left out. Two results of one region share its id."""
    if region_id in found.index_of:
        found.leave_out(None, reason, where, what)
    else:
        found.leave_out(region_id, reason, where, what)


def _get_relations(
    result: JsonValue, found: CharacterEntities, others: Mapping[str, str], where: str
) -> Iterator[RelationIndices]:
    """Return the relations of a result. `others` holds the types of the results by their ids."""
    from_id = get_field(result, "from_id", str, where)
    to_id = get_field(result, "to_id", str, where)
    labels = _get_labels(result, "labels", where)
    n_relations = max(1, len(labels) * len(_direct(result, where)))
    for item_id in (from_id, to_id):
        if item_id in others and item_id not in found.index_of:
            what = f"{from_id} -> {to_id} ({item_id} is of the type {others[item_id]!r})"
            for _ in range(n_relations):
                found.report.drop(Reason.NOT_AN_ENTITY, where, what)
            return
    arguments = found.find(from_id, "from_id", where), found.find(to_id, "to_id", where)
    if not labels:
        found.report.drop(Reason.UNLABELLED_RELATION, where, f"{from_id} -> {to_id}")
    for label in labels:
        for head, tail in _direct(result, where):
            yield arguments[head], arguments[tail], label


def _direct(result: JsonValue, where: str) -> list[tuple[int, int]]:
    """Return head and tail of the relations of a result: 0 for `from_id`, 1 for `to_id`."""
    direction = get_optional(result, "direction", "right")
    if not isinstance(direction, str) or direction not in _DIRECTIONS:
        raise ValueError(
            f"{where}: the direction is {shorten(repr(direction))}; expected one of "
            f"{', '.join(_DIRECTIONS)}"
        )
    return _DIRECTIONS[direction]


def _get_labels(record: JsonValue, field: str, where: str) -> list[str]:
    """Return the labels in a field that is named after the type of the region, or in `labels`."""
    labels = get_optional(record, field) or get_optional(record, "labels") or []
    if not isinstance(labels, list) or not all(map(_is_label, labels)):
        raise ValueError(
            f"{where}: the field {field!r} is {shorten(repr(labels))}; expected a list of labels"
        )
    return [str(label) for label in labels]


def _is_label(value: JsonValue) -> bool:
    return isinstance(value, str) and bool(value.strip())


def render_region(position: int, start: int, end: int, text: str, label: str) -> JsonObject:
    """Return an entity as a region.

    position (int): Its position among the entities, which makes its id.
    start (int): Its first character.
    end (int): The character after its last one.
    text (str): Its text.
    label (str): Its label.
    RETURNS (JsonObject): The result of the type `labels`.
    """
    return {
        "id": f"T{position}",
        "from_name": "label",
        "to_name": "text",
        "type": "labels",
        "value": {"start": start, "end": end, "text": text, "labels": [label]},
    }


def render_relation(relation: RelationIndices) -> JsonObject:
    """Return a relation as a result.

    relation (RelationIndices): The positions of head and tail, and the label.
    RETURNS (JsonObject): The result of the type `relation`.
    """
    head, tail, label = relation
    return {
        "type": "relation",
        "from_id": f"T{head}",
        "to_id": f"T{tail}",
        "direction": "right",
        "labels": [label],
    }


def _render_document(gold: GoldSpans) -> JsonObject:
    results = [
        *map(_render_span, range(len(gold.spans)), gold.spans),
        *map(render_relation, gold.relations),
    ]
    task: JsonObject = {"id": gold.any_id, "data": {"text": gold.doc.text}}
    if not is_unannotated(gold.doc):
        task["annotations"] = [{"result": results}]
    return task


def _render_span(position: int, span: Span) -> JsonObject:
    return render_region(position, span.start_char, span.end_char, span.text, span.label_)
