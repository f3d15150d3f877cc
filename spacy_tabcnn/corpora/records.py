"""The records of an annotation file, and documents made of them.

A record is the JSON value of one document. A file holds its records in one of three layouts: one
record a line, one array, or records one after the other over several lines, as pretty-printed JSON.

Each record is decoded by itself. So all bad records of a file are found in one run, and the others
can be read without them.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeAlias, TypeVar

from spacy.tokens import Doc

from .conversion import ConversionReport, LeftOutError
from .fields import check_array, shorten
from .files import BYTE_ORDER_MARK, JsonValue, check_json_file, read_lines, read_text

ItemT = TypeVar("ItemT")

# Maximum number of bad records that a message lists.
MAX_LISTED = 200

# The parts of JSON that say where a value ends: strings, brackets and commas. A string that is not
# closed ends with the text. Otherwise each quote inside it would begin a search of its own.
_STRUCTURE = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[\[\]{},]', re.DOTALL)
# The change of the number of open brackets at such a part.
_STEPS = {"[": 1, "{": 1, "]": -1, "}": -1}
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class Record(NamedTuple):
    """The JSON value of one document.

    where (str): File and place, for messages.
    value (JsonValue): The decoded value; None if it cannot be decoded.
    problem (str): The reason why it cannot be decoded or used, with its place; empty if it can.
    """

    where: str
    value: JsonValue
    problem: str = ""


# The records of a file, its lines, or the items of its array.
Content: TypeAlias = "Iterable[Record] | Iterable[str] | JsonValue"


def read_records(path: str | Path, *, unit: str) -> Iterator[Record]:
    """Read the records of a file in any layout.

    path (str | Path): The file, in UTF-8.
    unit (str): The name of a record in messages, for example "sentence".
    YIELDS (Record): The records. A file with one record a line names their lines.
    RAISES (ValueError): If the file does not exist, or is an array and not UTF-8.
    """
    path = check_json_file(path)
    if _has_one_a_line(path):
        yield from _read_lines(path)
    else:
        text = read_text(path).removeprefix(BYTE_ORDER_MARK)
        items = _decode_array(text)
        if items is None:
            yield from _split_values(text, str(path), unit)
        else:
            yield from to_records(items, str(path), unit)


def find_first_object(path: str | Path) -> dict[str, JsonValue]:
    """Find the first record of a file that is a JSON object.

    path (str | Path): The file, in UTF-8.
    RETURNS (dict[str, JsonValue]): The record, or an empty object if there is none.
    RAISES (ValueError): If the file does not exist; or if records cannot be decoded, and no other
        record is an object.
    """
    value = _decode_first(check_json_file(path))
    if isinstance(value, dict):
        return value
    problems = []
    for record in read_records(path, unit="record"):
        if isinstance(record.value, dict):
            return record.value
        if record.problem:
            problems.append(record.problem)
    if problems:
        raise ValueError(list_problems(problems, str(path)))
    return {}


def to_records(
    content: Content, source: str, unit: str, *, has_lines: bool = False
) -> Iterator[Record]:
    """Return the records of a file's content.

    content (Content): Records, which stay as they are; a decoded JSON array; or lines of JSON, with
        blank lines that are skipped.
    source (str): The file, for messages.
    unit (str): The name of an array's item in messages, for example "sentence".
    has_lines (bool): Whether strings are lines of JSON. Otherwise they are items of an array.
    YIELDS (Record): The records.
    RAISES (ValueError): If the content is a decoded value, but no array.
    """
    if content is None or isinstance(content, str | int | float | dict):
        content = check_array(content, source)
    for position, item in enumerate(content):
        if isinstance(item, Record):
            yield item
        elif isinstance(item, str) and has_lines:
            yield from _parse_line(item, f"{source}, line {position + 1}")
        else:
            yield Record(f"{source}, {unit} {position}", item)


def collect_docs(
    items: Iterable[tuple[str, ItemT]],
    read_item: Callable[[ItemT, ConversionReport, str], list[Doc]],
    report: ConversionReport,
    *,
    skip_bad: bool,
) -> list[Doc]:
    """Read the documents of all items of a file, and report the bad items together.

    items (Iterable[tuple[str, ItemT]]): The place of each item, for messages, and the item.
    read_item (Callable): Returns the documents of an item and counts its parts. It raises a
        ValueError if the item is bad.
    report (ConversionReport): Counts the parts of the items that are not bad.
    skip_bad (bool): Leave out bad items, and name them in the report.
    RETURNS (list[Doc]): The documents.
    RAISES (ValueError): If items are bad and not left out, or in strict mode.
    """
    docs: list[Doc] = []
    problems: list[str] = []
    for where, item in items:
        part = ConversionReport(report.source, report.strict)
        try:
            docs += read_item(item, part, where)
        except LeftOutError as err:
            problems.append(str(err))
        except (ValueError, RecursionError) as err:
            problem = _describe_problem(err, where)
            if skip_bad:
                report.bad_records.append(problem)
            else:
                problems.append(problem)
        else:
            report.merge(part)
    if problems:
        raise ValueError(list_problems(problems, report.source))
    return docs


def collect_record_docs(
    records: Iterable[Record],
    read_value: Callable[[JsonValue, ConversionReport, str], list[Doc]],
    report: ConversionReport,
    *,
    skip_bad: bool,
) -> list[Doc]:
    """Read the documents of the records of a file, as `collect_docs`.

    records (Iterable[Record]): The records. A record that cannot be decoded is bad.
    read_value (Callable): Returns the documents of the value of a record.
    report (ConversionReport): Counts the parts of the records that are not bad.
    skip_bad (bool): Leave out bad records, and name them in the report.
    RETURNS (list[Doc]): The documents.
    RAISES (ValueError): If records are bad and not left out, or in strict mode.
    """

    def read_record(record: Record, part: ConversionReport, where: str) -> list[Doc]:
        if record.problem:
            raise ValueError(record.problem)
        return read_value(record.value, part, where)

    items = ((record.where, record) for record in records)
    return collect_docs(items, read_record, report, skip_bad=skip_bad)


def list_problems(problems: list[str], source: str) -> str:
    """Return the message about the bad records of a file.

    problems (list[str]): The problem of each record, with its place.
    source (str): The file.
    RETURNS (str): The one problem, or a list with a line for each.
    """
    if len(problems) == 1:
        return problems[0]
    lines = [f"{source}: {len(problems)} records cannot be read."]
    for problem in islice(problems, MAX_LISTED):
        lines.append(f"- {problem}")
    if len(problems) > MAX_LISTED:
        lines.append(f"- and {len(problems) - MAX_LISTED} more")
    return "\n".join(lines)


def _describe_problem(err: Exception, where: str) -> str:
    """Return the message of an error, with the place of its record."""
    text = str(err)
    if isinstance(err, RecursionError):
        text = "its JSON is nested too deeply. Remove the nested value"
    source = where.partition(", ")[0]
    if text.startswith((where, f"{source}, ")):
        return text
    return f"{where}: {text}"


def _has_one_a_line(path: Path) -> bool:
    """Check whether a file has one record a line."""
    text = path.read_bytes().decode("utf-8", errors="replace").removeprefix(BYTE_ORDER_MARK)
    first, second = _find_first_lines(text)
    if first.startswith("["):
        return False
    if not first.startswith("{") or _is_json(first) or _count_open(first) == 0:
        return True
    # The first record is not closed on its line: it is pretty-printed, or its line is cut off.
    return second.startswith("{") and _count_open(text) != 0


def _decode_first(path: Path) -> JsonValue:
    """Return the first value in a file, or in the array of a file; None if there is a problem."""
    text = path.read_bytes().decode("utf-8", errors="replace").removeprefix(BYTE_ORDER_MARK)
    start = text.find("{")
    if start < 0 or text[:start].strip() not in ("", "["):
        return None
    try:
        value, _ = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    return value


def _is_json(text: str) -> bool:
    """Check whether a text is one value. This takes less time than to count brackets."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _find_first_lines(text: str) -> tuple[str, str]:
    """Return the first two lines that are not blank; a line that is missing is empty."""
    found = [match.group() for match in islice(re.finditer(r"\S.*", text), 2)]
    found += ["", ""]
    return found[0], found[1]


def _count_open(text: str) -> int:
    """Return the number of brackets that stay open."""
    depth = 0
    for match in _STRUCTURE.finditer(text):
        depth += _STEPS.get(match.group(), 0)
    return depth


def _read_lines(path: Path) -> Iterator[Record]:
    lines = read_lines(path)
    number = 0
    while True:
        number += 1
        where = f"{path}, line {number}"
        try:
            line = next(lines)
        except StopIteration:
            return
        except ValueError as err:
            yield Record(where, None, str(err))
            continue
        yield from _parse_line(line, where)


def _parse_line(line: str, where: str) -> list[Record]:
    """Return the record of a line, or nothing for a blank line."""

    def place(err: json.JSONDecodeError) -> str:
        return f"{where}, column {err.colno}: invalid JSON ({err.msg}). Expected one object a line"

    if not line.strip():
        return []
    return [_decode(line, where, place)]


def _decode_array(text: str) -> list[JsonValue] | None:
    """Return the items of an array without any problem, or None.

    This takes less time than to decode each item by itself.
    """
    repeated: list[str] = []
    try:
        value = json.loads(text, object_pairs_hook=partial(_make_object, repeated))
    except (ValueError, RecursionError):
        return None
    if repeated or not isinstance(value, list) or _SURROGATE.search(text):
        return None
    return value


def _split_values(text: str, source: str, unit: str) -> Iterator[Record]:
    """Return the records of an array, or of values that follow each other."""
    position = 0
    lines = _LineNumbers(text)
    for start, end in _find_values(text):
        where = f"{source}, {unit} {position}"
        if start == len(text):
            problem = f"{where}: the file ends before its array ends. Export it again"
            yield Record(where, None, problem)
        elif text[start:end].strip():
            place = partial(_place_in_file, lines, start, source, f"{unit} {position}")
            yield _decode(text[start:end], where, place)
            position += 1


class _LineNumbers:
    """The numbers of lines in a text, for positions in ascending order.

    text (str): The text.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._line = 1  # the line of the position that was asked for last
        self._start = 0  # its first character

    def find(self, position: int) -> tuple[int, int]:
        """Return the line and the column of a position.

        position (int): The position, not before the last one.
        RETURNS (tuple[int, int]): Both count from 1.
        """
        self._line += self.text.count("\n", self._start, position)
        self._start = max(self._start, self.text.rfind("\n", self._start, position) + 1)
        return self._line, position - self._start + 1


def _place_in_file(
    lines: _LineNumbers, start: int, source: str, name: str, err: json.JSONDecodeError
) -> str:
    """Return the message about invalid JSON in the value that begins at `start`."""
    line, column = lines.find(start + err.pos)
    return (
        f"{source}, line {line}, column {column}: invalid JSON ({err.msg}) in {name}. "
        "Correct it, or export the file again"
    )


def _find_values(text: str) -> Iterator[tuple[int, int]]:
    """Return the start and end of each item of an array, or of each value outside arrays.

    Values may be blank. One that begins at the end of the text means that an array is not closed.
    For example, the text `[{}, 1` has the values ``, `{}`, ` 1` and an empty one.
    """
    depth = start = 0
    in_array = False
    for match in _STRUCTURE.finditer(text):
        token, before = match.group(), depth
        depth = max(depth + _STEPS.get(token, 0), 0)
        if token == "[" and before == 0:
            yield start, match.start()  # blank, unless something precedes the array
            in_array, start = True, match.end()
        elif _ends_value(token, before, depth, in_array):
            yield start, _find_end(match, in_array)
            start = match.end()
            in_array = in_array and depth > 0
    if start < len(text):
        yield start, len(text)
    if in_array:
        yield len(text), len(text)


def _ends_value(token: str, before: int, depth: int, in_array: bool) -> bool:
    """Check whether a token ends a value; `before` is the number of open brackets before it."""
    if token == ",":
        return in_array and depth == 1
    return before == 1 and depth == 0


def _find_end(match: re.Match[str], in_array: bool) -> int:
    """Return the end of a value, which does not hold the comma or the bracket of its array."""
    # Another bracket belongs to the value, and so makes it invalid.
    if in_array and match.group() in (",", "]"):
        return match.start()
    return match.end()


def _decode(text: str, where: str, place: Callable[[json.JSONDecodeError], str]) -> Record:
    """Return the record of a JSON text; `place` makes the message about invalid JSON."""
    repeated: list[str] = []
    try:
        value = json.loads(text, object_pairs_hook=partial(_make_object, repeated))
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as err:
        return Record(where, None, place(err))
    except UnicodeEncodeError as err:
        half = ascii(err.object[err.start])
        problem = f"a string holds {half}, half of a character. Remove or correct it"
        return Record(where, value, f"{where}: {problem}")
    except RecursionError as err:
        return Record(where, None, _describe_problem(err, where))
    except ValueError:  # Python's limit
        problem = f"an integer has more than {sys.get_int_max_str_digits()} digits. Correct it"
        return Record(where, None, f"{where}: {problem}")
    if repeated:
        key = shorten(repeated[0])
        problem = f"{where}: the key {key!r} occurs twice in one object. Remove one of them"
        return Record(where, value, problem)
    return Record(where, value)


def _make_object(repeated: list[str], pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    """Return a JSON object, and add its repeated keys to a list."""
    record: dict[str, JsonValue] = {}
    for key, value in pairs:
        if key in record:
            repeated.append(key)
        record[key] = value
    return record
