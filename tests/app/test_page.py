"""The page without a browser."""

import json
import sys
from pathlib import Path

import pytest
import spacy
from spacy.language import Language

import spacy_tabcnn.app
from spacy_tabcnn.app.texts import EXAMPLES
from spacy_tabcnn.pipeline import loading

streamlit = pytest.importorskip(
    "streamlit", reason="the page needs streamlit: pip install spacy-tabcnn[app]"
)
AppTest = pytest.importorskip("streamlit.testing.v1").AppTest

PAGE = Path(spacy_tabcnn.app.__file__).with_name("page.py")
TEXT = "Ferrari won five titles in a row with Michael Schumacher at the wheel."


@pytest.fixture
def open_page(monkeypatch):
    """Open the page as `serve` does."""
    streamlit.cache_resource.clear()
    streamlit.cache_data.clear()

    def open_page(*models, text=TEXT):
        monkeypatch.setattr(sys, "argv", [str(PAGE), f"--text={text}", *map(str, models)])
        page = AppTest.from_file(str(PAGE), default_timeout=60).run()
        assert not page.exception
        return page

    return open_page


@pytest.fixture
def calls(monkeypatch):
    """The models that were loaded and the texts that were annotated."""
    found = []
    load, annotate = loading.load_checked, Language.__call__
    monkeypatch.setattr(
        loading,
        "load_checked",
        lambda model: found.append(f"load {Path(model).name}") or load(model),
    )
    monkeypatch.setattr(
        Language, "__call__", lambda nlp, text: found.append(text) or annotate(nlp, text)
    )
    return found


def relations(page):
    """The relations that are shown."""
    annotation = json.loads(page.json[0].value)
    names = [TEXT[entity["start"] : entity["end"]] for entity in annotation["entities"]]
    return [
        (names[found["head"]], found["label"], names[found["tail"]])
        for found in annotation["relations"]
    ]


def find(elements, label):
    """The element with a label."""
    [found] = [element for element in elements if element.label == label]
    return found


def test_a_text_is_annotated(open_page, tiny_run):
    page = open_page(tiny_run / "model-last")
    assert relations(page) == [("Michael Schumacher", "worked_for", "Ferrari")]
    assert [tab.label for tab in page.tabs] == ["Arcs", "Label table", "JSON"]
    assert not page.error and not page.warning


def test_the_threshold_filters_without_annotating_again(open_page, tiny_run, calls):
    page = open_page(tiny_run / "model-last")
    page.slider[0].set_value(1.0).run()
    assert relations(page) == []
    assert page.info[0].value == "No relation reaches the minimum score; 1 below it."
    page.slider[0].set_value(0.1).run()
    assert len(relations(page)) == 1
    assert calls == ["load model-last", TEXT]


def test_a_model_is_loaded_once_for_all_texts_and_visitors(open_page, tiny_run, ruler_model, calls):
    page = open_page(tiny_run / "model-last", ruler_model)
    page.text_area[0].set_value("Another text.")
    page.button[0].click().run()
    find(page.selectbox, "Model").select(str(ruler_model)).run()
    find(page.selectbox, "Model").select(str(tiny_run / "model-last")).run()
    open_page(tiny_run / "model-last")
    assert calls == ["load model-last", TEXT, "Another text.", "load ruler", "Another text."]


def test_an_empty_text_is_asked_for(open_page, tiny_run, calls):
    page = open_page(tiny_run / "model-last", text=" ")
    assert page.info[0].value.startswith("There is no text yet.")
    assert calls == []


def test_a_text_without_relations(open_page, tiny_run):
    page = open_page(tiny_run / "model-last", text="!")
    assert [info.value for info in page.info] == ["The model finds no relations in this text."]


def test_a_pipeline_without_relations(open_page, ruler_model):
    page = open_page(ruler_model)
    assert "sets no relations (its components: entity_ruler)" in page.warning[0].value
    assert not page.slider and not page.tabs
    assert '"COMPANY"' in page.json[0].value


def test_a_model_that_cannot_be_loaded(open_page, tmp_path):
    page = open_page(tmp_path / "none")
    assert page.error[0].value == f"The model {tmp_path / 'none'} cannot be loaded."
    assert "E050" in page.code[0].value


def test_a_text_that_cannot_be_annotated(open_page, ruler_model, monkeypatch):
    def load_with_limit(model):
        nlp = spacy.load(model)
        nlp.max_length = 10
        return nlp

    monkeypatch.setattr(loading, "load_checked", load_with_limit)
    page = open_page(ruler_model)
    assert page.error[0].value == "The text cannot be annotated."
    assert "E088" in page.code[0].value


def test_a_text_that_is_too_long_is_refused_before_the_work(open_page, tiny_run, calls):
    page = open_page(tiny_run / "model-last", text="Ferrari " * 2_501)
    assert page.error[0].value == (
        "The text has 20,008 characters, and the page annotates at most 20,000. Shorten it, or "
        "annotate a file of any length with `spacy tabcnn annotate`."
    )
    assert calls == []


def test_marks_that_take_the_tokenizer_too_long_are_refused(open_page, tiny_run, calls):
    page = open_page(tiny_run / "model-last", text="(:" * 5_000)
    assert page.error[0].value.startswith("The text has 10,000 punctuation marks or symbols")
    assert calls == ["load model-last"]


def test_one_sentence_at_a_time_has_a_table(open_page, tiny_run, tmp_path):
    nlp = spacy.load(tiny_run / "model-last")
    nlp.add_pipe("sentencizer", first=True)
    nlp.to_disk(tmp_path / "sentences")
    page = open_page(tmp_path / "sentences", text=f"{TEXT} {'word ' * 130}.")
    choice = find(page.selectbox, "Sentence of the table")
    assert choice.options[0] == f"1. {TEXT}" and len(choice.options) == 2
    assert not any("of 131 words" in caption.value for caption in page.caption)
    choice.select_index(1).run()
    assert any("The first 120 of 131 words" in caption.value for caption in page.caption)


def test_one_sentence_is_shown_alone(open_page, tiny_run, tmp_path):
    nlp = spacy.load(tiny_run / "model-last")
    nlp.add_pipe("sentencizer", first=True)
    nlp.to_disk(tmp_path / "sentences")
    page = open_page(tmp_path / "sentences", text=f"{TEXT} No relation.")
    assert json.loads(page.json[0].value)["text"] == f"{TEXT} No relation."
    page.toggle[0].set_value(True).run()
    assert relations(page) == [("Michael Schumacher", "worked_for", "Ferrari")]
    assert json.loads(page.json[0].value)["text"].strip() == TEXT
    find(page.selectbox, "Sentence (2)").select_index(1).run()
    assert json.loads(page.json[0].value)["text"] == "No relation."
    assert not page.exception
    page.toggle[0].set_value(False).run()
    assert json.loads(page.json[0].value)["text"] == f"{TEXT} No relation."


BEGINNING = "The committee of the federal republic met for the first time in the old city of "


def test_sentences_that_begin_alike_are_told_apart(open_page, tiny_run, tmp_path):
    nlp = spacy.load(tiny_run / "model-last")
    nlp.add_pipe("sentencizer", first=True)
    nlp.to_disk(tmp_path / "sentences")
    names = ("Aachenburg", "Bonnstadt", "Celleburg")
    page = open_page(tmp_path / "sentences", text=" ".join(f"{BEGINNING}{x}." for x in names))
    page.toggle[0].set_value(True).run()
    for index, name in enumerate(names):
        find(page.selectbox, "Sentence (3)").select_index(index).run()
        assert name in json.loads(page.json[0].value)["text"]
    page.toggle[0].set_value(False).run()
    choice = find(page.selectbox, "Sentence of the table")
    assert len(set(choice.options)) == 3
    choice.select_index(2).run()
    page.text_area[0].set_value(f"{BEGINNING}Rome. {BEGINNING}Oslo.")
    page.button[0].click().run()
    assert not page.exception
    assert find(page.selectbox, "Sentence of the table").index in (0, 1)


def test_a_text_of_one_sentence_has_no_switch(open_page, tiny_run):
    assert not open_page(tiny_run / "model-last").toggle


def test_two_models_are_compared(open_page, tiny_run, ruler_model):
    page = open_page(tiny_run / "model-last", ruler_model)
    find(page.selectbox, "Compare with").select(str(ruler_model)).run()
    assert [code.value for code in page.code] == [str(tiny_run / "model-last"), str(ruler_model)]
    assert len(page.json) == 2 and "sets no relations" in page.warning[0].value
    assert "0 relations are the same; 1 only on the left" in page.caption[0].value


def test_a_model_that_cannot_be_loaded_does_not_hide_the_other_one(open_page, tiny_run, tmp_path):
    page = open_page(tiny_run / "model-last", tmp_path / "none")
    find(page.selectbox, "Compare with").select(str(tmp_path / "none")).run()
    assert page.error[0].value.endswith("none cannot be loaded.")
    assert relations(page) == [("Michael Schumacher", "worked_for", "Ferrari")]


def test_one_model_is_compared_with_none(open_page, tiny_run):
    labels = [choice.label for choice in open_page(tiny_run / "model-last").selectbox]
    assert labels == ["Model", "Example"]


def test_an_example_is_annotated_at_once(open_page, tiny_run, calls):
    page = open_page(tiny_run / "model-last", text="")
    find(page.selectbox, "Example").select_index(0).run()
    assert page.text_area[0].value == EXAMPLES[0] == calls[-1]


def test_examples_of_a_file_replace_those_of_the_package(open_page, tiny_run, tmp_path):
    (tmp_path / "examples.txt").write_text("Ann.\nBob.\n")
    page = open_page(tiny_run / "model-last", f"--examples={tmp_path / 'examples.txt'}")
    assert find(page.selectbox, "Example").options == ["Ann.", "Bob."]


def test_the_texts_of_a_file_are_chosen(open_page, tiny_run):
    page = open_page(tiny_run / "model-last")
    content = json.dumps({"text": TEXT}) + "\n" + json.dumps({"text": "Another text."})
    page.file_uploader[0].upload("a.jsonl", content.encode(), "application/jsonl").run()
    assert page.text_area[0].value == TEXT
    find(page.selectbox, "Text of the file (2)").select_index(1).run()
    assert page.text_area[0].value == "Another text."
    find(page.selectbox, "Example").select_index(0).run()
    assert [choice.label for choice in page.selectbox] == ["Model", "Example"]


def test_texts_of_a_file_that_begin_alike_are_told_apart(open_page, tiny_run):
    page = open_page(tiny_run / "model-last")
    texts = [f"{BEGINNING}{name}." for name in ("Aachenburg", "Bonnstadt", "Celleburg")]
    content = "\n".join(json.dumps({"text": text}) for text in texts)
    page.file_uploader[0].upload("a.jsonl", content.encode(), "application/jsonl").run()
    for index in (2, 0, 1):
        find(page.selectbox, "Text of the file (3)").select_index(index).run()
        assert page.text_area[0].value == texts[index]


def test_a_file_that_cannot_be_read_leaves_the_text(open_page, tiny_run):
    page = open_page(tiny_run / "model-last")
    page.file_uploader[0].upload("a.jsonl", b"{", "application/jsonl").run()
    assert page.error[0].value.startswith("The file cannot be read. a.jsonl, line 1")
    assert page.text_area[0].value == TEXT and not page.exception


def test_the_limit_of_the_text_is_an_option(open_page, tiny_run, calls):
    page = open_page(tiny_run / "model-last", "--max-characters=10")
    assert "at most 10." in page.error[0].value and calls == []


@pytest.mark.parametrize("name", ["spert", "pfn"])
def test_a_model_without_a_table_shows_its_annotation_as_one(open_page, tmp_path, name):
    nlp = spacy.blank("en")
    component = nlp.add_pipe(name, config={"model": {"tok2vec": {"width": 16}}})
    component.add_label("X")
    component.add_label("R", kind="relation")
    nlp.initialize()
    nlp.to_disk(tmp_path / name)
    page = open_page(tmp_path / name)
    assert any("fills no table" in caption.value for caption in page.caption)
