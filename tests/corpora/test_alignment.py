"""Entities whose edges do not fit the tokens."""

import json

import pytest

from spacy_tabcnn.corpora.alignment import TokenEdges, cut_tokens
from spacy_tabcnn.corpora.brat import BratDocument, brat_to_docs
from spacy_tabcnn.corpora.conversion import Alignment, Change, Reason
from spacy_tabcnn.corpora.doccano import doccano_to_docs
from spacy_tabcnn.corpora.labelstudio import labelstudio_to_docs
from spacy_tabcnn.corpora.options import ReadingOptions
from spacy_tabcnn.corpora.prodigy import prodigy_to_docs

STRICT, EXPAND, SPLIT = (ReadingOptions(align=align) for align in Alignment)


def record(text, *marks, relations=()):
    """A line of doccano; a mark is (text, label), or (start, end, label)."""
    entities = []
    for number, mark in enumerate(marks):
        if len(mark) == 2:
            start = text.index(mark[0])
            mark = (start, start + len(mark[0]), mark[1])
        start, end, label = mark
        entities.append({"id": number, "start_offset": start, "end_offset": end, "label": label})
    joined = [
        {"id": i, "from_id": head, "to_id": tail, "type": "R"}
        for i, (head, tail) in enumerate(relations)
    ]
    return json.dumps({"id": 1, "text": text, "entities": entities, "relations": joined})


def read(nlp, line, options, **kwargs):
    [doc], report = doccano_to_docs([line], nlp, source="a.jsonl", options=options, **kwargs)
    return doc, report


def names(doc):
    return [(ent.text, ent.label_) for ent in doc.ents]


def test_strict_leaves_out_and_counts(nlp):
    doc, report = read(nlp, record("It took 24h", ("24", "N")), STRICT)
    assert names(doc) == []
    assert report.dropped == {Reason.UNALIGNED: 1} and not report.changed


@pytest.mark.parametrize(
    "text,mark,whole",
    [("It took 24h", "24", "24h"), ("Comet 67P. It", "67P", "67P."), ("Hondas", "Honda", "Hondas")],
)
def test_expand_widens_to_whole_tokens(nlp, text, mark, whole):
    doc, report = read(nlp, record(text, (mark, "X")), EXPAND)
    assert names(doc) == [(whole, "X")]
    assert report.changed == {Change.WIDENED: 1} and not report.dropped
    assert f"{mark!r} (X, characters" in report.change_examples[Change.WIDENED]
    assert report.change_examples[Change.WIDENED].endswith(f"became {whole!r}")


def test_split_cuts_tokens_at_both_edges_and_keeps_the_text(nlp):
    line = record("It took 24hrs. Oh", ("24", "N"), ("hr", "U"), relations=[(0, 1)])
    doc, report = read(nlp, line, SPLIT)
    assert doc.text == "It took 24hrs. Oh"
    assert [token.text for token in doc] == ["It", "took", "24", "hr", "s", ".", "Oh"]
    assert names(doc) == [("24", "N"), ("hr", "U")]
    assert [(rel.head.text, rel.tail.text) for rel in doc._.relations] == [("24", "hr")]
    assert report.changed == {Change.CUT: 2} and not report.dropped


def test_split_cuts_no_token_without_need(nlp):
    doc, report = read(nlp, record("Ann left Rome.", ("Rome", "L")), SPLIT)
    assert [token.text for token in doc] == ["Ann", "left", "Rome", "."]
    assert not report.changed


def test_two_entities_cannot_share_a_token_when_widened(nlp):
    line = record("It took 24h", ("24", "N"), ("h", "U"), relations=[(0, 1)])
    doc, report = read(nlp, line, EXPAND)
    assert names(doc) == [("24h", "N")]
    assert report.dropped == {Reason.SHARED_TOKEN: 1, Reason.LOST_ARGUMENT: 1}
    assert "'h' (U, characters 10-11); '24' (N" in report.examples[Reason.SHARED_TOKEN]


def test_of_two_entities_in_one_token_the_longer_one_stays(nlp):
    line = record("It took 24hours", ("24", "N"), ("hours", "U"))
    doc, _ = read(nlp, line, EXPAND)
    assert names(doc) == [("24hours", "U")]


@pytest.mark.parametrize("options", [STRICT, EXPAND, SPLIT])
@pytest.mark.parametrize("space", [" ", "  ", "\n", "\t", "\u00a0", "\r\n", "\u3000"])
def test_white_space_at_the_edges_is_trimmed_and_counted(nlp, options, space):
    text = f"in{space}Rome{space}now"
    start, end = 2, len(text) - 3
    doc, report = read(nlp, record(text, (start, end, "L")), options)
    assert names(doc) == [("Rome", "L")]
    assert report.changed == {Change.TRIMMED: 1} and not report.dropped


@pytest.mark.parametrize("options", [STRICT, EXPAND, SPLIT])
def test_an_entity_of_white_space_is_left_out(nlp, options):
    for text, start, end in (("a b", 1, 2), ("a\n\nb", 1, 3), ("a   b", 1, 3)):
        doc, report = read(nlp, record(text, (start, end, "L")), options)
        assert names(doc) == [] and report.dropped == {Reason.BLANK_ENTITY: 1}


def test_strict_mode_changes_nothing_and_names_the_cause(nlp):
    message = r"line 1, entity 0: entity 'Rome ' .* begins or ends with white space. Mark the words"
    with pytest.raises(ValueError, match=message):
        read(nlp, record("in Rome now", ("Rome ", "L")), STRICT, strict=True)
    doc, report = read(nlp, record("in Rome\nnow", ("Rome\n", "L")), STRICT, strict=True)
    assert names(doc) == [("Rome\n", "L")] and not report.changed


def test_strict_mode_with_a_rule_accepts_what_the_rule_keeps(nlp):
    doc, _ = read(nlp, record("in 24h now", (" 24", "N")), EXPAND, strict=True)
    assert names(doc) == [("24h", "N")]


def test_offsets_in_utf16_are_named_and_never_widened(nlp):
    text = "😀😀😀 Ann Byron lives in Rome"
    marks = [
        (text.index(word) + 3, text.index(word) + 3 + len(word), "X") for word in ("Ann", "Rome")
    ]
    for options in (STRICT, EXPAND, SPLIT):
        doc, report = read(nlp, record(text[:-1] + "e or so", *marks), options)
        assert names(doc) == []
        assert report.dropped == {Reason.UTF16_OFFSETS: 2}
    assert "--utf16" in Reason.UTF16_OFFSETS.advice


def test_offsets_in_bytes_are_named(nlp):
    text = "Zoë and René met Anton in Kraków now"
    marks = []
    for word in ("René", "Anton", "Kraków"):
        start = len(text[: text.index(word)].encode())
        marks.append((start, start + len(word.encode()), "X"))
    doc, report = read(nlp, record(text, *marks), EXPAND)
    assert names(doc) == [] and report.dropped == {Reason.BYTE_OFFSETS: 3}


def test_right_offsets_next_to_emoji_are_not_suspected(nlp):
    text = "😀 Ann took 24h in Rome"
    doc, _ = read(nlp, record(text, ("Ann", "P"), ("24", "N"), ("Rome", "L")), EXPAND)
    assert names(doc) == [("Ann", "P"), ("24h", "N"), ("Rome", "L")]


@pytest.mark.parametrize(
    "text,start,end,advice",
    [
        ("😀 Rome", 3, 7, "Read the file with --utf16"),
        ("Łódź", 0, 7, "counts as two to four bytes"),
        ("Rome", 0, 9, "Correct its offsets"),
        ("😀", 3, 2, "Correct its offsets"),
    ],
)
def test_offsets_beyond_the_text_have_the_advice_that_fits(nlp, text, start, end, advice):
    with pytest.raises(ValueError, match=r"but the text has .* characters") as caught:
        read(nlp, record(text, (start, end, "L")), EXPAND)
    assert advice in str(caught.value)


def test_other_formats_have_the_rules_too(nlp):
    brat = [BratDocument("a", "It took 24h", ["T1\tN 8 10\t24"])]
    task = {"data": {"text": "It took 24h"}, "annotations": [{"result": [region()]}]}
    for docs, _ in (
        brat_to_docs(brat, nlp, options=EXPAND),
        labelstudio_to_docs([task], nlp, options=EXPAND),
    ):
        assert [ent.text for ent in docs[0].ents] == ["24h"]


def region():
    value = {"start": 8, "end": 10, "labels": ["N"]}
    return {"id": "x", "type": "labels", "value": value}


def test_a_relation_of_tokens_names_a_split_entity_by_its_last_token(nlp):
    tokens = [
        {"text": text, "start": start, "end": start + len(text), "id": number}
        for number, (text, start) in enumerate([("Ann", 0), ("ran", 4), ("24h", 8)])
    ]
    spans = [{"start": 0, "end": 3, "label": "P"}, {"start": 8, "end": 10, "label": "N"}]
    relations = [{"head": 0, "child": 2, "label": "Ran"}]
    task = {"text": "Ann ran 24h", "tokens": tokens, "spans": spans, "relations": relations}
    [doc], _ = prodigy_to_docs([json.dumps(task)], nlp, options=SPLIT)
    [(head, tail, label, _)] = doc._.relations
    assert (head.text, tail.text, label) == ("Ann", "24", "Ran")


def test_the_tokens_of_a_span(make_doc):
    edges = TokenEdges(make_doc("Ann ran 24h"))
    assert edges.touch(0, 5) == (0, 2) and edges.touch(9, 10) == (2, 3)
    assert edges.touch(3, 4) is None
    assert edges.fit(0, 7) and not edges.fit(0, 6) and not edges.fit(3, 7)


def test_cutting_keeps_text_and_spaces(nlp):
    doc = cut_tokens(nlp("Ann ran  24h."), {9, 11, 4, 1})
    assert doc.text == "Ann ran  24h."
    assert [token.text for token in doc] == ["A", "nn", "ran", " ", "24", "h", "."]
