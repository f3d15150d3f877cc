"""Arguments in the wrong places."""

import json
import os
from pathlib import Path

import pytest
import spacy
from spacy.tokens import Doc
from spacy.vocab import Vocab

from spacy_tabcnn.cli._arguments import (
    Kind,
    check_direction,
    check_kind,
    check_written,
    find_kind,
)
from spacy_tabcnn.corpora.docbin import write_docbin


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with something of each kind."""
    monkeypatch.chdir(tmp_path)
    spacy.blank("en").to_disk("model")
    write_docbin("folds/0/train.spacy", [])
    write_docbin("dev.spacy", [])
    for name in ("train.cfg", "texts.jsonl", "page.html"):
        (tmp_path / name).touch()
    return tmp_path


def flat(result):
    """The output without the line breaks that depend on the terminal's width."""
    return " ".join(result.output.split())


def test_kinds(folder):
    assert find_kind("model") is Kind.PIPELINE
    assert find_kind("dev.spacy") is find_kind("folds") is Kind.CORPUS
    assert find_kind("train.cfg") is Kind.CONFIG
    assert find_kind("texts.jsonl") is Kind.DATA
    for name in ("page.html", "none", "none.spacy", "", "a" * 5000, "a\0b", "Ann\nlives in Rome."):
        assert find_kind(name) is None


def test_an_unknown_kind_passes_alone(folder):
    check_kind("none", Kind.PIPELINE)
    with pytest.raises(ValueError, match=r"none is not a pipeline, but model is a pipeline\. Did"):
        check_kind("none", Kind.PIPELINE, others=["dev.spacy", "model"])


def test_an_output_that_exists_may_be_the_input(folder):
    check_direction([folder / "dev.spacy"], folder / "page.html")
    check_direction([folder / "none"], folder / "new")
    with pytest.raises(ValueError, match="Did you swap the input and the output"):
        check_direction([folder / "none"], folder / "page.html")


@pytest.mark.parametrize(
    "arguments,message",
    [
        ("evaluate dev.spacy model", "dev.spacy is a corpus, not a pipeline"),
        ("evaluate model model", "model is a pipeline, not a corpus"),
        ("evaluate none model", "none is not a pipeline, but model is"),
        ("errors dev.spacy model new.html", "dev.spacy is a corpus, not a pipeline"),
        ("errors model page.html dev.spacy", "page.html is not a corpus, but dev.spacy is"),
        ("errors model dev.spacy texts.jsonl", "the output would replace it"),
        ("calibration dev.spacy model new.json", "dev.spacy is a corpus, not a pipeline"),
        ("calibration model new.json dev.spacy", "new.json is not a corpus, but dev.spacy is"),
        ("annotate texts.jsonl model new.jsonl", "not a pipeline"),
        ("annotate texts.jsonl new.jsonl model", "not a pipeline"),
        ("annotate model dev.spacy new.jsonl", "not a file of texts"),
        ("annotate model new.jsonl texts.jsonl", "Did you swap the input and the output?"),
        ("show Hello model", "Hello is not a pipeline, but model is"),
        ("show dev.spacy Hello", "dev.spacy is a corpus, not a pipeline"),
        ("serve model dev.spacy", "dev.spacy is a corpus, not a pipeline"),
        ("model-card dev.spacy", "dev.spacy is a corpus, not a pipeline"),
        ("debug-data train.cfg dev.spacy", "train.cfg is a config, not a corpus"),
        ("debug-data dev.spacy model", "model is a pipeline, not a corpus"),
        ("round-trip texts.jsonl", "not a .spacy file. Convert it with `spacy tabcnn convert`"),
        ("graph new.graphml texts.jsonl", "Did you swap the input and the output?"),
        ("graph model new.csv", "model is a pipeline, not a file of texts"),
        ("cross-validate folds train.cfg new", "folds is a corpus, not a config"),
        ("cross-validate train.cfg new folds", "new is not a corpus, but folds is a corpus"),
        ("split new dev.spacy", "new is not a corpus, but dev.spacy is a corpus"),
        ("split folds dev.spacy", "dev.spacy is a file, not a folder"),
        ("init-config copy.cfg conll04", "copy.cfg is not a config, but conll04 is"),
        ("convert dev.spacy dev.spacy --to spert", "is the input too"),
        ("convert new.spacy texts.jsonl", "Did you swap the input and the output?"),
        ("convert model new.spacy", "Name the pipeline whose tokenizer splits raw text with --mod"),
    ],
)
def test_swapped_arguments_are_named(run_spacy, folder, arguments, message):
    before = sorted(folder.rglob("*"))
    result = run_spacy("tabcnn", *arguments.split())
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert message in flat(result)
    assert sorted(folder.rglob("*")) == before


@pytest.fixture
def linked(folder):
    """The folder with a second name for each file and the pipeline: a link or a hard link."""
    if os.name != "posix":
        pytest.skip("needs links")
    docs = [Doc(Vocab(), ["Ann", "."])]
    for name in ("dev.spacy", "test.spacy", "folds/0/train.spacy"):
        write_docbin(name, docs)
    (folder / "in.ann").touch()
    (folder / "in.txt").write_text("Ann .")
    row = {"text": "Ann", "entities": [], "relations": []}
    (folder / "texts.jsonl").write_text(json.dumps(row) + "\n")
    os.link("dev.spacy", "dev.json")
    os.symlink("texts.jsonl", "texts.csv")
    os.symlink("dev.spacy", "train.spacy")
    os.link("model/config.cfg", "config.html")
    os.symlink("model", "other_model")
    os.link("in.txt", "in.jsonl")
    os.symlink("dev.spacy", "scores.png")
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        "annotate model texts.jsonl texts.csv --overwrite",
        "annotate model texts.jsonl sub/../texts.jsonl --overwrite",
        "convert in.ann in.jsonl",
        "convert in.txt in.ann --to brat",
        "convert dev.spacy dev.json --to spert",
        "convert texts.jsonl texts.csv --to doccano",
        "convert in.ann new.spacy --align split --tokenizer other_model --model model",
        "split dev.spacy .",
        "graph texts.jsonl texts.csv",
        "evaluate model dev.spacy --output dev.json",
        "evaluate model dev.spacy --output other_model/meta.json",
        "evaluate model folds --output folds/0/train.spacy",
        "errors model dev.spacy config.html",
        "calibration model dev.spacy dev.json",
        "calibration model dev.spacy scores.json",
        "debug-data test.spacy dev.spacy --output dev.json",
        "cross-validate model/config.cfg folds new --output config.html",
        "cross-validate model/config.cfg folds folds",
        "init-config train.spacy --frozen --dev dev.spacy --force",
    ],
)
def test_no_command_writes_what_it_reads(run_spacy, linked, arguments):
    before = {path: path.read_bytes() for path in linked.rglob("*") if path.is_file()}
    result = run_spacy("tabcnn", *arguments.split())
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    assert "is the input too" in flat(result) or "is the --model too" in flat(result)
    assert {path: path.read_bytes() for path in linked.rglob("*") if path.is_file()} == before


def test_a_shipped_config_is_not_replaced_by_its_copy(run_spacy, monkeypatch):
    path = Path(__file__).parents[2] / "configs" / "conll04.cfg"
    result = run_spacy("tabcnn", "init-config", "conll04", path, "--force")
    assert result.exit_code == 1 and "is the input too" in flat(result)


def test_a_result_may_be_next_to_what_is_read(folder):
    (folder / "model" / "scores.json").touch()
    (folder / "folds" / "scores.json").touch()
    outputs = [folder / "model" / "scores.json", folder / "folds" / "scores.json"]
    check_written(outputs, [folder / "model", folder / "folds", None, "a" * 5000])
