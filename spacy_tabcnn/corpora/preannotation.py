"""Predictions as tasks of annotation tools, for people to correct.

Label Studio shows the predictions of a task as suggestions, and sorts tasks by their scores:

    {id, data: {text, id}, predictions: [{model_version, score, result: [
        {id, type: "labels", from_name, to_name, value: {start, end, text, labels}, score},
        {type: "relation", from_id, to_id, direction, labels, score}]}]}

A task for Prodigy has tokens, spans and relations, and no `answer`: it is not annotated yet. Its
field `meta`, which Prodigy shows, has the id, the model and the score.

The score of a task is the mean of the scores of its entities and relations.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum

from spacy.tokens import Doc

from ..relations import (
    AnnotationDict,
    EntityDict,
    RelationDict,
    get_entity_scores,
    get_relations,
)
from .character_formats import GoldSpans, get_gold_spans
from .conversion import ConversionReport
from .files import JsonObject, JsonValue, render_line
from .labelstudio import render_region, render_relation
from .prodigy import render_arc, render_span, render_token

DEFAULT_MODEL_VERSION = "spacy_tabcnn"
_PREDICTED = "documents written as predictions"


class Written(str, Enum):
    """The form in which entities and relations are written."""

    ANNOTATIONS = "annotations"  # finished
    PREDICTIONS = "predictions"  # suggestions with scores


def is_predicted(doc: Doc) -> bool:
    """Check whether a component predicted entities or relations of a document.

    doc (Doc): The document.
    RETURNS (bool): True if an entity has a score, or a relation has a score below 1.
    """
    if get_entity_scores(doc):
        return True
    return any(relation.score < 1 for relation in get_relations(doc))


def docs_to_labelstudio_predictions(
    docs: Iterable[Doc],
    *,
    source: str = "<docs>",
    strict: bool = False,
    model_version: str = DEFAULT_MODEL_VERSION,
) -> tuple[list[JsonObject], ConversionReport]:
    """Turn documents into Label Studio's tasks with predictions and no annotations.

    docs (Iterable[Doc]): Documents with predicted entities and relations.
    source (str): The file they come from, for messages.
    strict (bool): Stop at the first entity or relation that cannot be represented.
    model_version (str): The name of the model, which Label Studio shows.
    RETURNS (tuple[list[JsonObject], ConversionReport]): The JSON array, and counts of the written
        and the left-out parts.
    RAISES (ValueError): In strict mode.
    """
    report = ConversionReport(source, strict)
    tasks = []
    for gold in get_gold_spans(docs, report=report, source=source):
        task = make_labelstudio_task(
            gold.doc.text,
            _get_annotation(gold),
            identifier=gold.orig_id,
            model_version=model_version,
        )
        tasks.append({"id": gold.any_id, **task})
        report.noted[_PREDICTED] += 1
    return tasks, report


def docs_to_prodigy_predictions(
    docs: Iterable[Doc],
    *,
    source: str = "<docs>",
    strict: bool = False,
    model_version: str = DEFAULT_MODEL_VERSION,
) -> tuple[list[str], ConversionReport]:
    """Turn documents into Prodigy's tasks with their tokens and scores, without an answer.

    docs (Iterable[Doc]): Documents with predicted entities and relations.
    source (str): The file they come from, for messages.
    strict (bool): Stop at the first entity or relation that cannot be represented.
    model_version (str): The name of the model, which Prodigy shows.
    RETURNS (tuple[list[str], ConversionReport]): The lines, and counts of the written and the
        left-out parts.
    RAISES (ValueError): In strict mode.
    """
    report = ConversionReport(source, strict)
    lines = []
    for gold in get_gold_spans(docs, report=report, source=source):
        task = make_prodigy_task(
            gold.doc,
            _get_annotation(gold),
            identifier=gold.orig_id,
            model_version=model_version,
        )
        lines.append(render_line(task))
        report.noted[_PREDICTED] += 1
    return lines, report


def make_labelstudio_task(
    text: str, annotation: AnnotationDict, *, identifier: JsonValue, model_version: str
) -> JsonObject:
    """Make a task of Label Studio with one prediction.

    text (str): The text.
    annotation (AnnotationDict): The predicted entities and relations.
    identifier (JsonValue): The id of the document, which goes to `data`; None if it has none.
    model_version (str): The name of the model.
    RETURNS (JsonObject): The task, without an id of its own.
    """
    data: JsonObject = {"text": text}
    if identifier is not None:
        data["id"] = identifier
    prediction = make_labelstudio_prediction(text, annotation, model_version=model_version)
    return {"data": data, "predictions": [prediction]}


def make_labelstudio_prediction(
    text: str,
    annotation: AnnotationDict,
    *,
    model_version: str,
    from_names: Mapping[str, str] | None = None,
    to_name: str = "text",
) -> JsonObject:
    """Make a prediction of Label Studio.

    text (str): The text.
    annotation (AnnotationDict): The predicted entities and relations.
    model_version (str): The name of the model.
    from_names (Mapping[str, str] | None): The name of the tag `Labels` of each label in the
        labelling interface; None for "label".
    to_name (str): The name of the tag `Text`.
    RETURNS (JsonObject): The prediction, with `result`, `model_version` and `score`.
    """
    results: list[JsonObject] = []
    for position, entity in enumerate(annotation["entities"]):
        start, end = entity["start"], entity["end"]
        region = render_region(position, start, end, text[start:end], entity["label"])
        named: JsonObject = {**region, "to_name": to_name}
        if from_names is not None:
            named["from_name"] = from_names[entity["label"]]
        results.append(_add_score(named, entity["score"]))
    for relation in annotation["relations"]:
        arrow = render_relation((relation["head"], relation["tail"], relation["label"]))
        results.append(_add_score(arrow, relation["score"]))
    prediction: JsonObject = {"model_version": model_version, "result": results}
    return _add_score(prediction, compute_score(annotation))


def make_prodigy_task(
    doc: Doc, annotation: AnnotationDict, *, identifier: JsonValue, model_version: str
) -> JsonObject:
    """Make a task for Prodigy's `rel.manual`.

    doc (Doc): The text with its tokens.
    annotation (AnnotationDict): The predicted entities and relations, in characters of the text.
    identifier (JsonValue): The id of the document, which goes to `meta`; None if it has none.
    model_version (str): The name of the model, which goes to `meta`.
    RETURNS (JsonObject): The task.
    """
    spans = []
    for entity in annotation["entities"]:
        spans.append(_render_entity(doc, entity))
    shown: list[JsonObject] = []
    for span, entity in zip(spans, annotation["entities"], strict=True):
        text = doc.text[entity["start"] : entity["end"]]
        shown.append(_add_score({"text": text, **span}, entity["score"]))
    arcs: list[JsonObject] = []
    for relation in annotation["relations"]:
        arc = render_arc(spans[relation["head"]], spans[relation["tail"]], relation["label"])
        arcs.append(_add_score(arc, relation["score"]))
    meta: JsonObject = {"model_version": model_version}
    if identifier is not None:
        meta["id"] = identifier
    return {
        "text": doc.text,
        "tokens": list(map(render_token, doc)),
        "spans": shown,
        "relations": arcs,
        "meta": _add_score(meta, compute_score(annotation)),
    }


def compute_score(annotation: AnnotationDict) -> float | None:
    """Compute the score of a document: the mean of the scores of its entities and relations.

    annotation (AnnotationDict): The entities and relations.
    RETURNS (float | None): The mean; None if there is no score.
    """
    scores = []
    items: Sequence[EntityDict | RelationDict] = [
        *annotation["entities"],
        *annotation["relations"],
    ]
    for item in items:
        if item["score"] is not None:
            scores.append(item["score"])
    if not scores:
        return None
    return sum(scores) / len(scores)


def _add_score(item: JsonObject, score: float | None) -> JsonObject:
    if score is not None:
        item["score"] = score
    return item


def _get_annotation(gold: GoldSpans) -> AnnotationDict:
    """Return the entities and relations that a format can hold, with their scores."""
    entity_scores = get_entity_scores(gold.doc)
    entities: list[EntityDict] = []
    for span in gold.spans:
        start, end, label = span.start_char, span.end_char, span.label_
        score = entity_scores.get((start, end, label))
        entities.append({"start": start, "end": end, "label": label, "score": score})
    scores: dict[tuple[int, int, int, int, str], float] = {}
    for head, tail, label, score in get_relations(gold.doc):
        scores.setdefault((head.start, head.end, tail.start, tail.end, label), score)
    relations: list[RelationDict] = []
    for head_index, tail_index, label in gold.relations:
        head, tail = gold.spans[head_index], gold.spans[tail_index]
        score = scores[head.start, head.end, tail.start, tail.end, label]
        relations.append({"head": head_index, "tail": tail_index, "label": label, "score": score})
    return {"entities": entities, "relations": relations}


def _render_entity(doc: Doc, entity: EntityDict) -> JsonObject:
    """Return an entity as a span with the tokens that it touches."""
    start, end, label = entity["start"], entity["end"], entity["label"]
    span = doc.char_span(start, end, label=label, alignment_mode="expand")
    if span is None:
        raise ValueError(f"the characters {start} to {end} are not in the text")
    # The offsets stay as they are, also if a token is wider.
    return {**render_span(span), "start": start, "end": end}
