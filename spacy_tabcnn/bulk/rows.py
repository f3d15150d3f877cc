"""Rows of JSONL, plain text and Parquet, one at a time."""

import base64
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, time
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

# What a file's suffix says about its format.
FORMATS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".txt": "text", ".parquet": "parquet"}
_BOM = b"\xef\xbb\xbf"
_PARQUET_ROWS = 256


class Row(NamedTuple):
    """One document of an input file.

    line (int): Its line, from 1; in Parquet its row.
    record (dict[str, Any]): Its fields.
    reason (str | None): Why it cannot be annotated, or None if it can.
    """

    line: int
    record: dict[str, Any]
    reason: str | None = None


def get_format(path: Path, *, formats: Sequence[str] = ("jsonl", "text", "parquet")) -> str:
    """Tell a file's format from its suffix.

    path (Path): The file; it need not exist.
    formats (Sequence[str]): The formats that it may have.
    RETURNS (str): "jsonl", "text" or "parquet".
    RAISES (ValueError): If the suffix stands for none of them.
    """
    name = FORMATS.get(path.suffix.lower())
    if name is None or name not in formats:
        expected = ", ".join(suffix for suffix, other in FORMATS.items() if other in formats)
        raise ValueError(
            f"{path}: cannot tell its format from the suffix {path.suffix!r}; expected one of {expected}"
        )
    return name


def read_rows(path: Path, *, text_field: str = "text", only_text: bool = False) -> Iterator[Row]:
    """Read a file row by row. Blank lines of JSONL are no rows, those of plain text are empty documents.

    path (Path): A .jsonl, .txt or .parquet file in UTF-8; a line ends with LF or CRLF.
    text_field (str): The field that holds the text; a line of plain text gets this name.
    only_text (bool): Leave out the other columns of Parquet, to save time.
    YIELDS (Row): The rows in order, those that cannot be annotated with their reason.
    RAISES (ImportError): If the file is Parquet and pyarrow is missing.
    RAISES (ValueError): If a Parquet file has no column of that name.
    """
    name = get_format(path)
    if name == "parquet":
        records = _read_parquet(path, text_field, only_text)
    else:
        records = _read_lines(path, text_field if name == "text" else None)
    for row in records:
        text = row.record.get(text_field)
        if row.reason is None and not isinstance(text, str):
            has_field = text_field in row.record
            row = row._replace(
                reason=f"the field {text_field!r} is {type(text).__name__}; expected a string"
                if has_field
                else f"there is no field {text_field!r}"
            )
        yield row


def count_rows(path: Path) -> int:
    """Count the rows of a file, without parsing them.

    path (Path): A file that `read_rows` reads.
    RETURNS (int): How many rows it would yield.
    """
    name = get_format(path)
    if name == "parquet":
        return import_parquet().read_metadata(path).num_rows
    with path.open("rb") as file_:
        return sum(1 for line in file_ if name == "text" or line.strip())


def import_parquet() -> ModuleType:
    """RETURNS (ModuleType): `pyarrow.parquet`.
    RAISES (ImportError): If it is not installed.
    """
    try:
        import pyarrow.parquet
    except ImportError as err:
        raise ImportError(
            f'Parquet needs pyarrow ({err}). Install it with: pip install "spacy-tabcnn[bulk]"'
        ) from err
    return pyarrow.parquet


def check_columns(names: Iterable[str], text_field: str, path: Path) -> None:
    """Check that a Parquet file has a column for the text.

    names (Iterable[str]): Its columns.
    text_field (str): The one with the text.
    path (Path): The file, for the message.
    RAISES (ValueError): If it has not.
    """
    if text_field not in names:
        raise ValueError(
            f"{path}: no column {text_field!r}; its columns are {', '.join(names)}. Name one with --text-field"
        )


def get_record(batch: Any) -> dict[str, Any] | str:
    """Get the one record of a batch.

    batch (pyarrow.RecordBatch): One row.
    RETURNS (dict[str, Any] | str): Its values by column, or the reason why there are none.
    """
    try:
        return batch.to_pylist()[0]
    except ValueError as err:
        return f"cannot be read: {err}"


def dump_json(value: Any) -> str:
    """Write a value as JSON on one line. What JSON has no form for is replaced: a number that is not finite by null, a
    date by its ISO form, bytes by their base64, anything else by its `str`.

    value (Any): A value out of JSON or Parquet.
    RETURNS (str): The JSON.
    """
    return json.dumps(_to_plain(value), ensure_ascii=False, allow_nan=False)


def _to_plain(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_to_plain(item) for item in value]
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return str(value)


def _read_lines(path: Path, text_field: str | None) -> Iterator[Row]:
    # In binary: text mode would also end a line at a lone CR, and stop at the first byte that is no UTF-8.
    with path.open("rb") as file_:
        for number, line in enumerate(file_, 1):
            if number == 1:
                line = line.removeprefix(_BOM)
            line = line.removesuffix(b"\n").removesuffix(b"\r")
            if text_field is None and not line.strip():
                continue
            try:
                text = line.decode("utf-8")
                yield Row(number, {text_field: text} if text_field is not None else _parse(text))
            except UnicodeError as err:
                yield Row(number, {}, f"not valid Unicode: {err}")
            except (ValueError, RecursionError) as err:
                yield Row(number, {}, f"invalid JSON: {err}")


def _parse(line: str) -> dict[str, Any]:
    record = json.loads(line)
    if not isinstance(record, dict):
        raise ValueError(f"expected an object instead of {type(record).__name__}")
    if "\\u" in line:
        json.dumps(record, ensure_ascii=False).encode("utf-8")  # half a surrogate pair is no text
    return record


def _read_parquet(path: Path, text_field: str, only_text: bool) -> Iterator[Row]:
    with import_parquet().ParquetFile(path) as file_:
        check_columns(file_.schema_arrow.names, text_field, path)
        number = 0
        for batch in file_.iter_batches(_PARQUET_ROWS, columns=[text_field] if only_text else None):
            try:
                records = batch.to_pylist()
            except ValueError:
                records = [get_record(batch.slice(index, 1)) for index in range(batch.num_rows)]
            for record in records:
                number += 1
                yield Row(number, {}, record) if isinstance(record, str) else Row(number, record)
