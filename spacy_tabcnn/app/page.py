"""The page: a script that Streamlit runs, with the names of the models as arguments."""

import json
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from threading import Lock
from typing import NamedTuple

import streamlit as st
from spacy.language import Language
from spacy.tokens import Doc
from thinc.api import require_gpu

from spacy_tabcnn.app.content import (
    Part,
    choose_colours,
    cut_text,
    describe_difference,
    draw_arcs,
    draw_entities,
    draw_label_table,
    draw_relations,
    dump_annotation,
    has_table,
    keep_relations,
    shorten,
    take_part,
)
from spacy_tabcnn.app.markup import show_markup
from spacy_tabcnn.app.texts import (
    EXAMPLES,
    FILE_TYPES,
    MAX_CHARACTERS,
    MAX_MARKS,
    MAX_MEGABYTES,
    describe_excess,
    read_examples,
    read_file,
)
from spacy_tabcnn.bulk.texts import describe_marks
from spacy_tabcnn.pipeline.loading import load_checked, split_sentences
from spacy_tabcnn.relations import get_relations, has_relations
from spacy_tabcnn.sentences import sentence_bounds

MAX_TABLE_WORDS = 120  # in one picture; browsers are slow with more cells
_CACHED_TEXTS = 32
# Captions have the colour of other texts, since the lighter one is hard to read.
_STYLE = """<style>
.stMainBlockContainer { max-width: %drem; padding-top: 2.5rem; }
[data-testid="stCaptionContainer"], [data-testid="stCaptionContainer"] p {
  color: inherit !important; opacity: 1 !important; }
</style>"""


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
    RETURNS (str): An HTML table.
    """
    nlp, lock = load_model(model)
    doc = annotate_text(model, text)
    colours = choose_colours(doc, nlp)
    with lock:
        return draw_label_table(doc[start:end], colours=colours, nlp=nlp)


class Settings(NamedTuple):
    """The arguments of the script.

    models (list[str]): Names or folders of the pipelines that the page offers.
    text (str): The text to start with.
    examples (Sequence[str]): Texts to choose from.
    max_characters (int): Maximum length of a text.
    gpu_id (int): The GPU, or -1 for the CPU.
    """

    models: list[str]
    text: str
    examples: Sequence[str]
    max_characters: int
    gpu_id: int


class Annotated(NamedTuple):
    """A text that a pipeline annotated.

    model (str): Name or folder of the pipeline.
    nlp (Language): The pipeline.
    doc (Doc): The document.
    """

    model: str
    nlp: Language
    doc: Doc


def main() -> None:
    """Show the page."""
    settings = _parse_arguments()
    if settings.gpu_id >= 0:
        require_gpu(settings.gpu_id)  # for this thread: each visit has one of its own
    st.set_page_config(page_title="Entities and relations")
    st.markdown("### Entities and relations")
    models = choose_models(settings.models)
    st.html(_STYLE % (38 + 22 * len(models)))
    st.session_state.setdefault("text", settings.text)
    text = ask_text(settings.examples)
    if not text.strip():
        st.info("There is no text yet. Write one above and press Annotate.")
        return
    excess = describe_excess(text, settings.max_characters)
    if excess:
        st.error(excess)
        return
    choices = st.container()
    places, found = [], []
    for model, column in zip(models, st.columns(len(models)), strict=True):
        with column:
            if len(models) > 1:
                st.code(model, language=None, wrap_lines=True)
            annotated = annotate(model, text)
        if annotated is not None:
            places.append(column)
            found.append(annotated)
    if found:
        with choices:
            parts, min_score = choose_view(found)
        for number, (place, annotated, part) in enumerate(zip(places, found, parts, strict=True)):
            with place:
                show_part(part, annotated, min_score, f"{number}")


def _parse_arguments() -> Settings:
    """Parse the script's arguments."""
    parser = ArgumentParser()
    parser.add_argument("models", nargs="+")
    parser.add_argument("--text", default="")
    parser.add_argument("--examples", type=read_examples, default=EXAMPLES)
    parser.add_argument("--max-characters", type=int, default=MAX_CHARACTERS)
    parser.add_argument("--gpu-id", type=int, default=-1)
    return Settings(**vars(parser.parse_args()))


def choose_models(models: Sequence[str]) -> list[str]:
    """Let the visitor choose a model, and another one to compare it with.

    models (Sequence[str]): The models that the page offers.
    RETURNS (list[str]): One or two models.
    """
    if len(models) == 1:
        return [st.selectbox("Model", models)]
    left, right = st.columns(2)
    chosen = left.selectbox("Model", models)
    others = [model for model in models if model != chosen]
    other = right.selectbox("Compare with", others, index=None, placeholder="No other model")
    return list(filter(None, [chosen, other]))


def ask_text(examples: Sequence[str]) -> str:
    """Let the visitor write a text, choose an example or open a file. The session's state has the
    text to start with.

    examples (Sequence[str]): The examples.
    RETURNS (str): The text to annotate.
    """
    state = st.session_state
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    left.selectbox(
        "Example",
        examples,
        index=None,
        placeholder="Choose an example",
        key="example",
        on_change=_use_example,
    )
    with right.popover("Open a file", width="stretch"):
        st.file_uploader(
            "A text, JSON lines with the field text, or a .spacy file",
            type=FILE_TYPES,
            key="file",
            on_change=_open_file,
            max_upload_size=MAX_MEGABYTES,
        )
    if "problem" in state:
        st.error(state.problem)
    texts = state.get("texts", ())
    if len(texts) > 1:
        _choose(f"Text of the file ({len(texts):,})", texts, key="number", use=_use_text_of_file)
    with st.form("annotate", border=False):
        st.text_area("Text", key="text", height=120, placeholder="Write or paste a text.")
        st.form_submit_button("Annotate")
    return state.text


def _choose(
    title: str,
    texts: Sequence[str],
    *,
    key: str | None = None,
    use: Callable[[], None] | None = None,
) -> int:
    """Let the visitor choose a text of a list.

    Streamlit finds the choice by its line, so texts with the same beginning need different lines.

    title (str): Title of the list.
    texts (Sequence[str]): The texts.
    key (str | None): Name of the choice in the session's state. If None, other texts begin with
        the first one again.
    use (Callable | None): Called after each choice.
    RETURNS (int): Index of the text.
    """
    return st.selectbox(
        title,
        range(len(texts)),
        format_func=lambda index: f"{index + 1}. {shorten(texts[index])}",
        key=key,
        on_change=use,
    )


def _use_example() -> None:
    """Annotate the example that the visitor chose."""
    if st.session_state.example is not None:
        _forget_file()
        st.session_state.text = st.session_state.example


def _open_file() -> None:
    """Read the file that the visitor opened, and annotate its first text."""
    state = st.session_state
    _forget_file()
    if state.file is None:
        return
    try:
        state.texts = read_file(state.file.name, state.file.getvalue())
    except ValueError as err:
        state.problem = f"The file cannot be read. {err}"
    else:
        state.text = state.texts[0]


def _use_text_of_file() -> None:
    state = st.session_state
    state.text = state.texts[state.number]


def _forget_file() -> None:
    for name in ("texts", "number", "problem"):
        st.session_state.pop(name, None)


def annotate(model: str, text: str) -> Annotated | None:
    """Annotate a text, or show the reason why this is not possible.

    model (str): Name or folder of the pipeline.
    text (str): The text.
    RETURNS (Annotated | None): The document; None if it cannot be annotated.
    """
    try:
        nlp, _ = load_model(model)
    except Exception as err:  # a broken pipeline may raise any error; the page shows it
        _show_error(f"The model {model} cannot be loaded.", err)
        return None
    excess = describe_marks(nlp, text, MAX_MARKS)
    if excess:
        st.error(f"The text has {excess}.")
        return None
    try:
        return Annotated(model, nlp, annotate_text(model, text))
    except Exception as err:  # a component may raise any error; the page shows it
        _show_error("The text cannot be annotated.", err)
        return None


def choose_view(found: Sequence[Annotated]) -> tuple[list[Part], float]:
    """Let the visitor choose one sentence or all, and the minimum score of relations.

    found (Sequence[Annotated]): The text as one or two pipelines annotated it.
    RETURNS (tuple[list[Part], float]): The part of each document to show, and the minimum score.
    """
    docs = [annotated.doc for annotated in found]
    parts = [Part(doc) for doc in docs]
    bounds = cut_text(docs)
    place = st.container()
    if len(bounds) > 1:
        left, place = st.columns(2, vertical_alignment="center")
        if left.toggle("One sentence at a time", key="single"):
            text = docs[0].text
            sentences = [text[start:end] for start, end in bounds]
            index = _choose(f"Sentence ({len(bounds):,})", sentences)
            start, end = bounds[index]
            parts = [take_part(doc, start, end) for doc in docs]
    min_score = 0.0
    if any(map(has_relations, docs)):
        min_score = place.slider(
            "Minimum score", 0.0, 1.0, 0.0, 0.01, help="Relations with a lower score are left out."
        )
    if len(parts) > 1:
        kept = [keep_relations(part.doc, min_score) for part in parts]
        st.caption(describe_difference(*kept))
    return parts, min_score


def show_part(part: Part, annotated: Annotated, min_score: float, key: str) -> None:
    """Show an annotated text or a sentence of it.

    part (Part): The text or the sentence.
    annotated (Annotated): The whole document and its pipeline.
    min_score (float): Minimum score of relations.
    key (str): Distinguishes the elements of two models.
    """
    nlp, doc = annotated.nlp, part.doc
    colours = choose_colours(annotated.doc, nlp)
    st.markdown("#### Entities")
    if not doc.ents:
        st.caption("The model finds no entities in this text.")
    show_markup(key=f"entities{key}", data=[draw_entities(doc, colours=colours)])
    if not has_relations(doc):
        components = ", ".join(nlp.pipe_names) or "none"
        st.warning(
            f"This model sets no relations (its components: {components}). Choose or train one "
            "with the component tabcnn, spert or pfn."
        )
        show_json(doc, key)
        return
    st.markdown("#### Relations")
    kept = keep_relations(doc, min_score)
    arcs_tab, table_tab, json_tab = st.tabs(["Arcs", "Label table", "JSON"])
    with arcs_tab:
        show_relations(kept, n_found=len(get_relations(doc)), colours=colours, key=key)
    with table_tab:
        show_table(part._replace(doc=kept), annotated, colours=colours, key=key)
    with json_tab:
        show_json(kept, key)


def show_relations(doc: Doc, *, n_found: int, colours: Mapping[str, str], key: str) -> None:
    """Show relations as arcs and as a list, or the reason why there are none.

    doc (Doc): The document, with the relations to show.
    n_found (int): Number of relations that the model found, with any score.
    colours (Mapping[str, str]): CSS colours by label.
    key (str): Distinguishes the elements of two models.
    """
    if not n_found:
        st.info("The model finds no relations in this text.")
    elif not get_relations(doc):
        st.info(f"No relation reaches the minimum score; {n_found} below it.")
    else:
        pictures = draw_arcs(doc, colours=colours)
        show_markup(key=f"arcs{key}", data=[*pictures, draw_relations(doc, colours=colours)])


def show_table(part: Part, annotated: Annotated, *, colours: Mapping[str, str], key: str) -> None:
    """Show the label table of a sentence.

    part (Part): The document. If it has several sentences, the visitor chooses one.
    annotated (Annotated): The whole document and its pipeline.
    colours (Mapping[str, str]): CSS colours by label.
    key (str): Distinguishes the elements of two models.
    """
    doc = part.doc
    bounds = sentence_bounds(doc)
    start, end = bounds[0]
    if len(bounds) > 1:
        sentences = [doc[start:end].text for start, end in bounds]
        start, end = bounds[_choose("Sentence of the table", sentences, key=f"bounds{key}")]
    if end - start > MAX_TABLE_WORDS:
        st.caption(
            f"The first {MAX_TABLE_WORDS} of {end - start} words; "
            "set sentence boundaries to see all."
        )
        end = start + MAX_TABLE_WORDS
    if has_table(annotated.nlp):
        st.caption(
            "The model's probabilities for each pair of words, before any threshold. "
            "A cell is as opaque as its label is probable."
        )
        picture = draw_predicted_table(
            annotated.model, annotated.doc.text, part.start + start, part.start + end
        )
    else:
        st.caption("This model fills no table. This is its annotation in the form of one.")
        picture = draw_label_table(doc[start:end], colours=colours)
    show_markup(key=f"table{key}", data=[picture])


def show_json(doc: Doc, key: str) -> None:
    """Show the annotation as JSON, with a button to download it.

    doc (Doc): The document.
    key (str): Distinguishes the elements of two models.
    """
    line = dump_annotation(doc)
    st.download_button(
        "Download JSON",
        line,
        file_name="annotation.jsonl",
        mime="application/jsonl",
        key=f"json{key}",
        on_click="ignore",
        help="The format of `spacy tabcnn annotate`. `spacy tabcnn graph` reads it.",
    )
    st.json(json.loads(line))


def _show_error(summary: str, err: Exception) -> None:
    st.error(summary)
    st.code(f"{type(err).__name__}: {err}", language=None, wrap_lines=True)


if __name__ == "__main__":
    main()
