"""Label Studio's JSON export, an array of tasks: `{id, data: {text}, annotations: [{was_cancelled, result: [
{id, type: "labels", value: {start, end, text, labels}}, {type: "relation", from_id, to_id, direction, labels}]}]}`.

It belongs to a labelling interface with `<Relations>`, `<Labels name="label" toName="text">` and
`<Text name="text" value="$text"/>`. Offsets count characters (code points, and both characters of a Windows line end:
see `fixCodePointsInRange` and `normalizeText` in the editor's source, version 1.23) and the end is exclusive. `text`
inside `value` is not compared with them: the editor escapes line breaks there, and cuts it out by other units (UTF-16)
when it loads a task.
"""

from collections.abc import Iterable
from typing import Any

from spacy.language import Language
from spacy.tokens import Doc

from .annotations import ORIG_ID, RelationIndices, annotate, check_array, get_field, get_label
from .characters import CharacterEntities, extract_spans
from .report import ConversionReport, Reason


def labelstudio_to_docs(
    tasks: Any, nlp: Language, *, source: str = "<data>", strict: bool = False
) -> tuple[list[Doc], ConversionReport]:
    """Turn Label Studio's JSON into annotated documents. A task's first completed annotation is read; tasks without one
    and further annotations are counted only. A region with several labels is as many entities, a relation with several
    labels, or with the direction "bi", as many relations.

    tasks (Any): The decoded JSON array.
    nlp (Language): Its tokenizer makes the tokens.
    source (str): The file, for messages.
    strict (bool): Stop at the first entity or relation that cannot be kept.
    RETURNS (tuple[list[Doc], ConversionReport]): The documents, and what was read and left out.
    RAISES (ValueError): If the data is malformed, or in strict mode.
    """
    report = ConversionReport(source, strict)
    docs = []
    for index, task in enumerate(check_array(tasks, source)):
        where = f"{source}, task {index}"
        data = get_field(task, "data", dict, where)
        task_id = task.get("id")
        if task_id is not None:
            where += f" (id {task_id})"
        completed = [
            annotation
            for annotation in get_field(task, "annotations", list, where)
            if not (isinstance(annotation, dict) and annotation.get("was_cancelled"))
        ]
        if not completed:
            report.ignored["tasks without a completed annotation"] += 1
            continue
        if len(completed) > 1:
            report.ignored["further annotations of a task"] += len(completed) - 1
        doc = nlp.make_doc(get_field(data, "text", str, where))
        found = CharacterEntities(doc, report)
        relations = _get_results(get_field(completed[0], "result", list, where), found, where)
        docs.append(
            annotate(doc, found.entities, relations, orig_id=task_id, report=report, where=where)
        )
    return docs, report


def docs_to_labelstudio(
    docs: Iterable[Doc], *, source: str = "<docs>", strict: bool = False
) -> tuple[list[dict[str, Any]], ConversionReport]:
    """Turn documents into Label Studio's JSON, each with one completed annotation and relations to the right. A
    document keeps its id if it has one. Scores have no place in an annotation.

    docs (Iterable[Doc]): Annotated documents.
    source (str): The file they come from, for messages.
    strict (bool): Stop at the first thing that cannot be represented.
    RETURNS (tuple[list[dict], ConversionReport]): The JSON array, and what was written and left out.
    RAISES (ValueError): In strict mode.
    """
    report = ConversionReport(source, strict)
    tasks = []
    for index, doc, spans, relations in extract_spans(docs, report=report, source=source):
        regions = [
            {
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
            for position, span in enumerate(spans)
        ]
        joined = [
            {
                "type": "relation",
                "from_id": f"T{head}",
                "to_id": f"T{tail}",
                "direction": "right",
                "labels": [label],
            }
            for head, tail, label in relations
        ]
        tasks.append(
            {
                "id": doc.user_data.get(ORIG_ID, index),
                "data": {"text": doc.text},
                "annotations": [{"result": [*regions, *joined]}],
            }
        )
    return tasks, report


def _get_results(results: list[Any], found: CharacterEntities, where: str) -> list[RelationIndices]:
    """Collect the entities of an annotation and return its relations, which may precede them."""
    joined = []
    for position, result in enumerate(results):
        here = f"{where}, result {position}"
        kind = get_label(result, "type", here)
        if kind == "labels":
            _add_region(result, found, here)
        elif kind == "relation":
            joined.append((result, here))
        else:
            found.report.ignored[f"results of the type {kind!r}"] += 1
    relations = []
    for result, here in joined:
        ids = [get_field(result, key, str, here) for key in ("from_id", "to_id")]
        source, target = (
            found.find(item_id, key, here)
            for item_id, key in zip(ids, ("from_id", "to_id"), strict=True)
        )
        direction = result.get("direction", "right")
        pairs = {
            "right": [(source, target)],
            "left": [(target, source)],
            "bi": [(source, target), (target, source)],
        }
        if direction not in pairs:
            raise ValueError(
                f"{here}: the direction is {direction!r}; expected one of {', '.join(pairs)}"
            )
        labels = _get_labels(result, here)
        if not labels:
            found.report.drop(Reason.UNLABELLED_RELATION, here, " -> ".join(ids))
        relations += [(head, tail, label) for label in labels for head, tail in pairs[direction]]
    return relations


def _add_region(result: Any, found: CharacterEntities, here: str) -> None:
    value, region_id = get_field(result, "value", dict, here), get_field(result, "id", str, here)
    start, end = get_field(value, "start", int, here), get_field(value, "end", int, here)
    labels = _get_labels(value, here)
    if not labels:
        found.leave_out(region_id, Reason.UNLABELLED_ENTITY, here, f"{found.doc.text[start:end]!r}")
    for label in labels:
        # Several labels, of one field or of two, share the region's id. Its relations are those of the first.
        found.add(None if region_id in found.index_of else region_id, start, end, label, here)


def _get_labels(record: Any, here: str) -> list[str]:
    labels = record.get("labels") or []
    if not isinstance(labels, list) or not all(
        isinstance(label, str) and label.strip() for label in labels
    ):
        raise ValueError(f"{here}: the field 'labels' is {labels!r}; expected a list of labels")
    return labels
