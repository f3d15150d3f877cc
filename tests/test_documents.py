"""Documents that are joined, and spans that become documents."""

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, Span
from spacy.vocab import Vocab

from spacy_tabcnn.documents import join_docs, span_to_doc
from spacy_tabcnn.relations import has_relations, set_entity_scores


@pytest.fixture
def ada(make_doc):
    doc = make_doc("Ada lived in London .", [(0, 1, "PER"), (3, 4, "LOC")], [(0, 1, "LiveIn")])
    set_entity_scores(doc, doc.ents, [0.75, 0.5])
    return doc


@pytest.fixture
def kim(make_doc):
    doc = make_doc("Kim Lee left Rome .", [(0, 2, "PER"), (3, 4, "LOC")], [(1, 0, "LeftBy")])
    set_entity_scores(doc, doc.ents, [0.25, 1.0])
    return doc


def as_texts(doc):
    return [(rel.head.text, rel.label, rel.tail.text) for rel in doc._.relations]


# Joining


def test_joined_documents_have_the_words_of_all(ada, kim):
    assert join_docs([ada, kim]).text == "Ada lived in London . Kim Lee left Rome . "


def test_white_space_stands_between_joined_documents():
    nlp = spacy.blank("en")
    assert join_docs([nlp("It rains."), nlp("It snows.")]).text == "It rains. It snows."


def test_joined_documents_keep_entities_with_scores(ada, kim):
    joined = join_docs([ada, kim])
    assert [(ent.text, ent.label_, ent._.entity_score) for ent in joined.ents] == [
        ("Ada", "PER", 0.75),
        ("London", "LOC", 0.5),
        ("Kim Lee", "PER", 0.25),
        ("Rome", "LOC", 1.0),
    ]


def test_joined_documents_keep_relations(ada, kim):
    assert as_texts(join_docs([ada, kim, ada])) == [
        ("Ada", "LiveIn", "London"),
        ("Rome", "LeftBy", "Kim Lee"),
        ("Ada", "LiveIn", "London"),
    ]


def test_joined_documents_keep_the_scores_of_relations(ada, kim):
    ada._.relations = [(*ada.ents, "LiveIn", 0.5)]
    assert [relation.score for relation in join_docs([kim, ada])._.relations] == [1.0, 0.5]


def test_relations_of_joined_documents_are_set_if_all_are(ada, make_doc):
    none = make_doc("It rained .", [], [])
    assert has_relations(join_docs([none, none]))
    assert as_texts(join_docs([none, ada])) == [("Ada", "LiveIn", "London")]


def test_relations_of_joined_documents_are_not_set_if_none_are(make_doc):
    unset = make_doc("It rained .")
    assert not has_relations(join_docs([unset, unset]))


def test_relations_are_not_set_if_a_joined_document_lacks_them(ada, make_doc):
    with pytest.warns(UserWarning, match="relations are set on 1 of 2 documents"):
        joined = join_docs([ada, make_doc("It rained .")])
    assert not has_relations(joined)


def test_documents_without_words_do_not_matter(ada, vocab):
    joined = join_docs([Doc(vocab), ada, Doc(vocab)])
    assert as_texts(joined) == [("Ada", "LiveIn", "London")]


def test_joined_documents_begin_sentences(ada, kim):
    assert [sent.text for sent in join_docs([ada, kim]).sents] == [
        "Ada lived in London .",
        "Kim Lee left Rome .",
    ]


def test_joined_documents_keep_their_sentences(ada, make_doc):
    two = make_doc("It rained . It snowed .", sent_starts=[True, False, False, True, False, False])
    with pytest.warns(UserWarning, match="relations are set on 1 of 2"):
        joined = join_docs([two, ada])
    assert [sent.start for sent in joined.sents] == [0, 3, 6]


def test_inner_words_without_sentence_annotation_stay_without(ada, kim):
    starts = [token.is_sent_start for token in join_docs([ada, kim])]
    assert starts == [True, None, None, None, None] * 2


def test_parsed_documents_keep_their_trees(vocab):
    parsed = Doc(vocab, words=["It", "rained"], heads=[1, 1], deps=["nsubj", "ROOT"])
    joined = join_docs([parsed, Doc(vocab, words=["No", "tree"]), parsed])
    assert [token.head.i for token in joined] == [1, 1, 2, 3, 5, 5]
    assert [sent.start for sent in joined.sents] == [0, 2, 4]


def test_missing_entities_stay_missing(ada, make_doc):
    with pytest.warns(UserWarning, match="relations are set on 1 of 2"):
        joined = join_docs([make_doc("It rained ."), ada])
    assert [token.ent_iob_ for token in joined][:4] == ["", "", "", "B"]


def test_joined_documents_keep_span_groups(ada, kim):
    for doc in (ada, kim):
        doc.spans["all"] = list(doc.ents)
    joined = join_docs([ada, kim])
    assert [span.text for span in joined.spans["all"]] == [
        "Ada",
        "London",
        "Kim Lee",
        "Rome",
    ]


def test_equal_data_is_kept(ada, kim):
    for doc in (ada, kim):
        doc.user_data["source"] = {"file": "a.txt"}
        doc.cats = {"news": 1.0}
    joined = join_docs([ada, kim])
    assert joined.user_data["source"] == {"file": "a.txt"}
    assert joined.cats == {"news": 1.0}


def test_different_data_is_left_out_with_a_warning(ada, kim):
    ada.user_data["source"] = "a.txt"
    ada.cats, kim.cats = {"news": 1.0}, {"news": 0.0}
    with pytest.warns(UserWarning, match="in which the documents differ: news, source"):
        joined = join_docs([ada, kim])
    assert "source" not in joined.user_data and not joined.cats


def test_arrays_are_left_out_unless_they_are_one_number(ada, kim):
    for doc in (ada, kim):
        doc.user_data["array"] = np.zeros(3)
        doc.user_data["number"] = np.float32(1.0)
    with pytest.warns(UserWarning, match="in which the documents differ: array"):
        assert join_docs([ada, kim]).user_data["number"] == 1.0


def test_the_output_of_an_encoder_is_left_out(ada, kim):
    for doc in (ada, kim):
        doc.user_data["._.", "trf_data", None, None] = np.zeros(len(doc))
    for new in (join_docs([ada, kim]), span_to_doc(ada[0:2])):
        assert not any("trf_data" in key for key in new.user_data)


def test_ids_are_joined(ada, kim):
    ada.user_data["orig_id"], kim.user_data["orig_id"] = "a", 7
    assert join_docs([ada, kim]).user_data["orig_id"] == "a + 7"
    assert join_docs([kim, kim]).user_data["orig_id"] == 7


@pytest.fixture
def extensions():
    for kind in (spacy.tokens.Token, Span):
        kind.set_extension("mark", default=None)
    yield
    for kind in (spacy.tokens.Token, Span):
        kind.remove_extension("mark")


@pytest.mark.usefixtures("extensions")
def test_joined_documents_keep_attributes_of_tokens_and_spans(ada, kim):
    kim[1]._.mark = "token"
    kim[0:2]._.mark = "span"
    joined = join_docs([ada, kim])
    assert joined[6]._.mark == "token" and joined[5:7]._.mark == "span"
    assert joined[1]._.mark is None


def test_joining_changes_no_document(ada, kim):
    before = ada.to_bytes()
    joined = join_docs([ada, kim])
    joined._.relations = []
    assert ada.to_bytes() == before


def test_no_document_cannot_be_joined():
    with pytest.raises(ValueError, match="there is no document to join"):
        join_docs([])


def test_documents_of_different_vocabularies_cannot_be_joined(ada):
    with pytest.raises(ValueError, match="E999"):
        join_docs([ada, Doc(Vocab(), words=["It"])])


# Spans


@pytest.fixture
def both(ada, kim):
    ada.user_data["orig_id"] = kim.user_data["orig_id"] = "news"
    return join_docs([ada, kim])


def test_a_sentence_becomes_a_document_with_its_relations(both):
    docs = [span_to_doc(sent) for sent in both.sents]
    assert [doc.text for doc in docs] == ["Ada lived in London . ", "Kim Lee left Rome . "]
    assert [as_texts(doc) for doc in docs] == [
        [("Ada", "LiveIn", "London")],
        [("Rome", "LeftBy", "Kim Lee")],
    ]


def test_a_span_becomes_a_document_with_its_entities_and_scores(both):
    doc = span_to_doc(both[5:9])
    assert [(ent.text, ent.label_, ent._.entity_score) for ent in doc.ents] == [
        ("Kim Lee", "PER", 0.25),
        ("Rome", "LOC", 1.0),
    ]


def test_relations_that_leave_the_span_are_left_out(both):
    doc = span_to_doc(both[0:3])
    assert not doc._.relations and has_relations(doc)


def test_relations_stay_unset_in_the_document_of_a_span(make_doc):
    assert not has_relations(span_to_doc(make_doc("It rained .")[0:2]))


def test_the_document_of_a_span_has_the_data_of_the_whole(both):
    assert span_to_doc(both[5:9]).user_data["orig_id"] == "news"


def test_the_document_of_a_span_has_its_span_groups(both):
    both.spans["all"] = list(both.ents)
    doc = span_to_doc(both[5:8])
    assert [span.text for span in doc.spans["all"]] == ["Kim Lee"]


@pytest.mark.usefixtures("extensions")
def test_the_document_of_a_span_has_attributes_of_tokens_and_spans(both):
    both[0]._.mark = "before"
    both[6]._.mark = "token"
    both[5:7]._.mark = "span"
    doc = span_to_doc(both[5:9])
    assert doc[1]._.mark == "token" and doc[0:2]._.mark == "span"
    assert len([key for key in doc.user_data if "mark" in key]) == 2


def test_relations_that_were_never_set_stay_unset():
    nlp = spacy.blank("en")
    assert not has_relations(join_docs([nlp(""), nlp("")]))
    assert not has_relations(join_docs([nlp("a")]))
