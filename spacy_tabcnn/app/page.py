"""The page: a script that Streamlit runs, with the names of the models as arguments."""

import json
from argparse import ArgumentParser
from collections.abc import Mapping
from threading import Lock

import streamlit as st
from spacy.language import Language
from spacy.tokens import Doc
from thinc.api import require_gpu

from spacy_tabcnn.app.content import (
    choose_colours,
    describe_excess,
    draw_arcs,
    draw_entities,
    draw_label_table,
    draw_relations,
    dump_annotation,
    has_table,
    keep_relations,
)
from spacy_tabcnn.app.markup import show_markup
from spacy_tabcnn.pipeline.loading import load_checked, split_sentences
from spacy_tabcnn.relations import get_relations, has_relations
from spacy_tabcnn.sentences import sentence_bounds

MAX_TABLE_WORDS = 120  # in one picture; browsers are slow with more cells
_CACHED_TEXTS = 32
_WIDTH = "<style>.stMainBlockContainer { max-width: 60rem; padding-top: 2.5rem; }</style>"


@st.cache_resource(show_spinner="Loading the model …")
def load_model(model: str) -> tuple[Language, Lock]:
    """Load a pipeline once for all visitors.

    model (str): Name or folder of the pipeline.
    RETURNS (tuple[Language, Lock]): The pipeline and its lock. A pipeline cannot annotate in
        several threads at a time.
    """
    nlp = load_checked(model)
    split_sentences(nlp)
    return nlp, Lock()


@st.cache_resource(max_entries=_CACHED_TEXTS, show_spinner="Annotating …")
def annotate_text(model: str, text: str) -> Doc:
    """Annotate a text.

    model (str): Name or folder of the pipeline.
    text (str): The text.
    RETURNS (Doc): The document. All visitors share it: do not change it.
    """
    nlp, lock = load_model(model)
    with lock:
        return nlp(text)


@st.cache_data(max_entries=_CACHED_TEXTS, show_spinner="Filling the table …")
def draw_predicted_table(model: str, text: str, start: int, end: int) -> str:
    """Draw the table that a pipeline predicts for some words of a text.

    model (str): Name or folder of the pipeline.
    text (str): The text.
    start (int): Index of the first word.
    end (int): Index of the word after the last one.
    RETURNS (str): An SVG picture.
    """
    nlp, lock = load_model(model)
    doc = annotate_text(model, text)
    colours = choose_colours(doc, nlp)
    with lock:
        return draw_label_table(doc[start:end], colours=colours, nlp=nlp)


def main() -> None:
    """Show the page."""
    models, initial_text, gpu_id = _parse_arguments()
    if gpu_id >= 0:
        require_gpu(gpu_id)  # for this thread: each visit has one of its own
    st.set_page_config(page_title="Entities and relations")
    st.html(_WIDTH)
    st.markdown("### Entities and relations")
    model = st.selectbox("Model", models)
    with st.form("text", border=False):
        text = st.text_area("Text", initial_text, height=120, placeholder="Write or paste a text.")
        st.form_submit_button("Annotate", type="primary")
    if not text.strip():
        st.info("There is no text yet. Write one above and press Annotate.")
        return
    excess = describe_excess(text)
    if excess:
        st.error(excess)
        return
    try:
        nlp, _ = load_model(model)
    except Exception as err:  # a broken pipeline may raise any error; the page shows it
        _show_error(f"The model {model} cannot be loaded.", err)
        return
    try:
        doc = annotate_text(model, text)
    except Exception as err:  # a component may raise any error; the page shows it
        _show_error("The text cannot be annotated.", err)
        return
    show_document(doc, model, nlp)


def _parse_arguments() -> tuple[list[str], str, int]:
    """Parse the script's arguments: the models, the text to start with, and the GPU."""
    parser = ArgumentParser()
    parser.add_argument("models", nargs="+")
    parser.add_argument("--text", default="")
    parser.add_argument("--gpu-id", type=int, default=-1)
    arguments = parser.parse_args()
    return arguments.models, arguments.text, arguments.gpu_id


def show_document(doc: Doc, model: str, nlp: Language) -> None:
    """Show an annotated text.

    doc (Doc): The document.
    model (str): Name or folder of the pipeline that annotated it.
    nlp (Language): The pipeline.
    """
    colours = choose_colours(doc, nlp)
    st.markdown("#### Entities")
    if not doc.ents:
        st.caption("The model finds no entities in this text.")
    show_markup(key="entities", data=[draw_entities(doc, colours=colours)])
    if not has_relations(doc):
        components = ", ".join(nlp.pipe_names) or "none"
        st.warning(
            f"This model sets no relations (its components: {components}). Choose or train one "
            "with the component tabcnn, spert or pfn."
        )
        show_json(doc)
        return
    st.markdown("#### Relations")
    min_score = st.slider(
        "Minimum score", 0.0, 1.0, 0.0, 0.01, help="Relations with a lower score are left out."
    )
    kept = keep_relations(doc, min_score)
    arcs_tab, table_tab, json_tab = st.tabs(["Arcs", "Label table", "JSON"])
    with arcs_tab:
        show_relations(kept, n_found=len(get_relations(doc)), colours=colours)
    with table_tab:
        show_table(kept, model, nlp, colours=colours)
    with json_tab:
        show_json(kept)


def show_relations(doc: Doc, *, n_found: int, colours: Mapping[str, str]) -> None:
    """Show relations as arcs and as a list, or the reason why there are none.

    doc (Doc): The document, with the relations to show.
    n_found (int): Number of relations that the model found, with any score.
    colours (Mapping[str, str]): CSS colours by label.
    """
    if not n_found:
        st.info("The model finds no relations in this text.")
    elif not get_relations(doc):
        st.info(f"No relation reaches the minimum score; {n_found} below it.")
    else:
        show_markup(key="arcs", data=[*draw_arcs(doc), draw_relations(doc, colours=colours)])


def show_table(doc: Doc, model: str, nlp: Language, *, colours: Mapping[str, str]) -> None:
    """Show the label table of a sentence.

    doc (Doc): The document. If it has several sentences, the visitor chooses one.
    model (str): Name or folder of the pipeline that annotated it.
    nlp (Language): The pipeline.
    colours (Mapping[str, str]): CSS colours by label.
    """
    bounds = sentence_bounds(doc)
    start, end = bounds[0]
    if len(bounds) > 1:
        start, end = st.selectbox(
            "Sentence", bounds, format_func=lambda bound: doc[slice(*bound)].text.strip()
        )
    if end - start > MAX_TABLE_WORDS:
        st.caption(
            f"The first {MAX_TABLE_WORDS} of {end - start} words; "
            "set sentence boundaries to see all."
        )
        end = start + MAX_TABLE_WORDS
    if has_table(nlp):
        st.caption(
            "The model's probabilities for each pair of words, before any threshold. "
            "A cell is as opaque as its label is probable."
        )
        picture = draw_predicted_table(model, doc.text, start, end)
    else:
        st.caption("This model fills no table. This is its annotation in the form of one.")
        picture = draw_label_table(doc[start:end], colours=colours)
    show_markup(key="table", data=[picture])


def show_json(doc: Doc) -> None:
    """Show the annotation as JSON, with a button to download it.

    doc (Doc): The document.
    """
    line = dump_annotation(doc)
    st.download_button(
        "Download JSON",
        line,
        file_name="annotation.jsonl",
        mime="application/jsonl",
        on_click="ignore",
        help="The format of `spacy tabcnn annotate`. `spacy tabcnn graph` reads it.",
    )
    st.json(json.loads(line))


def _show_error(summary: str, err: Exception) -> None:
    st.error(summary)
    st.code(f"{type(err).__name__}: {err}", language=None, wrap_lines=True)


if __name__ == "__main__":
    main()
