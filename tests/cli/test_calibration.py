import sys

import pytest
import srsly


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
