"""Embeddings of words and of sentences, and the gradient's way back; with a transformer, the
component's tests."""

import numpy as np
import pytest
from spacy_transformers.data_classes import TransformerData, WordpieceBatch
from spacy_transformers.layers import trfs2arrays
from thinc.api import Model, chain
from thinc.types import Ragged
from transformers.modeling_outputs import BaseModelOutput

from spacy_tabcnn.models.pooling import build_reduce_max
from spacy_tabcnn.models.sentence_embeddings import (
    SentenceEmbeddings,
    SentenceInput,
    build_sentence_embeddings,
)
from spacy_tabcnn.sentences import Sentences

WIDTH, N_SUBWORDS = 3, 6


def make_layer(name, arrays):
    """A layer that returns the same for any document and keeps the gradients that come back."""

    def forward(model, docs, is_train):
        def backprop(gradients):
            model.attrs["gradients"] = gradients
            return []

        return arrays, backprop

    return Model(name, forward)


def make_transformer(*alignments, n_sequences=1):
    """A listener that read each document in some sequences of 6 sub-words, [CLS] at first, with the
    sub-words that each word is aligned with; None for an empty document."""
    random = np.random.default_rng(0)
    outputs = []
    for alignment in alignments:
        if alignment is None:
            outputs.append(TransformerData.empty())
            continue
        hidden = random.standard_normal((n_sequences, N_SUBWORDS, WIDTH)).astype("float32")
        lengths = np.array([len(subwords) for subwords in alignment], dtype="i")
        flat = np.array([subword for subwords in alignment for subword in subwords], dtype="i")
        pieces = WordpieceBatch.zeros([N_SUBWORDS] * n_sequences)
        outputs.append(
            TransformerData(
                pieces, BaseModelOutput(last_hidden_state=hidden), Ragged(flat, lengths)
            )
        )
    return chain(make_layer("listener", outputs), trfs2arrays(build_reduce_max(), 1.0)), outputs


def cut(docs):
    return SentenceInput(docs, Sentences.of_docs(docs))


@pytest.fixture
def docs(make_doc):
    """Documents of 2 + 1, no and 2 words."""
    return [make_doc("a b c", sent_starts=[True, False, True]), make_doc(""), make_doc("d e")]


def test_cls_needs_a_transformer():
    with pytest.raises(ValueError, match=r"'fixed', has no \[CLS\]. Use spacy-transformers"):
        build_sentence_embeddings(make_layer("fixed", []), "cls")


def test_other_embeddings_are_refused():
    with pytest.raises(ValueError, match="'mean'; expected 'cls'"):
        build_sentence_embeddings(make_layer("fixed", []), "mean")


def test_without_a_transformer_a_sentence_is_the_maximum_of_its_words(docs):
    arrays = [
        np.array([[1, 5], [3, 2], [0, 4]], "f"),
        np.zeros((0, 0), "f"),
        np.array([[7, 0], [6, 9]], "f"),
    ]
    tok2vec = make_layer("fixed", arrays)
    embeddings, backprop = build_sentence_embeddings(tok2vec, "max")(cut(docs), is_train=True)
    assert embeddings.words.tolist() == [[1, 5], [3, 2], [0, 4], [7, 0], [6, 9]]
    assert embeddings.sentences.tolist() == [[3, 5], [0, 4], [7, 9]]
    backprop(SentenceEmbeddings(np.ones((5, 2), "f"), np.full((3, 2), 10, "f")))
    gradients = [array.tolist() for array in tok2vec.attrs["gradients"]]
    assert gradients == [[[1, 11], [11, 1], [11, 11]], [], [[11, 1], [1, 11]]]


def test_with_a_transformer_a_sentence_is_cls(docs):
    tok2vec, outputs = make_transformer([[1, 2], [3], [4]], None, [[1], [2]])
    before = [output.align.dataXd.tolist() for output in outputs]
    embeddings, backprop = build_sentence_embeddings(tok2vec, "cls")(cut(docs), is_train=True)
    first, second = (outputs[i].model_output.last_hidden_state[0] for i in (0, 2))
    np.testing.assert_array_equal(embeddings.words[0], first[1:3].max(axis=0))
    np.testing.assert_array_equal(embeddings.words[1:], [first[3], first[4], second[1], second[2]])
    np.testing.assert_array_equal(embeddings.sentences, [first[0], first[0], second[0]])
    assert [
        output.align.dataXd.tolist() for output in outputs
    ] == before  # other listeners read them too

    d_words = np.random.default_rng(1).standard_normal((5, WIDTH)).astype("float32")
    backprop(SentenceEmbeddings(d_words, np.full((3, WIDTH), 10, "f")))
    gradients = [
        output.model_output["last_hidden_state"][0]
        for output in tok2vec.layers[0].attrs["gradients"]
    ]
    np.testing.assert_array_equal(gradients[0][0], [20] * WIDTH)
    np.testing.assert_array_equal(gradients[1][0], [10] * WIDTH)
    np.testing.assert_allclose(gradients[0][1:3].sum(axis=0), d_words[0], atol=1e-6)
    np.testing.assert_array_equal(gradients[1][1:3], d_words[3:])


def test_sentence_takes_cls_of_the_sequence_that_holds_its_first_word(make_doc):
    """A document of two sequences, whose second sentence starts in the second one, with a word
    without sub-words."""
    doc = make_doc(["a", "b", "\n", "c"], sent_starts=[True, False, True, False])
    tok2vec, (output,) = make_transformer([[1], [2], [], [7, 8]], n_sequences=2)
    embeddings = build_sentence_embeddings(tok2vec, "cls").predict(cut([doc]))
    np.testing.assert_array_equal(embeddings.sentences, output.model_output.last_hidden_state[:, 0])


@pytest.mark.parametrize("alignment", [[[]], [[1], []]])
def test_sentence_that_ends_without_sub_words(make_doc, alignment):
    doc = make_doc(["\n"] * len(alignment), sent_starts=[True] * len(alignment))
    tok2vec, (output,) = make_transformer(alignment)
    embeddings = build_sentence_embeddings(tok2vec, "cls").predict(cut([doc]))
    expected = [output.model_output.last_hidden_state[0, 0]] * len(alignment)
    np.testing.assert_array_equal(embeddings.sentences, expected)
