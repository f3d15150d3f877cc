"""The files of annotation formats: text, lines of text and JSON values."""

import codecs
import json
from collections.abc import Iterable, Iterator
from functools import partial
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import TypeAlias

from ..files import open_output

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
    if path.is_dir():
        raise ValueError(f"{path}: is a folder; expected a file. Name the file in it")
    if not path.is_file():
        raise ValueError(f"{path}: no such file. Check the path")
    return path


def check_json_file(path: str | Path) -> Path:
    """Check that a file of JSON exists and is not in UTF-16 or UTF-32.

    path (str | Path): The file.
    RETURNS (Path): The same path.
    RAISES (ValueError): If there is no such file, or its first bytes are none of UTF-8.
    """
    path = check_file(path)
    with path.open("rb") as file_:
        first = file_.read(4)
    # JSON begins with a character of ASCII. UTF-16 gives it a byte of 0, and UTF-32 three of them.
    encoding = ""
    if first.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)) or first.count(0) == 3:
        encoding = "UTF-32"
    elif first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or 0 in first:
        encoding = "UTF-16"
    if encoding:
        raise ValueError(f"{path}: not UTF-8 text, but {encoding}. Save the file in UTF-8")
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
            f"{path}, line {err.lineno}, column {err.colno}: invalid JSON ({err.msg}). Correct it"
        ) from err
    except RecursionError as err:
        raise ValueError(f"{path}: its JSON is nested too deeply. Remove the nested value") from err
    except ValueError as err:  # Python's limit
        raise ValueError(f"{path}: an integer has too many digits. Correct it") from err


def read_lines(path: str | Path) -> Iterator[str]:
    """Read the lines of a file, for formats with one annotation or one JSON object a line.

    path (str | Path): The file, with or without a byte order mark.
    RETURNS (Iterator[str]): Each line without its end. Blank lines are included, so that positions
        are line numbers. A line that is not UTF-8 raises a ValueError; the following lines can
        still be read.
    RAISES (ValueError): If the file does not exist.
    """
    # The file is split as bytes. As text, other characters would end a line too, such as U+2028,
    # which is valid inside a JSON string.
    lines = BytesIO(check_file(path).read_bytes())
    return map(partial(_decode_line, str(path)), count(1), lines)


def render_line(value: object) -> str:
    """Return a value as one line of JSON.

    value (object): The value: strings, numbers, lists and dicts.
    RETURNS (str): Its JSON, with characters beyond ASCII as they are.
    """
    return json.dumps(value, ensure_ascii=False)


def write_json(path: str | Path, value: object) -> None:
    """Write a JSON file in UTF-8, whole or not at all.

    path (str | Path): The file; its folder is made if needed. It is replaced if it exists.
    value (object): The value to write: strings, numbers, lists and dicts.
    """
    write_lines(path, [render_line(value)])


def write_lines(path: str | Path, lines: Iterable[str]) -> None:
    """Write lines of text in UTF-8, whole or not at all.

    path (str | Path): The file; its folder is made if needed. It is replaced if it exists.
    lines (Iterable[str]): The lines, without their ends.
    RAISES (OSError): If the file cannot be written; an old one is kept.
    """
    with open_output(path) as file_:
        for line in lines:
            file_.write(f"{line}\n".encode())


def _decode(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as err:
        raise ValueError(
            f"{where}: not UTF-8 text (byte {err.start}: {err.reason}). Save the file in UTF-8"
        ) from err


def _decode_line(source: str, number: int, line: bytes) -> str:
    text = _decode(line, f"{source}, line {number}").rstrip("\r\n")
    if number == 1:
        text = text.removeprefix(BYTE_ORDER_MARK)
    return text
