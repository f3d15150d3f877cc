"""The parser of this project's docstrings, for mkdocstrings.

The docstrings are in spaCy's style: a line `name (type): text` for each argument, then RETURNS,
YIELDS and RAISES. This module is an extension of Griffe; mkdocs.yml names it.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple, TypeAlias

from griffe import (
    Class,
    Docstring,
    DocstringParameter,
    DocstringRaise,
    DocstringReturn,
    DocstringSection,
    DocstringSectionParameters,
    DocstringSectionRaises,
    DocstringSectionReturns,
    DocstringSectionText,
    DocstringSectionYields,
    DocstringYield,
    Expr,
    Extension,
    Function,
    Object,
)

_ITEM = re.compile(r"(\w+) \((.+?)\): +(.+)", re.DOTALL)
_RESULTS = ("RETURNS", "YIELDS", "RAISES")
# The default of each argument, None if it has none.
Defaults: TypeAlias = Mapping[str, str | Expr | None]


class Item(NamedTuple):
    """An argument or a result in a docstring.

    name (str): Name of the argument, or "RETURNS", "YIELDS" or "RAISES".
    type (str): Its type.
    text (str): Its description.
    """

    name: str
    type: str
    text: str


class SpacyDocstrings(Extension):
    """An extension of Griffe that divides the docstrings of all objects into sections."""

    def on_object(self, *, obj: Object, **kwargs: object) -> None:
        """Parse the docstring of an object.

        obj (Object): The object.
        kwargs: Not needed.
        """
        if obj.docstring is not None:
            # The key of the cached property `Docstring.parsed`, instead of Griffe's own parser.
            obj.docstring.__dict__["parsed"] = parse(obj.docstring)


def parse(docstring: Docstring) -> list[DocstringSection]:
    """Divide a docstring into sections.

    docstring (Docstring): The docstring. A line that looks like an argument is text unless its
        parent has an argument, or an attribute, of this name.
    RETURNS (list[DocstringSection]): Texts, arguments and results, in the docstring's order.
    """
    defaults = _find_defaults(docstring.parent)
    blocks = []
    for block in _split(docstring.lines):
        blocks.append((_classify(block, defaults), block))
    sections = []
    for kind, group in groupby(blocks, key=itemgetter(0)):
        section = _make_section(kind, [block for _, block in group], defaults)
        if section.value:
            sections.append(section)
    return sections


def _split(lines: Sequence[str]) -> list[str]:
    """Divide a docstring into lines; an argument or a result keeps the indented lines below it."""
    blocks: list[str] = []
    for line in lines:
        if line.startswith(" ") and blocks and _ITEM.fullmatch(blocks[-1]):
            blocks[-1] += f"\n{line.strip()}"
        else:
            blocks.append(line)
    return blocks


def _classify(block: str, defaults: Defaults) -> str:
    """Return the kind of a block: "text", "arguments", "RETURNS", "YIELDS" or "RAISES"."""
    match = _ITEM.fullmatch(block)
    if match is None:
        return "text"
    if match[1] in _RESULTS:
        return match[1]
    if match[1] in defaults:
        return "arguments"
    return "text"


def _make_section(kind: str, blocks: Sequence[str], defaults: Defaults) -> DocstringSection:
    """Make a section of successive blocks of one kind."""
    if kind == "text":
        return DocstringSectionText("\n".join(blocks).strip("\n"))
    items = [Item(*match.groups()) for match in map(_ITEM.fullmatch, blocks) if match]
    if kind == "arguments":
        return _make_arguments(items, defaults)
    return _make_results(kind, items)


def _make_arguments(items: Sequence[Item], defaults: Defaults) -> DocstringSection:
    arguments = []
    for name, type_, text in items:
        arguments.append(
            DocstringParameter(name, description=text, annotation=type_, value=defaults[name])
        )
    return DocstringSectionParameters(arguments)


def _make_results(kind: str, items: Sequence[Item]) -> DocstringSection:
    if kind == "RAISES":
        return DocstringSectionRaises(
            [DocstringRaise(description=text, annotation=type_) for _, type_, text in items]
        )
    if kind == "YIELDS":
        return DocstringSectionYields(
            [DocstringYield("", description=text, annotation=type_) for _, type_, text in items]
        )
    return DocstringSectionReturns(
        [DocstringReturn("", description=text, annotation=type_) for _, type_, text in items]
    )


def _find_defaults(parent: Object | None) -> Defaults:
    """Find the defaults of a function's or a class's arguments, and of a class's attributes."""
    defaults: dict[str, str | Expr | None] = {}
    if isinstance(parent, Class):
        for name, member in parent.members.items():
            defaults[name] = getattr(member, "value", None)
    if isinstance(parent, Function | Class):
        for argument in parent.parameters:
            defaults[argument.name] = argument.default
    return defaults
