"""Rows and their annotations, written as tasks of annotation tools, for people to correct."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, cast

from ..corpora.files import JsonObject, JsonValue
from ..corpora.preannotation import make_labelstudio_task, make_prodigy_task
from ..corpora.tokenizer import load_tokenizer
from ..pipeline.loading import find_config
from ..relations import AnnotationDict
from .json_rows import ID, Record, encode_line, to_plain
from .rows import get_format

# The formats of tasks, with the suffix of their files.
TASK_FORMATS = {"labelstudio": ".json", "prodigy": ".jsonl"}
_ROW_FORMATS = ("jsonl", "csv", "parquet")
_TABS = ".tsv"


def get_output_format(output: Path, format_name: str | None) -> str:
    """Return the format of an output.

    output (Path): The file to write.
    format_name (str | None): The name of a format of tasks; None for rows.
    RETURNS (str): "jsonl", "csv", "tsv", "parquet", "labelstudio" or "prodigy".
    RAISES (ValueError): If there is no such format, or the file has another suffix.
    """
    if format_name is None:
        if output.suffix.lower() == TASK_FORMATS["labelstudio"]:
            raise ValueError(
                f"{output}: rows are written as .jsonl, .csv, .tsv or .parquet. Give --format "
                "labelstudio for tasks of Label Studio"
            )
        name = get_format(output, formats=_ROW_FORMATS)
        if output.suffix.lower() == _TABS:
            return "tsv"
        return name
    suffix = TASK_FORMATS.get(format_name)
    if suffix is None:
        raise ValueError(
            f"unknown format {format_name!r} of the output; expected one of "
            f"{', '.join(TASK_FORMATS)}, or none for rows"
        )
    if output.suffix.lower() != suffix:
        raise ValueError(f"{output}: a file of {format_name} has the suffix {suffix}. Rename it")
    return format_name


def write_tasks(
    records: Iterable[Record], file_: BinaryIO, *, to: str, model: str, text_field: str
) -> int:
    """Write annotated rows as tasks.

    records (Iterable[Record]): The fields of each row with `entities` and `relations`.
    file_ (BinaryIO): The file: a JSON array with a task on each line for "labelstudio", JSONL for
        "prodigy".
    to (str): "labelstudio" or "prodigy".
    model (str): Name or folder of the pipeline. Its name and version are written, and its tokenizer
        makes the tokens of Prodigy.
    text_field (str): The field that holds the text.
    RETURNS (int): Number of tasks.
    """
    tasks = _make_tasks(records, _TaskMaker(to, model), text_field)
    if to == "labelstudio":
        return _write_array(tasks, file_)
    n_tasks = 0
    for task in tasks:
        file_.write(encode_line(task))
        n_tasks += 1
    return n_tasks


def describe_version(model: str | Path) -> str:
    """Return the name and the version of a pipeline, as tasks have it.

    model (str | Path): Name or folder of the pipeline.
    RETURNS (str): For example "en_pipeline-0.0.0".
    RAISES (ValueError): If there is no such pipeline, or its meta.json cannot be read.
    """
    path = find_config(model).with_name("meta.json")
    try:
        meta = json.loads(path.read_bytes())
        return describe_meta(meta)
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise ValueError(
            f"{path}: has not the language, the name and the version of the pipeline. Save the "
            "pipeline again"
        ) from err


def describe_meta(meta: Mapping[str, object]) -> str:
    """Return the name and the version of a pipeline, from its meta.

    meta (Mapping[str, object]): The content of meta.json.
    RETURNS (str): For example "en_pipeline-0.0.0".
    RAISES (KeyError): If one of them is missing.
    """
    return f"{meta['lang']}_{meta['name']}-{meta['version']}"


class _TaskMaker:
    """Makes tasks of rows.

    to (str): "labelstudio" or "prodigy".
    model (str): Name or folder of the pipeline.
    """

    def __init__(self, to: str, model: str):
        self.version = describe_version(model)
        self.tokenizer = None
        if to == "prodigy":
            self.tokenizer = load_tokenizer(model)

    def make(self, text: str, annotation: AnnotationDict, identifier: JsonValue) -> JsonObject:
        """Make a task.

        text (str): The text.
        annotation (AnnotationDict): The predicted entities and relations.
        identifier (JsonValue): The id of the row, or None.
        RETURNS (JsonObject): The task.
        """
        if self.tokenizer is None:
            return make_labelstudio_task(
                text, annotation, identifier=identifier, model_version=self.version
            )
        doc = self.tokenizer.make_doc(text)
        return make_prodigy_task(doc, annotation, identifier=identifier, model_version=self.version)


def _make_tasks(
    records: Iterable[Record], maker: _TaskMaker, text_field: str
) -> Iterator[JsonObject]:
    for record in records:
        annotation = cast(AnnotationDict, record)
        identifier = cast(JsonValue, to_plain(record.get(ID)))
        yield maker.make(str(record[text_field]), annotation, identifier)


def _write_array(tasks: Iterable[JsonObject], file_: BinaryIO) -> int:
    """Write a JSON array with an item on each line."""
    n_tasks = 0
    separator = b"\n"
    file_.write(b"[")
    for task in tasks:
        file_.write(separator + encode_line(task).removesuffix(b"\n"))
        separator = b",\n"
        n_tasks += 1
    file_.write(b"\n]\n")
    return n_tasks
