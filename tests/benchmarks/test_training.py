"""The benchmark of training."""

import pytest
from spacy.util import load_config

from benchmarks.dense import DenseTableCNN
from benchmarks.pipelines import MINILM, find_component, read_config
from benchmarks.training import (
    benchmark_training,
    make_trainee,
    train_epoch,
    training_cli,
    with_dense_head,
)
from spacy_tabcnn.corpora.reader import RelationCorpus

PARTS = {
    "other",
    "data",
    "other embeddings",
    "head forward",
    "head backward",
    "loss",
    "optimiser",
}
ENCODER_PARTS = {
    "sub-word tokenisation",
    "alignment",
    "encoder forward",
    "encoder backward",
    "pooling",
}


@pytest.fixture
def config(tiny_config, tiny_corpus):
    return read_config(tiny_config, encoder=MINILM, train=tiny_corpus)


def test_the_reference_takes_the_place_of_the_head_alone(config):
    dense = with_dense_head(config)
    head = dense["components"]["tabcnn"]["model"].pop("head")
    assert head == {
        "@architectures": "benchmarks.DenseTableCNN.v1",
        "kernel_size": 3,
        "hidden": [32],
    }
    assert (
        config["components"]["tabcnn"]["model"].pop("head")["@architectures"]
        == "spacy-tabcnn.TableCNN.v1"
    )
    assert dense == config


def test_a_config_without_the_head_is_refused(config):
    del config["components"]["tabcnn"]
    with pytest.raises(ValueError, match="no component of the config has the head"):
        with_dense_head(config)


def test_a_pipeline_learns_with_the_reference(config, tiny_corpus):
    trainee = make_trainee(with_dense_head(config))
    head = find_component(trainee.nlp).model.get_ref("head").shims[0]._model
    assert isinstance(head, DenseTableCNN)
    before = head.tagger.weight.clone()
    assert train_epoch(trainee, RelationCorpus(tiny_corpus), seed=0) == 2
    assert not before.equal(head.tagger.weight)


def test_an_epoch_is_extrapolated_from_the_sample(config, tiny_corpus):
    report = benchmark_training(config, tiny_corpus, sentences=5, repeats=1, seed=0)
    assert report.settings["sample"] == "5 documents, 1 steps a round"
    assert report.settings["epoch"] == "2 steps"
    assert [row["head"] for row in report.tables["Training"]] == ["dense", "head"]
    for row in report.tables["Training"]:
        assert row["seconds/epoch"] == 2 * row["seconds/step"]


def test_the_command_reports_steps_and_their_parts(run_benchmark, transformer_options):
    saved = run_benchmark(training_cli, *transformer_options, "--sentences", 8)
    _, parts = saved["tables"].values()
    assert {row["part"] for row in parts} == PARTS | ENCODER_PARTS
    assert sum(row["head_percent"] for row in parts) == pytest.approx(100)
    assert all(row["dense_ms/step"] > 0 for row in parts)
    assert saved["settings"]["config"] == str(transformer_options[1])
    assert set(saved["headline"]) == {"seconds/step", "dense/head, seconds/step"}


def test_the_command_needs_no_transformer(run_benchmark, tiny_options):
    saved = run_benchmark(training_cli, *tiny_options)
    assert {
        row["part"] for row in saved["tables"]["Parts of one profiled epoch of the sample"]
    } == PARTS


@pytest.mark.parametrize(
    "name", ["ace05", "ade", "conll04", "conll04_frozen", "conll04_uncased", "sample", "scierc"]
)
def test_every_config_has_the_head_that_is_replaced(name, request):
    config = load_config(request.config.rootpath / "configs" / f"{name}.cfg")
    assert with_dense_head(config) != config


@pytest.mark.usefixtures("_any_bfloat16")
def test_the_command_times_mixed_precision(run_benchmark, tiny_options):
    saved = run_benchmark(training_cli, *tiny_options, "--mixed-precision")
    speed, parts = saved["tables"].values()
    assert [row["head"] for row in speed] == ["dense", "head", "bfloat16"]
    assert all("bfloat16_ms/step" in row for row in parts)
    assert "head/bfloat16, seconds/step" in saved["headline"]
