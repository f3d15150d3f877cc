import random

import pytest
from spacy.tokens import Doc

from spacy_tabcnn.corpora.joining import group_docs, join_docs
from spacy_tabcnn.relations import has_relations


def group(docs, seed=0, **options):
    return list(group_docs(docs, random.Random(seed), **options))


def starts(doc):
    return [token.i for token in doc if token.is_sent_start]


@pytest.mark.parametrize("joined", [0.0, 0.3, 1.0])
def test_groups_hold_every_document_once_in_order(joined):
    groups = group(range(50), joined=joined, min_size=2, max_size=4)
    assert [doc for docs in groups for doc in docs] == list(range(50))


@pytest.mark.parametrize("joined", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_the_share_of_joined_documents_is_as_given(joined):
    groups = group(range(20_000), joined=joined, min_size=2, max_size=5)
    n_joined = sum(len(docs) for docs in groups if len(docs) > 1)
    assert n_joined / 20_000 == pytest.approx(joined, abs=0.02)


def test_all_sizes_are_drawn():
    groups = group(range(500), joined=1.0, min_size=2, max_size=5)
    assert {len(docs) for docs in groups[:-1]} == {2, 3, 4, 5}


def test_one_size_makes_equal_groups():
    groups = group(range(12), joined=1.0, min_size=5, max_size=5)
    assert [len(docs) for docs in groups] == [5, 5, 2]


def test_a_joined_document_keeps_words_entities_and_relations(ann, abroad):
    doc = join_docs([ann, abroad])
    assert doc.text.split() == ann.text.split() + abroad.text.split()
    assert [ent.text for ent in doc.ents] == ["Ann", "Rome", "Ada Byron", "Bob", "Oslo", "He"]
    found = [(rel.head.text, rel.tail.text, rel.head.label_) for rel in doc._.relations]
    assert found == [
        ("Ann", "Rome", "PER"),
        ("Ada Byron", "Bob", "PER"),
        ("Bob", "Oslo", "PER"),
        ("He", "Oslo", "PER"),
    ]


def test_a_sentence_starts_at_each_document_and_where_a_document_says_so(ann, abroad):
    assert starts(join_docs([ann, abroad, ann])) == [0, 5, 12, 15]


def test_documents_are_apart_in_the_text(nlp):
    doc = join_docs([nlp("Ann left."), nlp("Bob came.")])
    assert doc.text == "Ann left. Bob came."


def test_the_documents_stay_as_they_were(ann, abroad):
    join_docs([ann, abroad])
    assert not ann.has_annotation("SENT_START")
    assert len(ann._.relations) == 1


def test_missing_annotation_stays_missing(ann):
    doc = join_docs([ann, Doc(ann.vocab, words=["Rain", "."])])
    assert not has_relations(doc)
    assert [token.ent_iob for token in doc[5:]] == [0, 0]


def test_a_single_document_is_itself(ann):
    assert join_docs([ann]) is ann
