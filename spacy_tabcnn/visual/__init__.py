"""Pictures of annotated documents: relations as arcs, and the label table.

Import this package where it is needed: `spacy_tabcnn` does not import it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from markupsafe import Markup
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.util import is_in_jupyter, minify_html

from ..relations import has_relations
from .arcs import draw_diagram, draw_fluid_diagram, list_labels
from .cells import Cells, annotated_cells, find_component, predicted_cells, table_labels
from .label_table import draw_table
from .options import PictureOptions, check_options
from .passages import passages
from .templates import render as fill_template
from .text import choose_direction, get_language

__all__ = ["render"]

Style = Literal["relations", "table"]


def render(
    docs: Doc | Span | Iterable[Doc | Span],
    style: Style = "relations",
    *,
    page: bool = False,
    minify: bool = False,
    jupyter: bool | None = None,
    options: Mapping[str, object] | None = None,
    nlp: Language | None = None,
) -> str | None:
    """Draw the entities and relations of documents.

    Style "relations" draws boxes around entities, and arcs between them. Style "table" draws the
    label table over the words (paper, figure 1) with its probabilities. There is a picture for each
    sentence. Sentences that a relation joins share a picture.

    docs (Doc | Span | Iterable[Doc | Span]): The documents. A span is one picture.
    style (str): "relations" or "table".
    page (bool): Whether to make a full HTML page.
    minify (bool): Whether to remove line breaks and indentation from the markup.
    jupyter (bool | None): Whether to display the pictures in a notebook. If None, they are
        displayed if the code runs in a notebook.
    options (Mapping[str, object] | None): "colors" (dict of labels and CSS colours), "color", "bg"
        and "font" (CSS); in style "relations" "width" (pixels) and in style "table" "cell_size"
        (pixels). Without "width", pages and notebooks choose one of two widths of arcs, for large
        and for small screens.
    nlp (Language | None): In style "table", the pipeline with the relation table that predicts the
        probabilities of the cells. If None, the table shows the annotation of the documents, with
        their scores or 1.
    RETURNS (str | None): SVG pictures, HTML tables or an HTML page; None if they were displayed in
        a notebook.
    RAISES (ValueError): If an argument or an option is unknown or does not fit, a document is not
        annotated, or the pipeline has no relation table.
    """
    items = _check_arguments(docs, style, nlp)
    checked = check_options(options, style)
    if jupyter is None:
        jupyter = is_in_jupyter()
    if style == "table":
        pictures = _draw_tables(items, checked, nlp)
    else:
        pictures = _draw_diagrams(items, checked, is_fluid=page or jupyter)
    markup = "\n".join(pictures)
    if page:
        markup = _make_page(items, pictures)
    if minify:
        markup = minify_html(markup)
    if jupyter:
        _display(markup)
        return None
    return str(markup)


# Check the arguments.


def _check_arguments(
    docs: Doc | Span | Iterable[Doc | Span], style: Style, nlp: Language | None
) -> list[Doc | Span]:
    """Check the arguments of `render`, and return the documents as a list."""
    if style not in ("relations", "table"):
        raise ValueError(
            f"spacy_tabcnn.visual.render: unknown style {style!r}; expected 'relations' or 'table'"
        )
    if nlp is not None and style != "table":
        raise ValueError(
            "spacy_tabcnn.visual.render: `nlp` goes with style='table'; arcs show doc._.relations"
        )
    if isinstance(docs, Doc | Span):
        docs = [docs]
    if isinstance(docs, str) or not isinstance(docs, Iterable):
        raise ValueError(
            f"spacy_tabcnn.visual.render: `docs` is {docs!r}; expected a Doc, a Span, or several "
            "of them"
        )
    items = list(docs)
    for index, item in enumerate(items):
        doc = _check_item(item, index)
        if nlp is None:
            _require_annotation(doc, index, style)
    return items


def _check_item(item: object, index: int) -> Doc:
    """Check that an item is a document or a span, and return its document."""
    if not isinstance(item, Doc | Span):
        raise ValueError(
            f"spacy_tabcnn.visual.render: item {index} is {item!r}; expected a Doc or a Span"
        )
    return _get_doc(item)


def _require_annotation(doc: Doc, index: int, style: Style) -> None:
    """Check that a document is annotated; its entities are enough for a table."""
    if has_relations(doc):
        return
    if style == "relations":
        missing, alternative = "relations", ""
    elif doc.has_annotation("ENT_IOB"):
        return
    else:
        missing, alternative = "entities and relations", ", or give the pipeline as `nlp`"
    raise ValueError(
        f"spacy_tabcnn.visual.render: document {index}, {doc.text[:40]!r}, is not annotated with "
        f"{missing}. Run a pipeline with a relation_table on it, or set doc.ents and "
        f"doc._.relations ([] says that there are none){alternative}"
    )


# Draw the pictures.


def _draw_diagrams(
    items: Sequence[Doc | Span], options: PictureOptions, *, is_fluid: bool
) -> list[Markup]:
    draw = draw_diagram
    if is_fluid and "width" not in options:
        draw = draw_fluid_diagram
    labels = list_labels(map(_get_doc, items))
    pictures = []
    for item in items:
        for passage in _cut(item):
            pictures.append(draw(passage, labels=labels, options=options))
    return pictures


def _draw_tables(
    items: Iterable[Doc | Span], options: PictureOptions, nlp: Language | None
) -> list[Markup]:
    tables: list[tuple[Span, Cells]] = []
    filled: dict[Doc, tuple[Cells, list[Span]]] = {}
    for item in items:
        doc = _get_doc(item)
        if doc not in filled:
            filled[doc] = _fill_table(doc, nlp)
        cells, parts = filled[doc]
        if isinstance(item, Span):
            parts = [item]
        tables.extend((part, cells) for part in parts)
    labels = table_labels(cells for _, cells in tables)
    if nlp is not None:
        # Given entities may have types that the component does not know.
        labels = list(dict.fromkeys([*find_component(nlp).labels, *labels]))
    pictures = []
    for passage, cells in tables:
        pictures.append(draw_table(passage, cells, labels=labels, options=options))
    return pictures


def _fill_table(doc: Doc, nlp: Language | None) -> tuple[Cells, list[Span]]:
    """Fill the table of a document, and cut the document into the passages to draw."""
    if nlp is None:
        return annotated_cells(doc), passages(doc)
    cells, bounds = predicted_cells(doc, nlp)
    return cells, [doc[start:end] for start, end in bounds]


def _cut(item: Doc | Span) -> list[Span]:
    """Cut a document into passages; a span is one passage."""
    if isinstance(item, Span):
        return [item]
    return passages(item)


def _get_doc(item: Doc | Span) -> Doc:
    if isinstance(item, Span):
        return item.doc
    return item


# Show the pictures.


def _make_page(items: Sequence[Doc | Span], pictures: Sequence[Markup]) -> str:
    """Make an HTML page in the language of the first document."""
    lang, direction = "en", "ltr"
    for item in items[:1]:
        doc = _get_doc(item)
        lang, direction = get_language(doc) or lang, choose_direction(doc[:])
    return fill_template("pictures.html", pictures=pictures, lang=lang, direction=direction)


def _display(markup: str) -> None:
    """Display markup in a notebook."""
    from IPython.display import HTML, display  # only notebooks have it, and only they need it

    display(HTML(fill_template("notebook.html", markup=Markup(markup))))
