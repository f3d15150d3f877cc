"""Which runs a study consists of, and what each changes in a config."""

from pathlib import Path

import pytest
import srsly
from spacy.util import dot_to_object
from thinc.api import Config

from experiments.grid import (
    Run,
    check_name,
    check_space,
    list_examples,
    make_grid,
    make_overrides,
    make_search,
    parse_layers,
    suggest,
)

ROOT = Path(__file__).parents[2]


class FirstTrial:
    """Chooses the first or the lowest of what a search space offers."""

    def suggest_categorical(self, name, choices):
        return choices[0]

    def suggest_int(self, name, low, high, *, log):
        return low

    def suggest_float(self, name, low, high, *, log):
        return low


@pytest.fixture
def config():
    model = {"name": "bert-base-cased", "transformer_config": {"hidden_act": "relu"}}
    return Config({"components": {"transformer": {"model": model}}})


def test_a_grid_has_each_run_once_and_finishes_one_seed_before_the_next():
    runs = make_grid(["A", "B"], layers=[0, 1, 1], seeds=[1, 2])
    assert len(runs) == len(set(runs)) == 2 * 2 * 2 * 2
    assert [run.seed for run in runs] == [1] * 8 + [2] * 8
    assert runs[0] == Run("A", 1, frozen=True, layer=0)


def test_a_run_survives_its_dictionary():
    run = Run("A", 1, frozen=False, layer=0)
    assert Run(**run.to_dict()) == run
    assert "number" not in run.to_dict()


def test_names_of_runs():
    assert Run("A", 1, frozen=True, layer=0).name == "A-frozen-layer0-seed1"
    assert Run("A", 2, frozen=False, layer=12).name == "A-updated-layer12-seed2"
    assert [run.name for run in make_search("A", n_trials=2)] == [
        "A-trial1-seed1",
        "A-trial2-seed1",
    ]


def test_a_frozen_run_freezes_and_caches_the_encoder(config):
    overrides = make_overrides(config, Run("A", 3, frozen=True, layer=4), cache_mb=100)
    assert overrides == {
        "system.seed": 3,
        "components.transformer.model.frozen": True,
        "components.transformer.model.cache_mb": 100,
        "components.transformer.model.transformer_config": {
            "hidden_act": "relu",
            "num_hidden_layers": 4,
        },
    }


def test_an_updated_run_has_no_cache(config):
    overrides = make_overrides(config, Run("A", 3, frozen=False, layer=0), cache_mb=100)
    assert overrides["components.transformer.model.frozen"] is False
    assert overrides["components.transformer.model.cache_mb"] == 0
    assert overrides["components.transformer.model.transformer_config"]["num_hidden_layers"] == 0


def test_a_config_without_encoder_can_be_searched_but_not_cut():
    assert make_overrides(Config(), Run("A", 3, number=1)) == {"system.seed": 3}
    with pytest.raises(ValueError, match="config of A has no section"):
        make_overrides(Config(), Run("A", 3, layer=1))


@pytest.mark.parametrize(
    ("text", "layers"), [("all", [0, 1, 2, 3]), ("0,2", [0, 2]), ("3, 1,1", [1, 3])]
)
def test_layers_of_an_option(text, layers):
    assert parse_layers(text, 3) == layers


@pytest.mark.parametrize("text", ["", "4", "-1", "1;2", "top"])
def test_layers_that_the_encoder_does_not_have(text):
    with pytest.raises(ValueError, match="from 0 to 3"):
        parse_layers(text, 3)


def test_a_search_space_gives_overrides_of_all_kinds():
    space = {
        "training.optimizer.learn_rate.rate": {"low": 1e-5, "high": 1e-4, "log": True},
        "training.batcher.size": {"low": 4, "high": 16},
        "components.tabcnn.model.head.hidden": {"choices": [[256], [512, 256]]},
        "length": {"choices": [{"training.max_steps": 100, "training.eval_frequency": 10}]},
    }
    check_space(space)
    assert suggest(FirstTrial(), space) == {
        "training.optimizer.learn_rate.rate": 1e-5,
        "training.batcher.size": 4,
        "components.tabcnn.model.head.hidden": [256],
        "training.max_steps": 100,
        "training.eval_frequency": 10,
    }


def test_each_choice_of_a_search_space_is_in_an_example():
    space = {
        "rate": {"low": 1e-5, "high": 1e-4},
        "hidden": {"choices": [[256], [512, 256]]},
        "length": {"choices": [{"steps": 1}, {"steps": 2, "size": 8}, {"epochs": 3}]},
    }
    assert list_examples(space) == [
        {"rate": 1e-5, "hidden": [256], "steps": 1},
        {"rate": 1e-5, "hidden": [512, 256], "steps": 2, "size": 8},
        {"rate": 1e-5, "hidden": [512, 256], "epochs": 3},
    ]
    assert list_examples({"rate": {"low": 1, "high": 2}}) == [{"rate": 1}]


def test_the_shipped_search_space_names_settings_of_the_shipped_config():
    config = Config().from_disk(ROOT / "configs" / "conll04.cfg")
    space = srsly.read_json(ROOT / "configs" / "tune.json")
    check_space(space)
    for name in suggest(FirstTrial(), space):
        dot_to_object(config, name)  # raises an error if there is no such setting


@pytest.mark.parametrize(
    "values",
    [
        3,
        [1, 2],
        {"low": 1},
        {"choices": []},
        {"choices": 3},
        {"low": 1, "up": 2},
        {"low": 2, "high": 1},
        {"low": "a", "high": 1},
        {"low": 1.0, "high": float("inf")},
        {"low": 0.0, "high": 1.0, "log": True},
        {"low": 0, "high": 8, "log": True},
        {"low": 1, "high": 8, "log": "yes"},
    ],
)
def test_a_search_space_that_cannot_be_read(values):
    with pytest.raises(ValueError, match=r"the search space of training\.dropout"):
        check_space({"training.dropout": values})


@pytest.mark.parametrize("space", [[1], {}, None])
def test_a_search_space_of_another_form(space):
    with pytest.raises(ValueError, match="expected an object with a range or choices"):
        check_space(space)


@pytest.mark.parametrize("name", ["", "..", "a/b"])
def test_names_that_cannot_name_a_file(name):
    with pytest.raises(ValueError, match=r"--name is .* expected a name"):
        check_name(name, "--name")
