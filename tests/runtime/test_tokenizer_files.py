"""The tokenizer of an encoder as plain data."""

import json

import pytest
from transformers import AutoTokenizer

from spacy_tabcnn.runtime.tokenizer_files import load_tokenizer, save_tokenizer

TEXTS = ["Ada met Bob .", "x"]


@pytest.fixture
def tokenizer(tiny_encoder):
    return AutoTokenizer.from_pretrained(tiny_encoder)


def load(data):
    return load_tokenizer(data, {"model_type": "bert"})[0]


def change_rules(data, **changes):
    rules = json.loads(data["tokenizer.json"])
    return {**data, "tokenizer.json": json.dumps({**rules, **changes}).encode()}


@pytest.mark.parametrize(
    "changes",
    [
        {"strategy": {"Fixed": 3 * 10**8}, "pad_to_multiple_of": None},
        {"strategy": "BatchLongest", "pad_to_multiple_of": 3 * 10**8},
    ],
)
def test_no_length_of_padding_ends_the_process(tokenizer, changes):
    data = save_tokenizer(tokenizer, None)
    padding = {"direction": "Right", "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"}
    loaded = load(change_rules(data, padding={**padding, **changes}))
    assert loaded(TEXTS).input_ids == tokenizer(TEXTS).input_ids


def test_the_sides_of_padding_and_truncation_are_kept(tokenizer):
    tokenizer.padding_side = tokenizer.truncation_side = "left"
    tokenizer.init_kwargs.update(padding_side="left", truncation_side="left")
    options = {"padding": True, "truncation": True, "max_length": 4}
    expected = tokenizer(TEXTS, **options).input_ids  # sets both in its rules, too
    loaded = load(save_tokenizer(tokenizer, None))
    assert loaded.backend_tokenizer.padding is None
    assert loaded(TEXTS, **options).input_ids == expected


def test_sides_that_only_the_rules_have_are_kept(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    path = tmp_path / "tokenizer.json"
    rules = json.loads(path.read_text(encoding="utf-8"))
    rules["padding"] = {
        "strategy": "BatchLongest",
        "direction": "Left",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }
    path.write_text(json.dumps(rules), encoding="utf-8")
    foreign = AutoTokenizer.from_pretrained(tmp_path)
    loaded = load(save_tokenizer(foreign, None))
    assert loaded.padding_side == foreign.padding_side
    assert loaded(TEXTS, padding=True).input_ids == foreign(TEXTS, padding=True).input_ids
