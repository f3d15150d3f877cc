import sys

import pytest
import spacy
import srsly
from spacy.tokens import DocBin

from spacy_tabcnn.relations import get_relations, set_relations


def test_calibration_prints_bins_and_writes_the_diagram(run_spacy, tiny_run, tiny_corpus, tmp_path):
    pytest.importorskip("matplotlib", reason="needs the extra 'report'")
    output = tmp_path / "new" / "scores.json"
    result = run_spacy(
        "tabcnn", "calibration", tiny_run / "model-last", tiny_corpus, output, "--bins", 5
    )
    assert result.exit_code == 0, result.output
    for title in ("Entities", "Relations, strict (RE+)", "Expected calibration error", "0.80–1.00"):
        assert title in result.output
    data = srsly.read_json(output)
    assert data["title"] == "model-last on tiny.spacy"
    assert data["groups"]["rels_strict"]["n"] == 9
    assert data["groups"]["rels_strict"]["accuracy"] == 1.0
    assert output.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert output.with_suffix(".svg").read_text(encoding="utf-8").startswith("<?xml")


@pytest.mark.parametrize(
    "data,output,message",
    [("none.spacy", "a.json", "none.spacy: no such file"), ("corpus", "a.png", "ends in .json")],
)
def test_what_cannot_be_read_or_written_is_a_message(
    run_spacy, tiny_run, tiny_corpus, tmp_path, data, output, message
):
    pytest.importorskip("matplotlib", reason="needs the extra 'report'")
    data = tiny_corpus if data == "corpus" else tmp_path / data
    result = run_spacy("tabcnn", "calibration", tiny_run / "model-last", data, tmp_path / output)
    assert result.exit_code == 1
    assert message in " ".join(result.output.split())


def test_without_matplotlib_a_message_names_the_extra(run_spacy, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run_spacy(
        "tabcnn", "calibration", "none", tmp_path / "none.spacy", tmp_path / "scores.json"
    )
    assert result.exit_code == 1
    assert "spacy-tabcnn[report]" in " ".join(result.output.split())


@pytest.fixture
def other_corpus(tiny_corpus, tmp_path):
    """`tiny_corpus` without one of its relations and without the entities of another document, so
    that the predictions of a model that knows it by heart are right and wrong."""
    docs = list(DocBin().from_disk(tiny_corpus).get_docs(spacy.blank("en").vocab))
    first, second = [doc for doc in docs if get_relations(doc)][:2]
    set_relations(first, get_relations(first)[1:])
    set_relations(second, [])
    second.set_ents([])
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "other.spacy")
    return tmp_path / "other.spacy"


@pytest.fixture
def fit(run_spacy, tiny_run, tmp_path):
    """Fit the scores of a pipeline to a corpus, and return the result of the command."""
    pytest.importorskip("matplotlib", reason="needs the extra 'report'")

    def run(corpus, output):
        scores = tmp_path / "a.json"
        model = tiny_run / "model-last"
        return run_spacy("tabcnn", "calibration", model, corpus, scores, "--fit", output)

    return run


def test_fit_writes_a_model_that_predicts_the_same_with_softened_scores(
    run_spacy, fit, other_corpus, tmp_path
):
    output = tmp_path / "softened"
    result = fit(other_corpus, output)
    assert result.exit_code == 0, result.output
    assert "Temperatures: entities" in " ".join(result.output.split())
    result = run_spacy("tabcnn", "calibration", output, other_corpus, tmp_path / "b.json")
    assert result.exit_code == 0, result.output
    groups = [srsly.read_json(tmp_path / name)["groups"] for name in ("a.json", "b.json")]
    for name in ("ents", "rels_strict"):
        before, after = (group[name] for group in groups)
        assert (after["n"], after["accuracy"]) == (before["n"], before["accuracy"])
        assert after["score"] < before["score"]


def test_fit_needs_mistakes(fit, tiny_corpus, tmp_path):
    output = tmp_path / "softened"
    result = fit(tiny_corpus, output)
    assert result.exit_code == 1
    assert "A temperature needs right and wrong ones" in " ".join(result.output.split())
    assert not output.exists() and not (tmp_path / "a.json").exists()


def test_fit_replaces_nothing_but_a_pipeline(fit, tiny_corpus, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    result = fit(tiny_corpus, tmp_path)
    assert result.exit_code == 1
    assert "is no pipeline" in " ".join(result.output.split())
    assert (tmp_path / "notes.txt").exists()


def test_fit_does_not_replace_the_other_outputs(run_spacy, tiny_run, other_corpus, tmp_path):
    pytest.importorskip("matplotlib", reason="needs the extra 'report'")
    output = tmp_path / "both"
    arguments = (tiny_run / "model-last", other_corpus, output / "scores.json", "--fit", output)
    result = run_spacy("tabcnn", "calibration", *arguments)
    assert result.exit_code == 1
    assert "is in this folder, which the output would replace" in " ".join(result.output.split())
    assert not output.exists()


def test_fit_prints_the_temperatures_of_the_model(run_spacy, fit, other_corpus, tmp_path):
    fit(other_corpus, tmp_path / "first")
    arguments = (tmp_path / "first", other_corpus, tmp_path / "b.json", "--fit", tmp_path / "last")
    result = run_spacy("tabcnn", "calibration", *arguments)
    assert result.exit_code == 0, result.output
    temperature = spacy.load(tmp_path / "last").get_pipe("tabcnn").temperature
    numbers = f"entities {temperature.entities:.2f}, relations {temperature.relations:.2f}"
    assert f"Temperatures: {numbers}" in " ".join(result.output.split())
    assert temperature.entities > 1.5
