"""Kills of studies: no finished run is lost, and the others come to the same scores.

`pytest tests/faults/test_study.py --kills 10` kills a study with its worker process, too, which
takes minutes.
"""

import shutil
import sys
from pathlib import Path

import pytest

from experiments.grid import Run
from experiments.training import UNFINISHED, SpacyTrain

from ..tiny_models import write_tiny_config
from .kills import call_and_kill, draw_moments, needs_kills, run

ROOT = Path(__file__).parents[2]

pytestmark = needs_kills


@pytest.fixture(scope="module")
def config(tiny_encoder, tiny_corpus, tmp_path_factory):
    """The paper's config with a narrow head, that trains for a few steps."""
    path = tmp_path_factory.mktemp("config") / "tiny.cfg"
    return write_tiny_config(path, tiny_encoder, tiny_corpus, max_steps=6, eval_frequency=2)


@pytest.fixture(scope="module")
def train(config, tmp_path_factory):
    return SpacyTrain({"A": config}, output=tmp_path_factory.mktemp("study"))


def test_a_run_whose_worker_was_killed_goes_on(train, n_kills):
    one_run = Run("A", 1, frozen=True, layer=1)
    whole = train(one_run, {})
    folder = train.output / f"{one_run.name}{UNFINISHED}"
    for seconds in draw_moments("study", n_kills, 0.5):
        ready = (folder / "checkpoint" / "training.json").is_file
        assert call_and_kill(train, one_run, {}, kill_after=seconds, ready=ready)
        assert folder.is_dir()
        assert train(one_run, {}) == whole
        log = (train.output / f"{one_run.name}.log").read_text()
        # A kill can also come between the end of the training and the reading of its scores.
        assert "Going on after step" in log or "is complete" in log
        assert not folder.exists()


def test_leftovers_of_other_settings_are_not_used(train):
    one_run = Run("A", 1, frozen=True, layer=1)
    folder = train.output / f"{one_run.name}{UNFINISHED}"
    ready = (folder / "checkpoint" / "training.json").is_file
    call_and_kill(train, one_run, {}, kill_after=0.0, ready=ready)
    train(one_run, {"training.dropout": 0.7})
    log = (train.output / f"{one_run.name}.log").read_text()
    assert "training.dropout was" in log and "Going on" not in log


def read_scores(url):
    """The scores of the finished runs of the study, by name."""
    from experiments.storage import list_studies, read_results

    if not url.exists() or not list_studies(url):
        return {}
    results = read_results(url, "kills")[1]
    return {result.run.name: (result.scores, result.minutes) for result in results if result.scores}


def test_kills_of_a_study(config, n_kills, tmp_path):
    if n_kills < 10:
        pytest.skip("takes minutes: --kills 10")

    def make_command(folder):
        arguments = (folder / "study.db", config, folder / "logs")
        return [sys.executable, "-m", "tests.faults.study", *map(str, arguments)]

    environment = {"PYTHONPATH": str(ROOT)}
    options = {"environment": environment, "folder": ROOT}
    outcome = run(make_command(tmp_path / "whole"), **options)
    assert outcome.returncode == 0, outcome.output
    whole = read_scores(tmp_path / "whole" / "study.db")
    assert len(whole) == 4
    n_killed = 0
    for number, moment in enumerate(draw_moments("study", n_kills, outcome.seconds)):
        folder = tmp_path / str(number)
        n_killed += run(make_command(folder), kill_after=moment, **options).killed
        finished = read_scores(folder / "study.db")
        outcome = run(make_command(folder), **options)
        assert outcome.returncode == 0, outcome.output
        scores = read_scores(folder / "study.db")
        assert {name: found[0] for name, found in scores.items()} == {
            name: found[0] for name, found in whole.items()
        }
        # A finished run keeps its time, so it was not computed again.
        assert finished.items() <= scores.items()
        shutil.rmtree(folder)
    print(f"{n_killed} kills")
    assert n_killed
