"""Learning curves, on a tiny corpus."""

import json

import pytest
import spacy

from experiments.curve import LearningCurve, parse_shares
from experiments.grid import Run
from experiments.selection import STEPS_FILE, draw_order, read_steps
from spacy_tabcnn.corpora.docbin import read_docbin, write_docbin

pytest.importorskip("optuna")


@pytest.fixture(scope="module")
def overrides(tiny_corpus):
    paths = {"paths.train": str(tiny_corpus), "paths.dev": str(tiny_corpus)}
    return {**paths, "training.max_steps": 2, "training.eval_frequency": 1}


def test_each_share_has_the_documents_of_the_smaller_ones(tiny_config, overrides, tmp_path):
    configs = {"A": tiny_config, "B": tiny_config}
    train = LearningCurve(configs, [0.1, 0.24, 1.0], overrides, tmp_path)
    scores = [train(Run(system, 3), {}).scores for system in configs]
    assert {"ents_f@1", "ents_f@2", "ents_f@10"} <= scores[0].keys()
    assert scores[0] == scores[1]
    for system in configs:
        (path,) = (tmp_path / system).glob(f"*/{STEPS_FILE}")
        positions = [step["positions"] for step in read_steps(path)]
        assert positions == [draw_order(10, 3)[:n] for n in (1, 2, 10)]


@pytest.mark.parametrize("text", ["", "0,1", "0.5,1.5", "half"])
def test_shares_are_above_0_and_at_most_1(text):
    with pytest.raises(ValueError, match=r"--shares is .*; expected numbers above 0"):
        parse_shares(text)


def test_shares_are_sorted():
    assert parse_shares("1, 0.25,0.1,1") == [0.1, 0.25, 1.0]


def test_the_command_draws_the_curves(run_experiments, tiny_config, overrides, tmp_path):
    pytest.importorskip("matplotlib")
    settings = []
    for name, value in overrides.items():
        settings += [f"--{name}", value]
    result = run_experiments(
        "curve",
        tmp_path / "curve.db",
        tmp_path / "out",
        *("--system", f"A={tiny_config}", "--system", f"B={tiny_config}"),
        *("--shares", "0.5,1", "--seeds", 1, "--work", tmp_path / "work"),
        *settings,
    )
    assert result.exit_code == 0, result.output
    curves = json.loads((tmp_path / "out" / "curve.json").read_text())
    assert curves["A"]["documents"] == curves["B"]["documents"] == [5, 10]
    assert (tmp_path / "out" / "curve.png").exists()


def test_settings_that_do_not_exist_are_found_before_the_first_run(
    run_experiments, tiny_config, overrides, tmp_path
):
    paths = [f"--{name}={value}" for name, value in overrides.items() if name.startswith("paths")]
    options = ("--system", f"A={tiny_config}", "--work", tmp_path / "work", *paths)
    result = run_experiments(
        "curve", tmp_path / "c.db", tmp_path / "out", *options, "--training.droput=0.3"
    )
    assert result.exit_code == 1
    assert "A cannot be trained: [training] has no setting 'droput'" in result.output
    assert not (tmp_path / "c.db").exists() and not (tmp_path / "work").exists()


def test_a_corpus_may_be_a_folder_with_empty_documents(
    tiny_config, tiny_corpus, overrides, tmp_path
):
    nlp = spacy.blank("en")
    docs = list(read_docbin(tiny_corpus, nlp.vocab))
    folder = tmp_path / "corpus"
    for number, part in enumerate((docs[:4], docs[4:])):
        write_docbin(folder / f"{number}.spacy", [*part, nlp.make_doc("")])
    own = {**overrides, "paths.train": str(folder)}
    curve = LearningCurve({"A": tiny_config}, [0.5, 1.0], own, tmp_path / "work")
    curve.check([1, 2])
    assert {"ents_f@5", "ents_f@10"} <= curve(Run("A", 1), {}).scores.keys()


def test_a_share_without_an_entity_is_found_before_the_first_run(
    tiny_config, tiny_corpus, overrides, tmp_path
):
    nlp = spacy.blank("en")
    docs = [nlp(f"Nothing in sentence {number}.") for number in range(30)]
    docs += read_docbin(tiny_corpus, nlp.vocab)
    write_docbin(tmp_path / "corpus.spacy", docs)
    own = {**overrides, "paths.train": str(tmp_path / "corpus.spacy")}
    curve = LearningCurve({"A": tiny_config}, [0.01, 1.0], own, tmp_path / "work")
    with pytest.raises(ValueError, match="no entity with the seed"):
        curve.check(range(1, 10))
    LearningCurve({"A": tiny_config}, [1.0], own, tmp_path).check(range(1, 10))


def test_an_unknown_share_is_a_message(run_experiments, tiny_config, tmp_path):
    result = run_experiments(
        "curve",
        tmp_path / "c.db",
        tmp_path / "out",
        "--system",
        f"A={tiny_config}",
        "--shares",
        "2",
    )
    assert result.exit_code == 1 and "expected numbers above 0" in " ".join(result.output.split())
