"""The layers of a model from bytes: what is saved comes back, anything else is refused."""

import numpy as np
import pytest
import srsly
from spacy.ml.models.tok2vec import build_hash_embed_cnn_tok2vec
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_tabcnn.runtime.saved_layers import load_layers


def make_model():
    return build_hash_embed_cnn_tok2vec(
        width=4,
        depth=1,
        embed_size=20,
        window_size=1,
        maxout_pieces=2,
        subword_features=True,
        pretrained_vectors=None,
    )


@pytest.fixture
def model():
    model = make_model()
    model.initialize()
    return model


def change(model, edit):
    message = srsly.msgpack_loads(model.to_bytes())
    edit(message)
    return srsly.msgpack_dumps(message)


def find_weight(message):
    """Return the weights of the first layer that has some."""
    return next(params for params in message["params"] if params)


def test_layers_come_back(model):
    other = make_model()
    load_layers(other, model.to_bytes())
    docs = [Doc(Vocab(), words=["Ada", "lived"])]
    np.testing.assert_array_equal(other.predict(docs)[0], model.predict(docs)[0])


def test_a_model_that_was_not_initialised_comes_back():
    load_layers(make_model(), make_model().to_bytes())


def test_all_weights_or_none(model):
    data = change(model, lambda message: find_weight(message).update(E=None))
    with pytest.raises(ValueError, match="lacks the weight 'E' of the layer 'hashembed'"):
        load_layers(make_model(), data)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.full((20, 4), np.nan, "float32"), "'E' holds numbers that are not finite"),
        (np.zeros((20, 4), "int64"), "'E' is of type int64"),
        (np.zeros((19, 4), "float32"), r"'E' of the layer 'hashembed' has the shape \(19, 4\)"),
        (np.zeros(80, "float32"), r"has the shape \(80,\)"),
        (5, "'E' is no array"),
    ],
)
def test_damaged_weights_are_refused(model, weight, message):
    data = change(model, lambda saved: find_weight(saved).update(E=weight))
    with pytest.raises(ValueError, match=message):
        load_layers(make_model(), data)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda saved: saved["nodes"].pop(), "differ in length"),
        (lambda saved: saved.pop("attrs"), "has no 'attrs'"),
        (lambda saved: [saved[key].pop() for key in saved], "config.cfg builds"),
        (lambda saved: saved["nodes"][0]["dims"].update(nO=5), "'nO' of the layer"),
        (lambda saved: saved["nodes"][0]["refs"].update(x=10**6), "'x'"),
        (lambda saved: saved["nodes"][0].update(dims=[]), "a list; expected a mapping"),
        (lambda saved: saved["shims"][0].append(b""), "1 modules"),
        (lambda saved: find_weight(saved).update(evil=None), "has the weights"),
    ],
)
def test_other_layers_are_refused(model, edit, message):
    with pytest.raises(ValueError, match=message):
        load_layers(make_model(), change(model, edit))


def set_attr(name, value):
    def edit(message):
        attrs = next(attrs for attrs in message["attrs"] if name in attrs)
        attrs[name] = srsly.msgpack_dumps(value)

    return edit


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", "x"),
        ("seed", 1.5),
        ("seed", -1),
        ("seed", 2**40),
        ("dropout_rate", -1.0),
        ("dropout_rate", float("nan")),
        ("is_enabled", 5),
        ("pad", 10**9),
        ("column", 10**9),
        ("window_size", 2),
    ],
)
def test_other_settings_are_refused(model, name, value):
    with pytest.raises(ValueError, match=f"setting '{name}'"):
        load_layers(make_model(), change(model, set_attr(name, value)))


@pytest.mark.parametrize(
    ("name", "value"), [("seed", 5), ("dropout_rate", 0.3), ("dropout_rate", 0)]
)
def test_settings_that_training_changes_come_back(model, name, value):
    other = make_model()
    load_layers(other, change(model, set_attr(name, value)))
    assert value in [node.attrs.get(name) for node in other.walk()]


def test_functions_are_never_read(model):
    other = make_model()
    other.attrs["run"] = print

    def edit(message):
        message["attrs"][0]["run"] = srsly.msgpack_dumps("evil")

    with pytest.raises(ValueError, match="'run', which is never read"):
        load_layers(other, change(model, edit))
