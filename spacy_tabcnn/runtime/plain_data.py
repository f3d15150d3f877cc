"""Plain data of a model directory: msgpack and JSON from a file that is not trusted."""

import json
from typing import TypeGuard, TypeVar

import srsly

# The place of an error of an encoder, whose loader does not know its path.
ENCODER_FILE = "The encoder (the file `model` in the folder of its component)"

# The way out where a message knows no better one.
ADVICE = "Get the pipeline from its author again, or train it again"

ValueT = TypeVar("ValueT")


class AdvisedError(ValueError):
    """Data is refused, with a message that ends with the way out."""


def read_msgpack(data: bytes) -> object:
    """Read msgpack as plain data: numbers, text, bytes, lists and mappings.

    Arrays of numpy are left as mappings; see `saved_layers`. A list or a text cannot claim to be
    larger than the data.

    data (bytes): The data.
    RETURNS (object): The plain data.
    RAISES (ValueError): If the data is no msgpack, holds a type of an extension, or has the same
        key twice in a mapping.
    """
    try:
        value: object = srsly.msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=False,
            object_pairs_hook=_make_mapping,
            ext_hook=_refuse_extension,
        )
    except (ValueError, TypeError, OverflowError, MemoryError, RecursionError) as err:
        raise ValueError(f"it is damaged: no msgpack ({describe(err)})") from err
    return value


def read_json(data: bytes) -> object:
    """Read JSON.

    data (bytes): The data, in UTF-8.
    RETURNS (object): The value.
    RAISES (ValueError): If the data is no JSON.
    """
    try:
        value: object = json.loads(data)
    except (ValueError, MemoryError, RecursionError) as err:
        raise ValueError(f"it is damaged: no JSON ({describe(err)})") from err
    return value


def check_mapping(value: object, name: str) -> dict[str, object]:
    """Check that a value is a mapping with texts as keys.

    value (object): The value.
    name (str): Its name, for a message.
    RETURNS (dict[str, object]): The value.
    RAISES (ValueError): If it is not.
    """
    if not isinstance(value, dict):
        raise ValueError(f"{name} is a {type(value).__name__}; expected a mapping")
    for key in value:
        if not isinstance(key, str):
            raise ValueError(f"{name} has the key {key!r:.100}; expected text")
    return value


def take(mapping: dict[str, object], key: str, kind: type[ValueT], name: str) -> ValueT:
    """Return a value of a mapping, which must have a type.

    mapping (dict[str, object]): The mapping.
    key (str): The key of the value.
    kind (type): The type.
    name (str): The name of the mapping, for a message.
    RETURNS (object): The value.
    RAISES (ValueError): If there is no such key, or the value is of another type.
    """
    if key not in mapping:
        raise ValueError(f"{name} has no {key!r}")
    value = mapping[key]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(
            f"{key!r} of {name} is a {type(value).__name__}; expected a {kind.__name__}"
        )
    return value


def is_size(value: object) -> TypeGuard[int]:
    """Check whether a value can be the size of an array.

    value (object): The value.
    RETURNS (bool): True if it is a whole number from 0 to 2**31 - 1.
    """
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**31


def describe(error: BaseException) -> str:
    """Return the text of an error, or its type if it has none, cut to a line.

    error (BaseException): The error.
    RETURNS (str): The text.
    """
    text = " ".join(str(error).split()) or type(error).__name__
    if len(text) > 300:
        text = f"{text[:300]} ..."
    return text


def _make_mapping(pairs: list[tuple[object, object]]) -> dict[object, object]:
    mapping = dict(pairs)
    if len(mapping) != len(pairs):
        raise ValueError("a mapping has the same key twice")
    return mapping


def _refuse_extension(code: int, data: bytes) -> object:
    raise ValueError(f"extension type {code}")
