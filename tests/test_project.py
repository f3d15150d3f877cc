"""The workflows of project.yml, without running their commands."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import srsly
from typer.testing import CliRunner

from experiments.__main__ import app as experiments_app

ROOT = Path(__file__).parents[1]
PROJECT = srsly.read_yaml(ROOT / "project.yml")
DATA_SETS = {"ade", "ace05", "conll04", "scierc"}


@pytest.fixture
def project(tmp_path):
    """A folder that holds project.yml and nothing else."""
    shutil.copy(ROOT / "project.yml", tmp_path)
    return tmp_path


def dry_run(run_spacy, project, workflow, *options):
    result = run_spacy("project", "run", workflow, project, "--dry", *options)
    assert result.exit_code == 0, result.output
    return [line for line in result.output.splitlines() if line.startswith("Running command")]


def test_there_is_a_workflow_for_each_corpus():
    assert {"all", *DATA_SETS} <= set(PROJECT["workflows"])


@pytest.mark.parametrize("workflow", PROJECT["workflows"])
def test_workflows_can_be_run(run_spacy, project, workflow):
    scripts = {command["name"]: command["script"] for command in PROJECT["commands"]}
    lines = dry_run(run_spacy, project, workflow)
    assert len(lines) == sum(len(scripts[step]) for step in PROJECT["workflows"][workflow])
    assert not [line for line in lines if "${" in line]


def test_what_a_command_reads_is_there_or_made_before():
    assets = {asset["dest"] for asset in PROJECT["assets"]}
    commands = {command["name"]: command for command in PROJECT["commands"]}

    def fill(path):
        return re.sub(r"\$\{vars\.(\w+)\}", lambda match: str(PROJECT["vars"][match[1]]), path)

    for steps in PROJECT["workflows"].values():
        made = set(assets)
        for step in steps:
            for dep in map(fill, commands[step].get("deps", [])):
                assert dep in made or (ROOT / dep).exists(), (step, dep)
            made.update(map(fill, commands[step].get("outputs", [])))


@pytest.mark.parametrize(
    "name", [command["name"] for command in PROJECT["commands"] if command["name"] != "docs"]
)
def test_the_options_of_the_commands_exist(run_spacy, project, name):
    for line in dry_run(run_spacy, project, name):
        words = line.split()
        module, *arguments = words[words.index("-m") + 1 :]
        usage = read_usage(run_spacy, module, arguments)
        # Settings of a config have a dot in their names.
        for option in (word for word in arguments if word.startswith("--") and "." not in word):
            assert option in usage, (name, option)


def read_usage(run_spacy, module, arguments):
    """The help of a command of `python -m spacy`, `python -m experiments` or `python -m pip`."""
    if module == "pip":
        command = [sys.executable, "-m", "pip", arguments[0], "--help"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if module == "experiments":
        return CliRunner().invoke(experiments_app, [arguments[0], "--help"]).output
    command = arguments[:2] if arguments[0] == "tabcnn" else arguments[:1]
    return run_spacy(*command, "--help").output


def test_the_documentation_is_built_without_a_warning(run_spacy, project):
    [line] = dry_run(run_spacy, project, "docs")
    assert line.endswith("-m mkdocs build --strict")


def test_the_number_of_folds_is_a_variable(run_spacy, project):
    assert "--n-folds 10 " in dry_run(run_spacy, project, "ade")[-1]
    assert "--n-folds 2 " in dry_run(run_spacy, project, "ade", "--vars.n_folds", "2")[-1]


def test_a_corpus_that_the_user_must_bring_is_named(run_spacy, project):
    result = run_spacy("project", "run", "convert-ace05", project)
    assert result.exit_code == 1
    assert "assets/ace05/train.json" in result.output


def test_the_ten_folds_of_ade_hold_each_sentence_once():
    folds = json.loads((ROOT / "assets" / "ade" / "ade_folds.json").read_text(encoding="utf-8"))
    assert [len(fold) for fold in folds] == [427] * 9 + [429]
    assert len({orig_id for fold in folds for orig_id in fold}) == 4272
