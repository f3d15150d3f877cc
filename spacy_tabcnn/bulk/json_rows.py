"""One document a line: JSON objects, and the reasons why some lines hold none."""

import json
import math
from base64 import b64encode
from datetime import date, time
from functools import partial
from typing import TypeAlias

# The fields of a row: values of JSON; in Parquet also dates, times, bytes and decimals.
Record: TypeAlias = dict[str, object]

# The field that names a document, if it has one.
ID = "id"
# A record is nested at most so deep. Python's own limit comes late: when a record is written.
MAX_DEPTH = 100


def parse_line(line: bytes) -> tuple[Record, str | None]:
    """Decode the JSON object of a line.

    line (bytes): The line, without its end.
    RETURNS (tuple[dict, str | None]): The object and None; or the `id` alone, if there is one, and
        the reason why the object cannot be annotated.
    """
    problem = _find_decoding_problem(line)
    text = line.decode("utf-8", errors="replace")
    repeated: list[str] = []
    try:
        record = json.loads(text, object_pairs_hook=partial(_make_object, repeated))
    except (ValueError, RecursionError) as err:
        return pick_id(_parse_leniently(text)), problem or f"invalid JSON: {err}"
    if not isinstance(record, dict):
        name = type(record).__name__
        return {}, problem or f"invalid JSON: expected an object instead of {name}"
    problem = problem or _find_problem(record, repeated, text)
    if problem is None:
        return record, None
    return pick_id(record), problem


def pick_id(record: object) -> Record:
    """Return the field `id` of a record alone, if it has one that is not nested too deep.

    record (object): The record, or any other value.
    RETURNS (dict): The field; empty if there is none.
    """
    if isinstance(record, dict) and ID in record and not _is_deep(record[ID]):
        return {ID: record[ID]}
    return {}


def dump_json(value: object) -> str:
    """Return a value as JSON on one line.

    Values that JSON cannot hold are replaced: a number that is not finite by null, a date by its
    ISO form, bytes by their base64, anything else by its `str`.

    value (object): A value out of JSON or Parquet.
    RETURNS (str): The JSON.
    """
    return json.dumps(to_plain(value), ensure_ascii=False, allow_nan=False)


def encode_line(value: object) -> bytes:
    """Return a value as a line of JSON in UTF-8.

    Half a surrogate pair is escaped.

    value (object): A value out of JSON or Parquet.
    RETURNS (bytes): The line, with its end.
    """
    try:
        return f"{dump_json(value)}\n".encode()
    except UnicodeEncodeError:
        return f"{json.dumps(to_plain(value), allow_nan=False)}\n".encode()


def to_plain(value: object) -> object:
    """Return a value with everything replaced that JSON cannot hold, as in `dump_json`.

    value (object): A value out of JSON or Parquet.
    RETURNS (object): A value of JSON.
    """
    if isinstance(value, dict):
        plain = {}
        for key, item in value.items():
            plain[str(key)] = to_plain(item)
        return plain
    if isinstance(value, list | tuple):
        return list(map(to_plain, value))
    return _to_plain_scalar(value)


def _to_plain_scalar(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        return b64encode(value).decode("ascii")
    return str(value)


def _find_decoding_problem(line: bytes) -> str | None:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as err:
        return f"not valid Unicode: {err}"
    return None


def _make_object(repeated: list[str], pairs: list[tuple[str, object]]) -> Record:
    """Return a JSON object, and add its repeated fields to a list."""
    record: Record = {}
    for name, value in pairs:
        if name in record:
            repeated.append(name)
        record[name] = value
    return record


def _parse_leniently(text: str) -> object:
    """Decode JSON with integers of any length, which stay text; None if it is no JSON."""
    try:
        return json.loads(text, parse_int=_parse_int)
    except (ValueError, RecursionError):
        return None


def _parse_int(text: str) -> int | str:
    """Return an integer, or its digits if there are too many for Python."""
    try:
        return int(text)
    except ValueError:
        return text


def _find_problem(record: Record, repeated: list[str], text: str) -> str | None:
    """Return the reason why a record cannot be annotated and written, or None."""
    if repeated:
        return f"the field {repeated[0]!r} occurs twice in one object"
    if text.count("[") + text.count("{") > MAX_DEPTH and _is_deep(record):
        return f"nested more than {MAX_DEPTH} levels deep"
    if "\\u" in text:
        return _find_half_pair(record)
    return None


def _find_half_pair(record: Record) -> str | None:
    """Return the reason for refusing half a surrogate pair, or None if there is none."""
    try:
        json.dumps(record, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as err:
        return f"not valid Unicode: {err}"
    return None


def _is_deep(value: object) -> bool:
    """Check whether a value is nested deeper than `MAX_DEPTH`, level by level."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        deeper: list[object] = []
        for item in level:
            if isinstance(item, dict):
                deeper += item.values()
            elif isinstance(item, list):
                deeper += item
        if not deeper:
            return False
        level = deeper
    return True
