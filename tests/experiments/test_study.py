"""A study's queue: nothing is computed twice, and what dies is computed again."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from experiments import study as study_module
from experiments.grid import Run, make_grid, make_search
from experiments.progress import format_minutes, measure_progress
from experiments.results import Study, save_results
from experiments.storage import (
    add_results,
    get_run_trials,
    list_studies,
    open_storage,
    open_study,
    read_results,
)
from experiments.study import run_study, work

from .fakes import FakeTrain, make_counts, make_scores

ROOT = Path(__file__).parents[2]


@pytest.fixture
def url(tmp_path):
    return tmp_path / "folder" / "study.db"


@pytest.fixture
def train(tmp_path):
    return FakeTrain(tmp_path / "journal.txt")


@pytest.fixture
def runs():
    return make_grid(["A", "B"], layers=[0, 1], states=[True], seeds=[1])


@pytest.fixture
def queue(url):
    """Queue runs, as `run_study` does it, and return the study."""

    def fill(runs):
        study = open_study(open_storage(url, heartbeat=1), "layers", settings={})
        study_module._enqueue(study, runs, get_run_trials(study), with_errors=True)
        return study

    return fill


@pytest.fixture
def compute(url, train):
    """Compute what is waiting within this process."""
    return lambda: work(url, "layers", train, {}, "tpe", 1)


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


def test_one_trial_is_not_handed_out_twice(url, queue):
    queue(make_grid(["A"], layers=range(30), states=[True], seeds=[1]))
    code = (
        "import sys, warnings\nwarnings.simplefilter('ignore')\n"
        "from experiments.storage import open_storage, open_study\n"
        "study = open_study(open_storage(sys.argv[1]), 'layers')\n"
        "print([study.ask().number for _ in range(15)])"
    )
    command = [sys.executable, "-c", code, url]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True) for _ in range(2)
    ]
    claimed = [number for process in processes for number in eval(process.communicate()[0])]
    assert sorted(claimed) == list(range(30))


def test_a_study_refuses_other_settings_but_takes_another_system(url):
    storage = open_storage(url)
    open_study(storage, "layers", settings={"encoder": "minilm", "systems": {"A": "one"}})
    study = open_study(storage, "layers", settings={"encoder": "minilm", "systems": {"B": "two"}})
    assert study.user_attrs["settings"]["systems"] == {"A": "one", "B": "two"}
    with pytest.raises(ValueError, match="another encoder and system A"):
        open_study(storage, "layers", settings={"encoder": "bert", "systems": {"A": "three"}})


def test_a_search_computes_as_many_trials_as_asked_for(url, train, queue):
    queue(make_search("A", n_trials=3))
    space = {"training.dropout": {"low": 0.0, "high": 0.5}}
    work(url, "layers", train, space, "random", 1)
    queue(make_search("A", n_trials=5))
    work(url, "layers", train, space, "tpe", 1)
    results = read_results(url, "layers")[1]
    assert [result.run.number for result in results] == [1, 2, 3, 4, 5]
    for result in results:
        assert 0 <= result.overrides["training.dropout"] <= 0.5
        assert result.scores["ents_f"] == result.overrides["training.dropout"]


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
    train = FakeTrain(Path(sys.argv[2]), seconds=1)
    run_study(sys.argv[1], "layers", runs, train, n_workers=2, heartbeat=3)
"""


def test_killing_everything_or_a_worker_at_any_moment_loses_only_what_is_running(
    url, train, tmp_path
):
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}

    def start():
        command = [sys.executable, tmp_path / "script.py", url, train.journal]
        return subprocess.Popen(
            command, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL, process_group=0
        )

    def wait_for(n_ends):
        limit = time.monotonic() + 300
        while len(train.read("end")) < n_ends:
            assert time.monotonic() < limit
            time.sleep(0.05)

    finished = set()
    # The whole command right after a run has ended, about when it is saved; then a worker in the
    # midst of another.
    for delay, n_ends in ((0.0, 1), (0.5, 2)):
        process = start()
        wait_for(n_ends)
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


def test_no_progress_without_runs_has_no_estimate(url, runs, queue):
    study = queue(runs)
    assert measure_progress(get_run_trials(study), runs, 2) == (4, 0, 0, 0, None)


def test_the_time_left_is_that_of_similar_runs(url, train, queue, compute):
    study = queue([Run("A", 1, frozen=True, layer=0), Run("A", 1, frozen=False, layer=0)])
    compute()
    trials = get_run_trials(study)
    for trial, minutes in zip(trials.values(), (10, 60), strict=True):
        trial.user_attrs["minutes"] = minutes
    left = [
        Run("A", 2, frozen=True, layer=0),
        Run("A", 1, frozen=False, layer=1),
        Run("B", 1, frozen=False, layer=0),
    ]
    assert measure_progress(trials, [*trials, *left], 1).minutes_left == 10 + 60 + 60
    assert measure_progress(trials, [*trials, *left], 2).minutes_left == 65
    assert (
        str(measure_progress(trials, [*trials, *left], 1))
        == "2 of 5 runs, 0 running, about 2.2 h left"
    )


def test_durations():
    assert (
        format_minutes(0.4) == "0 min"
        and format_minutes(119) == "119 min"
        and format_minutes(150) == "2.5 h"
    )


def test_studies_of_a_storage(url, queue, runs, tmp_path):
    queue(runs)
    assert list_studies(url) == ["layers"]
    with pytest.raises(FileNotFoundError, match=r"none\.db: no such file"):
        list_studies(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()


@pytest.fixture
def saved(url, queue, runs, compute, tmp_path):
    """The results of a study that is not finished, and the runs that are."""
    queue(runs[:3])
    compute()
    queue(runs)
    path = tmp_path / "layers.jsonl"
    save_results(Study("layers", *read_results(url, "layers")), path)
    return path, runs[:3]


def test_saved_results_are_not_computed_again(saved, runs, train, tmp_path):
    path, finished = saved
    url = tmp_path / "other.db"
    study = open_study(open_storage(url), "layers", settings={})
    assert add_results(url, "layers", path) == 3
    assert add_results(url, "layers", path) == 0
    assert get_run_trials(study).keys() == set(finished)
    train.journal.unlink()
    progress = run_study(url, "layers", runs, train, report=lambda line: None)
    assert (progress.n_complete, len(train.read("begin"))) == (4, 1)
    results = {result.run: result for result in read_results(url, "layers")[1]}
    before = {
        result.run: result
        for result in read_results(saved[0].parent / "folder" / "study.db", "layers")[1]
    }
    assert [results[run] for run in finished] == [before[run] for run in finished]


def test_saved_results_of_version_0_1_0_can_be_read(saved, tmp_path):
    path, finished = saved
    path.write_text(path.read_text().replace('"run":', '"cell":'))
    assert add_results(tmp_path / "other.db", "layers", path) == len(finished)


def test_a_queue_of_version_0_1_0_is_worked_off(url, train, runs, compute):
    study = open_study(open_storage(url, heartbeat=1), "layers", settings={})
    study.enqueue_trial({}, user_attrs={"cell": runs[0].to_dict()})
    compute()
    assert states(url) == {runs[0].name: "complete"}


def test_saved_results_of_other_settings_are_refused(saved, tmp_path):
    url = tmp_path / "other.db"
    lines = saved[0].read_text().splitlines()
    saved[0].write_text(
        "\n".join(['{"study": "layers", "settings": {"encoder": "other"}}', *lines[1:]])
    )
    open_study(open_storage(url), "layers", settings={"encoder": "minilm"})
    with pytest.raises(ValueError, match="another encoder"):
        add_results(url, "layers", saved[0])


@pytest.mark.parametrize(
    "text", ["", "{}", "no JSON", '{"settings": {}}\n{"run": {"system": "A"}}', "[]"]
)
def test_files_that_are_no_results(text, tmp_path):
    path = tmp_path / "layers.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"layers\.jsonl: not the results of a study"):
        add_results(tmp_path / "study.db", "layers", path)
    assert not (tmp_path / "study.db").exists()
