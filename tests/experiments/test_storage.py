"""The storage of studies, and files of results."""

import functools
import json
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from experiments.grid import Run, make_grid
from experiments.results import Study, read_saved_study, save_results
from experiments.storage import (
    add_results,
    describe_error,
    get_run_trials,
    hide_password,
    list_studies,
    open_storage,
    open_study,
    read_results,
)
from experiments.study import run_study

ROOT = Path(__file__).parents[2]


def test_studies_of_a_storage(url, queue, runs, tmp_path):
    queue(runs)
    assert list_studies(url) == ["layers"]
    with pytest.raises(FileNotFoundError, match=r"none\.db: no such file"):
        list_studies(tmp_path / "none.db")
    assert not (tmp_path / "none.db").exists()


def complete_run(study, system):
    attributes = {"run": Run(system, 1).to_dict()}
    study.add_trial(optuna.trial.create_trial(value=1.0, user_attrs=attributes))


def test_a_study_refuses_other_settings_but_takes_another_system(url):
    storage = open_storage(url)
    study = open_study(storage, "layers", settings={"encoder": "minilm", "systems": {"A": "one"}})
    complete_run(study, "A")
    study = open_study(storage, "layers", settings={"encoder": "minilm", "systems": {"B": "two"}})
    assert study.user_attrs["settings"]["systems"] == {"A": "one", "B": "two"}
    with pytest.raises(ValueError, match="another encoder and system A"):
        open_study(storage, "layers", settings={"encoder": "bert", "systems": {"A": "three"}})


def test_settings_without_a_run_may_change(url):
    """Such as a config that no training could begin with."""
    storage = open_storage(url)
    study = open_study(storage, "layers", settings={"systems": {"A": "wrong", "B": "wrong"}})
    complete_run(study, "B")
    study = open_study(storage, "layers", settings={"systems": {"A": "right"}})
    assert study.user_attrs["settings"]["systems"] == {"A": "right", "B": "wrong"}
    with pytest.raises(ValueError, match="another system B"):
        open_study(storage, "layers", settings={"systems": {"B": "right"}})


def test_a_search_refuses_another_space(url):
    storage = open_storage(url)
    space = {"training.dropout": {"choices": [0.1]}}
    study = open_study(storage, "tune", settings={"space": space})
    complete_run(study, "A")
    open_study(storage, "tune", settings={"space": {**space}})
    with pytest.raises(ValueError, match="another search space"):
        open_study(storage, "tune", settings={"space": {"training.dropout": {"choices": [0.2]}}})


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
    assert add_results(url, "layers", path, settings={}) == 3
    assert add_results(url, "layers", path, settings={}) == 0
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
    assert add_results(tmp_path / "other.db", "layers", path, settings={}) == len(finished)


def test_saved_results_of_other_settings_are_refused(saved, tmp_path):
    url = tmp_path / "other.db"
    lines = saved[0].read_text().splitlines()
    saved[0].write_text(
        "\n".join(['{"study": "layers", "settings": {"encoder": "other"}}', *lines[1:]])
    )
    with pytest.raises(ValueError, match=r"layers\.jsonl: its runs come from another encoder"):
        add_results(url, "layers", saved[0], settings={"encoder": "minilm"})
    assert not url.exists()
    study = open_study(open_storage(url), "layers", settings={"encoder": "minilm"})
    complete_run(study, "B")
    with pytest.raises(ValueError, match="another encoder"):
        add_results(url, "layers", saved[0], settings={})


def change(row, path, value):
    """Return a line of JSON with another value at a dotted path."""
    changed = json.loads(row)
    *keys, last = path.split(".")
    functools.reduce(dict.__getitem__, keys, changed)[last] = value
    return json.dumps(changed)


@pytest.mark.parametrize("path", ["settings", "settings.systems", "settings.corpus"])
def test_saved_results_with_settings_of_another_form_are_refused(saved, path):
    file_, _ = saved
    header, *rows = file_.read_text().splitlines()
    file_.write_text("\n".join([change(header, path, "text"), *rows]))
    with pytest.raises(ValueError, match=r"layers\.jsonl: .*'text' instead of dict"):
        read_saved_study(file_)


@pytest.mark.parametrize(
    "path,value",
    [
        ("run.seed", "1"),
        ("overrides", None),
        ("minutes", "long"),
        ("scores", {}),
        ("scores.ents_f", None),
        ("counts", {}),
        ("counts.ents", [[1, 2]]),
    ],
)
def test_saved_results_with_runs_of_another_form_are_refused(saved, path, value, tmp_path):
    file_, _ = saved
    header, row, *rows = file_.read_text().splitlines()
    file_.write_text("\n".join([header, change(row, path, value), *rows]))
    url = tmp_path / "other.db"
    with pytest.raises(ValueError, match=r"layers\.jsonl: not the results of a study"):
        add_results(url, "layers", file_, settings={})
    assert not url.exists()


@pytest.mark.parametrize(
    "text", ["", "{}", "no JSON", '{"settings": {}}\n{"run": {"system": "A"}}', "[]"]
)
def test_files_that_are_no_results(text, tmp_path):
    path = tmp_path / "layers.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"layers\.jsonl: not the results of a study"):
        add_results(tmp_path / "study.db", "layers", path, settings={})
    assert not (tmp_path / "study.db").exists()


@pytest.mark.parametrize(
    "storage, shown",
    [
        ("postgresql://ada:secret@host:5432/db", "postgresql://ada:***@host:5432/db"),
        ("postgresql://ada:se@cret/@host/db", "postgresql://ada:***@host/db"),
        ("mysql://host/db?password=secret&x=1", "mysql://host/db?password=***&x=1"),
        ("postgresql://ada@host:5432/db", "postgresql://ada@host:5432/db"),
        ("training/study.db", "training/study.db"),
    ],
)
def test_messages_do_not_have_the_password_of_a_database(storage, shown):
    assert hide_password(storage) == shown
    assert describe_error(storage, ValueError("no")).startswith(f"{shown}: ")


@pytest.mark.parametrize(
    "url", ["nothing://ada:secret@host/db", "mysql+nothing://ada:secret@host/db"]
)
@pytest.mark.parametrize("command", [("study", "--system", "A=none.cfg"), ("report", "out")])
def test_a_database_without_a_driver_ends_with_a_message(run_experiments, command, url):
    result = run_experiments(command[0], url, *command[1:])
    output = " ".join(result.output.split())
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    assert "the database cannot be opened" in output and "Install its driver" in output
    assert "secret" not in output and "matplotlib" not in output
