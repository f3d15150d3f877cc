"""The page, a script that `serve` gives to Streamlit with the names of the models."""

import json
from argparse import ArgumentParser
from collections.abc import Mapping
from threading import Lock

import spacy
import streamlit as st
from spacy.language import Language
from spacy.tokens import Doc

from spacy_tabcnn.app.content import (
    choose_colours,
    draw_arcs,
    draw_entities,
    draw_label_table,
    draw_relations,
    dump_annotation,
    has_table,
    keep_relations,
)
from spacy_tabcnn.app.markup import show_markup
from spacy_tabcnn.relations import get_relations, has_relations
from spacy_tabcnn.sentences import sentence_bounds

MAX_TABLE_WORDS = 120  # of a picture; browsers are slow with more cells
_CACHED_TEXTS = 32
_WIDTH = "<style>.stMainBlockContainer { max-width: 60rem; padding-top: 2.5rem; }</style>"


@st.cache_resource(show_spinner="Loading the model …")
def load_model(model: str) -> tuple[Language, Lock]:
    """Load a pipeline, once for all visitors, with a lock: pipelines do not annotate in several threads at a time."""
    return spacy.load(model), Lock()


@st.cache_resource(max_entries=_CACHED_TEXTS, show_spinner="Annotating …")
def annotate(model: str, text: str) -> Doc:
    """Annotate a text. The document is shared: do not change it."""
    nlp, lock = load_model(model)
    with lock:
        return nlp(text)


@st.cache_data(max_entries=_CACHED_TEXTS, show_spinner="Filling the table …")
def draw_predicted_table(model: str, text: str, start: int, end: int) -> str:
    """Draw the table that the pipeline fills for some words of a text."""
    nlp, lock = load_model(model)
    doc = annotate(model, text)
    colours = choose_colours(doc, nlp)
    with lock:
        return draw_label_table(doc[start:end], colours=colours, nlp=nlp)


def main() -> None:
    parser = ArgumentParser()
    parser.add_argument("models", nargs="+")
    parser.add_argument("--text", default="")
    arguments = parser.parse_args()

    st.set_page_config(page_title="Entities and relations")
    st.html(_WIDTH)
    st.markdown("### Entities and relations")
    model = st.selectbox("Model", arguments.models)
    with st.form("text", border=False):
        text = st.text_area(
            "Text", arguments.text, height=120, placeholder="Write or paste a text."
        )
        st.form_submit_button("Annotate", type="primary")
    if not text.strip():
        st.info("There is no text yet. Write one above and press Annotate.")
        return
    try:
        nlp, _ = load_model(model)
    except Exception as err:  # whatever a broken pipeline raises; it is shown
        _show_error(f"The model {model} cannot be loaded.", err)
        return
    try:
        doc = annotate(model, text)
    except Exception as err:  # whatever a component raises
        _show_error("The text cannot be annotated.", err)
        return
    show_document(doc, model, nlp)


def show_document(doc: Doc, model: str, nlp: Language) -> None:
    """Show an annotated text."""
    colours = choose_colours(doc, nlp)
    st.markdown("#### Entities")
    if not doc.ents:
        st.caption("The model finds no entities in this text.")
    show_markup(key="entities", data=[draw_entities(doc, colours=colours)])
    if not has_relations(doc):
        components = ", ".join(nlp.pipe_names) or "none"
        st.warning(
            f"This model sets no relations (its components: {components}). Choose or train one with the component "
            "tabcnn or spert."
        )
        show_json(doc)
        return
    st.markdown("#### Relations")
    threshold = st.slider(
        "Least score", 0.0, 1.0, 0.0, 0.01, help="Relations with a lower score are left out."
    )
    kept = keep_relations(doc, threshold)
    arcs_tab, table_tab, json_tab = st.tabs(["Arcs", "Label table", "JSON"])
    with arcs_tab:
        show_relations(kept, n_found=len(get_relations(doc)), colours=colours)
    with table_tab:
        show_table(kept, model, nlp, colours=colours)
    with json_tab:
        show_json(kept)


def show_relations(doc: Doc, *, n_found: int, colours: Mapping[str, str]) -> None:
    """Show relations as arcs and as a list, or why there are none."""
    if not n_found:
        st.info("The model finds no relations in this text.")
    elif not get_relations(doc):
        st.info(f"No relation has so high a score; {n_found} with a lower one.")
    else:
        show_markup(key="arcs", data=[*draw_arcs(doc), draw_relations(doc, colours=colours)])


def show_table(doc: Doc, model: str, nlp: Language, *, colours: Mapping[str, str]) -> None:
    """Show the label table of a sentence."""
    bounds = sentence_bounds(doc)
    start, end = bounds[0]
    if len(bounds) > 1:
        start, end = st.selectbox(
            "Sentence", bounds, format_func=lambda bound: doc[slice(*bound)].text.strip()
        )
    if end - start > MAX_TABLE_WORDS:
        st.caption(
            f"The first {MAX_TABLE_WORDS} of {end - start} words; set sentence boundaries to see all."
        )
        end = start + MAX_TABLE_WORDS
    if has_table(nlp):
        st.caption(
            "What the model gives each pair of words, before any threshold; opaque where it is sure."
        )
        picture = draw_predicted_table(model, doc.text, start, end)
    else:
        st.caption("This model fills no table: its entities and relations in the form of one.")
        picture = draw_label_table(doc[start:end], colours=colours)
    show_markup(key="table", data=[picture])


def show_json(doc: Doc) -> None:
    """Show the annotation as JSON, to download."""
    line = dump_annotation(doc)
    st.download_button(
        "Download JSON",
        line,
        file_name="annotation.jsonl",
        mime="application/jsonl",
        on_click="ignore",
        help="What `spacy tabcnn annotate` writes: `spacy tabcnn graph` reads it.",
    )
    st.json(json.loads(line))


def _show_error(summary: str, err: Exception) -> None:
    st.error(summary)
    st.code(f"{type(err).__name__}: {err}", language=None, wrap_lines=True)


if __name__ == "__main__":
    main()
