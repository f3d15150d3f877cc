"""The page without a browser."""

import json
import sys
from pathlib import Path

import pytest
import spacy
from spacy.language import Language

import spacy_tabcnn.app
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
    page.selectbox[0].select(str(ruler_model)).run()
    page.selectbox[0].select(str(tiny_run / "model-last")).run()
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


def test_one_sentence_at_a_time_has_a_table(open_page, tiny_run, tmp_path):
    nlp = spacy.load(tiny_run / "model-last")
    nlp.add_pipe("sentencizer", first=True)
    nlp.to_disk(tmp_path / "sentences")
    page = open_page(tmp_path / "sentences", text=f"{TEXT} {'word ' * 130}.")
    choice = page.selectbox[1]
    assert choice.options[0] == TEXT and len(choice.options) == 2
    assert not any("of 131 words" in caption.value for caption in page.caption)
    choice.select_index(1).run()
    assert any("The first 120 of 131 words" in caption.value for caption in page.caption)


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
