"""Rows of CSV: a header with the names of the fields, and a document a record."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import TextIOWrapper
from itertools import count
from pathlib import Path
from typing import BinaryIO, TextIO

from .json_rows import ID, Record, dump_json, to_plain

# The separator of fields in the output, by its format.
SEPARATORS = {"csv": ",", "tsv": "\t"}
# The separators of fields in an input. The first that gives the field with the text is taken.
_DELIMITERS = ",;\t|"
# The maximum length of a field in bytes: as long as the csv module allows on all systems.
_MAX_FIELD = 2**31 - 1
_CRLF = "\r\n"
# The csv module's message where a field in quotation marks does not end.
_UNCLOSED = "unexpected end of data"


class _ShortLineEnds:
    """A file for the csv module with lines that end in LF alone.

    Before Python 3.13, the module quotes a CR in a field only if its own lines end in CRLF.
    """

    def __init__(self, file_: TextIO):
        self._file = file_

    def write(self, line: str) -> int:
        """Write a line.

        line (str): The line, which ends in CRLF.
        RETURNS (int): The number of written characters.
        """
        return self._file.write(f"{line.removesuffix(_CRLF)}\n")


def read_csv(path: Path, text_field: str) -> Iterator[tuple[int, Record, str | None]]:
    """Read a CSV file record by record.

    path (Path): A file in UTF-8. Fields are separated by comma, semicolon, tab or "|".
    text_field (str): The field that holds the text; it decides on the separator.
    YIELDS (tuple[int, dict, str | None]): The line at which a record begins, from 1; its fields,
        all of them strings; and the reason why it cannot be annotated, or None. Blank lines are
        skipped.
    RAISES (ValueError): If the header cannot be read, or a field does not end: it would hold the
        records that follow.
    """
    names, delimiter = read_header(path, text_field)
    for number, (line, fields, problem) in enumerate(_read_records(path, delimiter)):
        if number and (fields or problem):
            record: Record = dict(zip(names, fields, strict=False))
            problem = problem or _find_problem(names, fields)
            yield line, _repair_id(record, problem), problem


def read_header(path: Path, text_field: str) -> tuple[list[str], str]:
    """Read the names of the fields of a CSV file.

    path (Path): The file.
    text_field (str): The field that holds the text.
    RETURNS (tuple[list[str], str]): The names, and the separator that gives the field with the
        text; if none does, the first that gives a valid header.
    RAISES (ValueError): If the header is not UTF-8 or not valid CSV.
    """
    readable = []
    problems = []
    for delimiter in _DELIMITERS:
        try:
            names = _read_names(path, delimiter)
        except ValueError as err:  # such as names in quotation marks, with another separator
            problems.append(err)
            continue
        if text_field in names:
            return names, delimiter
        readable.append((names, delimiter))
    if not readable:
        raise problems[0]
    return readable[0]


def write_csv(
    names: Iterable[str],
    records: Iterable[Mapping[str, object]],
    file_: BinaryIO,
    *,
    separator: str = ",",
) -> int:
    """Write records as CSV in UTF-8, with a header.

    Strings stay as they are, and a missing value or null is empty. Other values are JSON.

    names (Iterable[str]): The fields to write.
    records (Iterable[dict]): The records.
    file_ (BinaryIO): The file.
    separator (str): Stands between the fields.
    RETURNS (int): Number of records.
    """
    names = list(names)
    text = TextIOWrapper(file_, encoding="utf-8", newline="")
    writer = csv.writer(_ShortLineEnds(text), delimiter=separator)
    writer.writerow(names)
    n_rows = 0
    for record in records:
        writer.writerow([_render_value(record.get(name)) for name in names])
        n_rows += 1
    text.detach()
    return n_rows


def _read_names(path: Path, delimiter: str) -> list[str]:
    """Return the fields of the first record of a file; empty if there is none."""
    _, names, problem = next(_read_records(path, delimiter), (1, [], None))
    if problem is not None or not _is_unicode(names):
        raise ValueError(
            f"{path}: the header cannot be read ({problem or 'not UTF-8'}). Save the file as CSV "
            "in UTF-8, with the names of the fields in its first line"
        )
    return names


def _read_records(path: Path, delimiter: str) -> Iterator[tuple[int, list[str], str | None]]:
    """Return the line at which each record begins, its fields, and what is wrong with it."""
    csv.field_size_limit(_MAX_FIELD)
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file_:
        reader = csv.reader(file_, delimiter=delimiter, strict=True)
        for _ in count():
            line = reader.line_num + 1
            try:
                yield line, next(reader), None
            except StopIteration:
                return
            except csv.Error as err:
                if reader.line_num > line and _UNCLOSED in str(err):
                    raise ValueError(
                        f"{path}: a field in quotation marks begins in line {line} and does not "
                        "end. Close it, or double the quotation mark"
                    ) from err
                yield line, [], _describe_error(err, line, reader.line_num)


def _describe_error(err: csv.Error, first: int, last: int) -> str:
    if first == last:
        return f"invalid CSV: {err}"
    return (
        f"invalid CSV in lines {first} to {last}, of which none is read: {err}. Close the field "
        "that begins with a quotation mark there, or double the quotation mark"
    )


def _find_problem(names: Sequence[str], fields: Sequence[str]) -> str | None:
    if len(names) != len(fields):
        return f"it has {len(fields)} fields; the header has {len(names)}"
    if not _is_unicode(fields):
        return "not valid Unicode: the file is not UTF-8 here"
    return None


def _is_unicode(fields: Iterable[str]) -> bool:
    """Check whether fields were UTF-8. Other bytes were read as halves of surrogate pairs."""
    try:
        "".join(fields).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _repair_id(record: Record, problem: str | None) -> Record:
    """Return the record, or the `id` of a bad record with the bytes replaced that are not UTF-8."""
    if problem is None:
        return record
    if ID not in record:
        return {}
    data = str(record[ID]).encode("utf-8", errors="surrogateescape")
    return {ID: data.decode("utf-8", errors="replace")}


def _render_value(value: object) -> str:
    plain = to_plain(value)
    if plain is None:
        return ""
    if isinstance(plain, str):
        return plain
    return dump_json(plain)
