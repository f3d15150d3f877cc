import numpy as np

from spacy_tabcnn.table.windows import sentence_bounds, sentence_lengths


def test_document_without_boundaries_is_one_sentence(make_doc):
    assert sentence_bounds(make_doc("a b . c d .")) == [(0, 6)]


def test_document_with_boundaries(make_doc):
    doc = make_doc("a b . c d .", sent_starts=[True, False, False, True, False, False])
    assert sentence_bounds(doc) == [(0, 3), (3, 6)]


def test_boundary_set_by_hand(make_doc):
    doc = make_doc("a b . c d .")
    doc[3].is_sent_start = True
    assert sentence_bounds(doc) == [(0, 3), (3, 6)]


def test_empty_document_has_no_sentence(make_doc):
    assert sentence_bounds(make_doc("")) == []


def test_lengths_of_a_batch(make_doc):
    split = make_doc("a b . c d", sent_starts=[True, False, False, True, False])
    lengths = sentence_lengths([make_doc("a b"), make_doc(""), split])
    assert lengths.dtype == np.int64
    assert lengths.tolist() == [2, 3, 2]


def test_lengths_of_an_empty_batch():
    assert sentence_lengths([]).shape == (0,)
