"""Encoders from bytes: what is saved comes back, anything else is refused.

`tests/hostile` has more.
"""

import importlib
import json

import numpy as np
import pytest
import spacy
import srsly
import torch
from spacy.tokens import Doc
from spacy.vocab import Vocab
from spacy_transformers.span_getters import get_doc_spans

from spacy_tabcnn.models.encoder import build_encoder
from spacy_tabcnn.runtime.saved_encoder import check_length, load_encoder, save_encoder


@pytest.fixture
def make_encoder(tiny_encoder):
    def make(folder=tiny_encoder, tokenizer_config=None, config=None):
        model = build_encoder(str(folder), get_doc_spans, tokenizer_config, config)
        model.initialize()
        return model

    return make


@pytest.fixture
def shim(make_encoder):
    return make_encoder().layers[0].shims[0]


def encode(model, text):
    return model.predict([Doc(Vocab(), words=text.split())]).model_output.last_hidden_state


@pytest.mark.parametrize("use_fast", [True, False])
def test_an_encoder_comes_back(make_encoder, tiny_encoder, use_fast):
    model = make_encoder(tokenizer_config={"use_fast": use_fast})
    other = build_encoder("none", get_doc_spans)
    other.from_bytes(model.to_bytes())
    np.testing.assert_array_equal(encode(other, "Ada lived ."), encode(model, "Ada lived ."))
    assert other.tokenizer.is_fast == use_fast
    again = build_encoder("none", get_doc_spans)
    again.from_bytes(other.to_bytes())  # the tokenizer's temporary files are gone
    np.testing.assert_array_equal(encode(again, "Ada ."), encode(model, "Ada ."))


def test_an_encoder_that_was_not_initialised_stays_so(make_encoder):
    model = build_encoder("none", get_doc_spans, {"use_fast": True}, {"num_hidden_layers": 1})
    other = build_encoder("none", get_doc_spans, {"use_fast": True}, {"num_hidden_layers": 1})
    other.from_bytes(model.to_bytes())
    assert other.transformer is None
    assert other._init_transformer_config["num_hidden_layers"] == 1


def test_nothing_saved_tells_of_the_training_machine(shim, tiny_encoder):
    assert str(tiny_encoder).encode() not in shim.to_bytes()


@pytest.mark.parametrize(
    "settings", [{"trust_remote_code": True}, {"auto_map": {"AutoModel": "a"}}]
)
def test_remote_code_is_refused_in_a_config(settings):
    for arguments in ((settings, {}), ({}, settings)):
        with pytest.raises(ValueError, match="would run code"):
            build_encoder("none", get_doc_spans, *arguments)


def test_a_type_that_transformers_does_not_know_is_refused(shim):
    message = srsly.msgpack_loads(shim.to_bytes())
    message["config"]["model_type"] = "evil"
    with pytest.raises(ValueError, match="names the type 'evil'"):
        load_encoder(srsly.msgpack_dumps(message))


@pytest.mark.parametrize(
    "settings",
    [
        {"num_hidden_layers": 10**6},
        {"model_type": "gpt2", "n_layer": 10**6},
        {"model_type": "xlnet", "n_layer": 10**6},
        {"model_type": "funnel", "block_sizes": [10**7]},
        {"model_type": "funnel", "block_sizes": [900, 900]},
        {"model_type": "swin", "depths": [[[10**7]]]},
        {"model_type": "wav2vec2", "conv_dim": [1] * 10**5},
        {"text_config": {"parts": [{"num_layers": 10**6}]}},
    ],
)
def test_a_great_many_layers_are_refused(shim, settings):
    message = srsly.msgpack_loads(shim.to_bytes())
    message["config"].update(settings)
    with pytest.raises(ValueError, match=r"its config has .* the limits? "):
        load_encoder(srsly.msgpack_dumps(message))


def test_many_layers_of_many_parts_are_refused(shim):
    message = srsly.msgpack_loads(shim.to_bytes())
    message["config"] = {"model_type": "mixtral", "hidden_size": 8, "intermediate_size": 8}
    message["config"].update(num_hidden_layers=1000, num_local_experts=1000, vocab_size=10)
    message["config"].update(num_attention_heads=1, num_key_value_heads=1)
    with pytest.raises(ValueError, match="of its config has more than 20000 modules"):
        load_encoder(srsly.msgpack_dumps(message))


def test_numbers_that_count_no_layers_may_be_large(shim):
    message = srsly.msgpack_loads(shim.to_bytes())
    message["config"].update(moe_intermediate_size=5000, head_dim=2000, depths=[2, 18, 2])
    assert load_encoder(srsly.msgpack_dumps(message)) is not None


@pytest.mark.parametrize("name", ["evil.py", "../x", "/tmp/x", "a\\b", "", "vocab.pkl"])
def test_unknown_files_of_a_tokenizer_are_refused(shim, name):
    message = srsly.msgpack_loads(shim.to_bytes())
    message["tokenizer"][name] = b"x"
    with pytest.raises(ValueError, match="no known file of a tokenizer"):
        load_encoder(srsly.msgpack_dumps(message))


def test_settings_that_name_files_are_left_out(shim):
    message = srsly.msgpack_loads(shim.to_bytes())
    settings = json.loads(message["tokenizer"]["tokenizer_config.json"])
    settings["vocab_file"] = "/etc/passwd"
    settings["chat_template"] = "{{ 1 }}"
    message["tokenizer"]["tokenizer_config.json"] = json.dumps(settings).encode()
    tokenizer = load_encoder(srsly.msgpack_dumps(message)).tokenizer
    assert tokenizer.tokenize("Ada") == shim._hfmodel.tokenizer.tokenize("Ada")
    assert tokenizer.chat_template is None


def test_settings_of_a_tokenizer_come_back(make_encoder):
    settings = {"do_lower_case": True, "strip_accents": True}
    model = make_encoder(tokenizer_config=settings)
    tokenizer = load_encoder(model.layers[0].shims[0].to_bytes()).tokenizer
    assert tokenizer.tokenize("ADA") == model.tokenizer.tokenize("ADA") == ["a", "##d", "##a"]


def test_half_precision_stays(make_encoder):
    model = make_encoder()
    model.transformer.half()
    loaded = load_encoder(model.layers[0].shims[0].to_bytes()).transformer
    assert next(loaded.parameters()).dtype == torch.float16


def test_the_tokenizer_of_another_encoder_is_refused(make_encoder, tiny_encoder, shim):
    message = srsly.msgpack_loads(shim.to_bytes())
    rules = json.loads(message["tokenizer"]["tokenizer.json"])
    rules["model"]["vocab"]["beyond"] = 9999
    message["tokenizer"]["tokenizer.json"] = json.dumps(rules).encode()
    with pytest.raises(ValueError, match="sub-word of index 9999"):
        load_encoder(srsly.msgpack_dumps(message))


def make_transformer(kind, **settings):
    transformers = importlib.import_module("transformers")
    sizes = {"vocab_size": 10}
    if kind != "XLNet":
        sizes["max_position_embeddings"] = 20
    config = getattr(transformers, f"{kind}Config")(**{**sizes, **settings})
    with torch.device("meta"):
        return transformers.AutoModel.from_config(config)


class Tokenizer:
    def __init__(self, length):
        self.model_max_length = length


@pytest.mark.parametrize(
    ("kind", "limit"),
    [
        ("Bert", 20),
        ("DistilBert", 20),
        ("Electra", 20),
        ("Albert", 20),
        ("Roberta", 18),  # its positions begin after the index of the padding, 1
        ("MPNet", 18),
        ("XLMRoberta", 18),
        ("Bart", 20),
    ],
)
@pytest.mark.parametrize("stated", [int(1e30), 100])
def test_the_encoder_limits_the_length(kind, limit, stated):
    tokenizer = Tokenizer(stated)
    check_length(tokenizer, make_transformer(kind))
    assert tokenizer.model_max_length == limit


def test_a_shorter_length_of_the_tokenizer_stays():
    tokenizer = Tokenizer(8)
    check_length(tokenizer, make_transformer("Bert"))
    assert tokenizer.model_max_length == 8


def test_relative_positions_have_no_limit():
    tokenizer = Tokenizer(int(1e30))
    check_length(tokenizer, make_transformer("XLNet", d_model=8, n_head=2))
    assert tokenizer.model_max_length == int(1e30)


def test_a_long_document_ends_no_stream(make_encoder, tmp_path):
    """The tokenizer of the encoder states no length."""
    nlp = spacy.blank("en")
    folder = tmp_path / "encoder"
    make_encoder().tokenizer.save_pretrained(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    del settings["model_max_length"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    transformers = importlib.import_module("transformers")
    config = transformers.BertConfig(
        vocab_size=200,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
        max_position_embeddings=16,
    )
    transformers.BertModel(config).save_pretrained(folder)
    model = {
        "@architectures": "spacy-tabcnn.TransformerModel.v1",
        "name": str(folder),
        "get_spans": {"@span_getters": "spacy-transformers.doc_spans.v1"},
    }
    nlp.add_pipe("transformer", config={"model": model})
    nlp.initialize()
    lengths = [len(doc) for doc in nlp.pipe(["Ada " * 100, "Ada"])]
    nlp.to_disk(tmp_path / "model")
    assert lengths == [
        len(doc) for doc in spacy.load(tmp_path / "model").pipe(["Ada " * 100, "Ada"])
    ]


def test_an_encoder_and_its_settings_are_plain_data(shim):
    message = srsly.msgpack_loads(save_encoder(shim._hfmodel, shim._model))
    assert set(message) == {"config", "state", "tokenizer"}
    assert not message["state"].startswith(b"PK")
