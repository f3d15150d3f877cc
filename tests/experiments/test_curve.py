"""Learning curves, on a tiny corpus."""

import json

import pytest

from experiments.curve import LearningCurve, parse_shares
from experiments.grid import Run
from experiments.selection import STEPS_FILE, draw_order, read_steps

pytest.importorskip("optuna")


@pytest.fixture(scope="module")
def overrides(tiny_corpus):
    paths = {"paths.train": str(tiny_corpus), "paths.dev": str(tiny_corpus)}
    return {**paths, "training.max_steps": 2, "training.eval_frequency": 1}


def test_each_share_has_the_documents_of_the_smaller_ones(tiny_config, overrides, tmp_path):
    configs = {"A": tiny_config, "B": tiny_config}
    train = LearningCurve(configs, [0.1, 0.24, 1.0], overrides, tmp_path)
    scores = [train(Run(system, 3), {}).scores for system in configs]
    assert {"ents_f@1", "ents_f@2", "ents_f@10"} <= scores[0].keys()
    assert scores[0] == scores[1]
    for system in configs:
        (path,) = (tmp_path / system).glob(f"*/{STEPS_FILE}")
        positions = [step["positions"] for step in read_steps(path)]
        assert positions == [draw_order(10, 3)[:n] for n in (1, 2, 10)]


@pytest.mark.parametrize("text", ["", "0,1", "0.5,1.5", "half"])
def test_shares_are_above_0_and_at_most_1(text):
    with pytest.raises(ValueError, match=r"--shares is .*; expected numbers above 0"):
        parse_shares(text)


def test_shares_are_sorted():
    assert parse_shares("1, 0.25,0.1,1") == [0.1, 0.25, 1.0]


def test_the_command_draws_the_curves(run_experiments, tiny_config, overrides, tmp_path):
    pytest.importorskip("matplotlib")
    settings = []
    for name, value in overrides.items():
        settings += [f"--{name}", value]
    result = run_experiments(
        "curve",
        tmp_path / "curve.db",
        tmp_path / "out",
        *("--system", f"A={tiny_config}", "--system", f"B={tiny_config}"),
        *("--shares", "0.5,1", "--seeds", 1, "--work", tmp_path / "work"),
        *settings,
    )
    assert result.exit_code == 0, result.output
    curves = json.loads((tmp_path / "out" / "curve.json").read_text())
    assert curves["A"]["documents"] == curves["B"]["documents"] == [5, 10]
    assert (tmp_path / "out" / "curve.png").exists()


def test_an_unknown_share_is_a_message(run_experiments, tiny_config, tmp_path):
    result = run_experiments(
        "curve",
        tmp_path / "c.db",
        tmp_path / "out",
        "--system",
        f"A={tiny_config}",
        "--shares",
        "2",
    )
    assert result.exit_code == 1 and "expected numbers above 0" in " ".join(result.output.split())
