"""The confusion of labels: gold labels against predicted ones, with missed and spurious items."""

from collections import Counter
from collections.abc import Iterable
from typing import Literal, NamedTuple, TypeAlias, get_args

from .errors import ErrorFinding, Unit

# The headings beside labels. "wrong arguments": the relation has the right label, and entities of
# wrong types.
OtherHeading = Literal["wrong arguments", "wrong direction", "wrong boundary", "missed", "spurious"]
OTHER_HEADINGS: tuple[OtherHeading, ...] = get_args(OtherHeading)


class Heading(NamedTuple):
    """The heading of a row or a column. A label may have the name of another heading.

    order (int): 0 for a label; the place of another heading after the labels.
    name (str): The label, or one of `OTHER_HEADINGS`.
    """

    order: int
    name: str

    @property
    def is_label(self) -> bool:
        """Whether the heading is a label."""
        return self.order == 0


# A row and a column.
Cell: TypeAlias = tuple[Heading, Heading]


class Confusion(NamedTuple):
    """A table of findings. Each finding is in one cell.

    rows (list[Heading]): The gold labels, then "spurious" if an item is.
    columns (list[Heading]): The predicted labels, then the headings of the other findings.
    counts (Counter[Cell]): The number of findings in each cell that has one.
    """

    rows: list[Heading]
    columns: list[Heading]
    counts: Counter[Cell]


def count_confusion(findings: Iterable[ErrorFinding], unit: Unit) -> Confusion:
    """Count findings by gold and predicted label.

    Rows and columns have the same labels in the same order. A correct item is on the diagonal, an
    item with another label beside it. The sum of a label's row is its number of gold items.

    findings (Iterable[ErrorFinding]): The findings.
    unit (str): "entity" or "relation"; findings of the other unit do not count.
    RETURNS (Confusion): The table.
    """
    counts: Counter[Cell] = Counter()
    for finding in findings:
        if finding.unit == unit:
            counts[find_cell(finding)] += 1
    rows: set[Heading] = set()
    columns: set[Heading] = set()
    for row, column in counts:
        rows.add(row)
        columns.add(column)
    labels = set(filter(_is_label, rows | columns))
    return Confusion(sorted(rows | labels), sorted(columns | labels), counts)


def find_cell(finding: ErrorFinding) -> Cell:
    """Find the cell of a finding.

    finding (ErrorFinding): The finding.
    RETURNS (Cell): Its row and its column.
    """
    gold, predicted = finding.gold, finding.predicted
    if gold is None or predicted is None:
        return _find_single_cell(finding)
    row, column = Heading(0, gold.label), Heading(0, predicted.label)
    if finding.kind == "wrong boundary" or finding.kind == "wrong direction":
        return row, _make_heading(finding.kind)
    if finding.kind == "wrong type" and row == column:
        return row, _make_heading("wrong arguments")
    return row, column


def _find_single_cell(finding: ErrorFinding) -> Cell:
    """Find the cell of a finding without a gold item or without a predicted one."""
    if finding.gold is not None:
        return Heading(0, finding.gold.label), _make_heading("missed")
    if finding.predicted is not None:
        return _make_heading("spurious"), Heading(0, finding.predicted.label)
    raise ValueError("a finding has a gold item, a predicted one, or both; this one has none")


def _make_heading(name: OtherHeading) -> Heading:
    return Heading(1 + OTHER_HEADINGS.index(name), name)


def _is_label(heading: Heading) -> bool:
    return heading.is_label
