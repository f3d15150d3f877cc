"""A report as Markdown, and as one HTML page."""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from .sections import NONE, FigureSection, ListSection, Section, TableSection

TITLE = "TabERT-CNN: the paper's experiments"
# The first characters of numbers in a table.
_NUMERIC = f"0123456789+−<{NONE}"
_STYLE = """
body { font: 15px/1.45 Georgia, serif; color: #111; max-width: 1100px; margin: 2em auto;
  padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.1em; margin: 2em 0 .5em; }
table { border-collapse: collapse; font: 13px/1.35 Arial, sans-serif; border-top: 2px solid;
  border-bottom: 2px solid; }
th { text-align: left; border-bottom: 1px solid; }
th, td { padding: 2px 10px 2px 0; vertical-align: top; }
td.number, th.number { text-align: right; white-space: nowrap;
  font-variant-numeric: tabular-nums; }
tr.paper td { color: #666; } .wide { overflow-x: auto; } .note { font-size: 13px; color: #444; }
img { max-width: 100%; }
@media print {
  body { max-width: none; } h2 { break-after: avoid; } img, table { break-inside: avoid; }
}
"""


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
        image = f"![{section.title}]({section.name}.png)"
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


def to_html(sections: Iterable[Section], folder: Path) -> str:
    """Write the report as one page that requires no other file.

    sections (Iterable[Section]): The sections.
    folder (Path): The folder of the figures.
    RETURNS (str): The page.
    """
    lines = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f"<title>{TITLE}</title>",
        f"<style>{_STYLE}</style>",
        "</head>",
        "<body>",
        f"<h1>{TITLE}</h1>",
    ]
    for section in sections:
        lines += [f"<h2>{escape(section.title)}</h2>", *_section_to_html(section, folder)]
    return "\n".join([*lines, "</body>", "</html>", ""])


def _section_to_html(section: Section, folder: Path) -> list[str]:
    if isinstance(section, FigureSection):
        image = base64.b64encode((folder / f"{section.name}.svg").read_bytes()).decode("ascii")
        source = f"data:image/svg+xml;base64,{image}"
        return [f'<img alt="{escape(section.title)}" src="{source}">']
    if isinstance(section, ListSection):
        if not section.lines:
            return ["<p>Nothing.</p>"]
        items = "".join(f"<li>{escape(line)}.</li>" for line in section.lines)
        return [f"<ul>{items}</ul>"]
    if not section.rows:
        return ["<p>Not run.</p>"]
    notes = [f'<p class="note">{escape(note)}</p>' for note in section.notes]
    return [*_table_to_html(section), *notes]


def _table_to_html(table: TableSection) -> list[str]:
    classes = _choose_classes(table)
    lines = ['<div class="wide"><table>', f"<tr>{_cells_to_html('th', table.header, classes)}</tr>"]
    for row in table.rows:
        name = ""
        if any(cell.split(",")[0] == "paper" for cell in row):
            name = ' class="paper"'
        lines.append(f"<tr{name}>{_cells_to_html('td', row, classes)}</tr>")
    return [*lines, "</table></div>"]


def _choose_classes(table: TableSection) -> list[str]:
    """Choose the class of each column. All cells of a numeric column start like a number."""
    classes = [""] * len(table.header)
    for number, column in enumerate(zip(*table.rows, strict=True)):
        if number > 0 and all(cell[:1] in _NUMERIC for cell in column):
            classes[number] = ' class="number"'
    return classes


def _cells_to_html(tag: str, cells: Sequence[str], classes: Sequence[str]) -> str:
    html = ""
    for name, cell in zip(classes, cells, strict=True):
        html += f"<{tag}{name}>{escape(cell)}</{tag}>"
    return html
