"""The label table of a text (figure 1 of the paper) as cells and as a picture.

A table over n words has BILOU tags in its cells (i, i) and directed relations in its cells i < j: an arrow to the right
where the head is in the row and the tail in the column, to the left where it is the other way round.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from unicodedata import category, east_asian_width

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc, Span
from thinc.util import to_numpy

from ..arrays import Floats2d, log_softmax
from ..labels import NO_RELATION, OUTSIDE, LabelScheme
from ..relations import get_entity_score, get_relations
from ..sentences import sentence_bounds

if TYPE_CHECKING:
    from ..pipeline.relation_table import RelationTable

MIN_PROBABILITY = 0.05
RIGHT, LEFT = "→", "←"


class CellLabel(NamedTuple):
    """A label of a cell other than "O" and "none".

    label (str): Entity type or relation type.
    mark (str): BILOU prefix, or the arrow of a relation.
    probability (float): Its probability.
    """

    label: str
    mark: str
    probability: float


# The labels of cells (i, j), i <= j, counted over the words of a document, the most probable first. Cells that are
# not there are "O" or "none".
Cells: TypeAlias = Mapping[tuple[int, int], Sequence[CellLabel]]


def annotated_cells(doc: Doc) -> Cells:
    """Fill the table of a document with its entities and relations, as training does (paper, section 2.1).

    doc (Doc): The document.
    RETURNS (Cells): Its cells. Probabilities are the scores of predicted entities and relations, else 1. Relations of
        the same two entities share their cells.
    """
    cells = _entity_cells(doc)
    for head, tail, label, score in get_relations(doc):
        for i, j in product(range(head.start, head.end), range(tail.start, tail.end)):
            if i != j:
                mark = RIGHT if i < j else LEFT
                cells.setdefault((min(i, j), max(i, j)), []).append(CellLabel(label, mark, score))
    return {cell: sorted(labels, key=_by_probability) for cell, labels in cells.items()}


def predicted_cells(
    doc: Doc, nlp: Language, *, min_probability: float = MIN_PROBABILITY
) -> tuple[Cells, list[tuple[int, int]]]:
    """Fill the table of a document with the probabilities that a pipeline's relation table gives each cell, before
    they are decoded. Given entities are no predictions: they are in it as they are, also those of a type that the
    pipeline does not know. The document itself stays as it is: a copy goes through the components before the table.

    doc (Doc): The document, tokenised.
    nlp (Language): The pipeline.
    min_probability (float): Labels that are less probable are left out.
    RETURNS (tuple[Cells, list[tuple[int, int]]]): The cells, and first word and end (exclusive) of each sentence. A
        cell that several windows hold has the probabilities of the one in which it counts.
    RAISES (ValueError): If the pipeline has no relation table, or several.
    """
    component = find_component(nlp)
    doc = doc.copy()
    for _, pipe in nlp.pipeline:
        if pipe is component:
            break
        doc = pipe(doc)
    bounds = sentence_bounds(doc)
    logits, scheme = component.predict([doc]), component.label_scheme
    cells: dict[tuple[int, int], list[CellLabel]] = {}
    if component.cfg["entities"] == "given":
        cells = _entity_cells(doc)
    else:
        words = np.arange(len(doc))
        for word, _, index, probability in _probable(
            to_numpy(logits.tags)[logits.windows.rows()], words, words, OUTSIDE, min_probability
        ):
            prefix, _, label = scheme.tag_name(index).partition("-")
            cells.setdefault((word, word), []).append(CellLabel(label, prefix, probability))

    sentence, row, column, index_of_cell = logits.windows.owned_cells()
    first_word = np.array([start for start, _ in bounds], dtype=np.int64)[sentence]
    relations = to_numpy(logits.relations)[index_of_cell]
    for i, j, index, probability in _probable(
        relations, row + first_word, column + first_word, NO_RELATION, min_probability
    ):
        label, head_first = scheme.relation_label(index)
        cells.setdefault((i, j), []).append(
            CellLabel(label, RIGHT if head_first else LEFT, probability)
        )
    return {cell: sorted(labels, key=_by_probability) for cell, labels in cells.items()}, bounds


def find_component(nlp: Language) -> "RelationTable":
    """Find the relation table of a pipeline.

    nlp (Language): The pipeline.
    RETURNS (RelationTable): Its only component that predicts label tables.
    RAISES (ValueError): If it has none, or several.
    """
    from ..pipeline.relation_table import (
        RelationTable,  # loads torch, which a picture of annotations does without
    )

    found = [pipe for _, pipe in nlp.pipeline if isinstance(pipe, RelationTable)]
    if len(found) != 1:
        raise ValueError(
            f"The pipeline has {'no' if not found else len(found)} relation_table, so there is no table to show: its "
            f"components are: {nlp.pipe_names}. "
            + (
                "Disable all but one with nlp.select_pipes()."
                if found
                else "Leave out `nlp` to show the annotation."
            )
        )
    return found[0]


def _entity_cells(doc: Doc) -> dict[tuple[int, int], list[CellLabel]]:
    """Fill the diagonal with the tags of the entities."""
    scheme = LabelScheme(sorted({ent.label_ for ent in doc.ents}))
    cells = {}
    for ent in doc.ents:
        score = get_entity_score(ent)
        for word, tag in enumerate(scheme.span_tags(ent.label_, len(ent)), start=ent.start):
            prefix, _, label = scheme.tag_name(tag).partition("-")
            cells[word, word] = [CellLabel(label, prefix, 1.0 if score is None else score)]
    return cells


def _probable(
    logits: Floats2d, row: Any, column: Any, nothing: int, min_probability: float
) -> Iterable[tuple[int, int, int, float]]:
    """List row, column, label index and probability of a batch of cells' labels other than `nothing`."""
    if not len(logits):
        return []
    probabilities = np.exp(log_softmax(logits))
    probabilities[:, nothing] = 0.0
    cell, index = np.nonzero((probabilities >= min_probability) & (probabilities > 0.0))
    columns = (row[cell], column[cell], index, probabilities[cell, index])
    return zip(*(values.tolist() for values in columns), strict=True)


def _by_probability(label: CellLabel) -> float:
    return -label.probability


# Pictures, in pixels.

FONT_SIZE, SMALL = 12, 11
MAX_WORD = 130  # of a word on an axis
SLANT = np.radians(60)  # of the words above the columns
MIN_CELL, MAX_CELL = 24, 110
TABLE_SIZE = 960  # what cells are made smaller for
MIN_WIDTH = 340  # for the legend


def table_labels(tables: Iterable[Cells]) -> list[str]:
    """List the labels of tables in the order that gives them their colours.

    tables (Iterable[Cells]): Cells of tables.
    RETURNS (list[str]): Entity types, sorted, then relation types, sorted.
    """
    entities: set[str] = set()
    relations: set[str] = set()
    for cells in tables:
        for (i, j), found in cells.items():
            (entities if i == j else relations).update(label.label for label in found)
    return sorted(entities) + sorted(relations - entities)


def draw_table(
    passage: Span,
    cells: Cells,
    *,
    labels: Sequence[str] | None = None,
    options: Mapping[str, Any] | None = None,
) -> str:
    """Draw the table of a passage.

    passage (Span): The words, on both axes: those of the rows stand beside the diagonal.
    cells (Cells): The cells of its document's table. Each is filled in the colour of its most probable label, as
        opaque as that is probable; labels at least half as probable divide it. A tooltip names all, with their
        probabilities.
    labels (Sequence[str] | None): All labels, in an order that stands for their colours; by default those of the
        passage.
    options (Mapping[str, Any] | None): "colors" (dict of labels and CSS colours), "cell_size" (pixels), and "color",
        "bg" and "font" (CSS, as displaCy has them).
    RETURNS (str): An SVG picture.
    """
    options = options or {}
    n, offset = len(passage), passage.start
    words = [_clean(token.text) for token in passage]
    inside = range(offset, offset + n)
    shown = {
        (i - offset, j - offset): found
        for (i, j), found in cells.items()
        if i in inside and j in inside
    }
    used = table_labels([shown])
    colours = {**label_colours(labels or used), **options.get("colors", {})}
    names = [_name(found[0], i == j) for (i, j), found in shown.items()]
    room = min(max([2 * MIN_CELL, *(_width(name, SMALL) + 6 for name in names)]), MAX_CELL)
    size = float(options.get("cell_size", min(room, max(MIN_CELL, TABLE_SIZE / max(n, 1)))))

    axis = [_shorten(word) for word in words]
    widths = [_width(word) for word in axis]
    left = 8 + max([0.0, *(width - i * size for i, width in enumerate(widths))])
    top = 16 + max([0.0, *widths]) * np.sin(SLANT)
    beyond = max(
        [0.0, *(width * np.cos(SLANT) - (n - 1 - i + 0.5) * size for i, width in enumerate(widths))]
    )
    x, y = [left + i * size for i in range(n + 1)], [top + i * size for i in range(n + 1)]
    table_width = max(x[-1] + beyond + 16, MIN_WIDTH)

    drawn = [_draw_grid(x, y)]
    for i, word in enumerate(axis):
        here = (
            f"translate({x[i] + size / 2 + 4:.1f},{top - 6:.1f}) rotate({-np.degrees(SLANT):.0f})"
        )
        drawn.append(f'<text class="column" transform="{here}">{escape(word)}</text>')
        here = f'x="{x[i] - 4:.1f}" y="{y[i] + size / 2 + 4:.1f}"'
        drawn.append(f'<text class="row" text-anchor="end" {here}>{escape(word)}</text>')
        if (i, i) not in shown:
            drawn.append(_centred("O", x[i] + size / 2, y[i] + size / 2, 'fill-opacity="0.35"'))
    for (i, j), found in sorted(shown.items()):
        drawn.append(
            _draw_cell(found, x[j], y[i], size, colours, words[i], None if i == j else words[j])
        )
    legend, bottom = _draw_legend(used, colours, y[-1] + 20, table_width)
    style = (
        "max-width: none; direction: ltr; "
        f"color: {options.get('color', '#000000')}; background: {options.get('bg', '#ffffff')}; "
        f"font-family: {options.get('font', 'Arial, sans-serif')}; font-size: {FONT_SIZE}px"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="label-table" width="{table_width:.0f}" height="{bottom:.0f}" '
        f'viewBox="0 0 {table_width:.0f} {bottom:.0f}" fill="currentColor" style="{escape(style)}">'
        f"{''.join(drawn)}{legend}</svg>"
    )


def label_colours(labels: Sequence[str]) -> dict[str, str]:
    """Choose light colours, as far apart as their number allows: around the circle, every other one less light.

    labels (Sequence[str]): The labels, in an order that stands for their colours.
    RETURNS (dict[str, str]): A CSS colour for each of them.
    """
    return {
        label: f"hsl({360 * index / len(labels):.0f}, 65%, {70 if index % 2 else 82}%)"
        for index, label in enumerate(labels)
    }


def _draw_grid(x: list[float], y: list[float]) -> str:
    """Lines around the cells on and above the diagonal."""
    rows = "".join(f"M{x[max(i - 1, 0)]:.1f},{y[i]:.1f}H{x[-1]:.1f}" for i in range(len(y)))
    columns = "".join(
        f"M{x[j]:.1f},{y[0]:.1f}V{y[min(j + 1, len(y) - 1)]:.1f}" for j in range(len(x))
    )
    return f'<path class="grid" d="{rows}{columns}" fill="none" stroke="currentColor" stroke-opacity="0.15"/>'


def _draw_cell(
    found: Sequence[CellLabel],
    x: float,
    y: float,
    size: float,
    colours: Mapping[str, str],
    row: str,
    column: str | None,
) -> str:
    """The labels of a cell side by side, with a tooltip; `column` is None on the diagonal."""
    if column is None:
        described = [f"{row}: {_name(label, True)} {label.probability:.2f}" for label in found]
    else:
        described = [
            f"{row} {mark} {column}: {label} {probability:.2f}"
            for label, mark, probability in found
        ]
    drawn = f"<g><title>{escape('; '.join(described))}</title>"
    main = [label for label in found if label.probability >= found[0].probability / 2]
    width = size / len(main)
    for index, label in enumerate(main):
        drawn += (
            f'<rect class="cell" fill="{escape(colours[label.label])}" fill-opacity="{label.probability:.3g}" '
            f'x="{x + index * width:.2f}" y="{y:.2f}" width="{width:.2f}" height="{size:.2f}"/>'
        )
        name = _name(label, column is None)
        fits = _width(name, SMALL) <= width
        # The colours are light ones, on which any other colour of text may be unreadable.
        colour = ' fill="#000000"' if label.probability >= 0.5 else ""
        centre = x + (index + 0.5) * width
        drawn += _centred(
            name if fits else label.mark, centre, y + size / 2, f'font-size="{SMALL}"{colour}'
        )
    return drawn + "</g>"


def _draw_legend(
    used: Sequence[str], colours: Mapping[str, str], top: float, table_width: float
) -> tuple[str, float]:
    """The labels, the scale of probabilities and the meaning of the arrows, and where the picture ends."""
    items = [([(colours[label], 1.0)], label) for label in used]
    items.append(([("currentColor", share / 5) for share in range(1, 6)], "probability 0 to 1"))
    items.append(([], f"{RIGHT} the row is the head, {LEFT} the column is"))
    drawn, x, y = "", 8.0, top
    for swatches, text in items:
        width = 16 * len(swatches) + 4 + _width(text) + 16
        if x > 8 and x + width > table_width:
            x, y = 8.0, y + 22
        for colour, opacity in swatches:
            drawn += f'<rect fill="{escape(colour)}" fill-opacity="{opacity:g}" x="{x}" y="{y}" width="16" height="14"/>'
            x += 16
        drawn += (
            f'<text class="legend" x="{x + 4:.1f}" y="{y + 11:.1f}">{escape(_clean(text))}</text>'
        )
        x += width - 16 * len(swatches)
    return drawn, y + 26


def _centred(text: str, x: float, y: float, attributes: str) -> str:
    return (
        f'<text text-anchor="middle" x="{x:.1f}" y="{y + 4:.1f}" {attributes}>{escape(text)}</text>'
    )


def _name(label: CellLabel, is_tag: bool) -> str:
    return f"{label.mark}-{label.label}" if is_tag else f"{label.label} {label.mark}"


def _clean(text: str) -> str:
    """A text without what XML cannot hold and without line breaks."""
    text = "".join(
        "\ufffd" if category(char) in ("Cc", "Cn", "Cs") and not char.isspace() else char
        for char in text
    )
    return " ".join(text.split()) or "␣"


def _width(text: str, font_size: int = FONT_SIZE) -> float:
    """About how wide a text is, with a little to spare."""
    return sum(1.0 if east_asian_width(char) in "WF" else 0.6 for char in text) * font_size


def _shorten(word: str) -> str:
    if _width(word) <= MAX_WORD:
        return word
    while _width(word) > MAX_WORD - FONT_SIZE:
        word = word[:-1]
    return f"{word}…"
