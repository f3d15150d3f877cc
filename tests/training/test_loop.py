"""Training with checkpoints: the result of `spacy train`, whether it was stopped or not."""

import io
import json
import re
from pathlib import Path

import pytest
import spacy
import srsly
from spacy.cli.train import train as spacy_train
from spacy.util import load_config

from spacy_tabcnn.pipeline.divergence import DivergenceError
from spacy_tabcnn.training import loop
from spacy_tabcnn.training.checkpoint import DamagedCheckpointError
from spacy_tabcnn.training.loop import OtherTrainingError, train
from spacy_tabcnn.training.parameters import CannotResumeError

CONFIGS = Path(__file__).parents[2] / "configs"
# Two epochs and a half, so that the last step has no evaluation.
SHORT = {"training.max_steps": 7, "training.eval_frequency": 2}


class Stopped(Exception):
    """In place of a kill."""


@pytest.fixture(scope="module")
def make_config(tiny_corpus, tiny_encoder):
    """Make a config: a shipped one with a tiny encoder, trained for a few steps."""

    def make(name="test/tiny", overrides=None):
        paths = {"paths.train": str(tiny_corpus), "paths.dev": str(tiny_corpus)}
        config = load_config(CONFIGS / f"{name}.cfg", interpolate=False)
        if "encoder" in config["paths"]:
            paths["paths.encoder"] = str(tiny_encoder)
        if name == "conll04_frozen":
            layers = "components.relation_table.model.tok2vec.*.encoder.pooling.n_layers"
            paths[layers] = 2
        options = {**SHORT, **paths, "training.batcher.size": 3}
        config = load_config(CONFIGS / f"{name}.cfg", overrides=options, interpolate=False)
        for key, value in (overrides or {}).items():
            *sections, last = key.split(".")
            block = config
            for section in sections:
                block = block[section]
            block[last] = value
        return config

    return make


def run(config, output, *, stop_after=None, **options):
    """Train, and stop right after the n-th checkpoint of this call."""
    n_written = 0
    write = loop._Training._finish_period

    def count(self, *arguments, **named):
        nonlocal n_written
        write(self, *arguments, **named)
        n_written += 1
        if n_written == stop_after:
            raise Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop._Training, "_finish_period", count)
        printed = io.StringIO()
        if stop_after is None:
            train(config, output, stdout=printed, stderr=io.StringIO(), **options)
        else:
            with pytest.raises(Stopped):
                train(config, output, stdout=printed, stderr=io.StringIO(), **options)
    return printed.getvalue()


def read_files(folder):
    """The contents of all files below a folder, by their paths in it."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def assert_same_models(folder, other):
    for name in ("model-best", "model-last"):
        files, others = read_files(folder / name), read_files(other / name)
        assert files.keys() == others.keys()
        differing = [path for path in files if files[path] != others[path]]
        assert not differing, (name, differing)


@pytest.mark.parametrize("name", ["test/tiny", "conll04_minilm"])
def test_the_result_is_that_of_spacy_train(make_config, name, tmp_path):
    config = make_config(name)
    config.to_disk(tmp_path / "config.cfg")
    spacy_train(tmp_path / "config.cfg", tmp_path / "spacy")
    run(config, tmp_path / "ours")
    assert_same_models(tmp_path / "ours", tmp_path / "spacy")


VARIANTS = {
    "the embeddings of spaCy": ("test/tiny", {}),
    "averages and sentence starts": ("conll04_minilm", {}),
    "the paper's config": ("conll04", {}),
    "a frozen encoder with a cache": ("conll04_frozen", {}),
    "TabERT": ("conll04_tabert", {}),
    "SpERT, which draws candidates": ("conll04_spert", {}),
    "mixed precision": ("conll04_minilm", {"system.mixed_precision": True}),
    "joined documents in another order each time": (
        "test/tiny",
        {
            "corpora.train.joined": 0.5,
            "corpora.train.shuffle": True,
            "corpora.dev.joined": 0.5,
            "training.batcher": {"@batchers": "spacy-tabcnn.batch_by_length.v1", "size": 2},
        },
    ),
    "a corpus that is a stream": ("test/tiny", {"training.max_epochs": -1}),
    "a batcher and a schedule of spaCy": (
        "test/tiny",
        {
            "training.batcher": {
                "@batchers": "spacy.batch_by_padded.v1",
                "size": {"@schedules": "compounding.v1", "start": 20, "stop": 99, "compound": 1.1},
                "buffer": 4,
                "discard_oversize": False,
            },
            "training.dropout": {"@schedules": "decaying.v1", "base_rate": 0.5, "decay": 0.1},
            "training.accumulate_gradient": 2,
        },
    ),
    "thinc's Adam": (
        "test/tiny",
        {"training.optimizer": {"@optimizers": "Adam.v1", "learn_rate": 0.01}},
    ),
    "thinc's RAdam": (
        "test/tiny",
        {"training.optimizer": {"@optimizers": "RAdam.v1", "learn_rate": 0.01}},
    ),
    "other components over spacy-transformers' own encoder": (
        "conll04_minilm",
        {
            "nlp.pipeline": ["transformer", "ner", "relation_table"],
            "components.relation_table.entities": "merge",
            "components.ner": {
                "factory": "ner",
                "model": {
                    "@architectures": "spacy.TransitionBasedParser.v2",
                    "state_type": "ner",
                    "extra_state_tokens": False,
                    "hidden_width": 16,
                    "maxout_pieces": 2,
                    "use_upper": True,
                    "nO": None,
                    "tok2vec": {
                        "@architectures": "spacy-transformers.TransformerListener.v1",
                        "grad_factor": 1.0,
                        "pooling": {"@layers": "reduce_mean.v1"},
                    },
                },
            },
            "components.transformer.model": {
                "@architectures": "spacy-transformers.TransformerModel.v3",
                "name": "${paths.encoder}",
                "tokenizer_config": {"use_fast": True},
                "transformer_config": {},
                "mixed_precision": False,
                "grad_scaler_config": {},
                "get_spans": {"@span_getters": "spacy-transformers.doc_spans.v1"},
            },
            "training.optimizer": {"@optimizers": "Adam.v1", "learn_rate": 0.001},
        },
    ),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_stopped_training_goes_on_to_the_same_weights(make_config, name, tmp_path):
    config_name, overrides = VARIANTS[name]
    config = make_config(config_name, overrides)
    run(config, tmp_path / "whole")
    run(config, tmp_path / "stopped", stop_after=1)
    run(config, tmp_path / "stopped", stop_after=2, resume=True)
    run(config, tmp_path / "stopped", resume=True)
    assert_same_models(tmp_path / "stopped", tmp_path / "whole")
