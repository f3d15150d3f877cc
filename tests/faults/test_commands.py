"""Faults of the commands that write: kills, a full disk, folders without rights.

`pytest tests/faults/test_commands.py --kills 20` kills more often.
"""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import spacy
from spacy.tokens import Span

from spacy_tabcnn.corpora.docbin import read_docbin, write_docbin
from spacy_tabcnn.files import is_temporary

from .kills import call_and_kill, draw_moments, kill_at_steps, needs_kills
from .limits import call_limited, make_open_folder, needs_limits

LONG = "Ann " * 40


class Command(NamedTuple):
    """A command that writes.

    arguments (str): Its arguments. The working folder has the files of `inputs`.
    outputs (str): The files or folders that it writes.
    """

    arguments: str
    outputs: str


COMMANDS = {
    "spacy": Command("convert in.jsonl out/all.spacy", "out/all.spacy"),
    "json": Command("convert all.spacy out/all.json --format spert", "out/all.json"),
    "jsonl": Command("convert all.spacy out/all.jsonl", "out/all.jsonl"),
    "brat": Command("convert all.spacy out/brat --format brat", "out/brat"),
    "pair": Command("convert one.spacy out/one.ann", "out/one.ann out/one.txt"),
    "folds": Command("convert in.jsonl out --folds 2", "out/0 out/1"),
    "tokenizer": Command(
        "convert in.jsonl out/all.spacy --align split --tokenizer out/tokenizer",
        "out/all.spacy out/tokenizer",
    ),
    "split": Command("split all.spacy out --dev 0.4", "out/train.spacy out/dev.spacy"),
    "graph": Command("graph annotated.jsonl out/graph.csv", "out/graph.csv"),
    "graphml": Command("graph annotated.jsonl out/graph.graphml", "out/graph.graphml"),
    "config": Command("init-config conll04 out/new.cfg --force", "out/new.cfg"),
    "figures": Command("debug-data all.spacy --output out/figures.json", "out/figures.json"),
    "scores": Command("evaluate model all.spacy --output out/scores.json", "out/scores.json"),
    "show": Command("show model Ann --page out/arcs.html", "out/arcs.html"),
    "errors": Command("errors model all.spacy out/errors.html", "out/errors.html"),
    "calibration": Command(
        "calibration model all.spacy out/all.json", "out/all.json out/all.png out/all.svg"
    ),
    "select": Command("select model all.spacy out/next.json --to spert", "out/next.json"),
    "agreement": Command(
        "agreement all.spacy all.spacy -p out/page.html -o out/all.json",
        "out/page.html out/all.json",
    ),
    "card": Command("model-card model --name new", "model/meta.json model/README.md"),
}
# The commands whose runs take no time.
FAST = ["spacy", "json", "jsonl", "brat", "pair", "folds", "tokenizer", "split", "graph", "config"]


def make_doc(nlp, number):
    doc = nlp.make_doc(f"Ann lives in Rome. {number} {LONG}")
    doc.ents = [Span(doc, 0, 1, label="PER"), Span(doc, 3, 4, label="LOC")]
    doc._.relations = [(doc.ents[0], doc.ents[1], "LiveIn")]
    doc.user_data["orig_id"] = number
    return doc


@pytest.fixture
def folder(tmp_path_factory, tiny_run, monkeypatch):
    """The working folder, with inputs."""
    for folder in make_open_folder():
        nlp = spacy.blank("en")
        docs = [make_doc(nlp, number) for number in range(6)]
        write_docbin(folder / "all.spacy", docs)
        write_docbin(folder / "one.spacy", docs[:1])
        monkeypatch.chdir(folder)
        entities = [{"start": 0, "end": 3, "label": "A", "score": 0.5}]
        relations = [{"head": 0, "tail": 0, "label": "R", "score": 0.5}]
        row = {"text": LONG, "entities": entities, "relations": relations}
        lines = []
        for number in range(6):
            lines.append(f"{json.dumps({**row, 'id': number})}\n")
        (folder / "annotated.jsonl").write_text("".join(lines))
        shutil.copytree(tiny_run / "model-last", folder / "model")
        (folder / "out").mkdir()
        yield folder


@pytest.fixture
def inputs(folder, run):
    run("tabcnn", "convert", "all.spacy", "in.jsonl")
    return folder


def read_outputs(command: Command) -> dict[str, bytes]:
    """Return the contents of the outputs by their paths."""
    found = {}
    for output in map(Path, command.outputs.split()):
        for path in [output, *sorted(output.rglob("*"))]:
            if path.is_file():
                found[str(path)] = path.read_bytes()
    return found


def list_all() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*"))


def call(run_spacy: Callable, command: Command) -> str:
    """Run a command; return what it printed if it fails, and "" if it succeeds."""
    result = run_spacy("tabcnn", *command.arguments.split())
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return "" if result.exit_code == 0 else " ".join(result.output.split())


@needs_limits
@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_is_named_and_the_old_outputs_are_kept(inputs, run_spacy, name):
    command = COMMANDS[name]
    for module, users in {"matplotlib": ["calibration"], "networkx": ["graphml"]}.items():
        if name in users:
            pytest.importorskip(module)
    assert call(run_spacy, command) == ""
    before, names = read_outputs(command), list_all()
    if name == "brat":  # it goes to a new folder only
        shutil.rmtree("out/brat")
        before, names = {}, list_all()
    message = call_limited(call, run_spacy, command, max_bytes=100)
    assert "cannot be written (File too large)" in message, message
    assert any(f"{output}" in message for output in command.outputs.split()), message
    assert ".tabcnn-" not in message
    assert read_outputs(command) == before and list_all() == names


@needs_limits
@pytest.mark.parametrize("name", FAST)
def test_a_folder_without_rights_is_named(inputs, run_spacy, name):
    command = COMMANDS[name]
    Path("out").chmod(0o555)
    message = call_limited(call, run_spacy, command, as_nobody=True)
    assert "cannot be written (Permission denied)" in message, message
    assert read_outputs(command) == {}


@needs_kills
@pytest.mark.parametrize("name", ["spacy", "jsonl", "brat", "pair", "folds", "tokenizer", "split"])
def test_a_kill_at_a_step_on_disk(inputs, run_spacy, n_kills, name):
    """Every file is the old one or the new one, and nothing is left over in the end."""
    if n_kills < 10 and name not in ("brat", "folds"):
        pytest.skip("takes a minute: --kills 10")
    command = COMMANDS[name]
    assert call(run_spacy, command) == ""
    new, names = read_outputs(command), list_all()
    n_killed = 0
    put_old(command, new)
    for place in kill_at_steps(call, run_spacy, command):
        n_killed += 1
        for path, content in read_outputs(command).items():
            if not is_temporary(Path(path)):
                assert content in (new[path], b""), f"{place}: {path}"
        if n_killed == 6 * n_kills:
            break
        put_old(command, new)
    put_old(command, new)
    assert call(run_spacy, command) == ""
    assert read_outputs(command) == new and list_all() == names
    print(f"{n_killed} kills")
    assert n_killed


def put_old(command: Command, new: dict[str, bytes]) -> None:
    """Put empty files in the place of outputs, except where the command would refuse them."""
    for path in new:
        if "brat" in command.arguments:
            shutil.rmtree("out/brat", ignore_errors=True)
        elif "tokenizer" not in path:
            Path(path).write_bytes(b"")


@needs_kills
@pytest.mark.parametrize("name", ["spacy", "folds", "brat"])
def test_kills_at_random_moments(inputs, run_spacy, n_kills, name):
    command = COMMANDS[name]
    start = time.monotonic()
    assert call(run_spacy, command) == ""
    duration = time.monotonic() - start
    new = read_outputs(command)
    n_killed = 0
    for moment in draw_moments(name, n_kills, duration):
        if name == "brat":
            shutil.rmtree("out/brat")
        n_killed += call_and_kill(call, run_spacy, command, kill_after=moment)
        assert read_outputs(command).items() <= new.items(), f"killed after {moment} s"
        if name == "brat":
            shutil.rmtree("out/brat", ignore_errors=True)
        assert call(run_spacy, command) == "" and read_outputs(command) == new
    print(f"{n_killed} kills")
    assert n_killed or n_kills < 10  # a single one may come too late
    assert len(list(read_docbin("all.spacy", spacy.blank("en").vocab))) == 6
