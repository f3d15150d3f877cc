"""Sub-words of a batch and their alignment, against spacy-transformers."""

import pytest
import spacy
from spacy.tokens import Doc
from spacy_transformers.align import get_alignment_via_offset_mapping
from spacy_transformers.data_classes import WordpieceBatch
from spacy_transformers.layers.transformer_model import huggingface_tokenize
from transformers import AutoTokenizer

from spacy_tabcnn.models.span_getters import build_sentence_spans
from spacy_tabcnn.models.subwords import align, is_supported, tokenize

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
    spans = [span for part in build_sentence_spans(*window)(docs) for span in part]
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
    found = align(spans, texts, pieces)
    assert found.lengths.tolist() == expected_align.lengths.tolist()
    assert found.dataXd.tolist() == expected_align.dataXd.tolist()


def test_a_tokenizer_that_pads_in_front_is_left_to_spacy_transformers(tiny_encoder):
    assert is_supported(AutoTokenizer.from_pretrained(tiny_encoder))
    assert not is_supported(AutoTokenizer.from_pretrained(tiny_encoder, padding_side="left"))
    assert not is_supported(AutoTokenizer.from_pretrained(tiny_encoder, use_fast=False))
