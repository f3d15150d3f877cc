"""Calibration in a report."""

import json

import pytest

from experiments.render import to_markdown
from experiments.report import make_report, write_report
from spacy_tabcnn.evaluation.calibration import save_calibration


def test_a_report_has_a_diagram_of_each_model_and_one_table(groups):
    sections = make_report([], {}, [("minilm", groups), ("bert", groups)])
    titles = [section.title for section in sections]
    first = titles.index("Reliability: minilm")
    assert titles[first : first + 3] == [
        "Reliability: minilm",
        "Reliability: bert",
        "Calibration of scores",
    ]
    table = sections[first + 2]
    assert table.rows[0] == ["minilm", "Entities", "5", "75.0", "60.0", "49.0"]
    assert len(table.rows) == 6


def test_files_of_a_report_with_a_calibration(groups, tmp_path):
    pytest.importorskip("matplotlib", reason="needs the extra 'report'")
    save_calibration(tmp_path / "scores.json", groups, title="minilm")
    write_report([], tmp_path / "report", calibrations=[tmp_path / "scores.json"])
    names = {path.name for path in (tmp_path / "report").glob("reliability*")}
    assert names == {"reliability1.json", "reliability1.png", "reliability1.svg"}
    data = json.loads((tmp_path / "report" / "reliability1.json").read_text())
    assert data["groups"]["ents"]["n"] == 5
    assert (
        "![Reliability: minilm](reliability1.svg)"
        in (tmp_path / "report" / "report.md").read_text()
    )


def test_a_report_without_a_calibration_does_not_speak_of_it():
    assert "alibration" not in to_markdown(make_report([], {}))


def test_report_takes_the_file_of_calibration(
    run_spacy, run_experiments, tiny_run, tiny_corpus, tmp_path
):
    for name in ("matplotlib", "optuna"):
        pytest.importorskip(name, reason="needs the extras 'study' and 'report'")
    output = tmp_path / "scores.json"
    result = run_spacy(
        "tabcnn", "calibration", tiny_run / "model-last", tiny_corpus, output, "--title", "A & B"
    )
    assert result.exit_code == 0, result.output
    from experiments.storage import open_storage

    open_storage(tmp_path / "study.db")
    arguments = (tmp_path / "study.db", tmp_path / "report", "--calibration", output)
    result = run_experiments("report", *arguments)
    assert result.exit_code == 0, result.output
    assert "## Reliability: A & B" in (tmp_path / "report" / "report.md").read_text(
        encoding="utf-8"
    )
