"""`spacy tabcnn train`: the command line of training with checkpoints."""

import pytest
import spacy

from spacy_tabcnn.cli import train


@pytest.fixture
def options(tiny_corpus, tmp_path):
    paths = ("--paths.train", tiny_corpus, "--paths.dev", tiny_corpus)
    return ("--output", tmp_path / "out", *paths, "--training.max_steps", 2)


def test_it_trains_and_goes_on(run, tiny_config, options, tmp_path):
    assert "Saved pipeline to output directory" in run("tabcnn", "train", tiny_config, *options)
    assert spacy.load(tmp_path / "out" / "model-last").config["training"]["max_steps"] == 2
    assert "is complete" in run("tabcnn", "train", tiny_config, *options, "--resume")


def test_code_is_imported(run, tiny_config, options, tmp_path):
    text = tiny_config.read_text(encoding="utf-8")
    callback = '[initialize.after_init]\n@callbacks = "spacy-tabcnn.test_code.v1"\n'
    (tmp_path / "code.cfg").write_text(text + callback, encoding="utf-8")
    code = tmp_path / "code.py"
    code.write_text(
        "import spacy\n"
        "@spacy.registry.callbacks('spacy-tabcnn.test_code.v1')\n"
        "def make():\n    return lambda nlp: print('called') or nlp\n"
    )
    assert "called" in run("tabcnn", "train", tmp_path / "code.cfg", *options, "--code", code)


def test_other_settings_are_an_error_of_one_message(run_spacy, tiny_config, options):
    assert run_spacy("tabcnn", "train", tiny_config, *options).exit_code == 0
    options = (*options, "--resume", "--training.dropout", 0.3)
    result = run_spacy("tabcnn", "train", tiny_config, *options)
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    assert "training.dropout was 0.1, now 0.3" in " ".join(result.output.split())


def test_divergence_is_an_error_of_one_message(run_spacy, tiny_config, options):
    rate = ("--training.optimizer.learn_rate", 1e6)
    result = run_spacy("tabcnn", "train", tiny_config, *options, *rate)
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    assert "Training has diverged at step 1" in " ".join(result.output.split())


def test_a_missing_corpus_is_an_error_of_one_message(run_spacy, tiny_config, options, tmp_path):
    options = (*options, "--paths.train", tmp_path / "none.spacy")
    result = run_spacy("tabcnn", "train", tiny_config, *options)
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    assert "none.spacy: no such file or folder" in " ".join(result.output.split())


@pytest.mark.parametrize("name", ["nlp.batchsize", "training.droput", "initialize.vector"])
def test_a_setting_that_does_not_exist_is_an_error_of_one_message(
    run_spacy, tiny_config, options, name
):
    result = run_spacy("tabcnn", "train", tiny_config, *options, f"--{name}", 1)
    section, _, setting = name.partition(".")
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    assert f"[{section}] has no setting {setting!r}" in " ".join(result.output.split())


def test_the_function_returns_the_last_pipeline(tiny_config, tiny_corpus, tmp_path):
    overrides = {"paths.train": str(tiny_corpus), "paths.dev": str(tiny_corpus)}
    last = train(tiny_config, tmp_path, overrides={**overrides, "training.max_steps": 1})
    assert last == tmp_path / "model-last" and last.is_dir()
