"""The listener that reads whole batches, against spacy-transformers' own."""

import pickle

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc
from spacy_transformers.data_classes import TransformerData
from spacy_transformers.layers.trfs2arrays import forward as forward_by_doc
from spacy_transformers.layers.trfs2arrays import trfs2arrays
from thinc.api import Model, reduce_mean

from spacy_tabcnn.models.encoded_batch import EncodedBatch, EncodedDoc
from spacy_tabcnn.models.encoder import build_encoder
from spacy_tabcnn.models.listener import forward
from spacy_tabcnn.models.pooling import build_reduce_max
from spacy_tabcnn.models.span_getters import build_sentence_spans

TEXTS = ["Ada Lovelace lived in London .", "", "Paris .", "Marie lived in Paris and in Turin"]


@pytest.fixture(scope="module")
def docs():
    vocab = spacy.blank("en").vocab
    return [Doc(vocab, words=text.split()) for text in TEXTS]


@pytest.fixture(scope="module")
def encoder(tiny_encoder, docs):
    model = build_encoder(str(tiny_encoder), build_sentence_spans(3, 2), {"use_fast": True})
    return model.initialize(X=docs)


def make_plain(output):
    """The same output as spacy-transformers makes it."""
    if not output.model_output:
        return output
    return TransformerData(output.wordpieces, output.model_output, output.align)


def encode_in_batches(encoder, docs, n_batches):
    """The outputs of documents, of which neighbours are in different batches of the encoder."""
    outputs = [None] * len(docs)
    for batch in range(n_batches):
        places = range(batch, len(docs), n_batches)
        parts = encoder.predict([docs[i] for i in places]).doc_data
        for i, output in zip(places, parts, strict=True):
            outputs[i] = output
    return outputs


@pytest.mark.parametrize("pooling", [reduce_mean, build_reduce_max])
@pytest.mark.parametrize("n_batches", [1, 3])
def test_words(pooling, n_batches, encoder, docs):
    model = trfs2arrays(pooling(), 1.0)
    outputs = encode_in_batches(encoder, docs, n_batches)
    assert any(isinstance(output, EncodedDoc) for output in outputs)
    found, _ = forward(model, outputs, False)
    expected, _ = forward_by_doc(model, [*map(make_plain, outputs)], False)
    for doc, array, wanted in zip(docs, found, expected, strict=True):
        assert len(array) == len(doc)
        if len(doc):
            np.testing.assert_allclose(array, wanted, atol=1e-6)


@pytest.mark.parametrize("grad_factor", [1.0, 0.5])
def test_gradients(grad_factor, encoder, docs):
    model = trfs2arrays(reduce_mean(), grad_factor)
    outputs = encoder.predict(docs).doc_data
    arrays, backprop = forward(model, outputs, True)
    _, backprop_by_doc = forward_by_doc(model, [*map(make_plain, outputs)], True)
    d_words = [np.arange(array.size, dtype="float32").reshape(array.shape) for array in arrays]
    found, expected = backprop(d_words), backprop_by_doc([array.copy() for array in d_words])
    assert len(found) == len(expected) == 3
    for one, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.tensors[0], wanted.tensors[0], atol=1e-5)


def test_the_gradient_of_a_batch_may_come_at_once(encoder, docs):
    """The way of a GPU: alone, and next to a listener of another package."""
    batch = encoder.predict(docs)
    assert isinstance(batch, EncodedBatch)
    shape = batch.arrays["last_hidden_state"].shape
    ones = np.ones(shape, dtype="float32")
    batch.add_gradient(ones.copy())
    (alone,) = batch.unsplit_by_doc([]).model_output.values()
    np.testing.assert_array_equal(alone, ones)
    batch.add_gradient(ones.copy())
    batch.add_gradient(ones.copy())
    by_doc = [[ones[output.sequences]] for output in batch.doc_data if output.model_output]
    (together,) = batch.unsplit_by_doc(by_doc).model_output.values()
    np.testing.assert_array_equal(together, 3 * ones)


def test_an_output_is_pickled_without_its_batch(encoder, docs):
    output = encoder.predict(docs).doc_data[0]
    copy = pickle.loads(pickle.dumps(output))
    assert type(copy) is TransformerData
    np.testing.assert_array_equal(copy.align.dataXd, output.align.dataXd)
    assert copy.wordpieces.strings == output.wordpieces.strings


def make_noting_pooling(gradients):
    """Mean pooling that notes the gradient of the words."""
    mean = reduce_mean()

    def pool(model, subwords, is_train):
        words, backprop = mean(subwords, is_train)

        def backprop_and_note(d_words):
            gradients.append(d_words.copy())
            return backprop(d_words)

        return words, backprop_and_note

    return Model("note", pool)


@pytest.mark.parametrize("n_batches", [1, 3])
def test_the_pooling_learns_from_all_batches(n_batches, encoder, docs):
    outputs = encode_in_batches(encoder, docs, n_batches)
    gradients = []
    arrays, backprop = forward(trfs2arrays(make_noting_pooling(gradients), 1.0), outputs, True)
    d_words = [np.full(array.shape, i, dtype="float32") for i, array in enumerate(arrays)]
    backprop(d_words)
    found = np.concatenate(gradients)
    assert sorted(found.ravel()) == sorted(np.concatenate(d_words).ravel())
