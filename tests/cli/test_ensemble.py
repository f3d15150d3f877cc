import pytest

from spacy_tabcnn.pipeline.loading import load_pipeline

from ..tiny_models import write_tiny_config


@pytest.fixture(scope="module")
def members(run, tiny_encoder, tiny_corpus, tmp_path_factory):
    """Two models of one config with two seeds."""
    folder = tmp_path_factory.mktemp("members")
    config = write_tiny_config(
        folder / "config.cfg", tiny_encoder, tiny_corpus, max_steps=4, eval_frequency=4
    )
    models = []
    for seed in (1, 2):
        run("train", config, "--output", folder / str(seed), "--system.seed", seed)
        models.append(folder / str(seed) / "model-last")
    return models


def flatten(text):
    return " ".join(text.split())


def test_models_are_joined(run, members, tmp_path):
    output = run("tabcnn", "ensemble", *members, tmp_path / "both")
    assert "The average of 2 models" in output
    config = load_pipeline(tmp_path / "both").config["components"]["relation_table"]["model"]
    assert list(config["*"]) == ["member1", "member2"]


def test_the_ensemble_is_a_model_for_other_commands(run, members, tiny_corpus, tmp_path):
    run("tabcnn", "ensemble", *members, tmp_path / "both")
    assert "Relations, strict" in run("tabcnn", "evaluate", tmp_path / "both", tiny_corpus)


def test_a_second_run_replaces_the_first(run, members, tmp_path):
    weights = []
    for ordered in (members, members[::-1]):
        run("tabcnn", "ensemble", *ordered, tmp_path / "both")
        weights.append((tmp_path / "both" / "relation_table" / "model").read_bytes())
    assert weights[0] != weights[1]


def test_a_model_is_named_once(run_spacy, members, tmp_path):
    result = run_spacy("tabcnn", "ensemble", *members, members[0], tmp_path / "both")
    assert result.exit_code == 1 and "is named twice" in flatten(result.output)


def test_one_model(run_spacy, members, tmp_path):
    result = run_spacy("tabcnn", "ensemble", members[0], tmp_path / "one")
    assert result.exit_code == 1 and "needs two pipelines" in flatten(result.output)
    assert not (tmp_path / "one").exists()


def test_a_model_is_not_replaced_by_its_ensemble(run_spacy, members):
    result = run_spacy("tabcnn", "ensemble", *members, members[0])
    assert result.exit_code == 1 and "is the input too" in flatten(result.output)


def test_other_folders_are_kept(run_spacy, members, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    result = run_spacy("tabcnn", "ensemble", *members, tmp_path)
    assert result.exit_code == 1 and "its content would be lost" in flatten(result.output)
    assert (tmp_path / "notes.txt").exists()


def test_no_model(run_spacy, members, tmp_path):
    result = run_spacy("tabcnn", "ensemble", members[0], tmp_path / "none", tmp_path / "both")
    assert result.exit_code == 1 and "none" in flatten(result.output)
