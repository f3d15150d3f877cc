"""Cells that spaCy trains, on a tiny corpus with a tiny encoder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import spacy
from spacy.training import Example
from spacy.util import load_config

from experiments.grid import Run
from experiments.results import MEASURES
from experiments.storage import read_results
from experiments.training import SpacyTrain, count_layers, describe, score
from spacy_tabcnn.corpora.docbin import read_docbin, write_docbin
from spacy_tabcnn.corpora.reader import RelationCorpus
from spacy_tabcnn.evaluation.scoring import count_items
from spacy_tabcnn.evaluation.significance import micro_f1

from ..tiny_models import write_tiny_config

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def config(tiny_encoder, tiny_corpus, tmp_path_factory):
    """The paper's config with a narrow head, that trains for two steps."""
    path = tmp_path_factory.mktemp("config") / "tiny.cfg"
    return write_tiny_config(path, tiny_encoder, tiny_corpus, max_steps=2, eval_frequency=1)


@pytest.mark.parametrize("gpu_id, devices", [(-1, [-1, -1, -1]), (0, [0, 1, 0]), (1, [1, 0, 1])])
def test_each_worker_has_a_gpu(gpu_id, devices, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    train = SpacyTrain({}, gpu_id=gpu_id)
    assert [train.for_worker(number).gpu_id for number in range(3)] == devices


def test_counts_of_an_example_sum_to_the_scores(tiny_run):
    nlp = spacy.load(tiny_run / "model-last")
    outcome = score(nlp)
    assert outcome.scores == dict.fromkeys((f"{prefix}_f" for prefix in MEASURES.values()), 1.0)
    assert [sum(column) for column in zip(*outcome.counts["rels_strict"], strict=True)] == [9, 0, 0]
    assert len(outcome.counts["ents"]) == 10
    examples = list(RelationCorpus(nlp.config["paths"]["dev"])(nlp))
    assert outcome.scores.items() <= nlp.evaluate(examples).items()


def test_hits_misses_and_spurious_items(make_doc):
    gold = make_doc("a b c", [(0, 1, "A"), (1, 2, "B"), (2, 3, "B")], [(0, 1, "r"), (1, 2, "r")])
    predicted = make_doc(
        "a b c", [(0, 1, "A"), (1, 2, "C"), (2, 3, "B")], [(0, 1, "r"), (0, 2, "r")]
    )
    assert count_items(Example(predicted, gold)) == {
        "ents": (2, 1, 1),
        "rels_boundaries": (1, 1, 1),
        "rels_strict": (0, 2, 2),
    }


def test_what_is_not_annotated_is_not_counted(make_doc):
    counts = count_items(Example(make_doc("a", [(0, 1, "A")], []), make_doc("a")))
    assert counts == dict.fromkeys(MEASURES.values(), (0, 0, 0))


def test_a_run_changes_the_config(config, tmp_path):
    train = SpacyTrain({"A": config}, {"training.dropout": 0.5}, output=tmp_path, cache_mb=7)
    made = train.make_config(
        Run("A", 3, frozen=True, layer=0), {"training.batcher.size": 2}
    ).interpolate()
    encoder = made["components"]["transformer"]["model"]
    assert (encoder["frozen"], encoder["cache_mb"]) == (True, 7)
    assert encoder["transformer_config"] == {"num_hidden_layers": 0}
    training = made["training"]
    assert (training["seed"], training["dropout"], training["batcher"]["size"]) == (3, 0.5, 2)


def test_training_leaves_scores_and_a_log(config, tmp_path):
    (tmp_path / "A-frozen-layer1-seed1-killed").mkdir()
    outcome = SpacyTrain({"A": config}, output=tmp_path)(Run("A", 1, frozen=True, layer=1), {})
    assert set(outcome.scores) == {"ents_f", "rels_boundaries_f", "rels_strict_f"}
    for prefix, counts in outcome.counts.items():
        assert len(counts) == 10
        assert micro_f1(sum(map(np.array, counts))) == pytest.approx(outcome.scores[f"{prefix}_f"])
    assert [path.name for path in tmp_path.iterdir()] == ["A-frozen-layer1-seed1.log"]
    assert "RELS_STR" in (tmp_path / "A-frozen-layer1-seed1.log").read_text().upper()


def test_what_libraries_say_while_a_run_trains_is_in_its_log(config, tmp_path, capfd):
    """The weights of the layers that a run cuts off, at length."""
    SpacyTrain({"A": config}, output=tmp_path)(Run("A", 1, frozen=True, layer=0), {})
    assert "encoder.layer.0" in (tmp_path / "A-frozen-layer0-seed1.log").read_text()
    assert "encoder.layer.0" not in capfd.readouterr().err


def test_models_are_kept_if_wanted(config, tmp_path):
    train = SpacyTrain({"A": config}, output=tmp_path, keep=True)
    for _ in range(2):
        outcome = train(Run("A", 1, frozen=False, layer=0), {})
    assert score(spacy.load(tmp_path / "A-updated-layer0-seed1" / "model-best")) == outcome


def test_a_study_knows_where_its_scores_come_from(config, tiny_encoder):
    found = describe({"A": config, "B": config}, {}, corpus="Sample")
    assert found["encoder"] == tiny_encoder.name
    counts = {"sentences": 10, "entity_types": 5, "relation_types": 4}
    assert found["corpus"] == {"name": "Sample", "train": counts, "dev": counts}
    text = found["systems"]["A"]
    assert "TableCNN" in text and "[paths]" not in text and str(tiny_encoder) not in text
    assert (
        describe({"A": config}, {"training.dropout": 0.7}, corpus="Sample")["systems"]["A"] != text
    )


def test_a_study_knows_the_content_of_its_corpus(config, tiny_corpus, tmp_path):
    nlp = spacy.blank("en")
    docs = list(read_docbin(tiny_corpus, nlp.vocab))
    write_docbin(tmp_path / "turned.spacy", docs[::-1])
    docs[0]._.relations = []
    write_docbin(tmp_path / "other.spacy", docs)

    def read_contents(path):
        return describe({"A": config}, {"paths.train": str(path)}, corpus="Sample")["contents"]

    contents = read_contents(tiny_corpus)
    assert contents["train"] == contents["dev"]
    assert read_contents(tmp_path / "turned.spacy") == contents
    other = read_contents(tmp_path / "other.spacy")
    assert other["train"] != contents["train"] and other["dev"] == contents["dev"]


def test_systems_must_read_one_encoder(config, tiny_corpus):
    tiny = ROOT / "configs" / "test" / "tiny.cfg"
    paths = {"paths.train": str(tiny_corpus), "paths.dev": str(tiny_corpus)}
    with pytest.raises(ValueError, match="different encoders"):
        describe({"A": config, "B": tiny}, paths, corpus="Sample")
    assert describe({"B": tiny}, paths, corpus="Sample")["encoder"] is None


def test_layers_of_an_encoder(config):
    assert count_layers(load_config(config, interpolate=True), "A") == 1
    with pytest.raises(ValueError, match="config of B has no section"):
        count_layers(load_config(ROOT / "configs" / "test" / "tiny.cfg", interpolate=True), "B")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--system", "A"], "expected NAME=CONFIG"),
        (["--system", "a/b=x.cfg"], "the name of --system is 'a/b'"),
        (["--system", "=x.cfg"], "the name of --system is ''"),
        (["--system", "A=x.cfg", "--system", "A=y.cfg"], "names 'A' twice, for x.cfg and y.cfg"),
        (["--system", "A=x.cfg", "--name", "a/b"], "--name is 'a/b'"),
        (["--system", "A=x.cfg", "--gpu-id", "5"], "--gpu-id is 5, and torch finds 2 GPUs"),
        (["--system", "A=x.cfg", "--space", "{space}"], "space.json: the search space is [1]"),
        (["--system", "A=none.cfg"], "none.cfg"),
        (["--system", "A={config}", "--layers", "5"], "from 0 to 1"),
        (["--system", "A={config}", "--encoder", "thawed"], "both or frozen or updated"),
        (["--system", "A={config}", "--layers", "0", "--sampler", "grid"], "tpe or random"),
    ],
)
def test_options_that_cannot_be_used(
    run_experiments, config, tmp_path, monkeypatch, options, message
):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    space = tmp_path / "space.json"
    space.write_text("[1]")
    options = [option.format(config=config, space=space) for option in options]
    result = run_experiments("study", tmp_path / "study.db", *options)
    assert result.exit_code == 1
    assert message in " ".join(result.output.split())


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"training.droput": {"choices": [0.2]}}, "[training] has no setting 'droput'"),
        ({"trainin.dropout": {"choices": [0.2]}}, "trainin -> dropout"),
        ({"training.optimizer.learn_rate.rat": {"low": 0.1, "high": 0.2}}, "rat"),
        ({"size": {"choices": [{"training.dropout": 0.2}, {"training.batcher.siz": 8}]}}, "siz"),
        ({"components.relation_table.model.head.units": {"choices": [8]}}, "units"),
        ({"initialize.before_init.n_epoch": {"choices": [8]}}, "initialize"),
    ],
)
def test_a_search_begins_with_settings_that_exist_only(
    run_experiments, config, tmp_path, space, message
):
    (tmp_path / "space.json").write_text(json.dumps(space))
    options = ("--system", f"A={config}", "--space", tmp_path / "space.json", "--trials", 1)
    result = run_experiments("study", tmp_path / "study.db", *options)
    output = " ".join(result.output.split())
    assert result.exit_code == 1
    assert "A cannot be trained with" in output and message in output


def test_a_study_begins_with_settings_that_exist_only(run_experiments, config, tmp_path):
    options = ("--system", f"A={config}", "--layers", "0", "--seeds", 1, "--training.droput", 0.2)
    result = run_experiments("study", tmp_path / "study.db", *options)
    assert result.exit_code == 1
    assert "droput" in result.output


def test_a_report_needs_a_storage(run_experiments, tmp_path):
    result = run_experiments("report", tmp_path / "none.db", tmp_path / "out")
    assert result.exit_code == 1 and "no such file" in " ".join(result.output.split())


def test_a_study_a_search_and_a_report_from_the_command_line(run_experiments, config, tmp_path):
    """The search runs in a process of its own, as a user's does: its workers start from the main
    module of that process."""
    storage, output = tmp_path / "study.db", ("--output", tmp_path / "logs")
    options = ("--system", f"TabERT-CNN={config}", *output)
    result = run_experiments(
        "study", storage, "--layers", "0", "--encoder", "frozen", "--seeds", 1, *options
    )
    assert result.exit_code == 0, result.output
    assert "1 of 1 runs" in result.output

    (tmp_path / "space.json").write_text(json.dumps({"training.dropout": {"choices": [0.2]}}))
    search = ("--name", "tune", "--space", tmp_path / "space.json", "--trials", 1, *options)
    command = [
        sys.executable,
        "-m",
        "experiments",
        "study",
        storage,
        *search,
        "--training.max_steps",
        1,
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    printed = subprocess.run(
        map(str, command), capture_output=True, text=True, env=environment, check=True
    ).stdout
    assert "--training.dropout 0.2" in printed
    assert read_results(storage, "tune")[1][0].overrides == {"training.dropout": 0.2}

    result = run_experiments("report", storage, tmp_path / "report")
    assert result.exit_code == 0, result.output
    report = (tmp_path / "report" / "report.md").read_text(encoding="utf-8")
    assert "Study 'layers': CoNLL04, encoder" in report and "1 of 1 runs, 1 seed" in report
    assert "ours (1 seed)" in report

    results = ("--results", tmp_path / "report" / "layers.jsonl")
    result = run_experiments("report", storage, tmp_path / "twice", *results)
    assert result.exit_code == 1 and "2 studies are named 'layers'" in result.output
    earlier = (tmp_path / "report" / "layers.jsonl").rename(tmp_path / "report" / "earlier.jsonl")
    result = run_experiments("report", storage, tmp_path / "both", "--results", earlier)
    report = (tmp_path / "both" / "report.md").read_text(encoding="utf-8")
    assert "Study 'earlier'" in report and "Study 'layers'" in report
    results = ("--results", earlier)
    storage = tmp_path / "other.db"
    grid = ("--layers", "0", "--encoder", "frozen", "--seeds", 1, *options)
    result = run_experiments("study", storage, *grid, *results)
    assert "1 runs from" in result.output and "1 of 1 runs" in result.output, result.output
    result = run_experiments("study", storage, *grid, *results, "--training.dropout", "0.5")
    assert result.exit_code == 1 and "another system TabERT-CNN" in " ".join(result.output.split())

    # A refused file leaves nothing behind, so the name is free for runs of the command.
    storage = tmp_path / "new.db"
    grid = (*grid, "--training.dropout", "0.5")
    result = run_experiments("study", storage, *grid, *results)
    assert result.exit_code == 1 and "its runs come from another" in " ".join(result.output.split())
    result = run_experiments("study", storage, *grid)
    assert result.exit_code == 0 and "1 of 1 runs" in result.output, result.output
