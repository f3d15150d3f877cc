"""Relations as arcs and the label table as a picture. Import it where it is needed: `spacy_tabcnn` does not."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from spacy import displacy
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.util import is_in_jupyter, minify_html

from ..relations import has_relations
from .arcs import crop, margin, mirror, relation_arcs
from .label_table import (
    Cells,
    annotated_cells,
    draw_table,
    find_component,
    predicted_cells,
    table_labels,
)
from .page import make_picture_page
from .passages import passages

__all__ = ["render"]

Style = Literal["relations", "table"]


def render(
    docs: Doc | Span | Iterable[Doc | Span],
    style: Style = "relations",
    *,
    page: bool = False,
    minify: bool = False,
    jupyter: bool | None = None,
    options: Mapping[str, Any] | None = None,
    nlp: Language | None = None,
) -> str | None:
    """Draw entities and relations: in style "relations" as words and arcs, through displaCy, in style "table" as the
    label table over the words (figure 1 of the paper) with its probabilities. One picture for each sentence, and for
    sentences that a relation joins.

    docs (Doc | Span | Iterable[Doc | Span]): What to draw. A span is one picture.
    style (str): "relations" or "table".
    page (bool): Whether to make a full HTML page.
    minify (bool): Whether to take line breaks and indentation out of the markup.
    jupyter (bool | None): Whether to display the pictures in a notebook; None: if this is one.
    options (Mapping[str, Any] | None): In style "relations" those of displaCy's style "dep"; its "distance" and
        "offset_x" follow the words if they are not given. In style "table": "colors" (dict of labels
        and CSS colours), "cell_size" (pixels), "color", "bg" and "font".
    nlp (Language | None): In style "table", the pipeline whose relation table gives each cell its probabilities. If
        None, the table shows the annotation of the documents, with their scores or 1.
    RETURNS (str | None): SVG pictures or an HTML page; None if they were displayed in a notebook.
    RAISES (ValueError): If the style is unknown, a document is not annotated, or the pipeline has no relation table.
    """
    if style not in ("relations", "table"):
        raise ValueError(
            f"spacy_tabcnn.visual.render: unknown style {style!r}; expected 'relations' or 'table'"
        )
    if nlp is not None and style != "table":
        raise ValueError(
            "spacy_tabcnn.visual.render: `nlp` goes with style='table'; arcs show doc._.relations"
        )
    spans = [docs] if isinstance(docs, Doc | Span) else list(docs)
    for index, item in enumerate(spans):
        if not isinstance(item, Doc | Span):
            raise ValueError(
                f"spacy_tabcnn.visual.render: item {index} is {item!r}; expected a Doc or a Span"
            )
        if nlp is None:
            _require_annotation(item if isinstance(item, Doc) else item.doc, index, style)
    pictures = (
        _draw_arcs(spans, options) if style == "relations" else _draw_tables(spans, options, nlp)
    )
    markup = "\n".join(pictures)
    if page:
        settings = (
            displacy.get_doc_settings(spans[0].doc if isinstance(spans[0], Span) else spans[0])
            if spans
            else {}
        )
        markup = make_picture_page(
            pictures, lang=settings.get("lang", "en"), direction=settings.get("direction", "ltr")
        )
    if minify:
        markup = minify_html(markup)
    if jupyter or (jupyter is None and is_in_jupyter()):
        from IPython.display import HTML, display  # there in a notebook, and nowhere else needed

        # The class keeps MathJax from reading formulas into the text.
        display(HTML(f'<div class="tex2jax_ignore" style="overflow-x: auto">{markup}</div>'))
        return None
    return markup


def _require_annotation(doc: Doc, index: int, style: Style) -> None:
    if not has_relations(doc) and (style == "relations" or not doc.has_annotation("ENT_IOB")):
        missing = "relations" if style == "relations" else "entities and relations"
        raise ValueError(
            f"spacy_tabcnn.visual.render: document {index}, {doc.text[:40]!r}, is not annotated with {missing}. Run a "
            "pipeline with a relation_table on it, or set doc.ents and doc._.relations ([] says that there are none)"
            + ("" if style == "relations" else ", or give the pipeline as `nlp`")
        )


def _draw_arcs(docs: Iterable[Doc | Span], options: Mapping[str, Any] | None) -> list[str]:
    pictures = []
    for doc in docs:
        for passage in [doc] if isinstance(doc, Span) else passages(doc):
            data, settings = relation_arcs(passage), displacy.get_doc_settings(passage.doc)
            if settings["direction"] == "rtl":
                data = mirror(data)
            data["settings"] = {**settings, "direction": "ltr"}
            # displaCy places words at equal distances, whatever their length, and centres the first one.
            lengths = [len(word["text"]) for word in data["words"]] or [0]
            room = [
                8 * len(arc["label"]) / (arc["end"] - arc["start"]) + 50 for arc in data["arcs"]
            ]
            layout = {
                "distance": round(max([8 * max(lengths) + 20, *room])),
                "offset_x": margin(data["words"][0]["text"] if data["words"] else ""),
            }
            picture = displacy.render(
                data, style="dep", manual=True, jupyter=False, options={**layout, **(options or {})}
            )
            pictures.append(crop(picture))
    return pictures


def _draw_tables(
    docs: Iterable[Doc | Span], options: Mapping[str, Any] | None, nlp: Language | None
) -> list[str]:
    tables: list[tuple[Span, Cells]] = []
    for item in docs:
        doc = item if isinstance(item, Doc) else item.doc
        if nlp is None:
            cells, parts = annotated_cells(doc), passages(doc)
        else:
            cells, bounds = predicted_cells(doc, nlp)
            parts = [doc[start:end] for start, end in bounds]
        tables.extend((part, cells) for part in (parts if isinstance(item, Doc) else [item]))
    labels = table_labels(cells for _, cells in tables)
    if nlp is not None:
        # Given entities may be of types that the component does not know.
        labels = list(dict.fromkeys([*find_component(nlp).labels, *labels]))
    return [draw_table(part, cells, labels=labels, options=options) for part, cells in tables]
