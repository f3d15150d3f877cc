"""The label table of a passage (paper, figure 1) as a picture. All lengths are in pixels."""

from collections.abc import Mapping, Sequence
from html import escape
from math import cos, degrees, radians, sin
from typing import NamedTuple, TypedDict
from unicodedata import category, east_asian_width

from spacy.tokens import Span

from .cells import LEFT, RIGHT, Cell, CellLabel, Cells, table_labels

FONT_SIZE, SMALL = 12, 11
MAX_WORD = 130  # maximum width of a word on an axis
SLANT = radians(60)  # angle of the words above the columns
MIN_CELL, MAX_CELL = 24, 110
TABLE_SIZE = 960  # maximum width of a table, unless its cells would be smaller than MIN_CELL
MIN_WIDTH = 340  # minimum width of a picture, for its legend


class TableOptions(TypedDict, total=False):
    """The options of a label table's picture.

    colors (Mapping[str, str]): CSS colours of labels; the others have the default colours.
    cell_size (float): Width of a cell, in pixels.
    color (str): CSS colour of words and lines.
    bg (str): CSS colour of the background.
    font (str): CSS font.
    """

    colors: Mapping[str, str]
    cell_size: float
    color: str
    bg: str
    font: str


def draw_table(
    passage: Span,
    cells: Cells,
    *,
    labels: Sequence[str] | None = None,
    options: TableOptions | None = None,
) -> str:
    """Draw the table of a passage.

    passage (Span): The words, on both axes. The words of the rows are next to the diagonal.
    cells (Cells): The cells of the document's table. A cell has the colour of its most probable
        label, as opaque as the label is probable. Labels with at least half of its probability
        share the cell. A tooltip names all labels, with their probabilities.
    labels (Sequence[str] | None): All labels, in the order that decides their colours; by default
        the labels of the passage.
    options (TableOptions | None): Colours, font and size.
    RETURNS (str): An SVG picture.
    """
    options = options or {}
    shown = _select_cells(cells, passage)
    used = table_labels([shown])
    colours = {**label_colours(labels or used), **options.get("colors", {})}
    words = [_clean(token.text) for token in passage]
    axis = list(map(_shorten, words))
    size = options.get("cell_size")
    if size is None:
        size = _choose_size(shown, len(words))
    layout = _lay_out(axis, float(size))

    content = _draw_grid(layout) + _draw_words(axis, shown, layout)
    for cell, found in sorted(shown.items()):
        content += _draw_cell(cell, found, words, layout, colours)
    legend, height = _draw_legend(used, colours, layout)
    return _draw_picture(content + legend, layout.width, height, options)


def label_colours(labels: Sequence[str]) -> dict[str, str]:
    """Choose light colours for labels, as far apart as their number allows.

    The hues go around the colour circle. Every second colour is darker.

    labels (Sequence[str]): The labels, in the order that decides their colours.
    RETURNS (dict[str, str]): A CSS colour for each label.
    """
    colours = {}
    for index, label in enumerate(labels):
        hue, lightness = 360 * index / len(labels), (82, 70)[index % 2]
        colours[label] = f"hsl({hue:.0f}, 65%, {lightness}%)"
    return colours


# Layout.


class _Layout(NamedTuple):
    """The places of a table's cells in its picture.

    n_words (int): Number of words of the table.
    size (float): Width and height of a cell.
    left (float): Left edge of the first column.
    top (float): Top edge of the first row.
    width (float): Width of the picture.
    """

    n_words: int
    size: float
    left: float
    top: float
    width: float

    def x(self, j: int) -> float:
        """Return the left edge of a column."""
        return self.left + j * self.size

    def y(self, i: int) -> float:
        """Return the top edge of a row."""
        return self.top + i * self.size

    @property
    def bottom(self) -> float:
        """The bottom edge of the last row."""
        return self.y(self.n_words)


def _select_cells(cells: Cells, passage: Span) -> dict[Cell, Sequence[CellLabel]]:
    """Select the cells of a passage, with its first word as word 0."""
    start, inside = passage.start, range(passage.start, passage.end)
    selected = {}
    for (i, j), found in cells.items():
        if i in inside and j in inside:
            selected[i - start, j - start] = found
    return selected


def _choose_size(cells: Cells, n_words: int) -> float:
    """Choose the size of a cell: room for the longest name, but less in a table of many words."""
    size = 2.0 * MIN_CELL
    for (i, j), found in cells.items():
        size = max(size, _text_width(_name(found[0], i == j), SMALL) + 6)
    limit = max(MIN_CELL, TABLE_SIZE / max(n_words, 1))
    return min(size, MAX_CELL, limit)


def _lay_out(words: Sequence[str], size: float) -> _Layout:
    """Lay out a table so that its picture has room for the words on both axes."""
    n = len(words)
    left, top, right = 0.0, 0.0, 0.0
    for i, width in enumerate(map(_text_width, words)):
        left = max(left, width - i * size)
        top = max(top, width * sin(SLANT))
        right = max(right, width * cos(SLANT) - (n - 1 - i + 0.5) * size)
    left, top = 8 + left, 16 + top
    width = max(left + n * size + right + 16, MIN_WIDTH)
    return _Layout(n, size, left, top, width)


# Parts of the picture.


def _draw_picture(content: str, width: float, height: float, options: TableOptions) -> str:
    style = (
        "max-width: none; direction: ltr; "
        f"color: {options.get('color', '#000000')}; "
        f"background: {options.get('bg', '#ffffff')}; "
        f"font-family: {options.get('font', 'Arial, sans-serif')}; font-size: {FONT_SIZE}px"
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" class="label-table" '
        f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'fill="currentColor" style="{escape(style)}">{content}</svg>'
    )


def _draw_grid(layout: _Layout) -> str:
    """Draw lines around the cells on and above the diagonal."""
    n, path = layout.n_words, ""
    for i in range(n + 1):
        first = layout.x(max(i - 1, 0))
        path += f"M{first:.1f},{layout.y(i):.1f}H{layout.x(n):.1f}"
    for j in range(n + 1):
        last = layout.y(min(j + 1, n))
        path += f"M{layout.x(j):.1f},{layout.y(0):.1f}V{last:.1f}"
    return (
        f'<path class="grid" d="{path}" fill="none" stroke="currentColor" stroke-opacity="0.15"/>'
    )


def _draw_words(words: Sequence[str], cells: Cells, layout: _Layout) -> str:
    """Draw the words on both axes, and the tag "O" of each word without an entity."""
    drawn = ""
    for i, word in enumerate(words):
        drawn += _draw_word(word, i, layout)
        if (i, i) not in cells:
            drawn += _draw_outside(i, layout)
    return drawn


def _draw_word(word: str, i: int, layout: _Layout) -> str:
    """Draw a word above its column and next to its row."""
    middle = layout.size / 2
    place = f"translate({layout.x(i) + middle + 4:.1f},{layout.top - 6:.1f})"
    turn = f"rotate({-degrees(SLANT):.0f})"
    x, y = layout.x(i) - 4, layout.y(i) + middle + 4
    text = escape(word)
    return (
        f'<text class="column" transform="{place} {turn}">{text}</text>'
        f'<text class="row" text-anchor="end" x="{x:.1f}" y="{y:.1f}">{text}</text>'
    )


def _draw_outside(i: int, layout: _Layout) -> str:
    """Draw the tag of a word without an entity."""
    middle = layout.size / 2
    x, y = layout.x(i) + middle, layout.y(i) + middle
    return _draw_centred("O", x, y, 'fill-opacity="0.35"')


def _draw_cell(
    cell: Cell,
    found: Sequence[CellLabel],
    words: Sequence[str],
    layout: _Layout,
    colours: Mapping[str, str],
) -> str:
    """Draw the main labels of a cell side by side, with a tooltip of all labels."""
    i, j = cell
    x, y, size = layout.x(j), layout.y(i), layout.size
    descriptions = [_describe(label, cell, words) for label in found]
    main = [label for label in found if label.probability >= found[0].probability / 2]
    width = size / len(main)
    drawn = f"<g><title>{escape('; '.join(descriptions))}</title>"
    for index, label in enumerate(main):
        drawn += (
            f'<rect class="cell" fill="{escape(colours[label.label])}" '
            f'fill-opacity="{label.probability:.3g}" x="{x + index * width:.2f}" y="{y:.2f}" '
            f'width="{width:.2f}" height="{size:.2f}"/>'
        )
        text = _name(label, i == j)
        if _text_width(text, SMALL) > width:
            text = label.mark
        attributes = f'font-size="{SMALL}"'
        if label.probability >= 0.5:
            # The colours are light: on them, text of any other colour may be unreadable.
            attributes += ' fill="#000000"'
        drawn += _draw_centred(text, x + (index + 0.5) * width, y + size / 2, attributes)
    return drawn + "</g>"


def _draw_legend(
    labels: Sequence[str], colours: Mapping[str, str], layout: _Layout
) -> tuple[str, float]:
    """Draw the labels, the scale of probabilities and the meaning of the arrows.

    RETURNS (tuple[str, float]): SVG, and the height of the picture.
    """
    scale = [("currentColor", 0.2), ("currentColor", 0.4), ("currentColor", 0.6)]
    scale += [("currentColor", 0.8), ("currentColor", 1.0)]
    items = [([(colours[label], 1.0)], label) for label in labels]
    items.append((scale, "probability 0 to 1"))
    items.append(([], f"{RIGHT} the row is the head, {LEFT} the column is"))
    drawn, x, y = "", 8.0, layout.bottom + 20
    for swatches, text in items:
        width = 16 * len(swatches) + 4 + _text_width(text) + 16
        if x > 8 and x + width > layout.width:
            x, y = 8.0, y + 22
        drawn += _draw_legend_item(swatches, text, x, y)
        x += width
    return drawn, y + 26


def _draw_legend_item(swatches: Sequence[tuple[str, float]], text: str, x: float, y: float) -> str:
    """Draw squares in a colour and an opacity each, and a text behind them."""
    drawn = ""
    for colour, opacity in swatches:
        drawn += (
            f'<rect fill="{escape(colour)}" fill-opacity="{opacity:g}" x="{x}" y="{y}" '
            'width="16" height="14"/>'
        )
        x += 16
    text = escape(_clean(text))
    return drawn + f'<text class="legend" x="{x + 4:.1f}" y="{y + 11:.1f}">{text}</text>'


def _draw_centred(text: str, x: float, y: float, attributes: str) -> str:
    place = f'x="{x:.1f}" y="{y + 4:.1f}"'
    return f'<text text-anchor="middle" {place} {attributes}>{escape(text)}</text>'


# Texts.


def _name(label: CellLabel, is_tag: bool) -> str:
    if is_tag:
        return f"{label.mark}-{label.label}"
    return f"{label.label} {label.mark}"


def _describe(label: CellLabel, cell: Cell, words: Sequence[str]) -> str:
    """Describe a label of a cell with its words and its probability."""
    row, col = words[cell[0]], words[cell[1]]
    if cell[0] == cell[1]:
        return f"{row}: {_name(label, True)} {label.probability:.2f}"
    return f"{row} {label.mark} {col}: {label.label} {label.probability:.2f}"


def _clean(text: str) -> str:
    """Replace the characters that XML cannot hold, and line breaks."""
    return " ".join("".join(map(_clean_character, text)).split()) or "␣"


def _clean_character(char: str) -> str:
    if category(char) in ("Cc", "Cn", "Cs") and not char.isspace():
        return "\ufffd"
    return char


def _text_width(text: str, font_size: int = FONT_SIZE) -> float:
    """Estimate the width of a text, with a little to spare."""
    width = 0.0
    for char in text:
        if east_asian_width(char) in "WF":
            width += 1.0
        else:
            width += 0.6
    return width * font_size


def _shorten(word: str) -> str:
    """Cut off the end of a word that is too wide."""
    if _text_width(word) <= MAX_WORD:
        return word
    while _text_width(word) > MAX_WORD - FONT_SIZE:
        word = word[:-1]
    return f"{word}…"
