"""The files of annotation formats: text, lines of text and JSON values."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

BYTE_ORDER_MARK = "\ufeff"

# A decoded JSON value. The functions of `fields` check its type.
JsonValue: TypeAlias = "str | int | float | bool | list[JsonValue] | dict[str, JsonValue] | None"
# A JSON object to write.
JsonObject: TypeAlias = dict[str, object]


def check_file(path: str | Path) -> Path:
    """Check that a file exists.

    path (str | Path): The file.
    RETURNS (Path): The same path.
    RAISES (ValueError): If there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file. Check the path")
    return path


def read_text(path: str | Path) -> str:
    """Read a UTF-8 file without any change.

    path (str | Path): The file.
    RETURNS (str): Its text. A byte order mark and Windows line ends stay, since some offsets count
        them.
    RAISES (ValueError): If the file does not exist or is not UTF-8.
    """
    path = check_file(path)
    return _decode(path.read_bytes(), str(path))


def read_json(path: str | Path) -> JsonValue:
    """Read a JSON file.

    path (str | Path): The file.
    RETURNS (JsonValue): The decoded value.
    RAISES (ValueError): If the file does not exist or is not JSON in UTF-8.
    """
    text = read_text(path).removeprefix(BYTE_ORDER_MARK)
    try:
        return json.loads(text)
    except json.JSONDecodeError as err:
        raise ValueError(
            f"{path}, line {err.lineno}, column {err.colno}: invalid JSON ({err.msg}). "
            "Expected one JSON array of sentences; a file with one object a line ends in .jsonl"
        ) from err


def read_lines(path: str | Path) -> Iterator[str]:
    """Read the lines of a file one by one, for formats with one JSON object a line.

    path (str | Path): The file, with or without a byte order mark.
    YIELDS (str): Each line without its end. Blank lines are included, so that positions are line
        numbers.
    RAISES (ValueError): If the file does not exist or a line is not UTF-8.
    """
    path = check_file(path)
    # The file is split as bytes. As text, other characters would end a line too, such as U+2028,
    # which is valid inside a JSON string.
    with path.open("rb") as file_:
        for number, line in enumerate(file_, start=1):
            text = _decode(line, f"{path}, line {number}").rstrip("\r\n")
            if number == 1:
                text = text.removeprefix(BYTE_ORDER_MARK)
            yield text


def parse_lines(lines: Iterable[str], source: str) -> Iterator[tuple[str, JsonValue]]:
    """Decode one JSON value a line.

    lines (Iterable[str]): The lines; blank lines are skipped.
    source (str): The file, for messages.
    YIELDS (tuple[str, JsonValue]): File and line, for messages, and the value.
    RAISES (ValueError): If a line is not JSON.
    """
    for number, line in enumerate(lines, start=1):
        if line.strip():
            where = f"{source}, line {number}"
            yield where, _parse_line(line, where)


def render_line(value: object) -> str:
    """Return a value as one line of JSON.

    value (object): The value: strings, numbers, lists and dicts.
    RETURNS (str): Its JSON, with characters beyond ASCII as they are.
    """
    return json.dumps(value, ensure_ascii=False)


def write_json(path: str | Path, value: object) -> None:
    """Write a JSON file in UTF-8 and make its folder if needed.

    path (str | Path): The file.
    value (object): The value to write: strings, numbers, lists and dicts.
    """
    write_lines(path, [render_line(value)])


def write_lines(path: str | Path, lines: Iterable[str]) -> None:
    """Write lines of text in UTF-8 and make the folder if needed.

    path (str | Path): The file.
    lines (Iterable[str]): The lines, without their ends.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="\n") as file_:
        for line in lines:
            file_.write(f"{line}\n")


def _decode(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as err:
        raise ValueError(
            f"{where}: not UTF-8 text (byte {err.start}: {err.reason}). Save the file in UTF-8"
        ) from err


def _parse_line(line: str, where: str) -> JsonValue:
    try:
        return json.loads(line)
    except json.JSONDecodeError as err:
        raise ValueError(
            f"{where}, column {err.colno}: invalid JSON ({err.msg}). Expected one object a line"
        ) from err
