"""Sub-words of a batch and their alignment, against spacy-transformers."""

import pytest
import spacy
from spacy.tokens import Doc
from spacy_transformers.align import get_alignment_via_offset_mapping
from spacy_transformers.data_classes import WordpieceBatch
from spacy_transformers.layers.transformer_model import huggingface_tokenize
from transformers import AutoTokenizer

from spacy_tabcnn.models.span_getters import build_sentence_spans
from spacy_tabcnn.models.subwords import (
    align,
    is_supported,
    panics_as_errors,
    tokenize,
    tokenize_spans,
)

TEXTS = [
    "Ada Lovelace lived in London .",
    "na\u00efve caf\u00e9 \u2014 \U0001f642\U0001f642 don't U.S.A. state-of-the-art",
    "two\n\nlines   and  spaces",
    "x",
]


@pytest.fixture(scope="module")
def tokenizer(tiny_encoder):
    return AutoTokenizer.from_pretrained(tiny_encoder)


@pytest.fixture(scope="module")
def docs():
    nlp = spacy.blank("en")
    words, spaces = ["a", " ", "b\u0301c", "New York", "\n"], [False, False, True, False, False]
    return [*map(nlp, TEXTS), Doc(nlp.vocab, words=words, spaces=spaces)]


@pytest.mark.parametrize("window", [(128, 96), (4, 2), (1, 1)])
def test_as_spacy_transformers(window, tokenizer, docs):
    by_doc = build_sentence_spans(*window)(docs)
    spans = [span for part in by_doc for span in part]
    texts = [span.text for span in spans]
    encoding = huggingface_tokenize(tokenizer, texts)
    expected = WordpieceBatch.from_batch_encoding(encoding)
    expected_align = get_alignment_via_offset_mapping(spans, encoding["offset_mapping"])
    subwords, pieces = tokenize(tokenizer, texts)
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        found, wanted = getattr(subwords, name), getattr(expected, name)
        assert found.dtype == wanted.dtype
        assert found.tolist() == wanted.tolist()
    assert (subwords.lengths, subwords.strings) == (expected.lengths, expected.strings)
    assert len(subwords) == len(expected)
    assert subwords[1:3].strings == expected[1:3].strings
    found = align(by_doc, texts, pieces)
    assert found.lengths.tolist() == expected_align.lengths.tolist()
    assert found.dataXd.tolist() == expected_align.dataXd.tolist()


class PanicException(BaseException):
    """A stand-in for a panic of Rust, which is no Exception."""


def test_a_panic_of_the_tokenizer_is_an_error():
    class Backend:
        no_padding = no_truncation = staticmethod(lambda: None)

        def encode_batch(self, texts):
            raise PanicException("index out of bounds")

    class Tokenizer:
        backend_tokenizer = Backend()

    with pytest.raises(ValueError, match=r"fails on a text \(index out of bounds\)"):
        tokenize(Tokenizer(), TEXTS)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RuntimeError])
def test_other_errors_stay_as_they_are(error):
    with pytest.raises(error), panics_as_errors():
        raise error


def test_a_tokenizer_that_pads_in_front_is_left_to_spacy_transformers(tiny_encoder):
    assert is_supported(AutoTokenizer.from_pretrained(tiny_encoder))
    assert not is_supported(AutoTokenizer.from_pretrained(tiny_encoder, padding_side="left"))
    assert not is_supported(AutoTokenizer.from_pretrained(tiny_encoder, use_fast=False))


def test_a_document_that_comes_twice_has_its_words_twice(tokenizer, docs):
    by_doc = build_sentence_spans(4, 2)([docs[0], docs[0], docs[1]])
    texts = [span.text for part in by_doc for span in part]
    _, pieces = tokenize(tokenizer, texts)
    found = align(by_doc, texts, pieces)
    assert len(found.lengths) == 2 * len(docs[0]) + len(docs[1])
    lengths = found.lengths.tolist()
    assert lengths[: len(docs[0])] == lengths[len(docs[0]) : 2 * len(docs[0])]


@pytest.mark.parametrize("limit", [10, 14, 20, 512])
def test_long_spans_are_divided(tiny_encoder, limit):
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder, model_max_length=limit)
    nlp = spacy.blank("en")
    docs = [nlp("a b c"), nlp("Ada Lovelace lived in London , and not in Paris or in Turin .")]
    before = build_sentence_spans(128, 96)([*docs, nlp("")])
    spans, texts, subwords, _ = tokenize_spans(tokenizer, before)
    assert max(subwords.lengths) <= limit
    assert texts == [span.text for part in spans for span in part]
    for doc, part in zip(docs, spans, strict=False):
        assert [token.i for span in part for token in span] == list(range(len(doc)))
    if limit == 512:
        assert spans == before


def test_a_word_that_is_too_long_is_a_warning(tiny_encoder):
    tokenizer = AutoTokenizer.from_pretrained(tiny_encoder, model_max_length=8)
    doc = Doc(spacy.blank("en").vocab, words=["a", "x" * 40, "b"])
    with pytest.warns(UserWarning, match="reads 8 sub-words at once.* in part: xxx"):
        spans, _, subwords, _ = tokenize_spans(tokenizer, [[doc[:]]])
    assert [len(span) for span in spans[0]] == [1, 1, 1]
    assert max(subwords.lengths) > 8
