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
from ..relations import EntityDict, RelationDict

_LOGGER = logging.getLogger(__name__)
# A labelling interface needs no definitions, which can make a short file long in memory.
_DEFINITIONS = ("<!DOCTYPE", "<!ENTITY")
# Maximum number of tasks that a line of the log names.
_MAX_SHOWN = 3


class Interface(NamedTuple):
    """The part of a labelling interface that shows entities.

    to_name (str): The name of the tag `Text`.
    text_field (str): The field of a task's data that holds the text.
    tags (Mapping[str, str] | None): The name of the tag `Labels` of each label, as results hold
        it; None if the interface lists none.
    open_tag (str | None): The name of the tag `Labels` of all other labels; None if the interface
        has none for them.
    """

    to_name: str = "text"
    text_field: str = "text"
    tags: Mapping[str, str] | None = None
    open_tag: str | None = "label"

    def find_tag(self, label: str) -> str | None:
        """Find the tag `Labels` of a label.

        label (str): The label of an entity.
        RETURNS (str | None): The name of the tag; None if the interface does not have the label.
        """
        return (self.tags or {}).get(label, self.open_tag)


def read_interface(label_config: str | None) -> Interface:
    """Read the labelling interface of a project.

    label_config (str | None): The interface as XML; None for the interface of the documentation.
    RETURNS (Interface): The first tag `Text` that a tag `Labels` marks, with all such tags. A tag
        `Labels` that lists no labels takes those that the others do not list.
    RAISES (ValueError): If the XML is malformed or has no such tags.
    """
    if not label_config:
        return Interface()
    root = _parse(label_config)
    fields: dict[str, str] = {}
    for text in root.iter("Text"):
        fields[text.get("name", "")] = text.get("value", "")
    for labels in root.iter("Labels"):
        to_name = labels.get("toName", "")
        if to_name in fields:
            tags, open_tag = _read_tags(root, to_name)
            return Interface(to_name, _read_field(fields[to_name]), tags, open_tag)
    raise ValueError(
        "the labelling interface has no tag Labels for a tag Text. Expected for example "
        '<Labels name="label" toName="text">...</Labels> <Text name="text" value="$text"/>'
    )


def _read_field(value: str) -> str:
    """Return the field of a task that the value of a tag `Text` names."""
    name = value.removeprefix("$")
    if not name or name == value or "$" in name or any(map(str.isspace, name)):
        raise ValueError(
            f"the tag Text of the labelling interface has the value {value!r}; expected one field "
            "of a task, such as $text"
        )
    return name


def _read_tags(root: ElementTree.Element, to_name: str) -> tuple[dict[str, str], str | None]:
    """Read the tags `Labels` of a text: the name of the tag of each label, and of all others."""
    tags: dict[str, str] = {}
    open_tag = None
    for labels in root.iter("Labels"):
        if labels.get("toName") != to_name:
            continue
        name = labels.get("name", "")
        listed = list(labels.iter("Label"))
        for label in listed:
            # Results hold the alias of a label that has one.
            tags.setdefault(label.get("alias", "") or label.get("value", ""), name)
        if not listed and open_tag is None:
            open_tag = name
    return tags, open_tag


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
    others: list[int] = []
    for position, task in enumerate(tasks):
        data = task.get("data") if isinstance(task, Mapping) else None
        text = _get_value(data, field)
        if isinstance(text, str):
            texts[position] = text
        else:
            others.append(position)
    if others:
        # The name of the field comes from the request: it could hold line breaks.
        _LOGGER.warning("tasks without a string in the field %r: %s", field, count_tasks(others))
    return texts


def _get_value(data: object, field: str) -> object:
    """Return the value of a field; mail.body is the field `body` of the field `mail`."""
    if not isinstance(data, Mapping):
        return None
    if field in data:
        return data[field]
    first, _, rest = field.partition(".")
    if not rest:
        return None
    return _get_value(data.get(first), rest)


def count_tasks(positions: Sequence[int]) -> str:
    """Describe tasks in a line of the log, however many they are.

    positions (Sequence[int]): Their positions in the request.
    RETURNS (str): Their number, and the first positions.
    """
    shown = list(map(str, positions[:_MAX_SHOWN]))
    if len(positions) > _MAX_SHOWN:
        shown.append("...")
    return f"{len(positions):,} ({', '.join(shown)})"


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
    reasons: dict[int, str] = {}
    found: set[str] = set()
    for position, result in zip(texts, results, strict=True):
        if "reason" in result:
            reasons[position] = result["reason"]
            continue
        found.update(entity["label"] for entity in result["entities"])
        predictions[position] = make_prediction(
            texts[position], result, interface, model_version=model_version
        )
    lacking = [label for label in sorted(found) if interface.find_tag(label) is None]
    _log_problems(reasons, lacking)
    return predictions


def _log_problems(reasons: Mapping[int, str], lacking: Sequence[str]) -> None:
    """Log the tasks on which the pipeline failed, and the labels that the interface lacks."""
    if reasons:
        _LOGGER.warning(
            "tasks on which the pipeline failed: %s; the reason of the first: %r",
            count_tasks(list(reasons)),
            next(iter(reasons.values())),
        )
    if lacking:
        _LOGGER.warning(
            "the labelling interface lacks labels, whose entities are left out: %s",
            ", ".join(lacking),
        )


def make_prediction(
    text: str, annotation: RowResult, interface: Interface, *, model_version: str
) -> JsonObject:
    """Make a prediction for a text.

    text (str): The text.
    annotation (RowResult): The predicted entities and relations.
    interface (Interface): The labelling interface. Entities with other labels are left out, and so
        are their relations.
    model_version (str): The name of the model.
    RETURNS (JsonObject): The prediction, with `result`, `score` and `model_version`.
    """
    kept: list[EntityDict] = []
    tags: dict[str, str] = {}
    positions: dict[int, int] = {}
    for position, entity in enumerate(annotation["entities"]):
        tag = interface.find_tag(entity["label"])
        if tag is not None:
            tags[entity["label"]] = tag
            positions[position] = len(kept)
            kept.append(entity)
    return make_labelstudio_prediction(
        text,
        {"entities": kept, "relations": _move(annotation["relations"], positions)},
        model_version=model_version,
        from_names=tags,
        to_name=interface.to_name,
    )


def _move(relations: Iterable[RelationDict], positions: Mapping[int, int]) -> list[RelationDict]:
    """Return the relations between entities that have a new position, with these positions."""
    moved: list[RelationDict] = []
    for relation in relations:
        head, tail = positions.get(relation["head"]), positions.get(relation["tail"])
        if head is not None and tail is not None:
            moved.append({**relation, "head": head, "tail": tail})
    return moved
