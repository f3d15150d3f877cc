"""Rows and their annotations, written as JSONL or Parquet."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from spacy.util import minibatch

from .rows import check_columns, dump_json, get_format, get_record, import_parquet, read_rows

# The key of a result that says why the document was rejected.
REASON = "reason"
# The fields that annotation adds.
ADDED = ("entities", "relations")
# The field that names a document, if it has one.
_ID = "id"
# Rows of a Parquet file's row groups.
_GROUP_ROWS = 4096
# Integers beyond are not exact in a column of floats.
_EXACT = 2**53

Reject = Callable[[int, str, dict[str, Any]], None]


def get_arrow_fields() -> list[Any]:
    """RETURNS (list[pyarrow.Field]): The columns `entities` and `relations`, as Arrow has them."""
    import pyarrow as pa

    def list_of(**types: Any) -> Any:
        return pa.list_(pa.struct(list(types.items())))

    number, text, score = pa.int64(), pa.string(), pa.float64()
    return [
        pa.field("entities", list_of(start=number, end=number, label=text, score=score)),
        pa.field("relations", list_of(head=number, tail=number, label=text, score=score)),
    ]


def write_output(
    source: Path,
    results: Iterable[dict[str, Any]],
    file_: BinaryIO,
    rejects_file: BinaryIO,
    *,
    text_field: str,
    to_parquet: bool,
) -> tuple[int, int]:
    """Write the rows of a file with their annotations, and those that were rejected with the reasons.

    source (Path): The input.
    results (Iterable[dict[str, Any]]): For each of its rows `entities` and `relations`, or `reason`.
    file_ (BinaryIO): The file to write to. From Parquet to Parquet, columns keep their types. From JSONL, a column is
        of strings, booleans, integers or floats if all its values are, else of strings that hold JSON.
    rejects_file (BinaryIO): The file for `line`, `id` if the row has one, and `reason` of each rejected row, as JSONL.
    text_field (str): The field that holds the text.
    to_parquet (bool): Write Parquet; else JSONL.
    RETURNS (tuple[int, int]): Numbers of rows written and rejected.
    RAISES (ValueError): If there are more or less results than rows.
    """
    n_rejected = 0

    def reject(line: int, reason: str, record: dict[str, Any]) -> None:
        nonlocal n_rejected
        n_rejected += 1
        names = {_ID: record[_ID]} if _ID in record else {}
        rejects_file.write(f"{dump_json({'line': line, **names, 'reason': reason})}\n".encode())

    if to_parquet and get_format(source) == "parquet":
        return _add_columns(source, results, file_, reject, text_field), n_rejected
    records = _get_records(source, results, reject, text_field)
    if to_parquet:
        return _write_parquet(_infer_columns(source, text_field), records, file_), n_rejected
    n_rows = 0
    for record in records:
        file_.write(f"{dump_json(record)}\n".encode())
        n_rows += 1
    return n_rows, n_rejected


def _get_records(
    source: Path, results: Iterable[dict[str, Any]], reject: Reject, text_field: str
) -> Iterator[dict[str, Any]]:
    for row, result in zip(read_rows(source, text_field=text_field), results, strict=True):
        reason = row.reason or result.get(REASON)
        if reason is None:
            yield {**row.record, **result}
        else:
            reject(row.line, reason, row.record)


def _get_schema(fields: Iterable[Any]) -> Any:
    """Make a schema of the fields of the input and those of the annotation."""
    import pyarrow as pa

    added = get_arrow_fields()
    return pa.schema([*(field for field in fields if field.name not in ADDED), *added])


def _add_columns(
    source: Path,
    results: Iterable[dict[str, Any]],
    file_: BinaryIO,
    reject: Reject,
    text_field: str,
) -> int:
    """Add the annotation to a Parquet file whose values stay in Arrow."""
    import pyarrow as pa

    pq = import_parquet()
    results = iter(results)
    n_read = n_rows = 0
    with pq.ParquetFile(source) as input_file:
        check_columns(input_file.schema_arrow.names, text_field, source)
        schema = _get_schema(input_file.schema_arrow)
        with pq.ParquetWriter(file_, schema) as writer:
            for batch in input_file.iter_batches(_GROUP_ROWS):
                kept = []
                annotations = []
                for index, result in enumerate(islice(results, batch.num_rows)):
                    if REASON in result:
                        reject(
                            n_read + index + 1, result[REASON], _get_names(batch.slice(index, 1))
                        )
                    else:
                        kept.append(index)
                        annotations.append(result)
                n_read += batch.num_rows
                n_rows += len(kept)
                table = pa.Table.from_batches([batch]).take(pa.array(kept, pa.int64()))
                columns = {name: table[name] for name in table.column_names}
                for name in ADDED:
                    values = [result[name] for result in annotations]
                    columns[name] = pa.array(values, schema.field(name).type)
                writer.write_table(
                    pa.table([columns[name] for name in schema.names], schema=schema)
                )
    return n_rows


def _get_names(row: Any) -> dict[str, Any]:
    """Get the id out of a batch of one row, if there is one that Python has a form for."""
    record = get_record(row.select([_ID])) if _ID in row.schema.names else {}
    return {} if isinstance(record, str) else record


def _infer_columns(source: Path, text_field: str) -> dict[str, Any]:
    """Find a type for each field of a JSONL or text file: None where values are to be written as JSON."""
    import pyarrow as pa

    kinds: dict[str, set[str]] = {}
    for row in read_rows(source, text_field=text_field):
        if row.reason is None:
            for name, value in row.record.items():
                kinds.setdefault(name, set()).update(() if value is None else (_get_kind(value),))
    # The first type whose kinds hold all that were found.
    types = [
        ({"str"}, pa.string()),
        ({"bool"}, pa.bool_()),
        ({"int", "long"}, pa.int64()),
        ({"int", "float"}, pa.float64()),
    ]
    return {
        name: next((type_ for allowed, type_ in types if found <= allowed), None)
        for name, found in kinds.items()
    }


def _get_kind(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        if -_EXACT <= value <= _EXACT:
            return "int"
        return "long" if -(2**63) <= value < 2**63 else "other"
    return type(value).__name__


def _write_parquet(
    columns: dict[str, Any], records: Iterable[dict[str, Any]], file_: BinaryIO
) -> int:
    import pyarrow as pa

    schema = _get_schema(pa.field(name, type_ or pa.string()) for name, type_ in columns.items())
    as_json = {name for name, type_ in columns.items() if type_ is None and name not in ADDED}
    n_rows = 0
    with import_parquet().ParquetWriter(file_, schema) as writer:
        for part in minibatch(records, _GROUP_ROWS):
            for record in part:
                for name in as_json & record.keys():
                    record[name] = None if record[name] is None else dump_json(record[name])
            writer.write_table(pa.Table.from_pylist(part, schema=schema))
            n_rows += len(part)
    return n_rows
