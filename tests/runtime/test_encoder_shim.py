"""The encoder, next to spacy-transformers' own, on tiny encoders with random weights."""

import copy
import importlib

import numpy as np
import pytest
import spacy
import torch
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc
from spacy.vocab import Vocab
from spacy_transformers.architectures import create_TransformerModel_v3
from spacy_transformers.span_getters import configure_strided_spans, get_doc_spans
from thinc.api import SGD, ArgsKwargs, PyTorchWrapper, clone

from spacy_tabcnn.models.encoder import build_encoder
from spacy_tabcnn.runtime import encoder_shim
from spacy_tabcnn.runtime import torch_shim as shim
from spacy_tabcnn.runtime.linear import FastLinear
from spacy_tabcnn.runtime.output_cache import OutputCache
from spacy_tabcnn.runtime.passes import BFLOAT16, FLOAT32, PassLimits, join_passes, plan_passes

TEXTS = [
    "Ada Lovelace lived in London .",
    "Paris .",
    "Marie lived in Paris",
    "Ada",
    "Ada and Marie met in Turin once",
]


@pytest.fixture(scope="module", params=["bert", "albert", "roberta"])
def any_encoder(request, tiny_encoder, tmp_path_factory):
    """The folders of encoders of several architectures, which share a tokenizer."""
    transformers = importlib.import_module("transformers")
    if request.param == "bert":
        return tiny_encoder
    folder = tmp_path_factory.mktemp(request.param)
    tokenizer = transformers.BertTokenizerFast.from_pretrained(tiny_encoder)
    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    torch.manual_seed(0)
    if request.param == "albert":
        model = transformers.AlbertModel(
            transformers.AlbertConfig(vocab_size=len(tokenizer), embedding_size=8, **sizes)
        )
    else:
        config = transformers.RobertaConfig(
            vocab_size=len(tokenizer),
            max_position_embeddings=514,
            type_vocab_size=2,
            pad_token_id=0,
            **sizes,
        )
        model = transformers.RobertaModel(config)
    # The dropout of training would make two runs differ.
    model.config.update({"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0})
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def make_encoder(tiny_encoder):
    """Make the initialised encoder of a folder."""

    def make(folder=tiny_encoder, *, get_spans=get_doc_spans, **settings):
        config = {
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
            **settings.pop("config", {}),
        }
        model = build_encoder(str(folder), get_spans, {"use_fast": True}, config, **settings)
        model.initialize()
        return model

    return make


@pytest.fixture
def docs():
    vocab = Vocab()
    return [Doc(vocab, words=text.split()) for text in TEXTS]


@pytest.fixture
def _many_passes(monkeypatch):
    monkeypatch.setattr(encoder_shim, "FLOAT32", PassLimits(cost=0, size=512))


@pytest.fixture
def count_calls(monkeypatch):
    """Count the sequences that reach the torch module of an encoder."""

    def count(model):
        lengths = []
        model.transformer.register_forward_pre_hook(
            lambda _, args, kwargs: lengths.extend(
                kwargs["attention_mask"].sum(dim=1).long().tolist()
            ),
            with_kwargs=True,
        )
        return lengths

    return count


def hidden_states(model, docs):
    """The outputs for the sub-words of each document, without padding."""
    return [
        data.model_output.last_hidden_state[0][: data.wordpieces.lengths[0]]
        for data in model.predict(docs).doc_data
    ]


def gradients(model, docs):
    """The gradient of half the squared sum of all outputs, by parameter."""
    batch, backprop = model.begin_update(docs)
    mask = torch.from_numpy(batch.wordpieces.attention_mask)[:, :, None]
    batch.model_output = type(batch.model_output)(
        last_hidden_state=batch.model_output.last_hidden_state.detach() * mask
    )
    backprop(batch)
    named = {name: parameter.grad for name, parameter in model.transformer.named_parameters()}
    return {name: gradient.clone() for name, gradient in named.items() if gradient is not None}


@pytest.mark.usefixtures("_many_passes")
def test_same_output_as_spacy_transformers(make_encoder, any_encoder, docs):
    reference = create_TransformerModel_v3(str(any_encoder), get_doc_spans, {"use_fast": True}, {})
    reference.initialize()
    for ours, theirs in zip(
        hidden_states(make_encoder(any_encoder), docs), hidden_states(reference, docs), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_single_pass_keeps_the_order(make_encoder, docs):
    alone = [hidden_states(make_encoder(), [doc])[0] for doc in docs]
    for one, other in zip(hidden_states(make_encoder(), docs), alone, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.usefixtures("_many_passes")
def test_same_gradients_as_spacy_transformers(make_encoder, any_encoder, docs):
    no_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    reference = create_TransformerModel_v3(
        str(any_encoder), get_doc_spans, {"use_fast": True}, no_dropout
    )
    reference.initialize()
    ours, theirs = gradients(make_encoder(any_encoder), docs), gradients(reference, docs)
    assert ours.keys() == theirs.keys()
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, theirs[name], atol=1e-4, rtol=1e-4)


def embedding_gradients(model, batches):
    """The embeddings' gradients that a second optimizer would get after updates on some batches."""
    table = model.transformer.get_input_embeddings().weight
    for batch in batches:
        table.grad = None
        gradients(model, batch)
    return table.grad


def test_gradients_of_earlier_updates_are_gone(make_encoder, docs):
    model = make_encoder()
    expected = embedding_gradients(model, [docs[3:]]).clone()
    found = embedding_gradients(model, [docs, docs[:2], docs[1:], docs[3:]])
    torch.testing.assert_close(found, expected)


def test_the_gradient_of_the_update_before_stays_for_the_optimizer(make_encoder, docs):
    model = make_encoder()
    held = embedding_gradients(model, [docs[:2]])
    before = held.clone()
    embedding_gradients(model, [docs])
    torch.testing.assert_close(held, before)


def test_gradients_of_two_batches_add_up(make_encoder, docs):
    model = make_encoder()
    expected = sum(embedding_gradients(model, [batch]).clone() for batch in (docs[:2], docs[2:]))
    table = model.transformer.get_input_embeddings().weight
    table.grad = None
    for batch in (docs[:2], docs[2:]):
        gradients(model, batch)
    torch.testing.assert_close(table.grad, expected)


def test_frozen_embeddings_get_no_gradient(make_encoder, docs):
    model = make_encoder()
    model.transformer.get_input_embeddings().weight.requires_grad_(False)
    assert not any("word_embeddings" in name for name in gradients(model, docs))


def test_a_long_document_in_overlapping_spans(make_encoder, tiny_encoder):
    doc = Doc(Vocab(), words=" ".join(TEXTS * 3).split())
    get_spans = configure_strided_spans(8, 6)
    reference = create_TransformerModel_v3(str(tiny_encoder), get_spans, {"use_fast": True}, {})
    reference.initialize()
    ours, theirs = (
        model.predict([doc]).doc_data[0] for model in (make_encoder(get_spans=get_spans), reference)
    )
    assert len(ours.wordpieces) > 1
    np.testing.assert_array_equal(ours.align.dataXd, theirs.align.dataXd)
    mask = theirs.wordpieces.attention_mask[:, :, None]
    np.testing.assert_allclose(
        ours.model_output.last_hidden_state * mask,
        theirs.model_output.last_hidden_state * mask,
        atol=1e-5,
    )


@pytest.mark.usefixtures("_many_passes")
def test_all_layers_are_passed_on(make_encoder, docs):
    data = make_encoder(config={"output_hidden_states": True}).predict(docs).doc_data[1]
    layers = data.model_output.hidden_states
    assert len(layers) == 2
    np.testing.assert_array_equal(layers[-1], data.model_output.last_hidden_state)


def test_attentions_are_passed_on(make_encoder, docs):
    model = make_encoder(
        config={"output_attentions": True, "attn_implementation": "eager"}, cache_mb=1
    )
    (attentions,) = model.predict(docs).model_output.attentions
    assert attentions.shape[:2] == (len(docs), 2)


@pytest.mark.usefixtures("_many_passes")
def test_all_layers_side_by_side(make_encoder, any_encoder, docs):
    reference = create_TransformerModel_v3(
        str(any_encoder), get_doc_spans, {"use_fast": True}, {"output_hidden_states": True}
    )
    reference.initialize()
    model = make_encoder(any_encoder, all_layers=True)
    ours, theirs = model.predict(docs).model_output, reference.predict(docs).model_output
    mask = torch.from_numpy(reference.predict(docs).wordpieces.attention_mask)[:, :, None]
    expected = torch.cat([torch.as_tensor(layer) for layer in theirs.hidden_states], dim=-1)
    np.testing.assert_allclose(ours.last_hidden_state * mask, expected * mask, atol=1e-5)
    assert model.get_dim("nO") == ours.last_hidden_state.shape[-1]


@pytest.mark.usefixtures("_many_passes")
def test_gradients_reach_every_layer(make_encoder, docs):
    model = make_encoder(all_layers=True)
    once = gradients(make_encoder(), docs)["embeddings.LayerNorm.bias"]
    assert not np.allclose(gradients(model, docs)["embeddings.LayerNorm.bias"], once, atol=1e-4)


def test_a_frozen_encoder_is_not_updated(make_encoder, docs):
    model = make_encoder(frozen=True, config={"hidden_dropout_prob": 0.5}, cache_mb=1)
    before = hidden_states(model, docs)
    batch, backprop = model.begin_update(docs)
    np.testing.assert_array_equal(
        batch.doc_data[0].model_output.last_hidden_state[0][: len(before[0])], before[0]
    )
    assert backprop(batch) == docs
    model.finish_update(SGD(0.1))
    assert all(parameter.grad is None for parameter in model.transformer.parameters())
    np.testing.assert_array_equal(hidden_states(model, docs)[0], before[0])


def test_a_frozen_encoder_keeps_its_cache(make_encoder, docs, count_calls):
    model = make_encoder(frozen=True, cache_mb=1)
    encoded = count_calls(model)
    for _ in range(3):
        batch, backprop = model.begin_update(docs)
        backprop(batch)
        model.finish_update(SGD(0.1))
        with model.use_params({}):
            model.predict(docs)
    assert len(encoded) == len(docs)


@given(st.lists(st.integers(1, 600), min_size=1, max_size=60), st.sampled_from([FLOAT32, BFLOAT16]))
def test_passes_pad_little(lengths, limits):
    passes = plan_passes(torch.tensor(lengths), limits)
    assert sorted(torch.cat(passes).tolist()) == list(range(len(lengths)))
    for rows in passes:
        longest = max(lengths[row] for row in rows.tolist())
        assert sum(longest - lengths[row] for row in rows.tolist()) <= limits.cost
        assert len(rows) == 1 or len(rows) * longest <= limits.size


def test_passes_are_joined_in_order():
    passes = [torch.tensor([2, 0]), torch.tensor([1])]
    outputs = [
        {"last_hidden_state": torch.ones(2, 3, 4)},
        {"last_hidden_state": torch.full((1, 2, 4), 2.0)},
    ]
    outputs[0]["last_hidden_state"][0] = 3.0
    joined = join_passes(outputs, passes, n_subwords=5).last_hidden_state
    assert joined.shape == (3, 5, 4)
    assert joined[:, 0, 0].tolist() == [1.0, 2.0, 3.0]
    assert joined[1, :, 0].tolist() == [2.0, 2.0, 0.0, 0.0, 0.0]


def test_cached_output_is_the_same(make_encoder, docs, count_calls):
    model = make_encoder(cache_mb=1)
    lengths = count_calls(model)
    first = hidden_states(model, docs)
    assert len(lengths) == len(docs)
    again = hidden_states(model, docs[::-1])[::-1]
    assert len(lengths) == len(docs)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_only_new_sequences_are_encoded(make_encoder, docs, count_calls):
    model = make_encoder(cache_mb=1)
    model.predict(docs[:2])
    lengths = count_calls(model)
    mixed = hidden_states(model, docs[:3])
    assert lengths == [len(mixed[2])]
    for one, other in zip(mixed, hidden_states(make_encoder(), docs[:3]), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_without_a_cache_all_is_encoded_again(make_encoder, docs, count_calls):
    model = make_encoder()
    lengths = count_calls(model)
    model.predict(docs)
    model.predict(docs)
    assert len(lengths) == 2 * len(docs)


def test_the_cache_is_bounded():
    cache = OutputCache(3 * 4 * 8)  # three sequences of one sub-word, eight wide
    for token in range(10):
        inputs = {"input_ids": torch.tensor([[token]]), "attention_mask": torch.ones(1, 1)}
        cache.complete(inputs, lambda inputs: {"last_hidden_state": torch.ones(1, 1, 8)})
        assert cache.n_bytes <= cache.size
    assert len(cache) == 3


def test_cached_layers_are_all_kept(make_encoder, docs):
    model = make_encoder(cache_mb=1, config={"output_hidden_states": True})
    first, again = (model.predict(docs).model_output.hidden_states for _ in range(2))
    assert len(first) == len(again) == 2


def test_an_update_empties_the_cache(make_encoder, docs):
    model = make_encoder(cache_mb=1)
    before = hidden_states(model, docs)
    gradients(model, docs)
    model.finish_update(SGD(0.1))
    assert not np.allclose(before[0], hidden_states(model, docs)[0], atol=1e-4)


def test_averaged_weights_do_not_see_the_cache(make_encoder, docs):
    model = make_encoder(cache_mb=1)
    encoder = model.layers[0].shims[0]
    before = hidden_states(model, docs)
    averages = {
        (encoder.id, name): 2 * parameter.detach().numpy()
        for name, parameter in model.transformer.named_parameters()
    }
    with model.use_params(averages):
        during = hidden_states(model, docs)
    assert not np.allclose(before[0], during[0], atol=1e-4)
    np.testing.assert_array_equal(before[0], hidden_states(model, docs)[0])


def test_loaded_weights_do_not_see_the_cache(make_encoder, docs):
    model, other = make_encoder(cache_mb=1), make_encoder()
    model.predict(docs)
    with torch.no_grad():
        other.transformer.embeddings.word_embeddings.weight.mul_(2.0)
    model.from_bytes(other.to_bytes())
    for one, same in zip(hidden_states(model, docs), hidden_states(other, docs), strict=True):
        np.testing.assert_allclose(one, same, atol=1e-6)


@pytest.mark.parametrize("mixed_precision", [False, True])
def test_mixed_precision_reaches_both_modes(make_encoder, docs, monkeypatch, mixed_precision):
    asked = []

    def autocast(device, *, enabled):
        asked.append(enabled)
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled)

    monkeypatch.setattr(shim, "autocast", autocast)
    model, plain = make_encoder(mixed_precision=mixed_precision), make_encoder()
    asked.clear()
    outputs = [model.predict(docs).model_output, model.begin_update(docs)[0].model_output]
    assert asked == [mixed_precision] * 2
    asked.clear()
    batch = plain.predict(docs)
    expected = batch.model_output.last_hidden_state
    mask = torch.from_numpy(batch.wordpieces.attention_mask)[:, :, None]
    for output in outputs:
        assert output.last_hidden_state.dtype == torch.float32
        difference = ((output.last_hidden_state - expected) * mask).abs().max()
        assert 1e-4 < difference < 0.1 if mixed_precision else difference < 1e-5


def test_negative_cache():
    with pytest.raises(ValueError, match="cache_mb is -1"):
        build_encoder("name", get_doc_spans, cache_mb=-1)


def test_an_unexpected_shim_is_not_replaced(monkeypatch):
    layers = importlib.import_module("spacy_transformers.layers")
    monkeypatch.setattr(
        layers, "TransformerModel", lambda *args: clone(PyTorchWrapper(torch.nn.Linear(2, 2)), 2)
    )
    with pytest.raises(RuntimeError, match=r"found the shims \['PyTorchShim', 'PyTorchShim'\]"):
        build_encoder("name", get_doc_spans)


@pytest.mark.parametrize("onednn", [False, True])
def test_the_config_switches_onednn(make_encoder, monkeypatch, onednn):
    monkeypatch.setattr(shim, "uses_onednn", lambda: True)
    layers = make_encoder(onednn=onednn).transformer.modules()
    assert {layer.onednn for layer in layers if isinstance(layer, FastLinear)} == {onednn}


def test_a_copy_is_of_the_same_kind(make_encoder, docs):
    model = make_encoder(cache_mb=1)
    for one, same in zip(
        hidden_states(model, docs), hidden_states(model.copy(), docs), strict=True
    ):
        np.testing.assert_array_equal(one, same)
    assert type(copy.deepcopy(model.layers[0].shims[0])) is type(model.layers[0].shims[0])


def test_other_optimizers_update_it(make_encoder, docs):
    model = make_encoder()
    before = hidden_states(model, docs)[0]
    gradients(model, docs)
    model.finish_update(SGD(0.1))
    assert all(parameter.grad is None for parameter in model.transformer.parameters())
    assert not np.allclose(before, hidden_states(model, docs)[0], atol=1e-4)


def test_listeners_can_be_replaced(tiny_encoder, tmp_path):
    """The component gets a copy of the encoder, in spaCy's own layout."""
    nlp = spacy.blank("en")
    model = {
        "@architectures": "spacy-tabcnn.TransformerModel.v1",
        "name": str(tiny_encoder),
        "get_spans": {
            "@span_getters": "spacy-transformers.strided_spans.v1",
            "window": 128,
            "stride": 96,
        },
        "tokenizer_config": {"use_fast": True},
        "transformer_config": {},
        "mixed_precision": False,
        "cache_mb": 1,
    }
    nlp.add_pipe("transformer", config={"model": model})
    listener = {
        "@architectures": "spacy-transformers.TransformerListener.v1",
        "pooling": {"@layers": "spacy-tabcnn.reduce_max.v1"},
        "grad_factor": 1.0,
    }
    table = {
        "@architectures": "spacy-tabcnn.TableModel.v1",
        "tok2vec": listener,
        "head": {"@architectures": "spacy-tabcnn.TableCNN.v1", "hidden": [8]},
    }
    nlp.add_pipe("tabcnn", config={"model": table}).add_label("PER")
    nlp.initialize()
    expected = nlp.get_pipe("tabcnn").predict(
        list(nlp.get_pipe("transformer").pipe([nlp.make_doc(TEXTS[0])]))
    )
    nlp.replace_listeners("transformer", "tabcnn", ["model.tok2vec"])
    nlp.remove_pipe("transformer")
    nlp.to_disk(tmp_path)
    other = spacy.load(tmp_path)
    logits = other.get_pipe("tabcnn").predict([other.make_doc(TEXTS[0])])
    np.testing.assert_allclose(logits.tags, expected.tags, atol=1e-5)


def test_listeners_to_all_layers_can_be_replaced(tiny_encoder, tmp_path):
    nlp = spacy.blank("en")
    encoder = {
        "@architectures": "spacy-tabcnn.TransformerModel.v1",
        "name": str(tiny_encoder),
        "get_spans": {"@span_getters": "spacy-transformers.doc_spans.v1"},
        "all_layers": True,
    }
    nlp.add_pipe("transformer", config={"model": encoder})
    pooling = {
        "@layers": "spacy-tabcnn.mix_layers.v1",
        "n_layers": 2,
        "pooling": {"@layers": "reduce_mean.v1"},
    }
    listener = {
        "@architectures": "spacy-transformers.TransformerListener.v1",
        "pooling": pooling,
        "grad_factor": 1.0,
    }
    model = {"@architectures": "spacy.Tagger.v2", "tok2vec": listener}
    nlp.add_pipe("tagger", config={"model": model}).add_label("NOUN")
    nlp.initialize()
    expected = nlp.get_pipe("tagger").model.predict([nlp(TEXTS[0])])
    nlp.replace_listeners("transformer", "tagger", ["model.tok2vec"])
    nlp.remove_pipe("transformer")
    nlp.to_disk(tmp_path)
    other = spacy.load(tmp_path)
    found = other.get_pipe("tagger").model.predict([other.make_doc(TEXTS[0])])
    np.testing.assert_allclose(found[0], expected[0], atol=1e-5)


def test_inputs_with_padding_on_the_left(make_encoder):
    """Nothing is cut off them."""
    encoder = make_encoder().layers[0].shims[0]
    ids = torch.tensor([[0, 0, 2, 10, 3], [2, 11, 12, 13, 3]])
    inputs = {"input_ids": ids, "attention_mask": (ids != 0).float()}
    output = encoder.predict(ArgsKwargs(args=(), kwargs=inputs)).last_hidden_state
    expected = encoder._model.eval()(**inputs).last_hidden_state
    torch.testing.assert_close(output, expected)


def test_batches_that_are_padded_on_the_left_are_not_kept(tiny_encoder):
    docs = [Doc(Vocab(), words=text.split()) for text in TEXTS]
    found = []
    for cache_mb in (0, 1):
        options = {"use_fast": True, "padding_side": "left"}
        model = build_encoder(str(tiny_encoder), get_doc_spans, options, cache_mb=cache_mb)
        model.initialize()
        found.append(model.predict(docs).model_output.last_hidden_state)
        again = model.predict(docs).model_output.last_hidden_state
        np.testing.assert_allclose(again, found[-1], atol=1e-6)
    np.testing.assert_allclose(*found, atol=1e-6)
