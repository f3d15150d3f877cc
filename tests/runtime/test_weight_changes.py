"""Whatever is computed from weights is forgotten when they change."""

import copy

import numpy as np
import pytest
import torch
from spacy.tokens import Doc
from spacy.vocab import Vocab
from spacy_transformers.span_getters import get_doc_spans
from thinc.api import SGD, ArgsKwargs
from torch import nn

from spacy_tabcnn.heads.weights import WeightCache
from spacy_tabcnn.models.encoder import build_encoder
from spacy_tabcnn.runtime.head_shim import HeadShim
from spacy_tabcnn.runtime.torch_shim import TorchShim
from spacy_tabcnn.training.optimizer import AdamW

DOCS = [Doc(Vocab(), words=text.split()) for text in ("Ada lived in London .", "Paris .")]


@pytest.fixture(params=["cached outputs", "converted weights", "weights by columns"])
def encoder(request, tiny_encoder, monkeypatch):
    """An encoder that keeps something of its weights."""
    monkeypatch.setattr("spacy_tabcnn.runtime.precision._cpu_has_bfloat16", lambda: True)
    if request.param == "weights by columns":
        monkeypatch.setattr("spacy_tabcnn.runtime.linear.prefers_columns", lambda: True)
        monkeypatch.setattr("spacy_tabcnn.runtime.linear.suits_onednn", lambda inputs: False)
    model = build_encoder(
        str(tiny_encoder),
        get_doc_spans,
        {"use_fast": True},
        {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
        cache_mb=int(request.param == "cached outputs"),
        mixed_precision=request.param == "converted weights",
    )
    model.initialize()
    return model


def encode(model):
    return model.predict(DOCS).model_output.last_hidden_state.numpy().copy()


def is_fresh(model):
    """Whether an encoder gives the same output as a copy of it, which keeps nothing."""
    return np.array_equal(encode(model), encode(copy.deepcopy(model)))


def backprop(model):
    batch, backprop_batch = model.begin_update(DOCS)
    batch.model_output = type(batch.model_output)(
        last_hidden_state=torch.ones_like(batch.model_output.last_hidden_state).cumsum(-1)
    )
    backprop_batch(batch)


def doubled(shim):
    named = shim._model.named_parameters()
    return {(shim.id, name): 2 * parameter.detach().numpy() for name, parameter in named}


def test_after_an_update(encoder):
    before = encode(encoder)
    backprop(encoder)
    encoder.finish_update(SGD(0.1))
    assert is_fresh(encoder)
    assert not np.allclose(before, encode(encoder), atol=1e-4)


def test_after_the_step_of_an_optimizer_that_updates_later(encoder):
    """Also if a prediction comes between `finish_update` and the step."""
    optimizer = AdamW(0.1)
    backprop(encoder)
    encoder.finish_update(optimizer)
    before = encode(encoder)
    optimizer.step_schedules()
    assert is_fresh(encoder)
    assert not np.allclose(before, encode(encoder), atol=1e-4)


def test_an_update_between_forward_and_backward_pass(encoder):
    """spaCy's training hands over the gradients of the batch before at that time."""
    batch, backprop_batch = encoder.begin_update(DOCS)
    encoder.finish_update(SGD(0.1))
    encode(encoder)
    backprop_batch(batch)
    assert is_fresh(encoder)


def test_within_and_after_other_weights(encoder):
    before = encode(encoder)
    with encoder.use_params(doubled(encoder.layers[0].shims[0])):
        assert is_fresh(encoder)
        assert not np.allclose(before, encode(encoder), atol=1e-4)
    np.testing.assert_array_equal(before, encode(encoder))


def test_after_loading(encoder):
    encode(encoder)
    other = copy.deepcopy(encoder)
    with torch.no_grad():
        other.layers[0].shims[0]._model.embeddings.word_embeddings.weight.mul_(2.0)
    encoder.from_bytes(other.to_bytes())
    np.testing.assert_array_equal(encode(encoder), encode(other))


def test_after_a_move(encoder):
    shim = encoder.layers[0].shims[0]
    encode(encoder)
    kept = [shim._weights]
    kept += [layer._weights for layer in shim._model.modules() if hasattr(layer, "_weights")]
    assert any(map(len, kept))
    shim.to_device("cpu", -1)
    assert not len(shim._weights)
    assert is_fresh(encoder)


def test_copies_keep_nothing(encoder):
    encode(encoder)
    shim = copy.deepcopy(encoder.layers[0].shims[0])
    assert not len(shim._weights)


class Doubling(nn.Module):
    """A head that keeps something of its weights."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.cache = WeightCache()

    def forward(self, inputs):
        if torch.is_grad_enabled():
            return 2.0 * self.weight * inputs
        return self.cache.get([self.weight], "doubled", lambda: 2.0 * self.weight) * inputs


@pytest.fixture
def head():
    shim = HeadShim(Doubling)
    shim.build({"width": 3})
    assert score(shim) == 2.0
    return shim


def score(shim):
    (value,) = set(shim.predict(ArgsKwargs((torch.ones(3),), {})).tolist())
    return value


@pytest.mark.parametrize("make_optimizer", [SGD, AdamW])
def test_heads_forget_at_an_update(head, make_optimizer):
    optimizer = make_optimizer(0.25)
    head._model.weight.grad = torch.ones(3)
    head.finish_update(optimizer)
    score(head)
    optimizer.step_schedules()
    assert score(head) == pytest.approx(2.0 * head._model.weight[0].item())
    assert score(head) != 2.0


def test_heads_forget_within_and_after_other_weights(head):
    with head.use_params({(head.id, "weight"): np.full(3, 2.0, dtype="f")}):
        assert score(head) == 4.0
    assert score(head) == 2.0


def test_heads_forget_arrays_that_change_at_the_same_place(head):
    array = np.full(3, 2.0, dtype="f")
    for value in (2.0, 3.0):
        array.fill(value)
        with head.use_params({(head.id, "weight"): array}):
            assert score(head) == 2.0 * value


def test_heads_forget_at_loading_and_moving(head):
    other = HeadShim(Doubling)
    other.build({"width": 3})
    with torch.no_grad():
        other._model.weight.fill_(4.0)
    head.from_bytes(other.to_bytes())
    assert score(head) == 8.0
    version = head._model.weight._version
    head.to_device("cpu", -1)
    assert head._model.weight._version > version


def test_modes_are_switched_only_where_they_differ(monkeypatch):
    module = nn.Sequential(nn.Linear(3, 3))
    shim = TorchShim(module)
    switches = []
    monkeypatch.setattr(module, "train", lambda mode=True: switches.append(mode) or module)
    module.training = False
    score_linear = ArgsKwargs((torch.ones(3),), {})
    shim.predict(score_linear)
    shim.predict(score_linear)
    assert switches == []
    shim.begin_update(score_linear)
    assert switches == [True]
