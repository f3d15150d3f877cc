"""Rows of JSONL, plain text and Parquet, one at a time."""

import base64
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, time
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypedDict

from ..relations import EntityDict, RelationDict

if TYPE_CHECKING:
    import pyarrow as pa

# The fields of a row: values of JSON; in Parquet also dates, times, bytes and decimals.
Record: TypeAlias = dict[str, object]

# The format of a file by its suffix.
ROW_FORMATS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".txt": "text", ".parquet": "parquet"}
_BOM = b"\xef\xbb\xbf"
_PARQUET_ROWS = 256


class Row(NamedTuple):
    """One document of an input file.

    line (int): Its line, from 1; in Parquet its row.
    record (Record): Its fields.
    reason (str | None): The reason why it cannot be annotated, or None if it can.
    """

    line: int
    record: Record
    reason: str | None = None

    def get_text(self, field: str) -> str:
        """Return the text of a row that can be annotated.

        field (str): The field that holds the text.
        RETURNS (str): The text.
        """
        return str(self.record[field])


class RowResult(TypedDict, total=False):
    """The annotation of a row (`entities` and `relations`), or the reason of its rejection.

    entities (list[EntityDict]): The entities.
    relations (list[RelationDict]): The relations between them.
    reason (str): The reason why the row was rejected.
    """

    entities: list[EntityDict]
    relations: list[RelationDict]
    reason: str


def get_format(path: Path, *, formats: Sequence[str] = ("jsonl", "text", "parquet")) -> str:
    """Return the format of a file by its suffix.

    path (Path): The file; it need not exist.
    formats (Sequence[str]): The formats that it may have.
    RETURNS (str): "jsonl", "text" or "parquet".
    RAISES (ValueError): If the suffix stands for none of them.
    """
    name = ROW_FORMATS.get(path.suffix.lower())
    if name is None or name not in formats:
        expected = ", ".join(suffix for suffix, other in ROW_FORMATS.items() if other in formats)
        raise ValueError(
            f"{path}: cannot tell its format from the suffix {path.suffix!r}; expected one of "
            f"{expected}"
        )
    return name


def read_rows(path: Path, *, text_field: str = "text", only_text: bool = False) -> Iterator[Row]:
    """Read a file row by row.

    Blank lines of JSONL are skipped; blank lines of plain text are empty documents.

    path (Path): A .jsonl, .txt or .parquet file in UTF-8; a line ends with LF or CRLF.
    text_field (str): The field that holds the text; a line of plain text gets this name.
    only_text (bool): Omit the other columns of Parquet, to save time.
    YIELDS (Row): The rows in order; a row that cannot be annotated has its reason.
    RAISES (ImportError): If the file is Parquet and pyarrow is missing.
    RAISES (ValueError): If a Parquet file has no column of that name.
    """
    for row in _read_records(path, text_field, only_text):
        if row.reason is None:
            row = row._replace(reason=_check_text(row.record, text_field))
        yield row


def count_rows(path: Path) -> int:
    """Count the rows of a file, without parsing them.

    path (Path): A file that `read_rows` reads.
    RETURNS (int): The number of rows that `read_rows` yields.
    """
    name = get_format(path)
    if name == "parquet":
        return import_parquet().read_metadata(path).num_rows
    n_rows = 0
    with path.open("rb") as file_:
        for line in file_:
            if name == "text" or line.strip():
                n_rows += 1
    return n_rows


def import_parquet() -> ModuleType:
    """Import `pyarrow.parquet`.

    RETURNS (ModuleType): The module.
    RAISES (ImportError): If it is not installed.
    """
    try:
        import pyarrow.parquet
    except ImportError as err:
        raise ImportError(
            f'Parquet needs pyarrow ({err}). Install it with: pip install "spacy-tabcnn[bulk]"'
        ) from err
    return pyarrow.parquet


def check_columns(names: Sequence[str], text_field: str, path: Path) -> None:
    """Check that a Parquet file has a column for the text.

    names (Sequence[str]): Its columns.
    text_field (str): The column with the text.
    path (Path): The file, for the message.
    RAISES (ValueError): If the column is missing.
    """
    if text_field not in names:
        raise ValueError(
            f"{path}: no column {text_field!r}; its columns are {', '.join(names)}. Name one with "
            "--text-field"
        )


def get_record(batch: "pa.RecordBatch") -> Record | str:
    """Return the one record of a batch.

    batch (pyarrow.RecordBatch): One row.
    RETURNS (Record | str): Its values by column, or the reason why Python cannot hold them.
    """
    try:
        return batch.to_pylist()[0]
    except ValueError as err:
        return f"cannot be read: {err}"


def dump_json(value: object) -> str:
    """Return a value as JSON on one line.

    Values that JSON cannot hold are replaced: a number that is not finite by null, a date by its
    ISO form, bytes by their base64, anything else by its `str`.

    value (object): A value out of JSON or Parquet.
    RETURNS (str): The JSON.
    """
    return json.dumps(_to_plain(value), ensure_ascii=False, allow_nan=False)


def _to_plain(value: object) -> object:
    if isinstance(value, dict):
        plain = {}
        for key, item in value.items():
            plain[str(key)] = _to_plain(item)
        return plain
    if isinstance(value, list | tuple):
        return list(map(_to_plain, value))
    return _to_plain_scalar(value)


def _to_plain_scalar(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return str(value)


def _check_text(record: Record, text_field: str) -> str | None:
    """Return the reason why a record has no text, or None if it has one."""
    if text_field not in record:
        return f"there is no field {text_field!r}"
    text = record[text_field]
    if not isinstance(text, str):
        return f"the field {text_field!r} is {type(text).__name__}; expected a string"
    return None


def _read_records(path: Path, text_field: str, only_text: bool) -> Iterator[Row]:
    name = get_format(path)
    if name == "parquet":
        return _read_parquet(path, text_field, only_text)
    if name == "text":
        return _read_text(path, text_field)
    return _read_jsonl(path)


def _read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Read the lines of a file with their numbers, without line ends and byte order mark."""
    # In binary: text mode would also end a line at a lone CR, and would stop at the first byte
    # that is not UTF-8.
    with path.open("rb") as file_:
        for number, line in enumerate(file_, 1):
            if number == 1:
                line = line.removeprefix(_BOM)
            yield number, line.removesuffix(b"\n").removesuffix(b"\r")


def _read_text(path: Path, text_field: str) -> Iterator[Row]:
    for number, line in _read_lines(path):
        yield _make_text_row(number, line, text_field)


def _make_text_row(number: int, line: bytes, text_field: str) -> Row:
    try:
        return Row(number, {text_field: line.decode("utf-8")})
    except UnicodeError as err:
        return Row(number, {}, f"not valid Unicode: {err}")


def _read_jsonl(path: Path) -> Iterator[Row]:
    for number, line in _read_lines(path):
        if line.strip():
            yield _make_json_row(number, line)


def _make_json_row(number: int, line: bytes) -> Row:
    try:
        return Row(number, _parse_object(line.decode("utf-8")))
    except UnicodeError as err:
        return Row(number, {}, f"not valid Unicode: {err}")
    except (ValueError, RecursionError) as err:
        return Row(number, {}, f"invalid JSON: {err}")


def _parse_object(line: str) -> Record:
    record = json.loads(line)
    if not isinstance(record, dict):
        raise ValueError(f"expected an object instead of {type(record).__name__}")
    if "\\u" in line:
        json.dumps(record, ensure_ascii=False).encode("utf-8")  # refuses half a surrogate pair
    return record


def _read_parquet(path: Path, text_field: str, only_text: bool) -> Iterator[Row]:
    columns = None
    if only_text:
        columns = [text_field]
    with import_parquet().ParquetFile(path) as file_:
        check_columns(file_.schema_arrow.names, text_field, path)
        batches = file_.iter_batches(_PARQUET_ROWS, columns=columns)
        records = chain.from_iterable(map(_get_records, batches))
        for number, record in enumerate(records, 1):
            if isinstance(record, str):
                yield Row(number, {}, record)
            else:
                yield Row(number, record)


def _get_records(batch: "pa.RecordBatch") -> Iterable[Record | str]:
    """Return the record of each row, or the reason why it cannot be read."""
    try:
        return batch.to_pylist()
    except ValueError:
        rows = (batch.slice(index, 1) for index in range(batch.num_rows))
        return map(get_record, rows)
