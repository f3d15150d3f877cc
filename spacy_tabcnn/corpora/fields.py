"""Checked access to the fields of JSON objects, with messages that name the place and the fix."""

import json
import math
from collections.abc import Container, Iterable, Iterator
from functools import partial
from typing import TypeGuard, TypeVar

from .files import JsonValue

# Maximum number of characters of a value in a message.
MAX_SHOWN = 40
_KINDS: dict[type, str] = {str: "a string", int: "an integer", list: "a list", dict: "an object"}
# The names of values in messages; those of `_KINDS` are also the types that a field may have.
_SHOWN_KINDS = {**_KINDS, float: "a number", bool: "a truth value"}
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


def check_list(value: JsonValue, unit: str, where: str) -> list[JsonValue]:
    """Check that a value inside a file is a list.

    value (JsonValue): The decoded value.
    unit (str): Name of the items in messages, in the plural, for example "tokens".
    where (str): File and sentence, for messages.
    RETURNS (list[JsonValue]): The same value.
    RAISES (ValueError): If it is not a list.
    """
    if not isinstance(value, list):
        raise ValueError(f"{where}: found {describe(value)}; expected a list of {unit}")
    return value


def check_tokens(tokens: JsonValue, where: str) -> list[str]:
    """Check that a value is a list of tokens.

    tokens (JsonValue): The decoded value; an empty list is valid.
    where (str): File and sentence, for messages.
    RETURNS (list[str]): The tokens.
    RAISES (ValueError): If it is not a list, or an item is not a string or is empty.
    """
    checked = []
    for position, token in enumerate(check_list(tokens, "tokens", where)):
        if not isinstance(token, str) or not token:
            raise ValueError(
                f"{where}: token {position} is {describe(token)}; expected a non-empty string. "
                "Remove or correct it, and count the offsets again"
            )
        checked.append(token)
    return checked


def check_offsets(start: int, end: int, length: int, units: str, where: str) -> None:
    """Check that an entity lies in its text or sentence.

    start (int): Its first token or character.
    end (int): The token or character after its last one.
    length (int): The number of tokens or characters of the text or sentence.
    units (str): "tokens" or "characters", for messages.
    where (str): File, line and item, for messages.
    RAISES (ValueError): If the entity is not in the text, or is empty.
    """
    if not 0 <= start < end <= length:
        raise ValueError(
            f"{where}: it spans {units} {show_number(start)} to {show_number(end)} (exclusive), "
            f"but the text has {length} {units} and an entity has at least one. Correct its offsets"
        )


def get_field(
    record: JsonValue,
    key: str,
    kind: type[FieldT],
    where: str,
    *,
    default: FieldT | None = None,
) -> FieldT:
    """Return a field of a JSON object.

    record (JsonValue): The object.
    key (str): The field's name.
    kind (type): The type its value must have: str, int, list or dict.
    where (str): File and sentence, for messages.
    default (str | int | list | dict | None): The value of a field that is absent; None if the field
        must be there.
    RETURNS (str | int | list | dict): The value.
    RAISES (ValueError): If the record is not an object, the field is missing or its value has
        another type.
    """
    if not isinstance(record, dict):
        raise ValueError(
            f"{where}: found {describe(record)}; expected an object with the field {key!r}"
        )
    value = record.get(key, default)
    if value is None and key not in record:
        found = shorten(str(sorted(record)), 200)
        raise ValueError(
            f"{where}: the field {key!r} is missing; found {found}. Add it, or check the format"
        )
    # JSON's true and false would pass as integers.
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(
            f"{where}: the field {key!r} is {describe(value)}; expected {_KINDS[kind]}"
        )
    return value


def get_optional(record: JsonValue, key: str, default: JsonValue = None) -> JsonValue:
    """Return a field that may be absent and may have any type.

    record (JsonValue): The JSON object.
    key (str): The field's name.
    default (JsonValue): The value of a field that is absent.
    RETURNS (JsonValue): The value; the default if there is no such field, or the record is no
        object.
    """
    if isinstance(record, dict):
        return record.get(key, default)
    return default


def has_field(record: JsonValue, key: str) -> bool:
    """Check whether a JSON object has a field with a value.

    record (JsonValue): The JSON object.
    key (str): The field's name.
    RETURNS (bool): False if it has no such field, or null in it.
    """
    return get_optional(record, key) is not None


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
    record: JsonValue, key: str, unit: str, where: str, *, optional: bool = False
) -> Iterator[tuple[str, JsonValue]]:
    """Return the items of a field that holds a list, each with its place.

    record (JsonValue): The JSON object.
    key (str): The field's name.
    unit (str): Name of one item in messages, for example "entity".
    where (str): File and sentence, for messages.
    optional (bool): Whether the field may be absent.
    YIELDS (tuple[str, JsonValue]): The place of an item, for example
        "train.json, sentence 3, entity 0", and the item.
    RAISES (ValueError): If the field is missing or holds no list.
    """
    default: list[JsonValue] | None = None
    if optional:
        default = []
    for position, item in enumerate(get_field(record, key, list, where, default=default)):
        yield f"{where}, {unit} {position}", item


def get_orig_id(record: JsonValue, key: str, where: str) -> int | float | str | None:
    """Return the id of a document in its corpus.

    record (JsonValue): The JSON object.
    key (str): The field's name.
    where (str): File and position, for messages.
    RETURNS (int | float | str | None): The id; None if there is none.
    RAISES (ValueError): If it is neither a string nor a finite number of at most 64 bits.
    """
    orig_id = get_optional(record, key)
    if orig_id is None or isinstance(orig_id, str) or is_number_of_id(orig_id):
        return orig_id
    raise ValueError(
        f"{where}: the field {key!r} is {describe(orig_id)}; expected a string or a "
        "number, finite and of at most 64 bits"
    )


def is_number_of_id(value: object) -> TypeGuard[int | float]:
    """Check whether a value is a number that the id of a document can be.

    value (object): The value.
    RETURNS (bool): Whether it is a number, finite and of at most 64 bits: a .spacy file holds no
        larger integers.
    """
    if isinstance(value, float):
        return math.isfinite(value)
    # True and false would pass as integers.
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def find_text_field(
    record: JsonValue, where: str, *, text_field: str | None, others: Container[str] = ()
) -> str:
    """Return the name of the field that holds the text of a document.

    record (JsonValue): The JSON object.
    where (str): File and position, for messages.
    text_field (str | None): The name, if the user named it.
    others (Container[str]): Names of fields with strings that are no text.
    RETURNS (str): The name: the given one, "text", or the name of the only field with a string.
    RAISES (ValueError): If there is no such field, or more than one.
    """
    if text_field is not None:
        return text_field
    if not isinstance(record, dict) or "text" in record:
        return "text"
    found = []
    for key, value in record.items():
        is_hidden = key in others or key.startswith("_")
        if isinstance(value, str) and not is_hidden:
            found.append(key)
    if len(found) > 1:
        raise ValueError(
            f"{where}: the field 'text' is missing, and the text may be any of the fields "
            f"{shorten(', '.join(found), 200)}. Name its field with --text-field"
        )
    return next(iter(found), "text")


def has_any_field(record: JsonValue, keys: Iterable[str]) -> bool:
    """Check whether a JSON object has at least one of several fields with a value.

    record (JsonValue): The JSON object.
    keys (Iterable[str]): The names of the fields.
    RETURNS (bool): True if it has.
    """
    return any(map(partial(has_field, record), keys))


def locate(where: str, id_name: str, orig_id: JsonValue) -> str:
    """Return the place of a document with its id, for messages.

    where (str): File and position, for example "train.json, sentence 3".
    id_name (str): The field with the id.
    orig_id (JsonValue): The id, or None.
    RETURNS (str): For example "train.json, sentence 3 (orig_id 17)".
    """
    if orig_id is None:
        return where
    text = shorten(str(orig_id))
    if not text.isprintable():
        text = repr(text)
    return f"{where} ({id_name} {text})"


def describe(value: JsonValue) -> str:
    """Return the type and the beginning of a JSON value, for messages.

    value (JsonValue): The decoded value.
    RETURNS (str): For example 'a string, "Paris"'.
    """
    if value is None:
        return "null"
    name = _SHOWN_KINDS.get(type(value), type(value).__name__)
    if isinstance(value, str):
        value = value[: MAX_SHOWN + 1]
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (RecursionError, ValueError):  # nested too deeply, or an integer with too many digits
        return name
    return f"{name}, {shorten(text)}"


def show_number(number: int) -> str:
    """Return a number of a file for a message, since it may have thousands of digits.

    number (int): The number.
    RETURNS (str): Its digits; the first ones of a long number, and "…".
    """
    return shorten(str(number))


def shorten(text: str, limit: int = MAX_SHOWN) -> str:
    """Return a text, or its beginning, for messages.

    text (str): The text.
    limit (int): Maximum number of characters.
    RETURNS (str): The text; a cut one ends in "…".
    """
    if len(text) <= limit:
        return text
    return text[: limit - 1] + "…"
