"""Storages that a full disk or a wrong copy has damaged."""

import subprocess
import sys

import pytest

from experiments.storage import list_studies, open_storage


@pytest.fixture
def storage(url, queue, runs):
    """The path of a storage with a queue of runs."""
    queue(runs)
    return url


def test_a_complete_storage_is_opened(storage):
    assert list_studies(storage) == ["layers"]


@pytest.mark.parametrize("size", [1, 15, 100, 4096, 5000, -4096, -1])
def test_a_truncated_storage_is_refused(storage, size):
    data = storage.read_bytes()[:size]
    storage.write_bytes(data)
    with pytest.raises(ValueError, match=r"study\.db: this storage is damaged .*--results"):
        open_storage(storage)
    assert storage.read_bytes() == data


def test_a_storage_with_bytes_of_other_files_is_refused(storage):
    data = bytearray(storage.read_bytes())
    data[4096:9000] = b"\xff" * (9000 - 4096)
    storage.write_bytes(data)
    with pytest.raises(ValueError, match=r"study\.db: this storage is damaged"):
        open_storage(storage)


KILLED = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 1")
connection.execute("BEGIN IMMEDIATE")
connection.execute("CREATE TABLE half AS SELECT zeroblob(1000000)")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_storage_whose_command_was_killed_while_it_wrote_is_restored(storage):
    subprocess.run([sys.executable, "-c", KILLED, storage])
    assert storage.with_name("study.db-journal").exists()
    assert list_studies(storage) == ["layers"]
    assert not storage.with_name("study.db-journal").exists()


def test_another_file_is_no_storage(tmp_path):
    (tmp_path / "study.db").write_text("a text")
    with pytest.raises(ValueError, match="it is no SQLite database"):
        open_storage(tmp_path / "study.db")


def test_an_empty_file_becomes_a_storage(tmp_path):
    (tmp_path / "study.db").touch()
    assert list_studies(tmp_path / "study.db") == []


@pytest.mark.parametrize("command", [("study", "--system", "A={config}"), ("report", "out")])
def test_commands_end_with_a_message(run_experiments, storage, tiny_config, command):
    storage.write_bytes(storage.read_bytes()[:5000])
    name, *rest = (part.format(config=tiny_config) for part in command)
    if name == "study":
        space = storage.with_name("space.json")
        space.write_text('{"training.dropout": {"choices": [0.1]}}')
        rest += ["--space", space]
    result = run_experiments(name, storage, *rest)
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    assert "this storage is damaged" in " ".join(result.output.split())


def test_a_database_that_cannot_be_reached_ends_with_a_message(run_experiments, tmp_path):
    result = run_experiments("report", "sqlite:////none/of/this/study.db", tmp_path / "out")
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    assert "the storage cannot be used (unable to open" in " ".join(result.output.split())
