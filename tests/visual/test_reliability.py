"""Reliability diagrams."""

import pytest

from spacy_tabcnn.evaluation.calibration import calibrate
from spacy_tabcnn.visual.reliability import draw_reliability

pytest.importorskip("matplotlib", reason="needs the extra 'report'")


@pytest.fixture
def groups():
    scores = [(0.1 * i + 0.05, i % 3 > 0) for i in range(5, 10)]
    names = ("ents", "rels_strict", "rels_between_gold")
    return {name: calibrate(scores[k:]) for k, name in enumerate(names)}


def test_the_extension_decides_the_format(groups, tmp_path):
    draw_reliability(groups, tmp_path / "scores.png")
    draw_reliability(groups, tmp_path / "scores.svg")
    assert (tmp_path / "scores.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "scores.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_an_svg_file_has_the_colours_of_its_page_and_no_background(groups, tmp_path):
    draw_reliability(groups, tmp_path / "scores.svg")
    svg = (tmp_path / "scores.svg").read_text(encoding="utf-8")
    assert "color-scheme: light dark" in svg and "stroke: currentColor" in svg
    assert "#000000" not in svg and "#ffffff" not in svg
    figure = svg.partition('id="figure_1"')[2]
    assert 'style="fill: none' in figure[: figure.index("</g>")]


def test_diagrams_are_the_same_whenever_they_are_drawn(groups, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        draw_reliability(groups, tmp_path / name / "scores.svg")
    assert (tmp_path / "one" / "scores.svg").read_bytes() == (
        tmp_path / "two" / "scores.svg"
    ).read_bytes()


def test_a_diagram_without_predictions(tmp_path):
    draw_reliability({"ents": calibrate([])}, tmp_path / "scores.png")
    assert (tmp_path / "scores.png").is_file()
