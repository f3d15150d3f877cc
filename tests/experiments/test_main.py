"""`python -m experiments`."""

import subprocess
import sys

import pytest

import experiments


def test_the_commands_are_listed(run_experiments):
    result = run_experiments("--help")
    assert result.exit_code == 0, result.output
    output = " ".join(result.output.split())
    assert "study Train systems" in output and "report Write the paper's tables" in output
    assert 'pip install "spacy-tabcnn[study,report]"' in output


@pytest.mark.parametrize(("command", "extra"), [("study", "[study]"), ("report", "[study,report]")])
def test_without_optuna_a_message_names_the_extra(
    run_experiments, tmp_path, monkeypatch, command, extra
):
    for name in ("storage", "study", "progress"):
        monkeypatch.delitem(sys.modules, f"experiments.{name}", raising=False)
        monkeypatch.delattr(experiments, name, raising=False)
    monkeypatch.setitem(sys.modules, "optuna", None)
    arguments = {"study": ("--system", "A=a.cfg"), "report": (tmp_path / "out",)}[command]
    result = run_experiments(command, tmp_path / "study.db", *arguments)
    assert result.exit_code == 1
    assert f"spacy-tabcnn{extra}" in " ".join(result.output.split())


def test_the_package_does_not_import_the_experiments():
    code = (
        "import sys, spacy_tabcnn.cli\n"
        "print([name for name in ('experiments', 'matplotlib') if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
