"""Words and boxes of entities in lines of a given width. All lengths are in pixels."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple
from unicodedata import category

from spacy.tokens import Span

from .text import clean, is_wide, measure, split_at

FONT_SIZE, SMALL = 15, 11
PADDING = 5  # between a box and its content
COLUMN = 8  # width that an end of an arc needs at a box


class Box(NamedTuple):
    """A span of a passage that is drawn as a box.

    start (int): First token of the passage.
    end (int): End of the tokens (exclusive).
    label (str): Its type; "" for none.
    n_ends (int): Number of ends of arcs at the box.
    depth (int): Number of boxes within this one, one in the other.
    """

    start: int
    end: int
    label: str
    n_ends: int = 0
    depth: int = 0


class Fragment(NamedTuple):
    """The part of a box in a line.

    line (int): Index of the line.
    left (float): Left edge.
    right (float): Right edge.
    """

    line: int
    left: float
    right: float

    @property
    def middle(self) -> float:
        """The middle between the edges."""
        return (self.left + self.right) / 2


class Run(NamedTuple):
    """Neighbouring words of a line, within the same boxes.

    line (int): Index of the line.
    text (str): The words.
    left (float): Left edge.
    right (float): Right edge.
    boxes (tuple[int, ...]): Indices of the boxes around them, the inner ones first.
    """

    line: int
    text: str
    left: float
    right: float
    boxes: tuple[int, ...]


class Lines(NamedTuple):
    """A passage in lines.

    runs (list[Run]): The words, in text order.
    fragments (list[list[Fragment]]): The parts of each box, in text order.
    n_lines (int): Number of lines.
    width (float): Right edge of the longest line.
    """

    runs: list[Run]
    fragments: list[list[Fragment]]
    n_lines: int
    width: float


class _Word:
    """A word, or a part of a word that is longer than a line.

    text (str): Its text.
    boxes (tuple[int, ...]): Indices of the boxes around it.
    space (float): Width of the space in front of it.
    before (float): Width that boxes need in front of the text.
    after (float): Width that boxes need behind the text.
    line (int): Index of its line.
    left (float): Left edge of the text.
    """

    def __init__(self, text: str, boxes: tuple[int, ...], space: float):
        self.text = text
        self.boxes = boxes
        self.space = space
        self.before = self.after = self.left = 0.0
        self.line = 0
        self.text_width = measure(text, FONT_SIZE)

    @property
    def width(self) -> float:
        """The width with the edges of boxes."""
        return self.before + self.text_width + self.after

    @property
    def right(self) -> float:
        """The right edge of the text."""
        return self.left + self.text_width


def nest_boxes(boxes: Sequence[Box]) -> list[Box]:
    """Nest boxes that overlap: a longer box goes around a shorter one.

    boxes (Sequence[Box]): The boxes.
    RETURNS (list[Box]): The same boxes with their depths, the inner ones first.
    """
    nested: list[Box] = []
    for box in sorted(boxes, key=_sort_key):
        depth = 0
        for other in nested:
            if box.start < other.end and other.start < box.end:
                depth = max(depth, other.depth + 1)
        nested.append(box._replace(depth=depth))
    return nested


def fill_lines(passage: Span, boxes: Sequence[Box], width: float) -> Lines:
    """Fill lines with the words of a passage and the boxes around them.

    A line breaks at a space, or beside a character of an East Asian script. It breaks within a box
    or a word only if they are longer than a line.

    passage (Span): The words.
    boxes (Sequence[Box]): The boxes, the inner ones first.
    width (float): Width of a line.
    RETURNS (Lines): The lines.
    """
    words = _list_words(passage, boxes, width)
    parts: list[list[_Word]] = [[] for _ in boxes]
    for word in words:
        for index in word.boxes:
            parts[index].append(word)
    margins = []
    for box, inside in zip(boxes, parts, strict=True):
        margins.append(_pad(box, inside, width))
    _place(words, width)
    runs = []
    for (line, _), group in groupby(words, key=_get_run_key):
        runs.append(_join(line, list(group)))
    fragments = list(map(_find_fragments, parts, margins))
    n_lines, right = 0, 0.0
    for word in words:
        n_lines, right = word.line + 1, max(right, word.right + word.after)
    return Lines(runs, fragments, n_lines, right)


def _sort_key(box: Box) -> tuple[int, int]:
    return box.end - box.start, box.start


# From tokens to words.


def _list_words(passage: Span, boxes: Sequence[Box], width: float) -> list[_Word]:
    """List the words of a passage; white space is a word only where a box has no other."""
    around = _find_boxes(len(passage), boxes)
    blank = _find_blank(passage, boxes)
    words: list[_Word] = []
    has_space = True
    for index, token in enumerate(passage):
        text = clean(token.text)
        if index in blank:
            text = "␣"
        rest = text
        while rest:
            part, rest = split_at(rest, FONT_SIZE, width - 6 * PADDING)
            words.append(_Word(part, around[index], has_space * measure(" ", FONT_SIZE)))
            has_space = False
        has_space = has_space or not text or bool(token.whitespace_)
    return words


def _find_boxes(n_tokens: int, boxes: Sequence[Box]) -> list[tuple[int, ...]]:
    """Find the boxes around each token."""
    around: list[tuple[int, ...]] = [()] * n_tokens
    for index, box in enumerate(boxes):
        for token in range(box.start, box.end):
            around[token] += (index,)
    return around


def _find_blank(passage: Span, boxes: Iterable[Box]) -> set[int]:
    """Find the first tokens of the boxes around nothing but white space."""
    blank = set()
    for box in boxes:
        if not clean(passage[box.start : box.end].text):
            blank.add(box.start)
    return blank


def _pad(box: Box, words: Sequence[_Word], width: float) -> tuple[float, float]:
    """Widen the words of a box so that its edges, its label and its arcs have room.

    RETURNS (tuple[float, float]): Distances of its left and right edge from the text.
    """
    words[0].before += PADDING
    words[-1].after += PADDING
    content = _measure_unit(words)
    needed = max(measure(box.label, SMALL) + 2 * PADDING, COLUMN * (box.n_ends + 1))
    missing = min(needed, width) - content
    if missing > 0:
        words[0].before += missing / 2
        words[-1].after += missing / 2
    return words[0].before, words[-1].after


# From words to lines.


def _place(words: Sequence[_Word], width: float) -> None:
    """Choose the line and the left edge of each word."""
    line, x = 0, 0.0
    for unit in _split_units(words, width):
        if x > 0 and x + unit[0].space + _measure_unit(unit) > width:
            line, x = line + 1, 0.0
        for word in unit:
            if x > 0:
                x += word.space
            word.line, word.left = line, x + word.before
            x += word.width


def _split_units(words: Sequence[_Word], width: float) -> list[list[_Word]]:
    """Split words into units that stay in one line. A unit that is too long is split, too."""
    units: list[list[_Word]] = []
    for word in words:
        if units and not _may_break(units[-1][-1], word):
            units[-1].append(word)
        else:
            units.append([word])
    parts: list[list[_Word]] = []
    for unit in units:
        if _measure_unit(unit) > width:
            parts.extend([word] for word in unit)
        else:
            parts.append(unit)
    return parts


def _measure_unit(words: Sequence[_Word]) -> float:
    return sum(word.width for word in words) + sum(word.space for word in words[1:])


def _may_break(word: _Word, following: _Word) -> bool:
    last, first = word.text[-1], following.text[0]
    if category(first) in ("Pe", "Pf", "Po") or not set(word.boxes).isdisjoint(following.boxes):
        return False
    return following.space > 0 or is_wide(last) or is_wide(first)


def _get_run_key(word: _Word) -> tuple[int, tuple[int, ...]]:
    return word.line, word.boxes


def _join(line: int, words: Sequence[_Word]) -> Run:
    """Join neighbouring words of a line."""
    text = words[0].text
    for word in words[1:]:
        text += " " * bool(word.space) + word.text
    return Run(line, text, words[0].left, words[-1].right, words[0].boxes)


def _find_fragments(words: Sequence[_Word], margins: tuple[float, float]) -> list[Fragment]:
    """Find the parts of a box in the lines of its words."""
    fragments = []
    for line, group in groupby(words, key=_get_line):
        inside = list(group)
        before = after = PADDING / 2  # where the box goes on in another line
        if inside[0] is words[0]:
            before = margins[0]
        if inside[-1] is words[-1]:
            after = margins[1]
        fragments.append(Fragment(line, inside[0].left - before, inside[-1].right + after))
    return fragments


def _get_line(word: _Word) -> int:
    return word.line
