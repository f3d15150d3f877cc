"""The label table of a passage (paper, figure 1) as an HTML table."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from markupsafe import Markup
from spacy.tokens import Span

from .cells import Cell, CellLabel, Cells
from .options import PictureOptions, label_colours
from .templates import render
from .text import clean, get_language

# Share of a label's colour in its cell at probability 1. Text stays readable on it, in light and
# in dark.
MAX_SHARE = 36


class _Part(NamedTuple):
    """A label in a cell.

    name (str): The label, with its mark.
    colour (str): Its CSS colour.
    share (float): Share of the colour, in per cent.
    probability (str): Its probability; "" if it is 1.
    """

    name: str
    colour: str
    share: float
    probability: str


class _TableCell(NamedTuple):
    """A cell.

    title (str): All labels, with their probabilities.
    parts (list[_Part]): The main labels.
    """

    title: str
    parts: list[_Part]


def draw_table(
    passage: Span, cells: Cells, *, labels: Sequence[str], options: PictureOptions | None = None
) -> Markup:
    """Draw the table of a passage.

    passage (Span): The words, on both axes.
    cells (Cells): The cells of the document's table. A label has as much of its colour as it is
        probable. Labels with at least half of the highest probability share the cell. A tooltip
        names all labels, with their probabilities.
    labels (Sequence[str]): All labels, in the order that decides their colours.
    options (PictureOptions | None): Colours, font and size.
    RETURNS (Markup): An HTML table in a box in which it scrolls.
    """
    options = options or {}
    colours = {**label_colours(labels), **options.get("colors", {})}
    words = [clean(token.text) or "␣" for token in passage]
    drawn: dict[Cell, _TableCell] = {}
    for (i, j), found in _select_cells(cells, passage).items():
        drawn[i, j] = _draw_cell((i, j), found, words, colours)
    return render(
        "table.html", words=words, cells=drawn, lang=get_language(passage.doc), options=options
    )


def _select_cells(cells: Cells, passage: Span) -> dict[Cell, Sequence[CellLabel]]:
    """Select the cells of a passage, with its first word as word 0."""
    start, inside = passage.start, range(passage.start, passage.end)
    selected = {}
    for (i, j), found in cells.items():
        if i in inside and j in inside:
            selected[i - start, j - start] = found
    return selected


def _draw_cell(
    cell: Cell, found: Sequence[CellLabel], words: Sequence[str], colours: Mapping[str, str]
) -> _TableCell:
    parts = []
    for label in found:
        if label.probability >= found[0].probability / 2:
            probability = f"{label.probability:.2f}"
            if probability == "1.00":
                probability = ""
            share = MAX_SHARE * label.probability
            parts.append(_Part(_name(label, cell), colours[label.label], share, probability))
    descriptions = [_describe(label, cell, words) for label in found]
    return _TableCell("; ".join(descriptions), parts)


def _name(label: CellLabel, cell: Cell) -> str:
    if cell[0] == cell[1]:
        return f"{label.mark}-{clean(label.label)}"
    return f"{clean(label.label)} {label.mark}"


def _describe(label: CellLabel, cell: Cell, words: Sequence[str]) -> str:
    """Describe a label of a cell with its words and its probability."""
    row, col = words[cell[0]], words[cell[1]]
    if cell[0] == cell[1]:
        return f"{row}: {_name(label, cell)} {label.probability:.2f}"
    return f"{row} {label.mark} {col}: {clean(label.label)} {label.probability:.2f}"
