"""The twins of spaCy's layers, on a CPU, against thinc's own."""

import numpy as np
import pytest
import spacy
from spacy.ml.models import MultiHashEmbed, build_hash_embed_cnn_tok2vec, build_tagger_model
from spacy.tokens import Doc
from thinc.api import Adam, set_dropout_rate

from spacy_tabcnn.models.features import work_at_once
from spacy_tabcnn.models.torch_twin import TorchTwin, finish_update, make_twins
from spacy_tabcnn.training.optimizer import AdamW


def make_embeddings():
    return MultiHashEmbed(8, ["SHAPE", "PREFIX"], [50, 30], include_static_vectors=False)


def make_window_encoder():
    return build_hash_embed_cnn_tok2vec(
        width=8,
        depth=2,
        embed_size=40,
        window_size=2,
        maxout_pieces=3,
        subword_features=True,
        pretrained_vectors=False,
    )


def make_tagger():
    return build_tagger_model(make_window_encoder(), nO=2)


@pytest.fixture
def docs():
    vocab = spacy.blank("en").vocab
    texts = ("Ann lives in Rome .", "", "Bob .", "An unusually long sentence about nothing .")
    return [Doc(vocab, words=text.split()) for text in texts]


def make(build, docs):
    """A model with random parameters of every kind, and its twin."""
    model = build().initialize(X=[docs[0]])
    rng = np.random.default_rng(0)
    for node in model.walk():
        for name in node.param_names:
            array = node.get_param(name)
            array += rng.standard_normal(array.shape).astype("float32") * 0.3
    twin = model.copy()
    make_twins(twin)
    assert isinstance(twin._func, TorchTwin)
    return model, twin


def gradients(model):
    found = []
    for node in model.walk():
        found.extend(node.get_grad(name).copy() for name in node.param_names)
    return found


@pytest.mark.parametrize("build", [make_embeddings, make_window_encoder, make_tagger])
@pytest.mark.parametrize("is_train", [False, True])
def test_output(build, is_train, docs):
    model, twin = make(build, docs)
    expected, _ = model(docs, is_train)
    found, _ = twin._func.run(twin, docs, is_train)
    assert [array.shape for array in found] == [array.shape for array in expected]
    for array, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(array, wanted, atol=1e-5)


@pytest.mark.parametrize("build", [make_embeddings, make_window_encoder, make_tagger])
def test_gradients(build, docs):
    model, twin = make(build, docs)
    expected, backprop = model.begin_update(docs)
    _, backprop_twin = twin._func.run(twin, docs, True)
    rng = np.random.default_rng(1)
    d_output = [rng.standard_normal(array.shape).astype("float32") for array in expected]
    backprop([array.copy() for array in d_output])
    backprop_twin(d_output)
    twin._func.finish_update(twin, Adam(0.0))  # hands them over through thinc's arrays
    for found, wanted in zip(gradients(twin), gradients(model), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_equal_pieces(docs):
    """Without biases, rows of zeros have equal pieces, one of which gets the gradient."""
    model = make_window_encoder().initialize(X=[docs[0]])
    twin = model.copy()
    make_twins(twin)
    arrays, backprop = model.begin_update(docs)
    _, backprop_twin = twin._func.run(twin, docs, True)
    backprop([np.ones_like(array) for array in arrays])
    backprop_twin([np.ones_like(array) for array in arrays])
    twin._func.finish_update(twin, Adam(0.0))
    for found, wanted in zip(gradients(twin), gradients(model), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_an_optimizer_updates_thincs_parameters(docs):
    _, twin = make(make_embeddings, docs)
    before = [node.get_param(name).copy() for node in twin.walk() for name in node.param_names]
    arrays, backprop = twin._func.run(twin, docs, True)
    backprop([np.ones_like(array) for array in arrays])
    optimizer = AdamW(0.1)
    finish_update(twin, optimizer)
    optimizer.step_schedules()
    after = [node.get_param(name) for node in twin.walk() for name in node.param_names]
    changes = [np.abs(new - old).max() for new, old in zip(after, before, strict=True)]
    assert min(changes) > 0.01


def test_dropout(docs):
    _, twin = make(make_embeddings, docs)
    set_dropout_rate(twin, 0.5)
    (first, *_), _ = twin._func.run(twin, docs, True)
    (second, *_), _ = twin._func.run(twin, docs, True)
    assert np.abs(first - second).max() > 0.1
    (first, *_), _ = twin._func.run(twin, docs, False)
    (second, *_), _ = twin._func.run(twin, docs, False)
    np.testing.assert_array_equal(first, second)


def test_features_extracted_at_once_are_known(docs):
    model = make_window_encoder().initialize(X=[docs[0]])
    work_at_once(model)
    make_twins(model)
    assert isinstance(model._func, TorchTwin)


def test_a_model_is_saved_without_its_twin(docs):
    model, twin = make(make_embeddings, docs)
    assert make_embeddings().from_bytes(twin.to_bytes()).to_bytes() == model.to_bytes()
