"""A study's queue: nothing is computed twice, and what dies is computed again."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from experiments import study as study_module
from experiments.grid import Run, make_grid, make_search
from experiments.storage import get_run_trials, open_storage, open_study, read_results
from experiments.study import run_study

from .fakes import FakeTrain, make_counts, make_scores

ROOT = Path(__file__).parents[2]
SPACE = {"training.dropout": {"low": 0.0, "high": 0.5}}


class Died(BaseException):
    """The end of a worker that nobody has planned."""


@dataclass
class MortalTrain:
    """Dies in its first run, and keeps the settings of all runs.

    train (FakeTrain): Computes the other runs.
    seconds (float): The time until it dies.
    """

    train: FakeTrain
    seconds: float = 0.0
    settings: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, run, overrides):
        self.settings.append(overrides)
        if len(self.settings) == 1:
            time.sleep(self.seconds)
            raise Died
        return self.train(run, overrides)


def bury(study, runs):
    """Find the running trials dead, and queue their runs again."""
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
    study_module._enqueue(study, runs, get_run_trials(study))


def states(url):
    return {result.run.name: result.state for result in read_results(url, "layers")[1]}


def names(rows):
    return sorted(name for name, _ in rows)


def test_results_of_a_grid_with_two_workers(url, train, runs):
    train.company = 2
    lines = []
    settings = {"encoder": "minilm", "systems": {"A": "config"}}
    progress = run_study(
        url, "layers", runs, train, settings=settings, n_workers=2, report=lines.append
    )
    assert progress == (4, 4, 0, 0, None)
    found, results = read_results(url, "layers")
    assert found == settings
    assert [result.run for result in results] == runs
    for result in results:
        assert result.scores == make_scores(result.run)
        assert result.counts["ents"] == make_counts(result.scores["ents_f"])
        assert result.minutes >= 0
    assert names(train.read("begin")) == sorted(run.name for run in runs)
    assert len({pid for _, pid in train.read("begin")} - {os.getpid()}) == 2
    assert lines[0] == "0 of 4 runs, 0 running"
    assert lines[-1] == "4 of 4 runs, 0 running"


def test_a_finished_run_is_never_computed_again(train, runs, queue, compute):
    queue(runs)
    compute()
    queue(runs)
    queue(runs[:1])
    compute()
    assert names(train.read("begin")) == sorted(run.name for run in runs)


def test_a_grid_may_grow(train, runs, queue, compute):
    queue(runs)
    compute()
    queue(
        [
            *make_grid(["A", "B"], layers=[0, 1, 2], states=[True], seeds=[1]),
            Run("C", 2, frozen=False, layer=0),
        ]
    )
    compute()
    assert len(names(train.read("begin"))) == len(set(names(train.read("begin")))) == 4 + 2 + 1


def test_a_smaller_grid_withdraws_what_is_waiting(url, runs, queue):
    study = queue(runs)
    study_module._withdraw(open_storage(url), study, runs[:1])
    assert states(url) == {runs[0].name: "waiting"}
    queue(runs)
    assert set(states(url).values()) == {"waiting"} and len(states(url)) == 4


def test_a_run_that_fails_says_why_and_is_tried_again_by_the_next_command(
    url, train, runs, queue, compute
):
    train.failing = {runs[1].name}
    study = queue(runs)
    compute()
    study_module._enqueue(study, runs, get_run_trials(study))
    assert states(url)[runs[1].name] == "fail"
    failed = next(result for result in read_results(url, "layers")[1] if result.state == "fail")
    assert failed.error == "ValueError: no such encoder" and failed.scores == {}
    train.failing = set()
    queue(runs)
    compute()
    assert set(states(url).values()) == {"complete"}
    assert names(train.read("begin")).count(runs[1].name) == 2


def test_commands_that_start_together_compute_each_run_once(train, url, runs, queue, compute):
    study = queue(runs)
    for run in runs:
        study.enqueue_trial({}, user_attrs={"run": run.to_dict()})
    compute()
    assert names(train.read("begin")) == sorted(run.name for run in runs)
    assert set(states(url).values()) == {"complete"}


def test_a_search_computes_as_many_trials_as_asked_for(url, queue, compute):
    queue(make_search("A", n_trials=3))
    compute(space=SPACE, sampler="random")
    queue(make_search("A", n_trials=5))
    compute(space=SPACE)
    results = read_results(url, "layers")[1]
    assert [result.run.number for result in results] == [1, 2, 3, 4, 5]
    for result in results:
        assert 0 <= result.overrides["training.dropout"] <= 0.5
        assert result.scores["ents_f"] == result.overrides["training.dropout"]


def test_a_worker_leaves_the_runs_of_other_commands(url, train, runs, queue, compute):
    search = make_search("A", n_trials=1)
    queue([*search, *runs])
    compute(runs[:1])
    assert names(train.read("begin")) == [runs[0].name]
    assert states(url)[search[0].name] == states(url)[runs[1].name] == "waiting"


def test_runs_that_another_command_withdraws_are_queued_again_and_again(url, runs, queue):
    study, storage = queue(runs), open_storage(url, heartbeat=1)
    n_retries = Counter()
    for _ in range(study_module.MAX_RETRIES + 1):
        study_module._withdraw(storage, study, [])
        study_module._requeue(study, runs, n_retries, heartbeat=1)
    assert set(states(url).values()) == {"waiting"} and len(states(url)) == len(runs)


def test_a_search_run_whose_worker_died_keeps_its_settings(url, train, queue, compute):
    search = make_search("A", n_trials=1)
    study, mortal = queue(search), MortalTrain(train)
    with pytest.raises(Died):
        compute(train=mortal, space=SPACE)
    bury(study, search)
    study_module._withdraw(open_storage(url, heartbeat=1), study, [])
    bury(study, search)
    compute(train=mortal, space=SPACE)
    first, second = mortal.settings
    assert first and first == second


def test_a_search_run_that_failed_with_an_error_gets_other_settings(train, queue, compute):
    search = make_search("A", n_trials=1)
    train.failing = {search[0].name}
    queue(search)
    compute(space=SPACE)
    train.failing = set()
    study = queue(search)
    compute(space=SPACE)
    first, second = study.get_trials()
    assert first.params != second.params


def test_the_minutes_of_a_run_have_the_time_of_a_worker_that_died(url, train, runs, queue, compute):
    study, mortal = queue(runs[:1]), MortalTrain(train, seconds=1.5)
    with pytest.raises(Died):
        compute(train=mortal)
    bury(study, runs[:1])
    compute(train=mortal)
    (result,) = read_results(url, "layers")[1]
    assert result.state == "complete" and 60 * result.minutes > 0.9


def test_a_run_that_was_found_dead_too_early_keeps_its_result(url, train, runs, queue, compute):
    """A machine that slept: another worker gets the run while its first one still trains."""
    study = queue(runs[:2])

    def slow_train(run, overrides):
        if run == runs[0]:
            bury(study, runs[:1])
        return train(run, overrides)

    compute(train=slow_train)
    assert states(url) == {runs[0].name: "complete", runs[1].name: "complete"}
    assert names(train.read("end")) == sorted(run.name for run in runs[:2])
    found = [trial.state for trial in get_run_trials(study).values()]
    assert found == [TrialState.COMPLETE] * 2


def test_an_error_after_a_run_was_found_dead_does_not_end_the_worker(url, runs, queue, compute):
    study = queue(runs[:1])

    def failing_train(run, overrides):
        bury(study, [])
        raise ValueError("no such encoder")

    compute(train=failing_train)
    assert states(url) == {runs[0].name: "fail"}


def test_a_run_that_kills_its_worker_is_given_up_and_the_others_are_computed(
    url, train, runs, monkeypatch
):
    monkeypatch.setattr(study_module, "MAX_RETRIES", 1)
    train.deadly = {runs[0].name}
    lines = []
    progress = run_study(url, "layers", runs[:2], train, heartbeat=1, report=lines.append)
    assert progress[:4] == (2, 1, 0, 1)
    assert names(train.read("begin")).count(runs[0].name) == 2
    assert f"{runs[0].name} failed: its worker died" in lines


@pytest.mark.filterwarnings("ignore:Heartbeat of storage")
def test_a_worker_that_died_before_its_first_heartbeat_is_found(url, runs, queue):
    study = queue(runs[:1])
    study.ask()  # and nothing more
    study_module._fail_dead(study, 1000)
    assert states(url) == {runs[0].name: "running"}
    study_module._fail_dead(study, 0)
    assert states(url) == {runs[0].name: "fail"}
    study_module._enqueue(study, runs[:1], get_run_trials(study))
    assert states(url) == {runs[0].name: "waiting"}


def test_workers_that_cannot_even_start_end_the_study(url, runs, tmp_path, monkeypatch):
    monkeypatch.setattr(study_module, "MAX_RETRIES", 0)
    monkeypatch.setattr(
        study_module, "work", os.abort
    )  # takes no arguments, so that it raises an error instead
    with pytest.raises(RuntimeError, match="die before they have begun"):
        run_study(
            url, "layers", runs, FakeTrain(tmp_path / "journal.txt"), report=lambda line: None
        )


SCRIPT = """
import sys
from pathlib import Path
from experiments.grid import make_grid
from experiments.study import run_study
from tests.experiments.fakes import FakeTrain

if __name__ == "__main__":
    runs = make_grid(["A", "B"], layers=[0, 1, 2], states=[True], seeds=[1])
    train = FakeTrain(Path(sys.argv[2]), seconds=float(sys.argv[3]))
    run_study(sys.argv[1], "layers", runs, train, n_workers=2, heartbeat=3)
"""


@pytest.fixture
def start(url, train, tmp_path):
    """Start a study of runs that take some seconds each, in a process group of its own."""
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    processes = []

    def run(seconds):
        command = [sys.executable, tmp_path / "script.py", url, train.journal, str(seconds)]
        process = subprocess.Popen(
            command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, process_group=0
        )
        processes.append(process)
        return process

    yield run
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()
        process.wait()


def wait_for(train, event, number):
    limit = time.monotonic() + 300
    while len(train.read(event)) < number:
        assert time.monotonic() < limit
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_workers_of_a_command_that_is_ended_end_in_the_midst_of_their_runs(
    start, train, number
):
    process = start(seconds=3600)
    wait_for(train, "begin", 2)
    process.send_signal(number)
    # The output of the command ends with the last process that could write to it.
    process.communicate(timeout=60)


def test_killing_everything_or_a_worker_at_any_moment_loses_only_what_is_running(url, start, train):
    finished = set()
    # The whole command right after a run has ended, about when it is saved; then a worker in the
    # midst of another.
    for delay, n_ends in ((0.0, 1), (0.5, 2)):
        process = start(seconds=1)
        wait_for(train, "end", n_ends)
        time.sleep(delay)
        if delay:
            os.kill(train.read("begin")[-1][1], signal.SIGKILL)
            assert process.wait(timeout=300) == 0
        else:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            n_begun = len(train.read("begin"))
            finished = {name for name, state in states(url).items() if state == "complete"}
    assert set(states(url).values()) == {"complete"} and len(states(url)) == 6
    assert not finished & set(names(train.read("begin")[n_begun:]))
    # Each kill loses at most what the two workers had begun.
    assert 6 <= len(train.read("begin")) <= 6 + 2 + 1


def test_a_queue_of_version_0_1_0_is_worked_off(url, train, runs, compute):
    study = open_study(open_storage(url, heartbeat=1), "layers", settings={})
    study.enqueue_trial({}, user_attrs={"cell": runs[0].to_dict()})
    compute()
    assert states(url) == {runs[0].name: "complete"}
