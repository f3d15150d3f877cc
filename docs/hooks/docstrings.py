"""How mkdocstrings reads this project's docstrings, which are in spaCy's style: a line `name (type): text` for each
argument, then RETURNS, YIELDS and RAISES. An extension of Griffe; mkdocs.yml names it."""

import re
from functools import partial
from itertools import groupby
from typing import Any

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
    Extension,
    Function,
    Object,
)

_ITEM = re.compile(r"(\w+) \((.+?)\): +(.+)", re.DOTALL)
_RESULTS: dict[str, Any] = {
    "RETURNS": (DocstringSectionReturns, partial(DocstringReturn, "")),
    "YIELDS": (DocstringSectionYields, partial(DocstringYield, "")),
    "RAISES": (DocstringSectionRaises, DocstringRaise),
}


class SpacyDocstrings(Extension):
    """Divides the docstrings of all objects into sections."""

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Parse the docstring of an object.

        obj (Object): The object.
        kwargs: Not needed.
        """
        if obj.docstring is not None:
            # Where `Docstring.parsed`, a cached property, would keep what a parser of Griffe's own finds.
            obj.docstring.__dict__["parsed"] = parse(obj.docstring)


def parse(docstring: Docstring) -> list[DocstringSection]:
    """Divide a docstring into sections.

    docstring (Docstring): The docstring. A line that looks like one of an argument is text unless its parent has an
        argument, or an attribute, of this name.
    RETURNS (list[DocstringSection]): Texts, arguments and results, in the docstring's order.
    """
    defaults = _find_arguments(docstring.parent)
    blocks = [(_kind(block, defaults), block) for block in _split(docstring.lines)]
    sections: list[DocstringSection] = []
    for kind, group in groupby(blocks, key=lambda item: item[0]):
        texts = [block for _, block in group]
        if kind == "text":
            sections.append(DocstringSectionText("\n".join(texts).strip("\n")))
            continue
        items = [match.groups() for match in map(_ITEM.fullmatch, texts) if match]
        if kind == "arguments":
            sections.append(
                DocstringSectionParameters(
                    [
                        DocstringParameter(
                            name, description=text, annotation=type_, value=defaults[name]
                        )
                        for name, type_, text in items
                    ]
                )
            )
        else:
            section, item = _RESULTS[kind]
            sections.append(
                section([item(description=text, annotation=type_) for _, type_, text in items])
            )
    return [section for section in sections if section.value]


def _split(lines: list[str]) -> list[str]:
    """Divide a docstring into its lines, each with the indented ones that follow it."""
    blocks: list[str] = []
    for line in lines:
        if line.startswith(" ") and blocks and _ITEM.fullmatch(blocks[-1]):
            blocks[-1] += f"\n{line.strip()}"
        else:
            blocks.append(line)
    return blocks


def _kind(block: str, arguments: dict[str, Any]) -> str:
    match = _ITEM.fullmatch(block)
    if match is None or match[1] not in (*arguments, *_RESULTS):
        return "text"
    return match[1] if match[1] in _RESULTS else "arguments"


def _find_arguments(parent: Object | None) -> dict[str, Any]:
    """Return the defaults of the arguments of a function or a class, and of the attributes of a class."""
    if not isinstance(parent, Function | Class):
        return {}
    arguments = {argument.name: argument.default for argument in parent.parameters}
    attributes = (
        {name: getattr(member, "value", None) for name, member in parent.members.items()}
        if isinstance(parent, Class)
        else {}
    )
    return attributes | arguments
