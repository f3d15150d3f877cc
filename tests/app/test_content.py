import json
import re

import pytest
import spacy
from spacy.tokens import Span

from spacy_tabcnn.app.content import (
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
    list_relations,
    shorten,
    take_part,
)
from spacy_tabcnn.relations import set_entity_scores
from spacy_tabcnn.visual.options import label_colours


@pytest.fixture
def doc(make_doc):
    doc = make_doc(
        "Ann lives in Rome . Bob sleeps .",
        [(0, 1, "PER"), (3, 4, "LOC"), (5, 6, "PER")],
        [],
        sent_starts=[True, *[False] * 4, True, False, False],
    )
    ann, rome, bob = doc.ents
    set_entity_scores(doc, [ann, rome], [0.5, 0.25])
    doc._.relations = [(ann, rome, "LivesIn", 0.6), (bob, bob, "Self", 0.8)]
    return doc


@pytest.fixture
def rome(doc):
    """The document with one relation."""
    doc._.relations = doc._.relations[:1]
    return doc


def colours_of(doc):
    return choose_colours(doc, spacy.blank("en"))


def test_relations_below_the_score_are_left_out_of_a_copy(doc):
    assert [relation.label for relation in keep_relations(doc, 0.6)._.relations] == [
        "LivesIn",
        "Self",
    ]
    kept = keep_relations(doc, 0.61)
    assert [relation.label for relation in kept._.relations] == ["Self"]
    assert [ent.text for ent in kept.ents] == ["Ann", "Rome", "Bob"]
    assert len(doc._.relations) == 2


def test_relations_are_listed_by_score(doc):
    assert list_relations(doc) == [
        {"head": "Bob", "label": "Self", "tail": "Bob", "score": 0.8},
        {"head": "Ann", "label": "LivesIn", "tail": "Rome", "score": 0.6},
    ]


def test_relations_are_a_table_with_their_scores(doc):
    colours = colours_of(doc)
    html = draw_relations(doc, colours=colours)
    rows = [re.findall(r"<td>(.*?)</td>", row) for row in html.split("<tr>")[2:]]
    assert [[re.sub("<.*?>", "", cell) for cell in row] for row in rows] == [
        ["Bob", "Self", "Bob", "0.80"],
        ["Ann", "LivesIn", "Rome", "0.60"],
    ]
    assert f'style="--label: {colours["Self"]}">Self<' in html


def test_entities_have_their_colours_labels_and_scores(doc):
    colours = colours_of(doc)
    html = re.sub("</?bdi>", "", draw_entities(doc, colours=colours))
    marks = re.findall(r'<mark style="--label: (.*?)">(\w+) <small>(.*?)</small>', html)
    assert marks == [
        (colours["PER"], "Ann", "PER 0.50"),
        (colours["LOC"], "Rome", "LOC 0.25"),
        (colours["PER"], "Bob", "PER"),
    ]


def test_a_text_without_entities_is_shown_as_it_is(make_doc):
    assert "Nobody" in draw_entities(make_doc("Nobody", [], []), colours={})


def test_texts_and_labels_are_escaped(make_doc):
    doc = make_doc(["<b>", "x"], [(0, 1, "<i>"), (1, 2, "T")], [(0, 1, "<u>")])
    colours = colours_of(doc)
    markup = [draw(doc, colours=colours) for draw in (draw_entities, draw_relations)]
    markup += [*draw_arcs(doc, colours=colours), draw_label_table(doc[:], colours=colours)]
    assert not any(tag in picture for picture in markup for tag in ("<b>", "<i>", "<u>"))


def test_only_sentences_with_relations_have_arcs(rome):
    [picture] = draw_arcs(rome, colours=colours_of(rome))
    assert "Rome" in picture and "Bob" not in picture
    assert draw_arcs(keep_relations(rome, 0.7), colours={}) == []


def test_arcs_have_the_colours_of_the_page(rome):
    [arcs] = draw_arcs(rome, colours={"PER": "#123456", "LOC": "#234567", "LivesIn": "#345678"})
    assert "#123456" in arcs and "#345678" in arcs


def test_pictures_take_the_colours_of_the_page(rome):
    [arcs] = draw_arcs(rome, colours=colours_of(rome))
    assert "color: inherit; background: transparent" in arcs
    table = draw_label_table(rome[:], colours=colours_of(rome))
    assert "; color:" not in table.partition("<style>")[0]


def test_labels_have_the_colours_of_the_models_table(doc):
    nlp = spacy.blank("en")
    component = nlp.add_pipe("tabcnn")
    for label in ("LOC", "ORG", "PER"):
        component.add_label(label)
    component.add_label("LivesIn", kind="relation")
    component.add_label("Self", kind="relation")
    assert choose_colours(doc, nlp) == label_colours(["LOC", "ORG", "PER", "LivesIn", "Self"])
    doc.ents = [Span(doc, 5, 6, label="ANIMAL")]  # given, of a type that the model does not know
    assert list(choose_colours(doc, nlp)) == ["LOC", "ORG", "PER", "LivesIn", "Self", "ANIMAL"]


def test_whether_a_pipeline_fills_a_table():
    nlp = spacy.blank("en")
    assert not has_table(nlp)
    nlp.add_pipe("tabcnn")
    assert has_table(nlp)


def test_json_is_a_line_as_annotate_writes_it(run_spacy, tiny_run, tmp_path):
    text = "Ferrari won five titles in a row with Michael Schumacher at the wheel."
    (tmp_path / "in.txt").write_text(f"{text}\n", encoding="utf-8")
    result = run_spacy(
        "tabcnn", "annotate", tiny_run / "model-last", tmp_path / "in.txt", tmp_path / "out.jsonl"
    )
    assert result.exit_code == 0, result.output
    line = dump_annotation(spacy.load(tiny_run / "model-last")(text))
    assert line == (tmp_path / "out.jsonl").read_bytes().decode("utf-8")
    assert json.loads(line)["relations"]


def test_a_text_is_cut_into_sentences_with_their_annotation(doc):
    assert cut_text([doc]) == [(0, 20), (20, 33)]
    part = take_part(doc, 20, 33)
    assert (part.doc.text, part.start) == ("Bob sleeps . ", 5)
    assert [relation.label for relation in part.doc._.relations] == ["Self"]
    ann = take_part(doc, 0, 20).doc.ents[0]
    assert (ann.text, ann._.entity_score) == ("Ann", 0.5)


def test_two_annotations_are_cut_where_both_have_a_boundary(doc, make_doc):
    other = make_doc(doc.text.split(), [], [], sent_starts=[True, *[False] * 7])
    assert cut_text([doc, other]) == [(0, 33)]


def test_sentences_that_a_relation_joins_are_not_cut(doc):
    ann, _, bob = doc.ents
    doc._.relations = [(ann, bob, "knows")]
    assert cut_text([doc]) == [(0, 33)]


def test_the_difference_of_two_annotations_is_counted(doc):
    other = doc.copy()
    other.ents = [*doc.ents[:2], Span(other, 6, 7, label="X")]
    other._.relations = []
    assert describe_difference(doc, other) == (
        "2 entities are the same; 1 only on the left and 1 only on the right. "
        "0 relations are the same; 2 only on the left and 0 only on the right."
    )


def test_a_line_of_a_list_is_short():
    assert shorten(" a\n b ") == "a b"
    assert shorten("x" * 81) == f"{'x' * 80} …"
