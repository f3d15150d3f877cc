import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_tabcnn.corpora.conversion import Reason
from spacy_tabcnn.corpora.dygiepp import docs_to_dygiepp, dygiepp_to_docs
from spacy_tabcnn.corpora.gold import UNSET_ENTITIES, UNSET_RELATIONS
from spacy_tabcnn.corpora.spert import docs_to_spert, spert_to_docs
from spacy_tabcnn.relations import has_relations

PARSING = {
    "doc_key": "J87-1003",
    "sentences": [
        ["We", "parse", "English", "."],
        ["Chart", "parsing", "is", "used", "for", "English", "syntax", "."],
    ],
    "ner": [[[2, 2, "Material"]], [[4, 5, "Method"], [9, 10, "Task"]]],
    "relations": [[], [[4, 5, 9, 10, "Used-for"]]],
}
SCIERC = [
    {
        "tokens": ["Chart", "parsing", "serves", "English", "syntax", "."],
        "entities": [
            {"type": "Method", "start": 0, "end": 2},
            {"type": "Task", "start": 3, "end": 5},
        ],
        "relations": [{"type": "Used-for", "head": 0, "tail": 1}],
        "orig_id": "55b1c509-5b1a",
    },
    {
        "tokens": ["Nothing", "here", "."],
        "entities": [],
        "relations": [],
        "orig_id": "9da0f0cd-1618",
    },
]


class BlankPipeline:
    """The part of a Language that readers of tokenised formats use."""

    vocab = Vocab()


def line(**changes):
    """PARSING as a line of JSON, with some fields replaced."""
    return json.dumps({**copy.deepcopy(PARSING), **changes})


def entities_of(doc):
    return [(ent.start, ent.end, ent.text, ent.label_) for ent in doc.ents]


def relations_of(doc):
    return [(rel.head.text, rel.tail.text, rel.label) for rel in doc._.relations]


def content_of(doc):
    """All of a document that the format holds; without sentence boundaries it is one sentence."""
    starts = [token.i for token in doc if token.is_sent_start]
    relations = [(rel.head.start, rel.tail.start, rel.label) for rel in doc._.relations]
    return doc.text, starts, entities_of(doc), relations, doc.user_data.get("orig_id")


@st.composite
def records(draw):
    """Valid documents: entities in text order within their sentences, without overlaps, and
    distinct relations."""
    sentences, ner, relations, offset = [], [], [], 0
    for _ in range(draw(st.integers(0, 3))):
        tokens = draw(
            st.lists(
                st.sampled_from(["Ada", "met", "Łódź", "\u2028", "。"]), min_size=1, max_size=8
            )
        )
        borders = draw(st.lists(st.integers(0, len(tokens)), unique=True, max_size=6).map(sorted))
        spans = [
            (offset + start, offset + end - 1)
            for start, end in zip(borders[::2], borders[1::2], strict=False)
        ]
        pairs = [(head, tail) for head in spans for tail in spans if head != tail]
        triples = [
            [*head, *tail, label] for label in ("Part-of", "Used-for") for head, tail in pairs
        ]
        sentences.append(tokens)
        ner.append([[*span, draw(st.sampled_from(["Task", "Adverse-Effect"]))] for span in spans])
        relations.append(
            draw(st.lists(st.sampled_from(triples), unique_by=tuple)) if triples else []
        )
        offset += len(tokens)
    key = draw(st.integers(0, 99) | st.text())
    return {"doc_key": key, "sentences": sentences, "ner": ner, "relations": relations}


def test_offsets_count_through_the_document_and_ends_are_inclusive(nlp):
    [doc], report = dygiepp_to_docs([line()], nlp)
    assert entities_of(doc) == [
        (2, 3, "English", "Material"),
        (4, 6, "Chart parsing", "Method"),
        (9, 11, "English syntax", "Task"),
    ]
    assert relations_of(doc) == [("Chart parsing", "English syntax", "Used-for")]
    assert (report.n_docs, report.n_entities_read, report.n_relations_read) == (1, 3, 1)
    assert not report.dropped and not report.ignored


def test_sentence_boundaries_are_kept(nlp):
    [doc], _ = dygiepp_to_docs([line()], nlp)
    assert [sent.text.split() for sent in doc.sents] == PARSING["sentences"]


def test_the_key_of_the_document_is_kept_if_there_is_one(nlp):
    without_key = json.dumps({key: value for key, value in PARSING.items() if key != "doc_key"})
    docs, _ = dygiepp_to_docs([line(), without_key], nlp)
    assert docs[0].user_data["orig_id"] == "J87-1003"
    assert "orig_id" not in docs[1].user_data
    assert "doc_key" not in json.loads(docs_to_dygiepp(docs)[0][1])


def test_round_trip_is_identical(nlp):
    docs, _ = dygiepp_to_docs([line()], nlp)
    lines, report = docs_to_dygiepp(docs)
    assert [json.loads(line) for line in lines] == [PARSING]
    assert not report.dropped


@given(st.lists(records(), max_size=3))
@settings(max_examples=50, deadline=None)
def test_any_file_survives_the_round_trip(data):
    docs, read = dygiepp_to_docs(
        [json.dumps(record, ensure_ascii=False) for record in data], BlankPipeline
    )
    lines, written = docs_to_dygiepp(docs)
    assert [json.loads(line) for line in lines] == data
    again, _ = dygiepp_to_docs(lines, BlankPipeline)
    assert [content_of(doc) for doc in again] == [content_of(doc) for doc in docs]
    assert not read.dropped and not written.dropped


def test_spert_to_dygiepp_and_back_is_identical(nlp):
    docs, _ = spert_to_docs(SCIERC, nlp)
    lines, _ = docs_to_dygiepp(docs)
    assert json.loads(lines[0]) == {
        "doc_key": "55b1c509-5b1a",
        "sentences": [SCIERC[0]["tokens"]],
        "ner": [[[0, 1, "Method"], [3, 4, "Task"]]],
        "relations": [[[0, 1, 3, 4, "Used-for"]]],
    }
    back, _ = dygiepp_to_docs(lines, nlp)
    assert [content_of(doc) for doc in back] == [content_of(doc) for doc in docs]
    assert docs_to_spert(back)[0] == SCIERC


def test_all_broken_lines_are_named_in_one_run(nlp):
    lines = [line(), "", "{", line(ner=[]), line()]
    with pytest.raises(ValueError, match=r"a\.json: 2 records cannot be read") as error:
        dygiepp_to_docs(lines, nlp, source="a.json")
    first, second = str(error.value).splitlines()[1:]
    assert first.startswith("- a.json, line 3, column 2: invalid JSON")
    assert second.startswith("- a.json, line 4 ")


@pytest.mark.parametrize("value", ["absent", None])
def test_annotation_that_is_absent_stays_unset(nlp, value):
    record = json.loads(line())
    for key in ("relations", "ner"):
        record[key] = value
        if value == "absent":
            del record[key]
        [doc], report = dygiepp_to_docs([json.dumps(record)], nlp)
        assert not has_relations(doc)
        assert doc.has_annotation("ENT_IOB") == (key == "relations")
        assert not report.dropped
    assert report.noted == {UNSET_ENTITIES: 1, UNSET_RELATIONS: 1}


@pytest.mark.parametrize(
    "sentences,ner", [([], []), ([[]], [[]]), ([[], ["Hm"], []], [[], [[0, 0, "Task"]], []])]
)
def test_sentences_may_be_empty(nlp, sentences, ner):
    [doc], _ = dygiepp_to_docs(
        [line(sentences=sentences, ner=ner, relations=[[] for _ in ner])], nlp
    )
    assert [token.text for token in doc] == [token for sentence in sentences for token in sentence]
    assert json.loads(docs_to_dygiepp([doc])[0][0])["ner"] == [labels for labels in ner if labels]


def test_other_fields_are_counted_where_they_hold_something(nlp):
    lines = [
        line(clusters=[[[2, 2], [9, 9]]], events=[[], []], dataset="scierc"),
        line(clusters=[[[2, 2], [9, 9]]]),
    ]
    _, report = dygiepp_to_docs(lines, nlp, strict=True)
    assert report.ignored == {"clusters": 2, "dataset": 1}
    assert not report.dropped


def test_of_two_overlapping_entities_the_smaller_goes_with_its_relations(nlp):
    ner = [[], [[4, 5, "Method"], [9, 10, "Task"], [5, 5, "Method"]]]
    relations = [[], [[4, 5, 9, 10, "Used-for"], [5, 5, 9, 10, "Used-for"]]]
    [doc], report = dygiepp_to_docs([line(ner=ner, relations=relations)], nlp, source="a.json")
    assert len(doc.ents) == 2 and len(doc._.relations) == 1
    assert report.dropped == {Reason.OVERLAP: 1, Reason.LOST_ARGUMENT: 1}
    assert report.examples[Reason.OVERLAP] == (
        "a.json, line 1 (doc_key J87-1003): 'parsing' (Method, tokens 5-6); "
        "'Chart parsing' (Method, tokens 4-6)"
    )


def test_of_two_labels_on_one_span_the_first_stays_and_keeps_the_relations(nlp):
    ner = [[], [[4, 5, "Method"], [4, 5, "Task"], [9, 10, "Task"]]]
    [doc], report = dygiepp_to_docs([line(ner=ner)], nlp)
    assert [ent.label_ for ent in doc.ents] == ["Method", "Task"]
    assert len(doc._.relations) == 1
    assert report.dropped == {Reason.OVERLAP: 1}


@pytest.mark.parametrize(
    "relation,reason",
    [
        ([4, 4, 9, 10, "Used-for"], Reason.NOT_AN_ENTITY),
        ([4, 5, 9, 11, "Used-for"], Reason.NOT_AN_ENTITY),
        ([4, 5, 9, 10, "Used-for"], Reason.DUPLICATE_RELATION),
        ([4, 5, 4, 5, "Used-for"], Reason.SELF_RELATION),
    ],
)
def test_relations_that_cannot_be_kept_are_counted(nlp, relation, reason):
    relations = [[], [*PARSING["relations"][1], relation]]
    [doc], report = dygiepp_to_docs([line(relations=relations)], nlp)
    assert len(doc._.relations) == 1
    assert report.dropped == {reason: 1}
    assert report.n_relations_read == 2
    with pytest.raises(
        ValueError, match=r"a\.json, line 2 \(doc_key J87-1003\): relation Used-for"
    ):
        dygiepp_to_docs([line(), line(relations=relations)], nlp, source="a.json", strict=True)


def test_a_relation_across_sentences_is_read_but_not_written(nlp):
    relations = [[[2, 2, 4, 5, "Used-for"]], PARSING["relations"][1]]
    [doc], read = dygiepp_to_docs([line(relations=relations)], nlp, strict=True)
    assert relations_of(doc)[0] == ("English", "Chart parsing", "Used-for")
    lines, written = docs_to_dygiepp([doc])
    assert not read.dropped
    assert [json.loads(line) for line in lines] == [PARSING]
    assert written.dropped == {Reason.RELATION_ACROSS_SENTENCES: 1}
    assert (written.relations.total(), written.n_relations_read) == (1, 2)
    with pytest.raises(ValueError, match=r"relation Used-for .* joins entities of two sentences"):
        docs_to_dygiepp([doc], strict=True)


def test_an_entity_across_sentences_is_not_written_nor_its_relations(nlp, make_doc):
    doc = make_doc(
        "a b c d", [(0, 1, "X"), (1, 3, "X")], [(0, 1, "R")], sent_starts=[True, False, True, False]
    )
    [written], report = docs_to_dygiepp([doc], source="a.spacy")
    assert json.loads(written) == {
        "sentences": [["a", "b"], ["c", "d"]],
        "ner": [[[0, 0, "X"]], []],
        "relations": [[], []],
    }
    assert report.dropped == {Reason.ENTITY_ACROSS_SENTENCES: 1, Reason.LOST_ARGUMENT: 1}
    assert report.n_entities_read == 2
    assert (
        report.examples[Reason.ENTITY_ACROSS_SENTENCES]
        == "a.spacy, document 0: 'b c' (X, tokens 1-3)"
    )


def test_writing_keeps_what_is_not_annotated(nlp):
    [written], report = docs_to_dygiepp([Doc(nlp.vocab, words=["Hello", "there"])])
    assert json.loads(written) == {"sentences": [["Hello", "there"]]}
    assert report.noted == {UNSET_ENTITIES: 1, UNSET_RELATIONS: 1} and not report.dropped


@pytest.mark.parametrize(
    "text,message",
    [
        ('{"doc_key": 3,', r"line 1, column 15: invalid JSON \(.*\). Expected one object a line"),
        ("[]", "line 1: found a list, .* expected an object with the field 'sentences'"),
        ('{"sentences": [], "ner": 1}', "line 1: the field 'ner' is an integer"),
        (
            line(sentences=["We parse"]),
            'sentence 0: found a string, "We parse"; expected a list of tokens',
        ),
        (
            line(sentences=[["We", ""], ["."]]),
            'sentence 0: token 1 is a string, ""; expected a non-empty string',
        ),
        (line(ner=[[]]), "the field 'ner' has 1 lists for 2 sentences"),
        (line(relations=[[], [], []]), "the field 'relations' has 3 lists for 2 sentences"),
        (line(ner=[[], None]), "sentence 1, field 'ner': found null; expected a list"),
        (
            line(ner=[[[2, "Material"]], []]),
            r"sentence 0, ner 0: found a list, .* expected \[start, end, label\]",
        ),
        (
            line(ner=[[[2, True, "Material"]], []]),
            r"sentence 0, ner 0: .* expected \[start, end, label\]",
        ),
        (line(ner=[[[2, 2, " "]], []]), r"sentence 0, ner 0: .* expected \[start, end, label\]"),
        (
            line(ner=[["Material"], []]),
            r"sentence 0, ner 0: found a string, .* expected \[start, end, label\]",
        ),
        (
            line(relations=[[], [[4, 5, 9, "R"]]]),
            r"sentence 1, relations 0: .* expected \[head start, head end, ",
        ),
        (
            line(ner=[[[2, 1, "X"]], []]),
            r"sentence 0, ner 0: it spans tokens 2 to 1 \(inclusive\), but .* 0 to 3",
        ),
        (
            line(ner=[[[3, 4, "X"]], []]),
            "sentence 0, ner 0: it spans tokens 3 to 4 .* has the tokens 0 to 3",
        ),
        (
            line(ner=[[], [[0, 1, "X"]]]),
            r"sentence 1, ner 0: .* the tokens 4 to 11\. Offsets count through the whole document",
        ),
        (
            line(relations=[[], [[4, 5, 9, 12, "R"]]]),
            "sentence 1, relations 0: .* tokens 9 to 12 .* 0 to 11",
        ),
        (
            line(relations=[[], [[-1, 5, 9, 10, "R"]]]),
            "sentence 1, relations 0: .* tokens -1 to 5 .* 0 to 11",
        ),
    ],
)
def test_malformed_lines_name_the_place(nlp, text, message):
    with pytest.raises(ValueError, match=message) as error:
        dygiepp_to_docs([text], nlp, source="a.json")
    assert str(error.value).startswith("a.json, line 1")
