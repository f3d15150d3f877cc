import pytest
from spacy.tokens import Span

from spacy_tabcnn.visual.arcs import mirror, relation_arcs
from spacy_tabcnn.visual.passages import passages


def texts(arcs):
    return [word["text"] for word in arcs["words"]]


def test_entities_are_words_with_their_type(curie):
    arcs = relation_arcs(curie[:])
    assert [(word["text"], word["tag"]) for word in arcs["words"]] == [
        ("Marie Curie", "PER"),
        (", born in", ""),
        ("Warsaw", "LOC"),
        (", lived in", ""),
        ("Paris", "LOC"),
        (".", ""),
    ]


def test_relations_are_directed_arcs(make_doc):
    doc = make_doc("Paris , where Curie lived", [(0, 1, "LOC"), (3, 4, "PER")], [(1, 0, "LivedIn")])
    assert relation_arcs(doc[:])["arcs"] == [
        {"start": 0, "end": 2, "label": "LivedIn", "dir": "left"}
    ]
    doc._.relations = [(doc.ents[0], doc.ents[1], "home_of")]
    assert relation_arcs(doc[:])["arcs"] == [
        {"start": 0, "end": 2, "label": "home_of", "dir": "right"}
    ]


def test_many_words_outside_entities_become_several_lines_of_text(make_doc):
    doc = make_doc(
        "Ann says that she has always liked to live in Rome", [(0, 1, "PER"), (10, 11, "LOC")], []
    )
    assert texts(relation_arcs(doc[:])) == [
        "Ann",
        "says that",
        "she has",
        "always liked",
        "to live in",
        "Rome",
    ]


def test_whitespace_is_no_word(make_doc):
    doc = make_doc(["\n", "Ann", " \n", "lives", "\n"], [(1, 2, "PER")], [])
    assert texts(relation_arcs(doc[:])) == ["Ann", "lives"]


def test_a_long_entity_is_shortened(make_doc):
    doc = make_doc("the " + "very " * 20 + "end", [(0, 22, "X")], [])
    [text] = texts(relation_arcs(doc[:]))
    assert (
        len(text) <= 24
        and text.startswith("the very")
        and "…" in text
        and text.endswith("very end")
    )


def test_arguments_that_are_no_entities_are_words_too(make_doc):
    doc = make_doc("a b c d", [], [])
    doc._.relations = [(doc[0:2], doc[3:4], "R")]
    arcs = relation_arcs(doc[:])
    assert texts(arcs) == ["a b", "c", "d"]
    assert arcs["arcs"] == [{"start": 0, "end": 2, "label": "R", "dir": "right"}]


def test_a_relation_within_one_word_is_left_out_with_a_warning(make_doc):
    doc = make_doc("University of Rome", [(0, 3, "ORG")], [])
    doc._.relations = [(doc[0:3], Span(doc, 2, 3, label="LOC"), "in")]
    with pytest.warns(UserWarning, match="1 relations join spans that overlap"):
        assert relation_arcs(doc[:])["arcs"] == []


def test_a_span_has_the_relations_within_it(curie):
    arcs = relation_arcs(curie[0:7])
    assert texts(arcs)[-1] == ","
    assert [arc["label"] for arc in arcs["arcs"]] == ["BornIn"]


def test_mirrored_arcs_run_between_the_same_words(curie):
    arcs, mirrored = relation_arcs(curie[:]), mirror(relation_arcs(curie[:]))
    assert texts(mirrored) == texts(arcs)[::-1]
    for arc, other in zip(arcs["arcs"], mirrored["arcs"], strict=True):
        assert other["start"] < other["end"] and other["label"] == arc["label"]
        assert texts(mirrored)[other["start"]] == texts(arcs)[arc["end"]]
        assert texts(mirrored)[other["end"]] == texts(arcs)[arc["start"]]
        assert (arc["dir"], other["dir"]) == ("right", "left")
    assert mirror(mirrored) == arcs


def test_passages_are_sentences(make_doc):
    doc = make_doc("a b c d e", [], [], sent_starts=[True, False, True, False, False])
    assert [(span.start, span.end) for span in passages(doc)] == [(0, 2), (2, 5)]


def test_passages_are_the_whole_document_without_sentences(make_doc):
    assert [(span.start, span.end) for span in passages(make_doc("a b c"))] == [(0, 3)]
    assert passages(make_doc("")) == []


def test_a_relation_across_sentences_joins_them(make_doc):
    entities = [(0, 1, "X"), (2, 3, "X"), (4, 5, "X"), (6, 7, "X")]
    starts = [True, False] * 4
    doc = make_doc("a b c d e f g h", entities, [(2, 1, "R")], sent_starts=starts)
    assert [(span.start, span.end) for span in passages(doc)] == [(0, 2), (2, 6), (6, 8)]
    doc = make_doc("a b c d e f g h", entities, [(0, 2, "R"), (3, 2, "R")], sent_starts=starts)
    assert [(span.start, span.end) for span in passages(doc)] == [(0, 8)]
