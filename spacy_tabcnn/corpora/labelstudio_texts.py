"""The texts of Label Studio's tasks, and the places of regions in them.

A task has its text in a field of `data`, in one of three forms:

- `Text`: a string. The offsets of a region are `start` and `end`.
- `HyperText`: a string with HTML. The offsets of a region are `globalOffsets`. They count the
  characters of the text without mark-up, and `<br>` as one character: see `findGlobalOffset` in the
  editor's `selection-tools.js`.
- `Paragraphs`: a list of objects with a text each. `start` and `end` of a region are the numbers of
  paragraphs, and `startOffset` and `endOffset` count characters of these.
"""

import re
from collections.abc import Collection, Sequence
from html.parser import HTMLParser
from typing import Protocol

from .character_formats import Offsets
from .fields import (
    describe,
    find_text_field,
    get_field,
    get_items,
    get_optional,
    has_field,
    shorten,
)
from .files import JsonValue

# Elements that begin and end a line.
_BLOCKS = re.compile(
    "address|article|aside|blockquote|body|caption|center|dd|details|dialog|div|dl|dt|fieldset|"
    "figcaption|figure|footer|form|h[1-6]|head|header|hr|html|legend|li|main|menu|nav|ol|option|p|"
    "pre|section|summary|table|tbody|td|tfoot|th|thead|title|tr|ul"
)
# A tag that is not closed before the next one, and limits for such tags.
_OPEN_TAG = re.compile(r"<[^<>]*(?=<|\Z)")
_MAX_OPEN = 100
_MAX_SEARCH = 30_000_000  # the number of these tags, times the number of characters
_HIDDEN = frozenset(("script", "style"))


class TaskText(Protocol):
    """The text of a task.

    text (str): The text of its document.
    """

    text: str

    def find(self, value: JsonValue, where: str) -> tuple[int, int]:
        """Return the characters of a region.

        value (JsonValue): The field `value` of the region.
        where (str): File, task and result, for messages.
        RETURNS (tuple[int, int]): Its first character, and the character after its last one.
        RAISES (ValueError): If its offsets are malformed or not in the text.
        """


class PlainText:
    """The text of the tag `Text`."""

    def __init__(self, text: str, *, utf16: bool) -> None:
        self.text = text
        self.offsets = Offsets(text, utf16=utf16)

    def find(self, value: JsonValue, where: str) -> tuple[int, int]:
        """Return the characters of a region: see `TaskText`."""
        start, end = get_field(value, "start", int, where), get_field(value, "end", int, where)
        first, last = self.offsets.find(start, end, where)
        marked = self.text[first:last]
        quoted = _find_quote(value)
        # Offsets that count something else are reported with the entities that they mark.
        if quoted != _get_letters(marked) and quoted not in _slice_by_units(self.text, start, end):
            _check_quote(value, marked, where)
        return first, last


class HyperText:
    """The text of the tag `HyperText`, without its mark-up.

    Blocks of text, such as paragraphs and the cells of a table, are separated by line breaks.
    Scripts and style sheets are left out.
    """

    def __init__(self, html: str, *, utf16: bool) -> None:
        _check_tags(html)
        parser = _TextParser()
        try:
            # Browsers read all line ends as one character.
            parser.feed(html.replace("\r\n", "\n").replace("\r", "\n"))
            parser.close()
        except AssertionError as err:  # Python's parser refuses some mark-up, such as "<![x["
            raise ValueError(f"its HTML cannot be read ({err}). Correct the mark-up") from err
        self.text = "".join(parser.pieces)
        self.bare = "".join(parser.bare)
        self.positions = parser.positions
        self.offsets = Offsets(self.bare, utf16=utf16)

    def find(self, value: JsonValue, where: str) -> tuple[int, int]:
        """Return the characters of a region: see `TaskText`."""
        offsets = get_optional(value, "globalOffsets")
        if offsets is None:
            path = describe(get_optional(value, "start"))
            raise ValueError(
                f"{where}: the field 'start' is {path}, a path in the HTML, and the region has no "
                "'globalOffsets'. Export it from a newer version of Label Studio"
            )
        here = f"{where}, globalOffsets"
        start, end = get_field(offsets, "start", int, here), get_field(offsets, "end", int, here)
        start, end = self.offsets.find(start, end, here)
        _check_quote(value, self.bare[start:end], where)
        return self.positions[start], self.positions[end - 1] + 1


class Paragraphs:
    """The texts of the tag `Paragraphs`, joined by line breaks."""

    def __init__(self, texts: Sequence[str], *, utf16: bool) -> None:
        self.text = "\n".join(texts)
        self.paragraphs: list[tuple[int, Offsets]] = []
        first = 0
        for text in texts:
            self.paragraphs.append((first, Offsets(text, utf16=utf16)))
            first += len(text) + 1

    def find(self, value: JsonValue, where: str) -> tuple[int, int]:
        """Return the characters of a region: see `TaskText`."""
        start = self._find_character(value, "start", where)
        end = self._find_character(value, "end", where)
        if not start < end:
            raise ValueError(f"{where}: the region ends before it begins. Correct its offsets")
        _check_quote(value, self.text[start:end], where)
        return start, end

    def _find_character(self, value: JsonValue, side: str, where: str) -> int:
        """Return the character at the start or the end of a region."""
        number = get_optional(value, side)
        if not isinstance(number, str | int) or not str(number).isdecimal():
            raise ValueError(
                f"{where}: the field {side!r} is {describe(number)}; expected the number of a "
                "paragraph"
            )
        if int(number) >= len(self.paragraphs):
            raise ValueError(
                f"{where}: the field {side!r} is paragraph {shorten(str(number))}, but the text "
                f"has {len(self.paragraphs)} paragraphs, counted from 0"
            )
        first, offsets = self.paragraphs[int(number)]
        return first + offsets.find_start(get_field(value, f"{side}Offset", int, where), where)


def read_text(
    data: JsonValue,
    names: Collection[str],
    *,
    text_field: str | None,
    is_html: bool,
    utf16: bool,
    where: str,
) -> tuple[TaskText, str]:
    """Find the text of a task.

    data (JsonValue): The field `data` of the task.
    names (Collection[str]): The names of the tags that regions mark, from their fields `to_name`.
    text_field (str | None): The name of the field, if the user named it.
    is_html (bool): Whether strings hold HTML.
    utf16 (bool): Whether offsets count UTF-16 code units.
    where (str): File and task, for messages.
    RETURNS (tuple[TaskText, str]): The text, and the tag that shows it. The tag is empty if all
        regions mark one.
    RAISES (ValueError): If the field cannot be found or holds no text.
    """
    named, inner = _divide_name(data, text_field)
    field = _find_field(data, names, named, where)
    tag = ""
    if len(names) > 1:
        tag = field
        if field not in names:
            raise ValueError(
                f"{where}: the regions mark several texts ({', '.join(names)}), and none of these "
                f"names is the name of the field {field!r}. Name a field with --text-field, or "
                "export one text at a time"
            )
    content = get_optional(data, field)
    if isinstance(content, list):
        texts = _get_paragraphs(data, field, inner, where)
        return Paragraphs(texts, utf16=utf16), tag
    if inner is not None:
        data, field = content, inner
    text = get_field(data, field, str, where)
    if is_html:
        return HyperText(text, utf16=utf16), tag
    return PlainText(text, utf16=utf16), tag


def is_html_region(result: JsonValue) -> bool:
    """Check whether a region marks HTML.

    result (JsonValue): The region.
    RETURNS (bool): True if its type or its offsets belong to the tag `HyperText`.
    """
    value = get_optional(result, "value")
    start = get_optional(value, "start")
    is_path = isinstance(start, str) and bool(start.strip()) and not start.isdecimal()
    return get_optional(result, "type") == "hypertextlabels" or is_path


def _divide_name(data: JsonValue, text_field: str | None) -> tuple[str | None, str | None]:
    """Return the name of a field of the task, and the name of a field inside it.

    A field of the task may have a dot in its own name.
    """
    if text_field is None or has_field(data, text_field):
        return text_field, None
    named, _, inner = text_field.partition(".")
    return named, inner or None


def _find_field(data: JsonValue, names: Collection[str], named: str | None, where: str) -> str:
    """Return the name of the field with the text."""
    if named is not None:
        return named
    for name in names:
        if has_field(data, name):
            return name
    dialogues = _find_dialogues(data)
    if len(dialogues) == 1 and not has_field(data, "text"):
        return dialogues[0]
    return find_text_field(data, where, text_field=None)


def _find_dialogues(data: JsonValue) -> list[str]:
    """Return the names of the fields that hold a list of objects."""
    found = []
    if isinstance(data, dict):
        for name, value in data.items():
            if isinstance(value, list) and value and isinstance(value[0], dict):
                found.append(name)
    return found


def _get_paragraphs(data: JsonValue, field: str, inner: str | None, where: str) -> list[str]:
    """Return the text of each paragraph of a dialogue."""
    texts = []
    for here, paragraph in get_items(data, field, "paragraph", f"{where}, field {field!r}"):
        name = find_text_field(paragraph, here, text_field=inner, others=("author", "speaker"))
        texts.append(get_field(paragraph, name, str, here))
    return texts


def _check_tags(html: str) -> None:
    """Refuse HTML that takes minutes: the parser searches all of it for the end of each tag."""
    n_open = len(_OPEN_TAG.findall(html))
    if n_open > _MAX_OPEN and n_open * len(html) > _MAX_SEARCH:
        raise ValueError(f"its HTML has {n_open} tags that are not closed. Correct the mark-up")


def _check_quote(value: JsonValue, marked: str, where: str) -> None:
    """Check that the offsets of a region mark the text that it quotes, except for white space."""
    quoted = _find_quote(value)
    if quoted is not None and quoted != _get_letters(marked):
        raise ValueError(
            f"{where}: its offsets mark {shorten(marked)!r}, but it quotes "
            f"{shorten(quoted)!r}. Correct the offsets; read the file with --utf16 if they count "
            "UTF-16 code units, or with --text-field if they belong to another field"
        )


def _find_quote(value: JsonValue) -> str | None:
    """Return the letters that a region quotes; None if it quotes nothing."""
    quoted = get_optional(value, "text")
    if not isinstance(quoted, str):
        return None
    return _get_letters(quoted)


def _slice_by_units(text: str, start: int, end: int) -> list[str]:
    """Return the letters between two offsets that count UTF-16 code units, or bytes."""
    by_code_unit = text.encode("utf-16-le")[2 * start : 2 * end]
    by_byte = text.encode("utf-8")[start:end]
    slices = by_code_unit.decode("utf-16-le", "replace"), by_byte.decode("utf-8", "replace")
    return list(map(_get_letters, slices))


def _get_letters(text: str) -> str:
    # The editor quotes a line break as a backslash and a letter.
    for line_break in ("\\r", "\\n"):
        text = text.replace(line_break, "")
    return "".join(text.split())


class _TextParser(HTMLParser):
    """Takes the text out of HTML.

    pieces (list[str]): The characters of the text, with line breaks between blocks.
    bare (list[str]): The characters that Label Studio counts.
    positions (list[int]): The position of each counted character in the text.
    """

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self.bare: list[str] = []
        self.positions: list[int] = []
        self.is_hidden = False
        self.is_new_block = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """Add a line break, or begin a block or a hidden element."""
        if tag == "br":
            self._add("\n")
        if tag in _HIDDEN:
            self.is_hidden = True
        self.is_new_block |= bool(_BLOCKS.fullmatch(tag))

    def handle_endtag(self, tag: str) -> None:
        """End a block or a hidden element."""
        if tag in _HIDDEN:
            self.is_hidden = False
        self.is_new_block |= bool(_BLOCKS.fullmatch(tag))

    def handle_data(self, data: str) -> None:
        """Add the characters of a piece of text."""
        for character in data:
            self._add(character)

    def _add(self, character: str) -> None:
        if not self.is_hidden:
            if self.is_new_block and self._touches(character):
                self.pieces.append("\n")
            self.is_new_block = False
        self.bare.append(character)
        self.positions.append(len(self.pieces))
        if not self.is_hidden:
            self.pieces.append(character)

    def _touches(self, character: str) -> bool:
        """Check whether a character would follow the text without white space between them."""
        return bool(self.pieces) and not self.pieces[-1].isspace() and not character.isspace()
