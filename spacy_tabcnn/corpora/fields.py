"""Checked access to the fields of JSON objects, with messages that name the place and the fix."""

import json
from collections.abc import Iterator
from typing import TypeVar

from .files import JsonValue

_KINDS: dict[type, str] = {str: "a string", int: "an integer", list: "a list", dict: "an object"}
FieldT = TypeVar("FieldT", str, int, list, dict)


def check_array(data: JsonValue, source: str) -> list[JsonValue]:
    """Check that the content of a file is a JSON array.

    data (JsonValue): The decoded content.
    source (str): The file, for messages.
    RETURNS (list[JsonValue]): The same content.
    RAISES (ValueError): If it is not a list.
    """
    if not isinstance(data, list):
        raise ValueError(
            f"{source}: holds {describe(data)} at its top level; expected a JSON array of sentences"
        )
    return data


def check_tokens(tokens: JsonValue, where: str) -> list[str]:
    """Check that a value is a list of tokens.

    tokens (JsonValue): The decoded value; an empty list is valid.
    where (str): File and sentence, for messages.
    RETURNS (list[str]): The tokens.
    RAISES (ValueError): If it is not a list, or an item is not a string or is empty.
    """
    if not isinstance(tokens, list):
        raise ValueError(f"{where}: found {describe(tokens)}; expected a list of tokens")
    checked = []
    for position, token in enumerate(tokens):
        if not isinstance(token, str) or not token:
            raise ValueError(
                f"{where}: token {position} is {describe(token)}; expected a non-empty string. "
                "Remove or correct it, and count the offsets again"
            )
        checked.append(token)
    return checked


def get_field(record: JsonValue, key: str, kind: type[FieldT], where: str) -> FieldT:
    """Return a field of a JSON object.

    record (JsonValue): The object.
    key (str): The field's name.
    kind (type): The type its value must have: str, int, list or dict.
    where (str): File and sentence, for messages.
    RETURNS (str | int | list | dict): The value.
    RAISES (ValueError): If the record is not an object, the field is missing or its value has
        another type.
    """
    if not isinstance(record, dict):
        raise ValueError(
            f"{where}: found {describe(record)}; expected an object with the field {key!r}"
        )
    if key not in record:
        raise ValueError(
            f"{where}: the field {key!r} is missing; found {sorted(record)}. Add it, or check the "
            "format"
        )
    value = record[key]
    # JSON's true and false would pass as integers.
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(
            f"{where}: the field {key!r} is {describe(value)}; expected {_KINDS[kind]}"
        )
    return value


def get_optional(record: JsonValue, key: str) -> JsonValue:
    """Return a field that may be absent.

    record (JsonValue): The JSON object.
    key (str): The field's name.
    RETURNS (JsonValue): The value; None if there is no such field, or the record is no object.
    """
    if isinstance(record, dict):
        return record.get(key)
    return None


def get_label(record: JsonValue, key: str, where: str) -> str:
    """Return a field that holds the label of an entity or a relation.

    record (JsonValue): The JSON object.
    key (str): The field's name.
    where (str): File and sentence, for messages.
    RETURNS (str): The label.
    RAISES (ValueError): If it is missing, not a string or empty.
    """
    label = get_field(record, key, str, where)
    if not label.strip():
        raise ValueError(
            f"{where}: the field {key!r} is {label!r}; expected a label of at least one letter"
        )
    return label


def get_items(
    record: JsonValue, key: str, unit: str, where: str
) -> Iterator[tuple[str, JsonValue]]:
    """Return the items of a field that holds a list, each with its place.

    record (JsonValue): The JSON object.
    key (str): The field's name.
    unit (str): Name of one item in messages, for example "entity".
    where (str): File and sentence, for messages.
    YIELDS (tuple[str, JsonValue]): The place of an item, for example
        "train.json, sentence 3, entity 0", and the item.
    RAISES (ValueError): If the field is missing or holds no list.
    """
    for position, item in enumerate(get_field(record, key, list, where)):
        yield f"{where}, {unit} {position}", item


def describe(value: JsonValue) -> str:
    """Return the type and the beginning of a JSON value, for messages.

    value (JsonValue): The decoded value.
    RETURNS (str): For example 'a string, "Paris"'.
    """
    name = _KINDS.get(type(value), type(value).__name__)
    return f"{name}, {shorten(json.dumps(value, ensure_ascii=False))}"


def shorten(text: str, limit: int = 40) -> str:
    """Return a text, or its beginning, for messages.

    text (str): The text.
    limit (int): Maximum number of characters.
    RETURNS (str): The text; a cut one ends in "…".
    """
    if len(text) <= limit:
        return text
    return text[: limit - 1] + "…"
