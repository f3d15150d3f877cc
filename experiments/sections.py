"""The sections of a report: tables, figures and lists."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

# Where there is no figure.
NONE = "–"


class TableSection(NamedTuple):
    """A table with its title and notes; rows are as long as the header."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


class FigureSection(NamedTuple):
    """A figure.

    title (str): The title.
    name (str): Name of its files, without the extension.
    data (object): The data for a JSON file.
    draw (Callable[[Path], None]): Draws the figure to a file.
    """

    title: str
    name: str
    data: object
    draw: Callable[[Path], None]


class ListSection(NamedTuple):
    """A list of sentences without a full stop, with its title."""

    title: str
    lines: Sequence[str]


Section = TableSection | FigureSection | ListSection


def format_number(value: object, spec: str = ".1f") -> str:
    """Format a figure of a table.

    value (object): The figure.
    spec (str): The format.
    RETURNS (str): The figure as text; a dash if it is no number.
    """
    if not isinstance(value, int | float):
        return NONE
    return f"{value:{spec}}"


def count_things(number: int, word: str) -> str:
    """Write a number with its noun.

    number (int): The number.
    word (str): The noun in the singular.
    RETURNS (str): For example "1 seed" or "2 seeds".
    """
    if number == 1:
        return f"1 {word}"
    return f"{number} {word}s"
