"""JSON that is almost right: trees of values, odd values in them, and odd bytes in their text.

A tree consists of lists, of objects as `Pairs`, so that a key may occur twice, of plain values, and
of `Raw` pieces of JSON text.
"""

import json
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from hypothesis import strategies as st

Tree: TypeAlias = object


class Raw(str):
    """A piece of JSON text, which need not be valid."""


class Pairs(list):
    """An object: a list of lists of two items, key and value."""


class _Place(NamedTuple):
    """A value inside a tree: a list, and the index of the value in it."""

    parent: list
    index: int


DEEP = [Raw("[" * depth + "]" * depth) for depth in (100, 990, 5_000, 100_000)]
DEEP += [Raw('{"a":' * depth + "1" + "}" * depth) for depth in (300, 2_000, 50_000)]
DEEP += [Raw("[" * 3_000)]
NUMBERS = [-1, 0, 1, 2, 10**6, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63) - 1, 2**64, 2**128]
NUMBERS += [0.0, 1.0, 1.5, 1e300, Raw("1e999"), Raw("-1e999"), Raw("NaN"), Raw("Infinity")]
NUMBERS += [Raw("-Infinity"), Raw("1" + "0" * 4_400), Raw("-" + "9" * 20_000), Raw("1e-999")]
NUMBERS += [Raw("-0"), Raw("01"), Raw("0." + "1" * 5_000)]
STRINGS = ["", " ", "\n", "a", "T1", "0", "1", "\ufeff", "\x00", "a\x00b", "x" * 300, "../x", "a/b"]
STRINGS += ["CON", "nul.txt", "C:\\x", "\u2028", "\u200b", "é" * 200, "😀", "\x1b[31m", "null"]
STRINGS += [Raw('"\\ud800"'), Raw('"a\\udfff"'), Raw('"\\ud83d\\ude00"'), Raw('"\\u0000"')]
STRINGS += [Raw('"\\ufeffa"'), Raw('"\\x"'), Raw('"a\tb"')]
CONTAINERS = [[], Pairs(), [[]], [None], [0], [""], Pairs([["", None]]), Pairs([["a", 1]])]
ODD_VALUES = st.sampled_from([None, True, False, *NUMBERS, *STRINGS, *CONTAINERS, *DEEP])
ODD_KEYS = st.sampled_from(
    ["", "id", "text", "label", "\x00", "\ufeff", "x" * 300, Raw('"\\ud800"')]
)
_OPERATIONS = ["replace"] * 4 + ["delete", "repeat", "copy", "nudge", "wrap", "key", "twice"]

# Bytes to put into a text.
_PIECES = [
    b"\xff",
    b"\x00",
    b"\xed\xa0\x80",
    b"\xc3",
    b"\xef\xbb\xbf",
    b"\n",
    b"\r",
    b"\r\n",
    b"\t",
]
_PIECES += [
    b'"',
    b"\\",
    b"\\ud800",
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b":",
    b"0",
    b" ",
    b"\xe2\x80\xa8",
]
_PIECES += [b"\xf0\x9f\x98\x80", b"null", b"-", b"e", b"\x85", b"\x0b", b"\x1a"]
_ENCODINGS = ["utf-8"] * 12 + ["utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252"]
_LAYOUTS = ["array"] * 4 + ["lines"] * 4 + ["pretty", "pretty array", "rows", "crlf", "cr", "blank"]


def to_tree(value: object) -> Tree:
    """Return the tree of plain data."""
    if isinstance(value, dict):
        return Pairs([key, to_tree(item)] for key, item in value.items())
    if isinstance(value, list):
        return [to_tree(item) for item in value]
    return value


def render(tree: Tree, *, indent: int | None = None, level: int = 0) -> str:
    """Return the JSON text of a tree."""
    if isinstance(tree, Raw):
        return str(tree)
    if isinstance(tree, list):
        items = [_render_item(item, isinstance(tree, Pairs), indent, level + 1) for item in tree]
        opening, closing = "{}" if isinstance(tree, Pairs) else "[]"
        if indent is None or not items:
            return opening + ", ".join(items) + closing
        margin = "\n" + " " * indent * (level + 1)
        end = "\n" + " " * indent * level
        return opening + margin + f",{margin}".join(items) + end + closing
    return json.dumps(tree, ensure_ascii=False)


def _render_item(item: object, is_pair: bool, indent: int | None, level: int) -> str:
    if not is_pair:
        return render(item, indent=indent, level=level)
    key, value = item
    return f"{render(key)}: {render(value, indent=indent, level=level)}"


@st.composite
def mutated(draw: st.DrawFn, records: st.SearchStrategy[list], *, max_changes: int = 3) -> list:
    """Return records as trees, with a few odd values, keys or items."""
    root = [to_tree(draw(records))]
    for _ in range(draw(st.integers(0, max_changes))):
        _mutate(draw, root)
    return root[0] if isinstance(root[0], list) else [root[0]]


def _list_places(tree: Tree) -> Iterator[_Place]:
    """Return all values inside a tree. The values of an object's pairs count, not the pairs."""
    if not isinstance(tree, list):
        return
    for index, item in enumerate(tree):
        if isinstance(tree, Pairs):
            yield _Place(item, 1)
            yield from _list_places(item[1])
        else:
            yield _Place(tree, index)
            yield from _list_places(item)


def _copy(tree: Tree) -> Tree:
    if isinstance(tree, Pairs):
        return Pairs([key, _copy(value)] for key, value in tree)
    if isinstance(tree, list):
        return [_copy(item) for item in tree]
    return tree


def _list_objects(root: list) -> list[Pairs]:
    objects = []
    for parent, index in _list_places(root):
        if isinstance(parent[index], Pairs) and parent[index]:
            objects.append(parent[index])
    return objects


def _mutate(draw: st.DrawFn, root: list) -> None:
    """Change one place of a tree."""
    places = list(_list_places(root))
    operation = draw(st.sampled_from(_OPERATIONS))
    if operation in ("key", "twice", "delete"):
        objects = _list_objects(root)
        if objects:
            _change_object(draw, draw(st.sampled_from(objects)), operation)
        return
    parent, index = draw(st.sampled_from(places))
    value = parent[index]
    if operation == "replace":
        parent[index] = _copy(draw(ODD_VALUES))
    elif operation == "copy":
        other_parent, other_index = draw(st.sampled_from(places))
        parent[index] = _copy(other_parent[other_index])
    elif operation == "wrap":
        parent[index] = [value]
    elif operation == "nudge" and isinstance(value, int):
        parent[index] = value + draw(st.sampled_from([-1, 1, 2, 5, -100, 1000]))
    elif operation == "repeat" and isinstance(value, list) and not isinstance(value, Pairs):
        parent[index] = value + _copy(value)


def _change_object(draw: st.DrawFn, pairs: Pairs, operation: str) -> None:
    position = draw(st.integers(0, len(pairs) - 1))
    if operation == "key":
        pairs[position][0] = draw(ODD_KEYS)
    elif operation == "twice":
        pairs.append([pairs[position][0], _copy(draw(ODD_VALUES))])
    else:
        del pairs[position]


@st.composite
def json_files(draw: st.DrawFn, records: st.SearchStrategy[list]) -> tuple[str, bytes]:
    """Return the ending and the content of a file of records, in one of the layouts."""
    trees = draw(mutated(records))
    layout = draw(st.sampled_from(_LAYOUTS))
    text = _lay_out(trees, layout)
    suffix = ".jsonl"
    if "array" in layout or layout in ("pretty", "rows"):
        suffix = ".json"
    content = _encode(text, draw(st.sampled_from(_ENCODINGS)))
    return suffix, draw(odd_bytes(content))


def _lay_out(trees: list, layout: str) -> str:
    if layout == "array":
        return render(trees)
    if layout == "pretty array":
        return render(trees, indent=2)
    if layout == "rows":
        return "[\n" + ",\n".join(render(tree) for tree in trees) + "\n]\n"
    if layout == "pretty":
        return "\n".join(render(tree, indent=2) for tree in trees)
    end = {"crlf": "\r\n", "cr": "\r", "blank": "\n \n\n"}.get(layout, "\n")
    return "".join(render(tree) + end for tree in trees)


def _encode(text: str, encoding: str) -> bytes:
    errors = "surrogatepass"
    if encoding in ("latin-1", "cp1252"):
        errors = "replace"
    return text.encode(encoding, errors)


@st.composite
def odd_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """Return a content, which one time in five has a change of its bytes."""
    change = draw(st.sampled_from(["none"] * 16 + ["cut", "insert", "delete", "double"]))
    if change == "none" or not content:
        return content
    position = draw(st.integers(0, len(content)))
    if change == "cut":
        return content[:position]
    if change == "double":
        return content + content
    if change == "insert":
        return content[:position] + draw(st.sampled_from(_PIECES)) + content[position:]
    return content[:position] + content[position + draw(st.integers(1, 20)) :]
