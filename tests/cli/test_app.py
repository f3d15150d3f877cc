import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from spacy import registry

from spacy_tabcnn.cli import tabcnn_cli


def test_the_entry_point_leads_to_the_commands():
    assert registry.cli.get("tabcnn") is tabcnn_cli


def test_help_lists_the_commands(run_spacy):
    result = run_spacy("tabcnn", "--help")
    assert result.exit_code == 0
    assert "convert" in result.output and "encoder" in result.output


def test_importing_the_commands_loads_no_transformers():
    code = (
        "import sys, spacy_tabcnn.cli\n"
        "print([name for name in sys.modules if name.split('.')[0] in "
        "('transformers', 'spacy_transformers', 'sentence_transformers')])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("is_there", [True, False])
def test_an_output_that_cannot_be_written_is_one_line(tiny_run, is_there, unbuffered):
    model = tiny_run / ("model-last" if is_there else "none")
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "spacy", "tabcnn", "show", model, "Ann lives in Rome."],
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert result.returncode == 1
    assert result.stderr == "The standard output cannot be written: No space left on device\n"


def test_other_errors_of_files_stay_as_they_are(run_spacy, tiny_run, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "out.html")

    monkeypatch.setattr("spacy_tabcnn.cli.show._print_annotation", fail)
    result = run_spacy("tabcnn", "show", tiny_run / "model-last", "Ann lives in Rome.")
    assert result.exception.filename == "out.html"
