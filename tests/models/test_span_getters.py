import pickle

import pytest
from spacy.tokens import Doc
from spacy_transformers.util import registry

from spacy_tabcnn.models.span_getters import build_sentence_spans


def cut(doc, window, stride):
    [spans] = build_sentence_spans(window, stride)([doc])
    return [(span.start, span.end) for span in spans]


def make(vocab, length, starts=None):
    sent_starts = None
    if starts is not None:
        sent_starts = [index in starts for index in range(length)]
    return Doc(vocab, words=["w"] * length, sent_starts=sent_starts)


def test_it_is_registered():
    getter = registry.span_getters.get("spacy-tabcnn.sentence_spans.v1")
    assert getter is build_sentence_spans


def test_each_sentence_is_a_span(vocab):
    assert cut(make(vocab, 9, [0, 2, 7]), 5, 3) == [(0, 2), (2, 7), (7, 9)]


def test_a_document_without_boundaries_is_one_sentence(vocab):
    assert cut(make(vocab, 4), 5, 3) == [(0, 4)]


@pytest.mark.parametrize(
    ("length", "spans"),
    [
        (5, [(0, 5)]),
        (6, [(0, 5), (1, 6)]),
        (8, [(0, 5), (3, 8)]),
        (12, [(0, 5), (3, 8), (6, 11), (7, 12)]),
    ],
)
def test_a_long_sentence_is_cut_into_spans_that_overlap(vocab, length, spans):
    assert cut(make(vocab, length), 5, 3) == spans


def test_an_empty_document_has_no_spans(vocab):
    assert cut(Doc(vocab), 5, 3) == []


@pytest.mark.parametrize(("window", "stride"), [(5, 6), (5, 0)])
def test_impossible_sizes_are_refused(window, stride):
    with pytest.raises(ValueError, match=f"window is {window} and stride is {stride}"):
        build_sentence_spans(window, stride)


def test_it_can_be_pickled(vocab):
    get_spans = pickle.loads(pickle.dumps(build_sentence_spans(4, 2)))
    assert [(span.start, span.end) for span in get_spans([make(vocab, 6)])[0]] == [(0, 4), (2, 6)]
