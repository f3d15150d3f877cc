"""A report as Markdown, and as one HTML page."""

import base64
from collections.abc import Iterable, Sequence
from pathlib import Path

from markupsafe import Markup

from spacy_tabcnn.visual.templates import render

from .sections import NONE, FigureSection, ListSection, Section, TableSection

TITLE = "TabERT-CNN: the paper's experiments"
# The first characters of numbers in a table.
_NUMERIC = f"0123456789+−<{NONE}"
_TEMPLATES = Path(__file__).with_name("templates")


def to_markdown(sections: Iterable[Section]) -> str:
    """Write the report as Markdown; figures are links to their files.

    sections (Iterable[Section]): The sections.
    RETURNS (str): The text.
    """
    lines = [f"# {TITLE}", ""]
    for section in sections:
        lines += [f"## {section.title}", "", *_section_to_markdown(section), ""]
    return "\n".join(lines)


def _section_to_markdown(section: Section) -> list[str]:
    if isinstance(section, FigureSection):
        image = f"![{section.title}]({section.name}.svg)"
        return [image, "", f"Data: `{section.name}.json`."]
    if isinstance(section, ListSection):
        return [f"- {line}." for line in section.lines] or ["Nothing."]
    if not section.rows:
        return ["Not run."]
    lines = [_row_to_markdown(section.header), _row_to_markdown(["---"] * len(section.header))]
    lines += map(_row_to_markdown, section.rows)
    return [*lines, "", *section.notes]


def _row_to_markdown(row: Iterable[str]) -> str:
    cells = [cell.replace("|", r"\|") for cell in row]
    return f"| {' | '.join(cells)} |"


def to_html(sections: Sequence[Section], folder: Path) -> str:
    """Write the report as one page that requires no other file.

    sections (Sequence[Section]): The sections.
    folder (Path): The folder of the figures.
    RETURNS (str): The page.
    """
    images = {}
    for section in sections:
        if isinstance(section, FigureSection):
            content = (folder / f"{section.name}.svg").read_bytes()
            images[section.name] = base64.b64encode(content).decode("ascii")
    return render(
        "report.html",
        folder=_TEMPLATES,
        title=TITLE,
        sections=sections,
        images=images,
        choose_classes=_choose_classes,
        is_from_paper=_is_from_paper,
    )


def _is_from_paper(row: Iterable[str]) -> bool:
    return any(cell.split(",")[0] == "paper" for cell in row)


def _choose_classes(table: TableSection) -> list[Markup]:
    """Choose the attribute `class` of each column. All cells of a numeric column begin like a
    number."""
    classes = [Markup()] * len(table.header)
    for number, column in enumerate(zip(*table.rows, strict=True)):
        if number > 0 and all(cell[:1] in _NUMERIC for cell in column):
            classes[number] = Markup(' class="number"')
    return classes
