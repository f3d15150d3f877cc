"""Round trips of a corpus through each annotation format."""

import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span

from spacy_tabcnn.corpora.conversion import Reason
from spacy_tabcnn.corpora.formats import FORMATS
from spacy_tabcnn.corpora.round_trip import compare_documents, measure_round_trip
from spacy_tabcnn.relations import set_relations


@pytest.fixture
def docs(make_doc):
    return [
        make_doc("Ann lives in Rome .", [(0, 1, "PER"), (3, 4, "LOC")], [(0, 1, "LiveIn")]),
        make_doc("It rained .", [], []),
    ]


@pytest.fixture
def half_a_word(vocab):
    """An entity that the tokenizer cannot find, since no space ends it."""
    doc = Doc(vocab, words=["hand", "made"], spaces=[False, False])
    doc.set_ents([Span(doc, 0, 1, label="D")])
    set_relations(doc, [])
    return doc


@pytest.fixture
def nlp(vocab):
    nlp = spacy.blank("en")
    nlp.vocab = vocab
    return nlp


@pytest.mark.parametrize("format_name", FORMATS)
def test_plain_documents_are_kept_by_every_format(docs, nlp, format_name):
    found = measure_round_trip(docs, nlp, format_name=format_name)
    assert found == (2, 2, 2, (2, 0, 0), (1, 0, 0), {})
    assert found.is_identical


def test_a_format_of_raw_text_loses_what_is_no_token_of_the_tokenizer(make_doc, nlp, half_a_word):
    docs = [make_doc("don't stop", [(0, 1, "A"), (1, 2, "B")], [(0, 1, "R")]), half_a_word]
    kept = measure_round_trip(docs, nlp, format_name="prodigy")
    assert kept.is_identical and kept.n_same_tokens == 2
    found = measure_round_trip(docs, nlp, format_name="doccano")
    # "don't" comes back as two tokens, with the same entity.
    assert (found.n_same, found.n_same_tokens) == (1, 0)
    assert found.entities == (3, 1, 0)
    assert found.reasons == {Reason.UNALIGNED: 1}
    assert not found.is_identical


def test_documents_may_come_back_in_another_order(docs):
    assert compare_documents(docs, docs[::-1]).is_identical


def test_documents_with_one_text_are_told_apart_by_their_annotation(make_doc):
    docs = [make_doc("Ann left", [(0, 1, label)], []) for label in ("PER", "LOC")]
    assert compare_documents(docs, docs[::-1]).is_identical
    found = compare_documents(docs, [docs[1], docs[1]])
    assert (found.n_same, found.entities) == (1, (2, 1, 1))


def test_a_document_that_is_lost_or_new_counts_with_all_it_holds(docs):
    found = compare_documents(docs, docs[1:])
    assert (found.n_docs, found.n_same, found.entities, found.relations) == (
        2,
        1,
        (2, 2, 0),
        (1, 1, 0),
    )
    found = compare_documents(docs[1:], docs)
    assert (found.n_same, found.entities, found.relations) == (1, (0, 0, 2), (0, 0, 1))
    assert not found.is_identical


def test_a_relation_with_another_direction_is_lost_and_new(make_doc):
    entities = [(0, 1, "PER"), (3, 4, "LOC")]
    one, other = (
        make_doc("Ann lives in Rome .", entities, [pair])
        for pair in ((0, 1, "LiveIn"), (1, 0, "LiveIn"))
    )
    found = compare_documents([one], [other])
    assert (found.entities, found.relations) == ((2, 0, 0), (1, 1, 1))


def test_the_command_prints_each_format(run_spacy, docs, tmp_path):
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "docs.spacy")
    result = run_spacy("tabcnn", "round-trip", tmp_path / "docs.spacy", tmp_path / "docs.spacy")
    assert result.exit_code == 0, result.output
    assert "4 documents, 4 entities, 2 relations" in result.output
    rows = {line.split()[0]: line.split()[1:] for line in result.output.splitlines() if "/" in line}
    assert all(rows[name] == ["4/4", "4/4", "0/0", "0/0"] for name in FORMATS)


def test_the_command_says_why_something_is_lost(run_spacy, half_a_word, tmp_path):
    DocBin(docs=[half_a_word], store_user_data=True).to_disk(tmp_path / "docs.spacy")
    result = run_spacy("tabcnn", "round-trip", tmp_path / "docs.spacy", "--format", "brat")
    assert result.exit_code == 0, result.output
    assert "brat: 1 x entity does not begin and end at token boundaries" in result.output


@pytest.fixture
def spaced(make_doc):
    """A document with a label that brat cannot hold."""
    return make_doc("Ann left", [(0, 1, "First Name")], [])


def test_a_format_that_cannot_hold_a_label_is_named_and_the_others_are_compared(
    run_spacy, spaced, tmp_path
):
    DocBin(docs=[spaced], store_user_data=True).to_disk(tmp_path / "docs.spacy")
    result = run_spacy("tabcnn", "round-trip", tmp_path / "docs.spacy")
    assert result.exit_code == 0, result.output
    output = " ".join(result.output.split())
    assert "brat cannot hold this corpus:" in output
    assert "brat's labels hold no white space, but one is 'First Name'" in output
    rows = {line.split()[0] for line in result.output.splitlines() if " 1/1 " in line}
    assert rows == set(FORMATS) - {"brat"}


def test_a_corpus_that_no_format_can_hold_ends_with_exit_code_1(run_spacy, spaced, tmp_path):
    DocBin(docs=[spaced], store_user_data=True).to_disk(tmp_path / "docs.spacy")
    result = run_spacy("tabcnn", "round-trip", tmp_path / "docs.spacy", "--format", "brat")
    assert result.exit_code == 1
    assert "No format can hold this corpus" in result.output


@pytest.mark.parametrize(
    "data,format_name,message",
    [("none.spacy", "brat", "none.spacy"), ("none.spacy", "xml", "unknown")],
)
def test_the_command_refuses_what_it_cannot_read(run_spacy, tmp_path, data, format_name, message):
    result = run_spacy("tabcnn", "round-trip", tmp_path / data, "--format", format_name)
    assert result.exit_code == 1
    assert message in " ".join(result.output.split())


@pytest.mark.parametrize("format_name", FORMATS)
def test_predictions_return(docs, format_name):
    head, tail, label, _ = docs[0]._.relations[0]
    set_relations(docs[0], [(head, tail, label, 0.9)])
    found = measure_round_trip(docs[:1], spacy.blank("en"), format_name=format_name)
    assert found.is_identical and found.relations == (1, 0, 0)
