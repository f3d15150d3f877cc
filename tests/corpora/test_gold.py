import pytest
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_tabcnn.corpora.conversion import ConversionReport, Reason
from spacy_tabcnn.corpora.gold import get_gold, number_sentences, set_gold
from spacy_tabcnn.documents import copy_words
from spacy_tabcnn.relations import has_relations


@pytest.fixture
def report():
    return ConversionReport()


def test_what_was_set_can_be_read(vocab, report):
    doc = Doc(vocab, words=["Ada", "met", "Bob"])
    entities, relations = [(0, 1, "PER"), (2, 3, "PER")], [(1, 0, "Met")]
    set_gold(doc, entities, relations, orig_id=7, report=report, where="a.json")
    assert get_gold(doc, report=report, where="a.json") == (entities, relations)
    assert doc.user_data["orig_id"] == 7


def test_relations_of_an_entity_that_was_left_out_before_are_left_out(vocab, report):
    doc = Doc(vocab, words=["Ada", "met", "Bob"])
    entities = [None, (2, 3, "PER")]
    set_gold(doc, entities, [(1, 0, "Met")], orig_id=None, report=report, where="a.json")
    assert doc._.relations == ()
    assert report.examples == {Reason.LOST_ARGUMENT: "a.json: Met"}


def test_sentences_are_numbered(make_doc):
    doc = make_doc("Hi . Bye .", sent_starts=[True, False, True, False])
    assert number_sentences(doc) == [0, 0, 1, 1]
    assert number_sentences(make_doc("Hi . Bye .")) == [0, 0, 0, 0]
    assert number_sentences(make_doc([])) == []


@pytest.mark.parametrize("sentences", [True, False])
def test_a_copy_has_the_words_and_no_annotation(vocab, sentences):
    doc = Doc(
        vocab,
        words=["Ada", "left", "."],
        spaces=[True, False, False],
        ents=["B-PER", "O", "O"],
        sent_starts=[True, False, False],
    )
    doc._.relations = []
    copy = copy_words(doc, Vocab(), sentences=sentences)
    assert copy.text == "Ada left."
    assert not copy.has_annotation("ENT_IOB") and not has_relations(copy)
    assert copy.has_annotation("SENT_START") is sentences
