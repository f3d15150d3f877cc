"""Rows of JSONL, plain text, CSV and Parquet, one at a time."""

from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, repeat, starmap
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NamedTuple, TypedDict

import numpy as np

from ..relations import EntityDict, RelationDict
from .csv_rows import read_csv, read_header
from .json_rows import ID, Record, parse_line, pick_id

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

# The fields that annotation adds.
ADDED = ("entities", "relations")
# The format of a file by its suffix.
ROW_FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".txt": "text",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
}
FORMAT_NAMES = ("jsonl", "text", "csv", "parquet")
_PARQUET_ROWS = 256
_CHECKED_ROWS = 4096
# Bytes of the strings of the rows that are read at once; a row that has more is rejected. A small
# file can have many rows with one long string.
_MAX_BYTES = 2**28
_STRING_TYPES = ("string", "large_string", "string_view")
_BYTES_TYPES = ("binary", "large_binary", "binary_view")
# The errors of values that Python cannot hold: dates out of range, unknown time zones, bytes that
# are not UTF-8. NotImplementedError is pyarrow's, for structs with two fields of one name.
_UNREADABLE = (ValueError, ArithmeticError, LookupError, TypeError, NotImplementedError)


class Row(NamedTuple):
    """One document of an input file.

    line (int): Its line, from 1; in Parquet its row.
    record (Record): Its fields; of a row that cannot be read at most the field `id`.
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


def get_format(path: Path, *, formats: Sequence[str] = FORMAT_NAMES) -> str:
    """Return the format of a file by its suffix.

    path (Path): The file; it need not exist.
    formats (Sequence[str]): The formats that it may have.
    RETURNS (str): "jsonl", "text", "csv" or "parquet".
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

    path (Path): A .jsonl, .txt, .csv or .parquet file in UTF-8; a line ends with LF or CRLF.
    text_field (str): The field that holds the text; a line of plain text gets this name.
    only_text (bool): Omit the other columns of Parquet, to save time.
    YIELDS (Row): The rows in order; a row that cannot be annotated has its reason.
    RAISES (ImportError): If the file is Parquet and pyarrow is missing.
    RAISES (ValueError): If `check_source` refuses the file, or a field of CSV does not end.
    """
    check_source(path, text_field)
    for row in _read_records(path, text_field, only_text):
        if row.reason is None:
            row = row._replace(reason=_check_text(row.record, text_field))
        yield row


def check_source(path: Path, text_field: str) -> None:
    """Check the encoding of lines and the columns of a CSV or Parquet file, before any row is read.

    path (Path): A file that `read_rows` is to read.
    text_field (str): The field that holds the text.
    RAISES (ImportError): If the file is Parquet and pyarrow is missing.
    RAISES (ValueError): If lines are UTF-16, there is no such column, the column holds no strings,
        two columns have one name, or the field is one that annotation adds.
    """
    if text_field in ADDED:
        raise ValueError(
            f"the text cannot be in the field {text_field!r}, which annotation replaces. Rename it "
            "in the input"
        )
    name = get_format(path)
    if name == "csv":
        check_columns(read_header(path, text_field)[0], text_field, path)
    elif name == "parquet":
        with open_parquet(path) as file_:
            schema = file_.schema_arrow
            check_columns(schema.names, text_field, path)
            _check_text_type(schema.field(text_field).type, text_field, path)
    else:
        _check_encoding(path)


def count_rows(path: Path, *, text_field: str = "text") -> int:
    """Count the rows of a file.

    path (Path): A file that `read_rows` reads.
    text_field (str): The field that holds the text.
    RETURNS (int): The number of rows that `read_rows` yields.
    """
    name = get_format(path)
    if name == "parquet":
        with open_parquet(path) as file_:
            return file_.metadata.num_rows
    if name == "csv":
        return sum(1 for _ in read_csv(path, text_field))
    n_rows = 0
    for _, line in _read_lines(path):
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


def open_parquet(path: Path, *, read_dictionary: Sequence[str] = ()) -> "ParquetFile":
    """Open a Parquet file.

    path (Path): The file.
    read_dictionary (Sequence[str]): The columns that are read as different strings and indices.
    RETURNS (pyarrow.parquet.ParquetFile): The file, open.
    RAISES (ImportError): If pyarrow is not installed.
    RAISES (OSError): If there is no such file.
    RAISES (ValueError): If it is not a Parquet file, or its columns are nested too deep.
    """
    parquet = import_parquet()
    try:
        return parquet.ParquetFile(path, read_dictionary=list(read_dictionary))
    except (OSError, *_UNREADABLE) as err:
        if not path.is_file():
            raise
        raise ValueError(
            f"{path}: cannot be read as Parquet ({err}). Make the file again, or convert it to "
            ".jsonl"
        ) from err


def read_batches(
    path: Path, n_rows: int, *, columns: Sequence[str] | None = None
) -> "Iterator[pa.RecordBatch]":
    """Read a Parquet file in batches whose strings fit into memory, also if each row has a copy.

    path (Path): The file.
    n_rows (int): Maximum number of rows of a batch.
    columns (Sequence[str] | None): The columns to read; None for all.
    YIELDS (pyarrow.RecordBatch): The rows in order; columns of strings have a dictionary.
    RAISES (ImportError): If pyarrow is not installed.
    RAISES (OSError): If there is no such file.
    RAISES (ValueError): If it is not a Parquet file, or its columns are nested too deep.
    """
    with open_parquet(path) as file_:
        strings = _list_strings(file_)
    with open_parquet(path, read_dictionary=strings) as file_:
        for batch in file_.iter_batches(n_rows, columns=columns):
            yield from _cut(batch)


def _list_strings(file_: "ParquetFile") -> list[str]:
    """List the columns of strings and bytes that can be read as dictionaries."""
    schema = file_.metadata.schema
    # A field of a struct may have the path of another column.
    paths = Counter(schema.column(index).path for index in range(len(schema)))
    strings = []
    for field in file_.schema_arrow:
        if str(field.type) in (*_STRING_TYPES, *_BYTES_TYPES) and paths[field.name] == 1:
            strings.append(field.name)
    return strings


def _cut(batch: "pa.RecordBatch") -> "Iterator[pa.RecordBatch]":
    """Cut a batch before the row whose strings would be too many bytes."""
    start = n_bytes = 0
    for index, size in enumerate(_measure(batch)):
        if n_bytes + size > _MAX_BYTES and index > start:
            yield batch.slice(start, index - start)
            start, n_bytes = index, 0
        n_bytes += size
    yield batch.slice(start)


def _measure(batch: "pa.RecordBatch") -> list[int]:
    """Return the number of bytes of each row's strings that are in dictionaries."""
    import pyarrow as pa
    import pyarrow.compute as pc

    sizes = np.zeros(batch.num_rows, dtype="int64")
    for column in batch.columns:
        if not pa.types.is_dictionary(column.type):
            continue
        if str(column.type.value_type) in (*_STRING_TYPES, *_BYTES_TYPES):
            lengths = pc.binary_length(column.dictionary).take(column.indices)
            sizes += lengths.fill_null(0).to_numpy(zero_copy_only=False)
    found: list[int] = sizes.tolist()
    return found


def check_content(path: Path) -> None:
    """Check that all columns of a Parquet file can be read, before any work.

    The annotation of a text reads no other column, so that a damaged one would be found at the end.

    path (Path): A file that `read_rows` is to read.
    RAISES (ValueError): If a page is damaged, or its type is not supported.
    """
    if get_format(path) != "parquet":
        return
    n_read = 0
    try:
        for batch in read_batches(path, _CHECKED_ROWS):
            n_read += batch.num_rows
    except (OSError, *_UNREADABLE) as err:
        raise ValueError(
            f"{path}: rows after row {n_read} cannot be read ({err}). The file is damaged; "
            "make it again"
        ) from err


def check_columns(names: Sequence[str], text_field: str, path: Path) -> None:
    """Check the columns of a file: one has the text, and each has its own name.

    names (Sequence[str]): Its columns.
    text_field (str): The column with the text.
    path (Path): The file, for the message.
    RAISES (ValueError): If the column is missing, or two columns have one name.
    """
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise ValueError(
            f"{path}: several columns have the name {', '.join(map(repr, repeated))}. Rename or "
            "remove all but one"
        )
    if text_field not in names:
        raise ValueError(
            f"{path}: no column {text_field!r}; its columns are {', '.join(names) or 'none'}. "
            "Name one with --text-field"
        )


def get_record(batch: "pa.RecordBatch") -> tuple[Record, str | None]:
    """Return the one record of a batch.

    batch (pyarrow.RecordBatch): One row.
    RETURNS (tuple[Record, str | None]): Its values by column, and None; or the values that Python
        can hold, and the reason why it cannot hold another one.
    """
    record: Record = {}
    problem = None
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            record[name] = column[0].as_py()
        except _UNREADABLE as err:
            problem = f"the column {name!r} cannot be read: {err}"
    return record, problem


def _check_text_type(type_: "pa.DataType", text_field: str, path: Path) -> None:
    """Check that a column of Parquet holds strings, or nothing but nulls."""
    import pyarrow as pa

    if isinstance(type_, pa.BaseExtensionType):
        type_ = type_.storage_type
    if pa.types.is_dictionary(type_):
        type_ = type_.value_type
    if not (str(type_) in _STRING_TYPES or pa.types.is_null(type_)):
        raise ValueError(
            f"{path}: the column {text_field!r} holds {type_}; expected strings. Convert it, or "
            "name another one with --text-field"
        )


def _check_encoding(path: Path) -> None:
    """Check that lines are not UTF-16 or UTF-32, of which many would pass as UTF-8."""
    with path.open("rb") as file_:
        start = file_.read(2)
    if start in (BOM_UTF16_LE, BOM_UTF16_BE):
        raise ValueError(f"{path}: is UTF-16; expected UTF-8. Save it as UTF-8")


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
    if name == "csv":
        return starmap(Row, read_csv(path, text_field))
    return _read_jsonl(path)


def _read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Read the lines of a file with their numbers, without line ends and byte order mark."""
    # In binary: text mode would also end a line at a lone CR, and would stop at the first byte
    # that is not UTF-8.
    with path.open("rb") as file_:
        for number, line in enumerate(file_, 1):
            if number == 1:
                line = line.removeprefix(BOM_UTF8)
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
            yield Row(number, *parse_line(line))


def _read_parquet(path: Path, text_field: str, only_text: bool) -> Iterator[Row]:
    columns = None
    if only_text:
        columns = [text_field]
    batches = read_batches(path, _PARQUET_ROWS, columns=columns)
    records = chain.from_iterable(map(_get_records, batches))
    for number, (record, problem) in enumerate(records, 1):
        if problem is None:
            yield Row(number, record)
        else:
            yield Row(number, pick_id(record), problem)


def _get_records(batch: "pa.RecordBatch") -> Iterable[tuple[Record, str | None]]:
    """Return the record of each row, and the reason why it cannot be read."""
    if batch.num_rows == 1 and _is_too_large(batch):
        return [_reject_large(batch)]
    try:
        return zip(batch.to_pylist(), repeat(None))
    except _UNREADABLE:
        rows = (batch.slice(index, 1) for index in range(batch.num_rows))
        return map(get_record, rows)


def _is_too_large(row: "pa.RecordBatch") -> bool:
    return sum(_measure(row)) > _MAX_BYTES


def _reject_large(row: "pa.RecordBatch") -> tuple[Record, str]:
    """Return the `id` of a row that is too large, if it has one, and the reason."""
    reason = f"the strings of the row take more than {_MAX_BYTES // 2**20} MiB"
    ids = row.select([name for name in row.schema.names if name == ID])
    if _is_too_large(ids):
        return {}, reason
    return get_record(ids)[0], reason
