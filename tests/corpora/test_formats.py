import json

import pytest
import spacy
import srsly
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.tokens import Doc, DocBin, Span
from spacy.vocab import Vocab

from spacy_tabcnn.corpora.conversion import Reason
from spacy_tabcnn.corpora.docbin import read_docbin, write_docbin
from spacy_tabcnn.corpora.files import read_lines
from spacy_tabcnn.corpora.formats import (
    FORMATS,
    guess_format,
    read_annotations,
    write_annotations,
)
from spacy_tabcnn.corpora.preannotation import Written
from spacy_tabcnn.corpora.spert import docs_to_spert, spert_to_docs
from spacy_tabcnn.corpora.tablert import docs_to_tablert, tablert_to_docs
from spacy_tabcnn.relations import RELATIONS

SPERT = [
    {
        "tokens": ["Zoë", "lives", "in", "Łódź"],
        "entities": [{"type": "Peop", "start": 0, "end": 1}, {"type": "Loc", "start": 3, "end": 4}],
        "relations": [{"type": "Live_In", "head": 0, "tail": 1}],
        "orig_id": 1,
    }
]


class BlankPipeline:
    """The part of a Language that readers of tokenised formats use."""

    vocab = Vocab()


@st.composite
def spert_sentences(draw):
    """Valid sentences in SpERT's layout: entities in text order, without overlaps, and distinct
    relations."""
    tokens = draw(st.lists(st.sampled_from(["Ada", "met", "Łódź", "“", "。"]), max_size=8))
    borders = draw(st.lists(st.integers(0, len(tokens)), unique=True, max_size=6).map(sorted))
    labels = st.sampled_from(["Peop", "Adverse-Effect"])
    entities = [
        {"type": draw(labels), "start": start, "end": end}
        for start, end in zip(borders[::2], borders[1::2], strict=False)
    ]
    pairs = [
        (head, tail)
        for head in range(len(entities))
        for tail in range(len(entities))
        if head != tail
    ]
    triples = [(label, *pair) for label in ("Kill", "Live_In") for pair in pairs]
    chosen = draw(st.lists(st.sampled_from(triples), unique=True)) if triples else []
    relations = [{"type": label, "head": head, "tail": tail} for label, head, tail in chosen]
    return {
        "tokens": tokens,
        "entities": entities,
        "relations": relations,
        "orig_id": draw(st.integers(0, 99)),
    }


@given(st.lists(spert_sentences(), max_size=3))
@settings(max_examples=50, deadline=None)
def test_any_spert_file_survives_the_way_through_tablert(sentences):
    docs, read = spert_to_docs(sentences, BlankPipeline)
    tablert, written = docs_to_tablert(docs)
    back, _ = docs_to_spert(tablert_to_docs(tablert, BlankPipeline)[0])
    assert back == sentences
    assert not read.dropped and not written.dropped


@pytest.mark.parametrize(
    "name,content,expected",
    [
        ("a.json", SPERT, "spert"),
        ("a.json", [{"tokens": ["a"], "tags": ["O"], "relations": []}], "tablert"),
        ("a.jsonl", [], "doccano"),
        ("a.jsonl", {"sentences": []}, "dygiepp"),
        ("a.json", {"sentences": []}, "dygiepp"),
        ("a.jsonl", {"text": "", "tokens": []}, "prodigy"),
        ("a.json", [{"data": {}, "annotations": []}], "labelstudio"),
        ("a.ann", "", "brat"),
    ],
)
def test_the_format_is_guessed(tmp_path, name, content, expected):
    path = tmp_path / name
    path.write_text(json.dumps(content), encoding="utf-8")
    assert guess_format(path) == expected


@pytest.mark.parametrize(
    "name,content",
    [("a.json", "[]"), ("a.json", "{}"), ("a.json", '{\n"id": 3}'), ("a.txt", "Hello")],
)
def test_a_format_that_cannot_be_guessed_must_be_named(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=r"cannot detect .* Name it: spert, tablert, doccano"):
        guess_format(path)


def test_an_unknown_format_is_refused(nlp, tmp_path):
    with pytest.raises(
        ValueError, match="unknown annotation format 'conll'; expected one of spert"
    ):
        read_annotations(tmp_path / "a.json", nlp, format_name="conll")


@pytest.mark.parametrize(
    "format_name,name",
    [
        ("spert", "a.json"),
        ("tablert", "a.json"),
        ("doccano", "a.jsonl"),
        ("dygiepp", "a.json"),
        ("prodigy", "a.jsonl"),
        ("labelstudio", "a.json"),
    ],
)
def test_written_files_are_read_back(nlp, tmp_path, format_name, name):
    docs, _ = spert_to_docs(SPERT, nlp)
    path = tmp_path / "new" / "folder" / name
    report = write_annotations(path, docs, format_name=format_name)
    assert report.n_docs == 1
    back, _ = read_annotations(path, nlp)
    assert docs_to_spert(back)[0] == SPERT
    assert "Łódź" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "format_name,name", [("spert", "a.json"), ("doccano", "a.jsonl"), ("dygiepp", "a.json")]
)
def test_byte_order_marks_and_windows_line_ends_are_tolerated(
    nlp, tmp_path, encoding, newline, format_name, name
):
    docs, _ = spert_to_docs(SPERT * 2, nlp)
    path = tmp_path / name
    write_annotations(path, docs, format_name=format_name)
    text = path.read_text(encoding="utf-8").replace('"tokens"', '\n"tokens"')
    path.write_bytes(text.replace("\n", newline).encode(encoding))
    back, _ = read_annotations(path, nlp)
    assert docs_to_spert(back)[0] == SPERT * 2


def test_a_line_separator_inside_a_string_ends_no_line(nlp, tmp_path):
    path = tmp_path / "a.jsonl"
    record = {"id": 1, "text": "one\u2028two", "entities": [], "relations": []}
    path.write_text(json.dumps(record, ensure_ascii=False), encoding="utf-8")
    [doc], _ = read_annotations(path, nlp)
    assert doc.text == "one\u2028two"


def test_files_that_are_no_text_are_refused(nlp, tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes('["Łódź"]'.encode("iso-8859-2"))
    with pytest.raises(
        ValueError, match=r"a\.json: not UTF-8 text \(byte 2: .*\)\. Save the file in UTF-8"
    ):
        read_annotations(path, nlp, format_name="spert")
    path.write_bytes('{}\n["Łódź"]'.encode("iso-8859-2"))
    with pytest.raises(
        ValueError, match=r"a\.json, line 2: not UTF-8 text \(byte 2: .*\)\. Save the file in UTF-8"
    ):
        list(read_lines(path))


def test_invalid_json_names_the_line(nlp, tmp_path):
    path = tmp_path / "a.json"
    path.write_text('[\n{"tokens": }\n]', encoding="utf-8")
    with pytest.raises(ValueError, match=r"a\.json, line 2, column 12: invalid JSON"):
        read_annotations(path, nlp, format_name="spert")


def test_a_missing_file_is_named(nlp, tmp_path):
    with pytest.raises(ValueError, match=r"absent\.json: no such file"):
        read_annotations(tmp_path / "absent.json", nlp)


def test_spacy_files_keep_relations(nlp, tmp_path):
    docs, _ = spert_to_docs(SPERT, nlp)
    write_docbin(tmp_path / "new" / "a.spacy", docs)
    assert docs_to_spert(read_docbin(tmp_path / "new" / "a.spacy", Vocab()))[0] == SPERT


@pytest.mark.parametrize("stored", [3, [3], [["a"]], [[0, b"", "PER"]], {"a": 1}])
def test_a_document_with_damaged_relations_is_named(nlp, tmp_path, stored):
    docs, _ = spert_to_docs(SPERT * 2, nlp)
    docs[1].user_data[RELATIONS] = stored
    write_docbin(tmp_path / "a.spacy", docs)
    read = read_docbin(tmp_path / "a.spacy", Vocab())
    next(read)
    with pytest.raises(ValueError, match=r"a\.spacy, document 1: its relations cannot be read"):
        next(read)


def test_a_document_that_cannot_be_read_is_named(nlp, tmp_path):
    docs, _ = spert_to_docs(SPERT * 2, nlp)
    doc_bin = DocBin(docs=docs, store_user_data=True)
    doc_bin.user_data[1] = b"\xc1"
    doc_bin.to_disk(tmp_path / "a.spacy")
    with pytest.raises(ValueError, match=r"a\.spacy, document 1: cannot be read"):
        list(read_docbin(tmp_path / "a.spacy", Vocab()))


def test_a_string_that_a_spacy_file_lacks_is_found(nlp, tmp_path):
    doc_bin = DocBin(docs=spert_to_docs(SPERT, nlp)[0], store_user_data=True)
    doc_bin.strings.remove("Łódź")
    doc_bin.to_disk(tmp_path / "a.spacy")
    with pytest.raises(ValueError, match=r"a\.spacy, document 0: cannot be read .*E018"):
        list(read_docbin(tmp_path / "a.spacy", Vocab()))


def test_a_file_that_is_no_docbin_is_named(nlp, tmp_path):
    path = tmp_path / "a.spacy"
    path.write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"a\.spacy: not a \.spacy file"):
        list(read_docbin(path, nlp.vocab))


class CollapsingTokenizer:
    """Makes one space of line breaks and of several spaces, as spaCy's Korean tokenizer does."""

    def __init__(self, vocab):
        self.vocab = vocab

    def __call__(self, text):
        return Doc(self.vocab, words=text.split())


@pytest.mark.parametrize("format_name", ["doccano", "brat", "labelstudio", "prodigy"])
def test_a_tokenizer_that_changes_the_text_is_refused(tmp_path, format_name):
    nlp = spacy.blank("en")
    doc = nlp("Ada\n\nlives  here")
    doc.set_ents([Span(doc, 0, 1, label="PER")])
    doc._.relations = []
    path = tmp_path / "corpus"
    form = Written.ANNOTATIONS
    write_annotations(path, [doc], format_name=format_name, written_as=form)
    if format_name == "prodigy":
        [task] = srsly.read_jsonl(path)
        del task["tokens"]
        srsly.write_jsonl(path, [task])
    nlp.tokenizer = CollapsingTokenizer(nlp.vocab)
    with pytest.raises(ValueError, match=r"the tokenizer changes the text.* becomes"):
        read_annotations(path, nlp, format_name=format_name, strict=True)


@pytest.mark.parametrize("format_name", ["spert", "doccano", "brat", "labelstudio", "prodigy"])
def test_partly_annotated_documents_are_counted(format_name):
    doc = spacy.blank("en")("Ada lives in Rome")
    doc.set_ents([Span(doc, 0, 1, label="PER")], default="missing")
    doc._.relations = []
    _, report = FORMATS[format_name].render([doc])
    assert report.dropped == {Reason.PARTIAL_ENTITY_ANNOTATION: 1}


@pytest.mark.parametrize("format_name", ["doccano", "labelstudio"])
def test_documents_without_an_id_get_one_of_their_own(format_name):
    docs = [spacy.blank("en")(text) for text in "abcd"]
    for doc in docs:
        doc.set_ents([])
        doc._.relations = []
    docs[0].user_data["orig_id"] = 1
    docs[3].user_data["orig_id"] = "2"
    content, _ = FORMATS[format_name].render(docs)
    records = [json.loads(item) if isinstance(item, str) else item for item in content]
    assert [record["id"] for record in records] == [1, 5, 6, "2"]
