"""Rows and their annotations, written as JSONL, CSV or Parquet."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

from .csv_rows import SEPARATORS, read_header, write_csv
from .json_rows import ID, Record, dump_json, encode_line
from .rows import (
    ADDED,
    RowResult,
    get_format,
    get_record,
    import_parquet,
    open_parquet,
    read_batches,
    read_rows,
)
from .tasks import TASK_FORMATS, write_tasks

if TYPE_CHECKING:
    import pyarrow as pa

# The columns of a table with their Arrow types; None where values are written as JSON.
Columns: TypeAlias = dict[str, str | None]

# Rows of a Parquet file's row groups.
_GROUP_ROWS = 4096
# Characters at which a row group ends before.
_GROUP_CHARS = 2**25
# The maximum number of columns. Rows with fields of their own would make a table of their square.
MAX_COLUMNS = 10_000
# A column of floats holds integers exactly up to this size.
_EXACT = 2**53
# Types of Parquet columns, each with the kinds of values that it can hold; the first fit is taken.
_COLUMN_TYPES = (
    ({"str"}, "string"),
    ({"bool"}, "bool"),
    ({"int", "long"}, "int64"),
    ({"int", "float"}, "double"),
)


class _Rejects:
    """The file of rejected rows, and their number."""

    def __init__(self, file_: BinaryIO):
        self.file_ = file_
        self.count = 0

    def write(self, line: int, reason: str, record: Record) -> None:
        """Write the line, the `id` (if there is one) and the reason of a row."""
        rejected: Record = {"line": line}
        if ID in record:
            rejected[ID] = record[ID]
        rejected["reason"] = reason
        self.file_.write(encode_line(rejected))
        self.count += 1


def get_arrow_fields() -> "list[pa.Field]":
    """Return the columns `entities` and `relations` in Arrow's types.

    RETURNS (list[pyarrow.Field]): The columns.
    """
    import pyarrow as pa

    number, text, score = pa.int64(), pa.string(), pa.float64()
    entity = {"start": number, "end": number, "label": text, "score": score}
    relation = {"head": number, "tail": number, "label": text, "score": score}
    return [
        pa.field("entities", pa.list_(pa.struct(list(entity.items())))),
        pa.field("relations", pa.list_(pa.struct(list(relation.items())))),
    ]


def find_columns(source: Path, *, text_field: str, to: str) -> Columns:
    """Find the columns of an output from the fields of all rows.

    source (Path): The input.
    text_field (str): The field that holds the text.
    to (str): The format to write, as from `get_output_format`.
    RETURNS (Columns): The fields and, for Parquet, their types; empty where the output has no
        columns, or has the columns of the input with their types.
    RAISES (ValueError): If there are too many.
    """
    if to not in (*SEPARATORS, "parquet"):
        return {}
    if get_format(source) == "parquet":
        with open_parquet(source) as file_:
            return dict.fromkeys(file_.schema_arrow.names)
    return _infer_columns(source, text_field)


def write_output(
    source: Path,
    results: Iterable[RowResult],
    file_: BinaryIO,
    rejects_file: BinaryIO,
    *,
    text_field: str,
    to: str,
    columns: Columns,
    model: str,
) -> tuple[int, int]:
    """Write the rows of a file with their annotations, and the rejected rows with the reasons.

    From Parquet to Parquet, columns keep their types. From JSONL to Parquet, a column holds
    strings, booleans, integers or floats if all its values do; otherwise it holds JSON as strings.

    source (Path): The input.
    results (Iterable[RowResult]): The annotation or the rejection of each row.
    file_ (BinaryIO): The file for the annotated rows.
    rejects_file (BinaryIO): The file for `line`, `id` (if the row has one) and `reason` of each
        rejected row, as JSONL.
    text_field (str): The field that holds the text.
    to (str): The format to write, as from `get_output_format`.
    columns (Columns): The columns of CSV and Parquet, as from `find_columns`.
    model (str): Name or folder of the pipeline, for tasks of annotation tools.
    RETURNS (tuple[int, int]): Numbers of rows written and rejected.
    RAISES (ValueError): If there are more or fewer results than rows.
    """
    rejects = _Rejects(rejects_file)
    if to == get_format(source) == "parquet":
        n_rows = _add_columns(source, results, file_, rejects, text_field)
        return n_rows, rejects.count
    records = _annotate_records(source, results, rejects, text_field)
    if to in TASK_FORMATS:
        n_rows = write_tasks(records, file_, to=to, model=model, text_field=text_field)
    elif to == "jsonl":
        n_rows = _write_jsonl(records, file_)
    elif to in SEPARATORS:
        names = dict.fromkeys([*columns, *ADDED])
        n_rows = write_csv(names, records, file_, separator=SEPARATORS[to])
    else:
        n_rows = _write_parquet(columns, records, file_)
    return n_rows, rejects.count


def _annotate_records(
    source: Path, results: Iterable[RowResult], rejects: _Rejects, text_field: str
) -> Iterator[Record]:
    for row, result in zip(read_rows(source, text_field=text_field), results, strict=True):
        reason = row.reason or result.get("reason")
        if reason is None:
            yield {**row.record, **result}
        else:
            rejects.write(row.line, reason, row.record)


def _write_jsonl(records: Iterable[Record], file_: BinaryIO) -> int:
    n_rows = 0
    for record in records:
        file_.write(encode_line(record))
        n_rows += 1
    return n_rows


def _make_schema(
    fields: "Iterable[pa.Field]", metadata: dict[bytes, bytes] | None = None
) -> "pa.Schema":
    """Make a schema of the fields of the input and the fields of the annotation."""
    import pyarrow as pa

    kept = [field for field in fields if field.name not in ADDED]
    return pa.schema([*kept, *get_arrow_fields()], metadata)


def _add_columns(
    source: Path,
    results: Iterable[RowResult],
    file_: BinaryIO,
    rejects: _Rejects,
    text_field: str,
) -> int:
    """Add the annotation to a Parquet file whose values stay in Arrow."""
    pq = import_parquet()
    results = iter(results)
    n_read = n_rows = 0
    with open_parquet(source) as input_file:
        schema = _make_schema(input_file.schema_arrow, input_file.schema_arrow.metadata)
    with pq.ParquetWriter(file_, schema) as writer:
        for batch in read_batches(source, _GROUP_ROWS):
            part = list(islice(results, batch.num_rows))
            if len(part) < batch.num_rows:
                raise ValueError(f"{source}: has more rows than there are results")
            kept = _keep_annotated(batch, part, n_read, rejects)
            writer.write_table(_make_table(batch, part, kept, schema))
            n_read += batch.num_rows
            n_rows += len(kept)
    if next(results, None) is not None:
        raise ValueError(f"{source}: has fewer rows than there are results")
    return n_rows


def _keep_annotated(
    batch: "pa.RecordBatch", results: Sequence[RowResult], n_read: int, rejects: _Rejects
) -> list[int]:
    """Return the indices of the annotated rows, and write the others to the rejects."""
    kept = []
    for index, result in enumerate(results):
        if "reason" in result:
            record = _get_id(batch.slice(index, 1))
            rejects.write(n_read + index + 1, result["reason"], record)
        else:
            kept.append(index)
    return kept


def _make_table(
    batch: "pa.RecordBatch", results: Sequence[RowResult], kept: Sequence[int], schema: "pa.Schema"
) -> "pa.Table":
    """Make a table of some rows of a batch and their annotations."""
    import pyarrow as pa

    table = _select_rows(batch, kept)
    columns = {}
    for name in table.column_names:
        columns[name] = table[name]
        if name not in ADDED:
            columns[name] = _cast(table[name], schema.field(name).type)
    entities, relations = [], []
    for index in kept:
        entities.append(results[index]["entities"])
        relations.append(results[index]["relations"])
    columns["entities"] = pa.array(entities, schema.field("entities").type)
    columns["relations"] = pa.array(relations, schema.field("relations").type)
    return pa.table([columns[name] for name in schema.names], schema=schema)


def _cast(column: "pa.ChunkedArray", type_: "pa.DataType") -> "pa.ChunkedArray":
    """Return a column that was read as a dictionary in the type of its file."""
    if column.type == type_:
        return column
    # Not in one step: Arrow has no cast from dictionaries to views of strings.
    return column.cast(column.type.value_type).cast(type_)


def _select_rows(batch: "pa.RecordBatch", kept: Sequence[int]) -> "pa.Table":
    """Return some rows of a batch, which are sorted, as slices between the other rows."""
    import pyarrow as pa

    # Arrow's `take` does not support all types, such as views of strings.
    batches = []
    start = 0
    for stop in range(1, len(kept) + 1):
        if stop == len(kept) or kept[stop] != kept[stop - 1] + 1:
            batches.append(batch.slice(kept[start], stop - start))
            start = stop
    return pa.Table.from_batches(batches, schema=batch.schema)


def _get_id(row: "pa.RecordBatch") -> Record:
    """Return the `id` of a batch of one row; empty if it has none that Python can hold."""
    if ID not in row.schema.names:
        return {}
    record, _ = get_record(row.select([ID]))
    return record


def _infer_columns(source: Path, text_field: str) -> Columns:
    """Find the Arrow type of each field of a JSONL, CSV or text file."""
    kinds: dict[str, set[str]] = {}
    if get_format(source) == "csv":
        for name in read_header(source, text_field)[0]:
            kinds[name] = set()  # a column without any row
    for row in read_rows(source, text_field=text_field):
        if row.reason is None:
            for name, value in row.record.items():
                kinds.setdefault(name, set()).add(_get_kind(value))
        if len(kinds) > MAX_COLUMNS:
            raise ValueError(
                f"{source}: its rows up to line {row.line} have {len(kinds)} different fields. CSV "
                f"and Parquet have a column for each, at most {MAX_COLUMNS}. Name a .jsonl file "
                "for the output"
            )
    if not kinds:  # no row
        return {text_field: "string"}
    return {name: _choose_type(found - {"NoneType"}) for name, found in kinds.items()}


def _get_kind(value: object) -> str:
    if not isinstance(value, int) or isinstance(value, bool):
        return type(value).__name__
    if -_EXACT <= value <= _EXACT:
        return "int"
    if -(2**63) <= value < 2**63:
        return "long"
    return "other"


def _choose_type(found: set[str]) -> str | None:
    for kinds, name in _COLUMN_TYPES:
        if found <= kinds:
            return name
    return None


def _write_parquet(columns: Columns, records: Iterable[Record], file_: BinaryIO) -> int:
    import pyarrow as pa

    fields = []
    as_json = set()
    for name, type_name in columns.items():
        fields.append(pa.field(name, pa.type_for_alias(type_name or "string")))
        if type_name is None and name not in ADDED:
            as_json.add(name)
    schema = _make_schema(fields)
    n_rows = 0
    with import_parquet().ParquetWriter(file_, schema) as writer:
        for part in _group(records):
            for record in part:
                _encode_json(record, as_json)
            writer.write_table(pa.Table.from_pylist(part, schema=schema))
            n_rows += len(part)
    return n_rows


def _group(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Group records for a row group each, with a limit for the memory of long texts."""
    group: list[Record] = []
    n_chars = 0
    for record in records:
        group.append(record)
        for value in record.values():
            if isinstance(value, str):
                n_chars += len(value)
        if len(group) == _GROUP_ROWS or n_chars >= _GROUP_CHARS:
            yield group
            group, n_chars = [], 0
    if group:
        yield group


def _encode_json(record: Record, names: set[str]) -> None:
    """Replace the values of some fields by their JSON; a missing value stays missing."""
    for name in names & record.keys():
        if record[name] is not None:
            record[name] = dump_json(record[name])
