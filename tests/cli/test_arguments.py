"""Arguments in the wrong places."""

import pytest
import spacy

from spacy_tabcnn.cli._arguments import Kind, check_direction, check_kind, find_kind
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
