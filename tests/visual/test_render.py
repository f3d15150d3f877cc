import subprocess
import sys
from types import ModuleType
from xml.etree import ElementTree

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, Span

from spacy_tabcnn.pipeline.relation_table import RelationTable
from spacy_tabcnn.visual import render


@pytest.fixture
def two_sentences(make_doc):
    entities = [(0, 1, "PER"), (3, 4, "LOC"), (5, 6, "PER")]
    starts = [True, *[False] * 4, True, False, False]
    return make_doc(
        "Ann lives in Rome . Bob sleeps .", entities, [(0, 1, "LivesIn")], sent_starts=starts
    )


@pytest.fixture
def notebook(monkeypatch):
    """A stand-in for a notebook, with the list of what it displayed."""
    shown = []
    module = ModuleType("IPython.display")
    module.HTML, module.display = str, shown.append
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return shown


def test_relations_are_one_picture(curie):
    svg = render(curie)
    assert ElementTree.fromstring(svg).get("class") == "tabcnn-arcs"
    assert all(f">{text}</text>" in svg for text in ("Marie Curie", "BornIn", "LivedIn"))


@pytest.mark.parametrize("style,start", [("relations", "<svg "), ("table", "<table ")])
def test_one_picture_for_each_sentence(two_sentences, style, start):
    assert render(two_sentences, style).count(start) == 2
    assert render(two_sentences[0:8], style).count(start) == 1
    assert render([two_sentences, two_sentences[0:5]], style).count(start) == 3


def test_numbers_of_numpy_are_options(curie):
    assert 'width="344"' in render(curie, options={"width": np.float32(400)})


@pytest.mark.parametrize("style", ["relations", "table"])
def test_options_reach_the_picture(curie, style):
    assert "#0f0e17" in render(curie, style, options={"bg": "#0f0e17"})


def test_the_width_of_arcs_is_an_option(make_doc):
    doc = make_doc("word " * 50, [], [])
    widths = []
    for width in (200, 400):
        root = ElementTree.fromstring(render(doc, options={"width": width}))
        widths.append(float(root.get("width")))
    assert 150 < widths[0] <= 212 < widths[1] <= 412


@pytest.mark.parametrize(
    "style,options,message",
    [
        ("relations", {"compact": True}, "unknown option 'compact' of style 'relations'"),
        ("table", {"width": 300}, "unknown option 'width' of style 'table'; expected bg, color"),
        ("relations", {"width": 20}, "the option 'width' is 20; expected at least 160"),
        ("relations", {"width": "600"}, "the option 'width' is '600'; expected a number of pixels"),
        ("relations", {"width": None}, "the option 'width' is None; .* leave the option out"),
        ("relations", {"width": float("nan")}, "the option 'width' is nan; expected a number"),
        ("relations", {"width": float("inf")}, "the option 'width' is inf; expected a number"),
        ("relations", {"width": True}, "the option 'width' is True; expected a number"),
        ("table", {"cell_size": "40px"}, "the option 'cell_size' is '40px'; expected a number"),
        ("table", {"cell_size": -4}, "the option 'cell_size' is -4; expected at least 1"),
        ("table", {"bg": None}, "the option 'bg' is None; expected a string of CSS, or leave the"),
        ("relations", {"font": 12}, "the option 'font' is 12; expected a string of CSS"),
        ("relations", {"colors": None}, "the option 'colors' is None; expected a dictionary of"),
        ("table", {"colors": ["red"]}, r"the option 'colors' is \['red'\]; expected a dictionary"),
        ("table", {"colors": {"PER": 3}}, r"the option 'colors' is \{'PER': 3\}; expected a dict"),
        ("relations", ["width"], r"`options` is \['width'\]; expected a dictionary of options"),
    ],
)
def test_options_that_a_picture_does_not_have_are_refused(curie, style, options, message):
    with pytest.raises(ValueError, match=message):
        render(curie, style, options=options)


def test_a_page_has_arcs_for_large_and_for_small_screens(curie):
    assert render(curie, page=True).count("<svg ") == 2
    assert render(curie, page=True, options={"width": 500}).count("<svg ") == 1


@pytest.mark.parametrize("style", ["relations", "table"])
def test_a_page_is_complete_and_requests_nothing(curie, style):
    page = render(curie, style, page=True)
    assert page.startswith("<!DOCTYPE html>") and '<meta charset="utf-8">' in page
    # Of addresses there are only the names of XML namespaces.
    assert page.count("http") == page.count('="http://www.w3.org/')
    assert "Marie" in page


def test_a_page_has_the_direction_of_the_language():
    doc = Doc(spacy.blank("he").vocab, words=["תל", "אביב"])
    doc.ents = [Span(doc, 0, 2, label="LOC")]
    doc._.relations = []
    assert '<html lang="he" dir="rtl">' in render(doc, page=True)


@pytest.mark.parametrize("style", ["relations", "table"])
def test_texts_and_labels_are_escaped(make_doc, style):
    doc = make_doc(["<script>", "x"], [(0, 1, "<i>"), (1, 2, "T")], [(0, 1, "<b>")])
    for markup in (render(doc, style), render(doc, style, page=True)):
        assert not any(tag in markup for tag in ("<script>", "<i>", "<b>"))


def test_minified(curie):
    assert "\n" in render(curie)
    assert "\n" not in render(curie, minify=True)


def test_a_notebook_displays_the_pictures(curie, notebook):
    assert render(curie, jupyter=True) is None
    assert len(notebook) == 1 and "<svg" in notebook[0]


def test_a_notebook_is_told_from_its_shell(curie, notebook, monkeypatch):
    monkeypatch.setattr("spacy_tabcnn.visual.is_in_jupyter", lambda: True)
    assert render(curie, "table") is None
    assert render(curie, "table", jupyter=False).startswith("<div")
    assert len(notebook) == 1


def test_a_table_shows_the_pipelines_probabilities(untrained):
    doc = untrained.make_doc("Ann lives in Rome. Bob left.")
    markup = render(doc, "table", nlp=untrained)
    assert markup.count("<table ") == 2 and 'class="cell"' in markup
    assert render(doc[0:5], "table", nlp=untrained).count("<table ") == 1


def test_a_pipeline_fills_the_table_of_a_document_once(untrained, monkeypatch):
    numbers = []
    predict = RelationTable.predict
    monkeypatch.setattr(
        RelationTable,
        "predict",
        lambda pipe, docs: numbers.append(len(docs)) or predict(pipe, docs),
    )
    doc, other = untrained("Ann left. Bob left. Cid left."), untrained("Dan left.")
    numbers.clear()
    together = render([*doc.sents, other], "table", nlp=untrained)
    assert together.count("<table ") == 4 and numbers == [1, 1]
    assert together == "\n".join(
        (render(doc, "table", nlp=untrained), render(other, "table", nlp=untrained))
    )


def test_a_document_without_words_has_no_picture(make_doc, untrained):
    assert render(make_doc("", [], []), "relations") == ""
    assert render(make_doc("", [], []), "table", nlp=untrained) == ""
    assert "<svg" not in render([], page=True)


def test_entities_are_enough_for_a_table(make_doc):
    assert "U-PER" in render(make_doc("Ann", [(0, 1, "PER")]), "table")


def test_what_is_not_annotated_is_refused(make_doc):
    with pytest.raises(ValueError, match=r"document 0, 'Ann ', is not annotated with relations"):
        render(make_doc("Ann", [(0, 1, "PER")]))
    with pytest.raises(
        ValueError, match=r"document 1, 'Bob ', is not annotated with entities and relations"
    ):
        render([make_doc("Ann", []), make_doc("Bob")], "table")


def test_unknown_arguments_are_refused(curie, untrained):
    with pytest.raises(ValueError, match="unknown style 'dep'; expected 'relations' or 'table'"):
        render(curie, "dep")
    with pytest.raises(ValueError, match="`nlp` goes with style='table'"):
        render(curie, nlp=untrained)
    with pytest.raises(ValueError, match="item 0 is 'text'; expected a Doc or a Span"):
        render(["text"])
    with pytest.raises(ValueError, match="`docs` is None; expected a Doc, a Span, or several"):
        render(None)
    with pytest.raises(ValueError, match="`docs` is 'Ann'; expected a Doc, a Span, or several"):
        render("Ann")
    with pytest.raises(ValueError, match=r"no relation_table"):
        render(curie, "table", nlp=spacy.blank("en"))


@pytest.mark.parametrize(
    "imported,room",
    [("spacy_tabcnn.cli", "visual"), ("spacy_tabcnn.visual", "pipeline")],
    ids=["the package has no pictures", "pictures have no pipeline"],
)
def test_imports_are_late(imported, room):
    code = (
        f"import sys, {imported};"
        f"print([name for name in sys.modules if name.startswith('spacy_tabcnn.{room}')])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
