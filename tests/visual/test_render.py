import re
import subprocess
import sys
from types import ModuleType
from xml.etree import ElementTree

import pytest
import spacy
from spacy.tokens import Doc, Span

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


def test_relations_are_drawn_by_displacy(curie):
    svg = render(curie)
    root = ElementTree.fromstring(svg)
    assert root.get("class") == "displacy"
    assert all(f">{label}</textPath>" in svg for label in ("BornIn", "LivedIn"))
    assert "Marie Curie" in svg


@pytest.mark.parametrize("style", ["relations", "table"])
def test_one_picture_for_each_sentence(two_sentences, style):
    assert render(two_sentences, style).count("<svg") == 2
    assert render(two_sentences[0:8], style).count("<svg") == 1
    assert render([two_sentences, two_sentences[0:5]], style).count("<svg") == 3


@pytest.mark.parametrize("style", ["relations", "table"])
def test_options_reach_the_picture(curie, style):
    assert "#0f0e17" in render(curie, style, options={"bg": "#0f0e17"})


def test_arcs_leave_room_for_long_words_and_labels(make_doc):
    def width(doc):
        return int(ElementTree.fromstring(render(doc)).get("width"))

    entities = [(0, 1, "X"), (1, 2, "X")]
    short = make_doc("a b", entities, [(0, 1, "R")])
    assert width(make_doc("Constantinople-Byzantium b", entities, [(0, 1, "R")])) > width(short)
    assert width(make_doc("a b", entities, [(0, 1, "Organization_based_in")])) > width(short)
    wide = render(short, options={"distance": 500})
    assert ElementTree.fromstring(wide).get("width") == "600"  # two words with 50 on either side


@pytest.mark.parametrize("compact", [False, True])
def test_arcs_leave_no_empty_room_above_them(curie, compact):
    root = ElementTree.fromstring(render(curie, options={"compact": compact}))
    left, top, width, height = map(float, root.get("viewBox").split())
    last = next(element for element in root.iter() if element.text == ".")
    assert width == float(last.get("x")) + 50
    assert (left, width, height) == (0, float(root.get("width")), float(root.get("height")))
    assert f"height: {height:g}px" in root.get("style")
    arcs = [element.get("d") for element in root.iter() if element.get("class") == "displacy-arc"]
    assert len(arcs) == 2
    # All arcs have their feet at the same height; the third number of a path is where it turns.
    foot = float(re.findall(r"[\d.]+", arcs[0])[1])
    turn = min(float(re.findall(r"[\d.]+", arc)[3]) for arc in arcs)
    highest = turn if compact else foot + 0.75 * (turn - foot)
    assert top == pytest.approx(highest - 4)


def test_words_without_arcs_are_as_high_as_displacy_draws_them(make_doc):
    root = ElementTree.fromstring(render(make_doc("Ann sleeps", [(0, 1, "PER")], [])))
    assert root.get("viewBox") == f"0 0 {root.get('width')} {root.get('height')}"
    assert float(root.get("height")) > 100


@pytest.mark.parametrize("style", ["relations", "table"])
def test_a_page_is_complete_and_requests_nothing(curie, style):
    page = render(curie, style, page=True)
    assert page.startswith("<!DOCTYPE html>") and '<meta charset="utf-8">' in page
    # Of addresses there are only the names of XML namespaces.
    assert page.count("http") == page.count('="http://www.w3.org/')
    assert "<svg" in page


def test_a_page_has_the_direction_of_the_language():
    doc = Doc(spacy.blank("he").vocab, words=["תל", "אביב"])
    doc.ents = [Span(doc, 0, 2, label="LOC")]
    doc._.relations = []
    assert '<html lang="he" dir="rtl">' in render(doc, page=True)


def test_words_from_right_to_left():
    doc = Doc(spacy.blank("he").vocab, words=["דוד", "נולד", "בפולין"])
    doc.ents = [Span(doc, 0, 1, label="PER"), Span(doc, 2, 3, label="LOC")]
    doc._.relations = [(*doc.ents, "BornIn")]
    root = ElementTree.fromstring(render(doc))
    words = [element for element in root.iter() if element.get("class") == "displacy-word"]
    places = {element.text: float(element.get("x")) for element in words}
    assert places["דוד"] > places["נולד"] > places["בפולין"]
    assert "direction: ltr" in root.get("style")
    assert "direction: ltr" in render(doc, "table")


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
    assert render(curie, "table", jupyter=False).startswith("<svg")
    assert len(notebook) == 1


def test_a_table_shows_the_pipelines_probabilities(untrained):
    doc = untrained.make_doc("Ann lives in Rome. Bob left.")
    svg = render(doc, "table", nlp=untrained)
    assert svg.count("<svg") == 2 and 'class="cell"' in svg
    assert render(doc[0:5], "table", nlp=untrained).count("<svg") == 1


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
