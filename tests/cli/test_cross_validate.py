import shutil
from functools import partial
from importlib import import_module

import pytest
import spacy
import srsly

from spacy_tabcnn.cli import cross_validate
from spacy_tabcnn.corpora.docbin import read_docbin
from spacy_tabcnn.corpora.folds import write_folds

ONE_STEP = ("--training.max_steps", 1)


@pytest.fixture(scope="module")
def folds(tiny_corpus, tmp_path_factory):
    """A folder with two folds of the tiny corpus."""
    folder = tmp_path_factory.mktemp("folds")
    docs = list(read_docbin(tiny_corpus, spacy.blank("en").vocab))
    ids = [doc.user_data["orig_id"] for doc in docs]
    write_folds(folder, docs, [ids[:5], ids[5:]])
    return folder


@pytest.fixture(scope="module")
def result(run_spacy, tiny_config, folds, tmp_path_factory):
    """The folder of a run over two folds, and what it printed."""
    folder = tmp_path_factory.mktemp("cross_validate")
    options = ("--n-folds", 2, "--output", folder / "metrics" / "all.json", *ONE_STEP)
    result = run_spacy("tabcnn", "cross-validate", tiny_config, folds, folder, *options)
    assert result.exit_code == 0, result.output
    return folder, result.output


def test_a_pipeline_is_trained_on_each_fold(folds, result):
    folder, _ = result
    for fold in ("0", "1"):
        paths = spacy.load(folder / fold / "model-last").config["paths"]
        assert paths["train"] == str(folds / fold / "train.spacy")
        assert paths["dev"] == str(folds / fold / "test.spacy")


def test_settings_are_overridden(result):
    folder, _ = result
    assert spacy.load(folder / "0" / "model-last").config["training"]["max_steps"] == 1


def test_the_scores_are_those_of_evaluate(run_spacy, folds, result, tmp_path):
    folder, _ = result
    saved = srsly.read_json(folder / "metrics" / "all.json")
    for fold in ("0", "1"):
        data, output = folds / fold / "test.spacy", tmp_path / "scores.json"
        run_spacy("tabcnn", "evaluate", folder / fold / "model-last", data, "--output", output)
        for key in ("ents_per_type", "ents_macro_f", "rels_strict_macro_f"):
            assert saved["folds"][int(fold)][key] == srsly.read_json(output)[key]


def test_the_table_has_a_row_for_each_fold_then_mean_and_deviation(result):
    _, output = result
    header = "Fold NER micro NER macro RE micro RE macro RE+ micro RE+ macro"
    lines = [" ".join(line.split()) for line in output.splitlines()]
    rows = lines[lines.index(header) + 2 :]
    assert [row.split()[0] for row in rows[:4]] == ["0", "1", "mean", "std"]
    assert all(len(row.split()) == 7 for row in rows[:4])


@pytest.fixture
def finished(tiny_config, folds, tmp_path):
    """The folder of a run over two folds, whose scores have been replaced, and how to resume it."""
    settings = {"training.max_steps": 1}
    cross_validate(tiny_config, folds, tmp_path, n_folds=2, overrides=settings)
    for fold, score in (("0", 0.5), ("1", 0.75)):
        srsly.write_json(
            tmp_path / fold / "scores.json", {"ents_macro_f": score, "rels_strict_f": None}
        )
    return tmp_path, partial(
        cross_validate, tiny_config, directory=tmp_path, resume=True, overrides=settings
    )


def test_resume_keeps_scores_and_averages(folds, finished):
    _, resume = finished
    result = resume(folds, n_folds=2)
    assert result["mean"] == {"ents_macro_f": 0.625}
    assert result["std"] == {"ents_macro_f": pytest.approx(0.25 * 0.5**0.5)}
    assert resume(folds, n_folds=1)["std"] == {}


def test_resume_trains_a_fold_without_scores(folds, finished):
    folder, resume = finished
    (folder / "1" / "scores.json").unlink()
    first, second = resume(folds, n_folds=2)["folds"]
    assert first["ents_macro_f"] == 0.5
    assert "ents_per_type" in second


def test_resume_trains_again_with_other_settings(folds, finished):
    folder, resume = finished
    (score,) = resume(folds, n_folds=1, overrides={"training.max_steps": 2})["folds"]
    assert "ents_per_type" in score
    assert spacy.load(folder / "0" / "model-last").config["training"]["max_steps"] == 2


def test_resume_trains_again_on_other_data(folds, finished, tmp_path_factory):
    _, resume = finished
    others = tmp_path_factory.mktemp("others") / "folds"
    shutil.copytree(folds, others)
    assert resume(others, n_folds=1)["folds"][0]["ents_macro_f"] == 0.5
    shutil.copy(folds / "1" / "train.spacy", others / "0" / "train.spacy")
    assert "ents_per_type" in resume(others, n_folds=1)["folds"][0]


def test_a_missing_fold_is_named_before_any_training(run_spacy, tiny_config, folds, tmp_path):
    result = run_spacy(
        "tabcnn", "cross-validate", tiny_config, folds, tmp_path / "out", "--n-folds", 3
    )
    assert result.exit_code == 1
    assert "2/train.spacy: no such file. Make the folds with" in " ".join(result.output.split())
    assert not (tmp_path / "out").exists()


def test_the_config_of_ade_trains_on_a_fold(run_spacy, tiny_config, tiny_encoder, folds, tmp_path):
    config = tiny_config.parents[1] / "ade.cfg"
    options = ("--n-folds", 1, "--paths.encoder", tiny_encoder, *ONE_STEP)
    result = run_spacy("tabcnn", "cross-validate", config, folds, tmp_path, *options)
    assert result.exit_code == 0, result.output
    assert "rels_strict_macro_f" in srsly.read_json(tmp_path / "0" / "scores.json")


def test_a_stopped_training_is_not_taken_for_the_one_before(folds, finished, monkeypatch):
    folder, resume = finished

    def stop(*args, **options):
        raise KeyboardInterrupt

    module = import_module("spacy_tabcnn.cli.cross_validate")
    monkeypatch.setattr(module, "train", stop)
    with pytest.raises(KeyboardInterrupt):
        resume(folds, n_folds=1, resume=False)
    assert module.read_settings(folder / "0") is None
    assert module.read_settings(folder / "1") is not None
