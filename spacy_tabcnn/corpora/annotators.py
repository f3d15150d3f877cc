"""The annotators of an export in which several annotated the same texts."""

from collections.abc import Callable
from pathlib import Path

from .fields import get_optional
from .files import JsonValue
from .formats import guess_format
from .labelstudio import get_annotators, get_completed
from .prodigy import get_annotator
from .records import read_records

# The annotators of each annotation of a task, by all of their names. Of a name, any may be given.
_Names = Callable[[JsonValue], list[list[str]]]


def list_annotators(path: str | Path, *, format_name: str | None = None) -> dict[str, int]:
    """List the annotators of a file of Label Studio or Prodigy.

    path (str | Path): The file.
    format_name (str | None): "labelstudio" or "prodigy"; detected from the file if None.
    RETURNS (dict[str, int]): The number of annotations of each, in the order of the file. An
        annotator with an e-mail address goes by it. "" stands for annotations without a name.
    RAISES (ValueError): If the file cannot be read, or its format names no annotators.
    """
    format_name = format_name or guess_format(path)
    if format_name not in _FORMATS:
        raise ValueError(
            f"{path}: its format, {format_name}, names no annotators; expected a file of "
            f"{' or '.join(_FORMATS)}. Compare two files instead"
        )
    counts: dict[str, int] = {}
    for record in read_records(path, unit="task"):
        if record.problem:
            raise ValueError(record.problem)
        for names in _FORMATS[format_name](record.value):
            name = _choose_name(names)
            counts[name] = counts.get(name, 0) + 1
    return counts


def _choose_name(names: list[str]) -> str:
    for name in names:
        if "@" in name:
            return name
    return next(iter(names), "")


def _list_labelstudio(task: JsonValue) -> list[list[str]]:
    if not isinstance(task, dict):
        return []
    return list(map(get_annotators, get_completed(task, "the task")))


def _list_prodigy(task: JsonValue) -> list[list[str]]:
    if get_optional(task, "answer", "accept") != "accept":
        return []
    return [list(filter(None, [get_annotator(task)]))]


_FORMATS: dict[str, _Names] = {"labelstudio": _list_labelstudio, "prodigy": _list_prodigy}
