"""A file of documents through a pipeline, in parts, so that a stopped run can go on.

A part keeps the results of a fixed range of rows: their annotations, or the reasons of their
rejection. Once all parts exist, the input is read again beside them and written with its
annotations.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeAlias

from spacy.util import minibatch

from ..files import check_outputs, open_new, open_output, replace_file
from ..pipeline.loading import check_pipeline
from .output import Columns, find_columns, write_output
from .parts import Parts, Settings, get_lock_path, get_parts_path, lock_output
from .rows import (
    Row,
    RowResult,
    check_content,
    check_source,
    count_rows,
    get_format,
    import_parquet,
    read_rows,
)
from .tasks import describe_version, get_output_format
from .texts import check_at_least_one, describe_model
from .workers import annotate_batches

_NUMBER = re.compile("[0-9]+")
# Wraps the stream of results, given the number of all rows and of the rows done before.
ProgressBar: TypeAlias = Callable[[Iterable[RowResult], int, int], Iterable[RowResult]]


class BulkSummary(NamedTuple):
    """The numbers of a run.

    n_rows (int): Rows of the output.
    n_rejected (int): Rejected documents.
    n_resumed (int): Documents of the input that earlier runs had done.
    """

    n_rows: int
    n_rejected: int
    n_resumed: int


def annotate_file(
    model: str | Path,
    source: Path,
    output: Path,
    *,
    text_field: str = "text",
    batch_size: int = 64,
    part_size: int = 1024,
    n_process: int = 1,
    gpu_id: int = -1,
    overwrite: bool = False,
    format_name: str | None = None,
    progress: ProgressBar | None = None,
) -> BulkSummary | None:
    """Annotate each document of a file.

    A run may be stopped at any moment. A call with the same arguments goes on with the first
    missing part; `batch_size`, `n_process` and `gpu_id` may change.

    model (str | Path): Name or folder of the pipeline.
    source (Path): A .jsonl, .ndjson, .txt (a document a line), .csv, .tsv or .parquet file.
    output (Path): The .jsonl, .ndjson, .csv, .tsv or .parquet file to write: the fields of the
        input, and `entities` and `relations`, which replace fields of these names. Rejected
        documents go to `output` + ".rejects.jsonl": their line, their `id` if they have one, and
        the reason.
    text_field (str): The field that holds the text.
    batch_size (int): Number of documents to annotate at once.
    part_size (int): Number of documents in a part: the maximum that a stop can lose.
    n_process (int): Number of processes. They are spawned: a script that sets more than one needs
        `if __name__ == "__main__"`.
    gpu_id (int): The GPU, or -1 for the CPU.
    overwrite (bool): Start over: remove the parts of earlier runs. An existing output stays until
        the new one is complete.
    format_name (str | None): "labelstudio" (a .json file) or "prodigy" (.jsonl) for tasks of these
        tools: predictions with scores, for people to correct. A task has the text and the `id` of
        its row. None for rows.
    progress (ProgressBar | None): Wraps the stream of results to show the progress.
    RETURNS (BulkSummary | None): The numbers of the run; None if an earlier run was stopped after
        its output was complete.
    RAISES (ImportError): If a file is Parquet and pyarrow is missing.
    RAISES (OSError): If a file cannot be read or written, another run is writing the output, or a
        process dies.
    RAISES (ValueError): If the pipeline predicts no relations, the output is the input, exists or
        was begun with other settings, a part is damaged, the columns of the input do not fit, or an
        argument is malformed.
    """
    check_at_least_one(batch_size=batch_size, part_size=part_size, n_process=n_process)
    to = get_output_format(output, format_name)
    _check_files(model, source, output, text_field, to)
    check_pipeline(model)
    settings: Settings = {
        **_describe_input(source),
        **describe_model(model),
        "text_field": text_field,
        "part_size": part_size,
    }
    if format_name is not None:
        describe_version(model)  # before any work
        settings["format"] = format_name
    with lock_output(output):
        parts = Parts(output)
        if not parts.open(settings, overwrite=overwrite, others=[get_rejects_path(output)]):
            return None
        columns = find_columns(source, text_field=text_field, to=to)
        n_total = count_rows(source, text_field=text_field)
        n_resumed = min(parts.count() * part_size, n_total)
        rows = islice(read_rows(source, text_field=text_field, only_text=True), n_resumed, None)
        batches = _make_batches(rows, part_size, batch_size)
        results: Iterable[RowResult] = annotate_batches(
            model, batches, text_field=text_field, n_process=n_process, gpu_id=gpu_id
        )
        if progress is not None:
            results = progress(results, n_total, n_resumed)
        for number, part in enumerate(minibatch(results, part_size), parts.count()):
            parts.write(number, part)
        _check_unchanged(source, settings)
        n_rows, n_rejected = _write_files(source, parts, settings, columns, to, str(model))
        parts.remove()
        return BulkSummary(n_rows, n_rejected, n_resumed)


def get_rejects_path(output: Path) -> Path:
    """Return the file with the rejected documents of a run; a run without any makes none.

    output (Path): The output of the run.
    RETURNS (Path): The file.
    """
    return output.with_name(f"{output.name}.rejects.jsonl")


def find_common_reason(output: Path) -> str | None:
    """Return the reason for which all documents of a run were rejected.

    Reasons that differ in numbers only count as one: a component that does not fit its weights
    fails at another position of each document.

    output (Path): The output of the run; no row of it was annotated.
    RETURNS (str | None): The first reason; None if there are several, or no rejects.
    """
    path = get_rejects_path(output)
    if not path.exists():
        return None
    first = None
    with path.open("rb") as file_:
        for line in file_:
            reason = str(json.loads(line)["reason"])
            if first is None:
                first = reason
            if _NUMBER.sub("", reason) != _NUMBER.sub("", first):
                return None
    return first


def _check_files(model: str | Path, source: Path, output: Path, text_field: str, to: str) -> None:
    if "parquet" in (get_format(source), to):
        import_parquet()
    files = [output, get_rejects_path(output), get_lock_path(output)]
    check_outputs(files, [source, model], replaced=[get_parts_path(output)])
    if Path(os.path.realpath(model)) in Path(os.path.realpath(output)).parents:
        raise ValueError(f"{output}: is in the folder of the pipeline. Name another folder")
    for path in files[:2]:
        if path.is_dir():
            raise ValueError(f"{path}: is a folder. Name another file for the output")
    if source.exists() and not source.is_file():
        raise ValueError(f"{source}: is no file. The command reads its input twice; name a file")
    check_source(source, text_field)
    check_content(source)


def _describe_input(path: Path) -> Settings:
    status = path.stat()
    return {
        "input": str(path.resolve()),
        "input_size": status.st_size,
        "input_mtime_ns": status.st_mtime_ns,
    }


def _check_unchanged(source: Path, settings: Settings) -> None:
    if _describe_input(source).items() - settings.items():
        raise ValueError(f"{source}: changed while it was annotated. Start over with --overwrite")


def _make_batches(rows: Iterable[Row], part_size: int, batch_size: int) -> Iterator[list[Row]]:
    """Group rows into batches.

    A batch ends where a part ends, so that a resumed run has the same batches.
    """
    for part in minibatch(rows, part_size):
        yield from minibatch(part, batch_size)


def _write_files(
    source: Path, parts: Parts, settings: Settings, columns: Columns, to: str, model: str
) -> tuple[int, int]:
    """Write the output and, if any row was rejected, the rejects. Return the numbers of both."""
    output = parts.output
    rejects = get_rejects_path(output)
    with replace_file(output) as complete:
        with open_new(complete) as file_, open_output(rejects) as rejects_file:
            try:
                n_rows, n_rejected = write_output(
                    source,
                    parts.read(),
                    file_,
                    rejects_file,
                    text_field=str(settings["text_field"]),
                    to=to,
                    columns=columns,
                    model=model,
                )
            finally:
                # An input that has changed explains an error, such as too few results.
                _check_unchanged(source, settings)
        if not n_rejected:
            rejects.unlink()
        parts.finish(complete)
    return n_rows, n_rejected
