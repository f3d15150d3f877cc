"""Predictions for Label Studio's connection to a model, its ML backend.

Label Studio sends tasks with the labelling interface of their project:

    {tasks: [{id, data: {text}}], label_config: "<View>...</View>", project: "1.1700000000"}

The answer has a prediction for each task, in the form that `corpora.preannotation` describes. The
names of the tags and the field of the text come from the interface. `label_studio_backend` is a
model of Label Studio's own server, and `api` answers the same requests.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from xml.etree import ElementTree

from ..bulk.rows import RowResult
from ..corpora.files import JsonObject
from ..corpora.preannotation import make_labelstudio_prediction
from ..relations import AnnotationDict, EntityDict, RelationDict

_LOGGER = logging.getLogger(__name__)
# A labelling interface needs no definitions, which can make a short file long in memory.
_DEFINITIONS = ("<!DOCTYPE", "<!ENTITY")


class Interface(NamedTuple):
    """The part of a labelling interface that shows entities.

    from_name (str): The name of the tag `Labels`.
    to_name (str): The name of the tag `Text`.
    text_field (str): The field of a task's data that holds the text.
    labels (frozenset[str]): The labels of entities; empty if the interface lists none.
    """

    from_name: str = "label"
    to_name: str = "text"
    text_field: str = "text"
    labels: frozenset[str] = frozenset()


def read_interface(label_config: str | None) -> Interface:
    """Read the labelling interface of a project.

    label_config (str | None): The interface as XML; None for the interface of the documentation.
    RETURNS (Interface): The first tag `Labels` that marks a tag `Text`.
    RAISES (ValueError): If the XML is malformed or has no such tags.
    """
    if not label_config:
        return Interface()
    root = _parse(label_config)
    fields: dict[str, str] = {}
    for tag in root.iter("Text"):
        fields[tag.get("name", "")] = tag.get("value", "").removeprefix("$")
    for tag in root.iter("Labels"):
        to_name = tag.get("toName", "")
        if to_name in fields:
            labels = frozenset(label.get("value", "") for label in tag.iter("Label"))
            return Interface(tag.get("name", ""), to_name, fields[to_name], labels)
    raise ValueError(
        "the labelling interface has no tag Labels for a tag Text. Expected for example "
        '<Labels name="label" toName="text">...</Labels> <Text name="text" value="$text"/>'
    )


def _parse(label_config: str) -> ElementTree.Element:
    for definition in _DEFINITIONS:
        if definition in label_config:
            raise ValueError(f"the labelling interface has {definition}>, which it cannot have")
    try:
        return ElementTree.fromstring(label_config)
    except (ElementTree.ParseError, ValueError) as err:
        raise ValueError(f"the labelling interface is no XML ({err})") from err


def find_texts(tasks: Sequence[object], interface: Interface) -> dict[int, str]:
    """Find the texts of tasks.

    tasks (Sequence[object]): Tasks of Label Studio.
    interface (Interface): The labelling interface of their project.
    RETURNS (dict[int, str]): Texts by the position of the task. The log names tasks without one.
    """
    field = interface.text_field
    texts: dict[int, str] = {}
    for position, task in enumerate(tasks):
        data = task.get("data") if isinstance(task, Mapping) else None
        text = data.get(field) if isinstance(data, Mapping) else None
        if isinstance(text, str):
            texts[position] = text
        else:
            _LOGGER.warning("task %d has no string in its field data.%s", position, field)
    return texts


def make_predictions(
    n_tasks: int,
    texts: Mapping[int, str],
    results: Iterable[RowResult],
    interface: Interface,
    *,
    model_version: str,
) -> list[JsonObject]:
    """Make a prediction for each task.

    n_tasks (int): The number of tasks.
    texts (Mapping[int, str]): Texts by the position of the task.
    results (Iterable[RowResult]): The annotation of each text, or the reason why it failed.
    interface (Interface): The labelling interface of their project.
    model_version (str): The name of the model, which Label Studio shows.
    RETURNS (list[JsonObject]): The predictions, in the order of the tasks. A task without a text,
        or with a text that failed, has a prediction without results. The log has the reason.
    """
    predictions: list[JsonObject] = []
    for _ in range(n_tasks):
        predictions.append({"model_version": model_version, "result": []})
    for position, result in zip(texts, results, strict=True):
        if "reason" in result:
            _LOGGER.warning("task %d: the pipeline failed: %s", position, result["reason"])
            continue
        predictions[position] = make_prediction(
            texts[position], result, interface, model_version=model_version
        )
    return predictions


def make_prediction(
    text: str, annotation: RowResult, interface: Interface, *, model_version: str
) -> JsonObject:
    """Make a prediction for a text.

    text (str): The text.
    annotation (RowResult): The predicted entities and relations.
    interface (Interface): The labelling interface. Entities with other labels are left out, and so
        are their relations. The log names the labels.
    model_version (str): The name of the model.
    RETURNS (JsonObject): The prediction, with `result`, `score` and `model_version`.
    """
    return make_labelstudio_prediction(
        text,
        _keep_labels(annotation["entities"], annotation["relations"], interface.labels),
        model_version=model_version,
        from_name=interface.from_name,
        to_name=interface.to_name,
    )


def _keep_labels(
    entities: Sequence[EntityDict], relations: Sequence[RelationDict], labels: frozenset[str]
) -> AnnotationDict:
    kept: list[EntityDict] = []
    positions: dict[int, int] = {}
    for position, entity in enumerate(entities):
        if not labels or entity["label"] in labels:
            positions[position] = len(kept)
            kept.append(entity)
    others = {entity["label"] for entity in entities} - labels
    if labels and others:
        _LOGGER.warning(
            "the labelling interface lacks labels, whose entities are left out: %s",
            ", ".join(sorted(others)),
        )
    moved: list[RelationDict] = []
    for relation in relations:
        head, tail = positions.get(relation["head"]), positions.get(relation["tail"])
        if head is not None and tail is not None:
            moved.append({**relation, "head": head, "tail": tail})
    return {"entities": kept, "relations": moved}
