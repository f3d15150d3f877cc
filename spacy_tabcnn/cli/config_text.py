"""Changes to the text of a config that keep its comments."""

import re
from collections.abc import Iterator
from itertools import takewhile
from typing import NamedTuple

from spacy.util import load_config_from_str, load_model_from_config

_SECTION = re.compile(r"\[(.+)\]")
_SETTING = re.compile(r"([^#\s=][^=]*?)\s*=")


class _Block(NamedTuple):
    """A block of a config.

    name (str): Its dotted name; "" for the lines before the first block.
    lines (list[str]): Its lines, with the heading and the comments above it.
    """

    name: str
    lines: list[str]

    @property
    def keys(self) -> set[str]:
        """Return the names of the settings in the block."""
        return {match[1] for match in map(_SETTING.match, self.lines) if match}


def set_value(text: str, section: str, key: str, value: str, *, comment: str = "") -> str:
    """Set a value in the text of a config.

    text (str): The config.
    section (str): Dotted name of the block.
    key (str): Name of the setting, which the block has.
    value (str): The value, as it is written in a config.
    comment (str): A comment that replaces the lines of comments above the setting.
    RETURNS (str): The changed text.
    RAISES (ValueError): If the config does not have the setting.
    """
    blocks = list(_split(text))
    for block in blocks:
        for number, line in enumerate(block.lines):
            match = _SETTING.match(line)
            if block.name == section and match and match[1] == key:
                _replace_line(block.lines, number, f"{key} = {value}", comment)
                return _join(blocks)
    raise ValueError(f"the config has no setting {section}.{key}")


def replace_header(text: str, comment: str) -> str:
    """Replace the comment at the top of a config.

    text (str): The config.
    comment (str): The lines of the comment, without "#".
    RETURNS (str): The changed text.
    """
    lines = text.splitlines()
    n_header = len(list(takewhile(_is_comment, lines)))
    header = [f"# {line}".rstrip() for line in comment.splitlines()]
    return "\n".join([*header, *lines[n_header:], ""])


def fill_text(text: str) -> str:
    """Add all settings that a config leaves at their defaults, as `spacy init fill-config` does.

    text (str): The config.
    RETURNS (str): The text, with its comments.
    """
    filled = load_model_from_config(load_config_from_str(text), auto_fill=True).config
    blocks = list(_split(text))
    for block in _split(filled.to_str()):
        _add_block(blocks, block)
    return _join(blocks)


def _split(text: str) -> Iterator[_Block]:
    """Divide a config into its blocks. The comments above a heading belong to its block."""
    block = _Block("", [])
    for line in text.splitlines():
        match = _SECTION.fullmatch(line)
        if match:
            comments = _pop_comments(block.lines)
            yield block
            block = _Block(match[1], comments)
        block.lines.append(line)
    yield block


def _join(blocks: list[_Block]) -> str:
    lines: list[str] = []
    for block in blocks:
        lines += block.lines
    return "\n".join(lines).rstrip("\n") + "\n"


def _add_block(blocks: list[_Block], filled: _Block) -> None:
    """Add the settings of a filled block that the config lacks, or the whole block."""
    found = {block.name: block for block in blocks}
    parent, _, key = filled.name.rpartition(".")
    if not filled.name or (parent in found and key in found[parent].keys):
        return  # the config has this block as a value
    if filled.name not in found:
        place = _find_place(blocks, filled.name)
        if blocks[place - 1].lines[-1]:
            blocks[place - 1].lines.append("")
        blocks.insert(place, _Block(filled.name, [*filter(None, filled.lines), ""]))
        return
    _add_settings(found[filled.name], filled)


def _add_settings(block: _Block, filled: _Block) -> None:
    """Add the settings of a filled block that the block of the config lacks."""
    missing = []
    for line in filled.lines:
        match = _SETTING.match(line)
        if match and match[1] not in block.keys:
            missing.append(line)
    end = len(block.lines)
    while not block.lines[end - 1]:
        end -= 1
    block.lines[end:end] = missing


def _find_place(blocks: list[_Block], name: str) -> int:
    """Return the place of a new block: behind its parent's last block."""
    parts = name.split(".")
    for n_parts in range(len(parts) - 1, 0, -1):
        parent = ".".join(parts[:n_parts])
        places = [0]
        for number, block in enumerate(blocks, start=1):
            if block.name == parent or block.name.startswith(f"{parent}."):
                places.append(number)
        if places[-1]:
            return places[-1]
    return len(blocks)


def _replace_line(lines: list[str], number: int, line: str, comment: str) -> None:
    first = number
    new = [line]
    if comment:
        while first and _is_comment(lines[first - 1]):
            first -= 1
        new = [*(f"# {part}" for part in comment.splitlines()), line]
    lines[first : number + 1] = new


def _pop_comments(lines: list[str]) -> list[str]:
    """Remove the comments at the end of a block and return them."""
    comments: list[str] = []
    while lines and _is_comment(lines[-1]):
        comments.insert(0, lines.pop())
    return comments


def _is_comment(line: str) -> bool:
    return line.startswith("#")
