"""The report of studies: the paper's tables and figures with ours below, as Markdown and HTML."""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from spacy_tabcnn.evaluation.calibration import (
    Calibration,
    describe_calibration,
    read_calibration,
)
from spacy_tabcnn.files import check_outputs, fill_folder, is_same
from spacy_tabcnn.visual.reliability import draw_reliability

from .differences import compare_systems, describe_order
from .figures import draw_panels, make_panels
from .heldout import (
    TEST_SCORES,
    HeldOutSummaries,
    list_test_files,
    read_test_scores,
    save_test_scores,
)
from .overview import describe_missing, describe_runs
from .parameters import make_parameter_table
from .render import to_html, to_markdown
from .results import Study, join_alike, save_results
from .sections import FigureSection, ListSection, Section
from .tables import (
    make_calibration_table,
    make_corpus_table,
    make_difference_table,
    make_layer_tables,
    make_test_table,
)


def write_report(
    studies: Sequence[Study],
    folder: Path,
    *,
    test_scores: Sequence[str] = (),
    calibrations: Sequence[str | Path] = (),
    results: Sequence[str | Path] = (),
) -> None:
    """Write report.md, report.html, the figures with their data, and the results.

    The results are a file for each study, and `TEST_SCORES` for the scores on test sets.

    studies (Sequence[Study]): The studies of a storage; tables and figures leave out searches.
    folder (Path): The folder; made if needed.
    test_scores (Sequence[str]): Scores on test sets for table 1, see `read_test_scores`.
    calibrations (Sequence[str | Path]): Files of `spacy tabcnn calibration`.
    results (Sequence[str | Path]): The files from which studies were read. One in the folder
        stays as it is.
    RAISES (ImportError): If matplotlib is not installed.
    RAISES (OSError): If there is no such file, or a file cannot be written; old ones are kept.
    RAISES (ValueError): If test_scores or a file cannot be read, or a file would be replaced.
    """
    reliability = list(map(read_calibration, calibrations))
    summaries = read_test_scores(test_scores)
    sections = make_report(studies, summaries, reliability)
    with fill_folder(folder) as new:
        for study in studies:
            name = f"{study.name}.jsonl"
            if not any(is_same(folder / name, path) for path in results):
                save_results(study, new / name)
        if summaries:
            save_test_scores(summaries, new / TEST_SCORES)
        for section in sections:
            if isinstance(section, FigureSection):
                _save_figure(section, new)
        (new / "report.md").write_text(to_markdown(sections), encoding="utf-8")
        (new / "report.html").write_text(to_html(sections, new), encoding="utf-8")
        inputs = [*calibrations, *results, *list_test_files(test_scores)]
        check_outputs([folder / path.name for path in new.iterdir()], inputs)


def _save_figure(figure: FigureSection, folder: Path) -> None:
    """Draw a figure as PNG and SVG, and write its data as JSON."""
    for suffix in (".png", ".svg"):
        figure.draw(folder / f"{figure.name}{suffix}")
    text = json.dumps(figure.data, indent=1)
    (folder / f"{figure.name}.json").write_text(text, encoding="utf-8")


def make_report(
    studies: Sequence[Study],
    test_scores: HeldOutSummaries,
    calibrations: Sequence[tuple[str, Mapping[str, Calibration]]] = (),
) -> list[Section]:
    """Make the sections of a report, in the order of the paper.

    studies (Sequence[Study]): The studies; searches among them are left out, and studies under the
        same conditions are joined.
    test_scores (HeldOutSummaries): See `read_test_scores`.
    calibrations (Sequence[tuple[str, Mapping[str, Calibration]]]): Titles and comparisons, see
        `read_calibration`.
    RETURNS (list[Section]): The sections.
    """
    parts = [study for study in studies if study.is_layer_study]
    studies = join_alike(parts)
    sections: list[Section] = [
        ListSection("What was run", describe_runs(parts)),
        make_test_table(test_scores),
        *make_layer_tables(studies),
        _make_layer_figure("Figure 2: F1 by layer, encoder updated", "figure2", studies, [False]),
        _make_layer_figure(
            "Figure 3: F1 by layer, encoder frozen or updated", "figure3", studies, [True, False]
        ),
    ]
    for study in studies:
        sections += _make_difference_sections(study)
    if calibrations:
        sections += _make_reliability_figures(calibrations)
        sections.append(make_calibration_table(calibrations))
    missing = describe_missing(studies, test_scores.keys())
    return [
        *sections,
        make_corpus_table(studies),
        make_parameter_table(studies),
        ListSection("What was not run", missing),
    ]


def _make_difference_sections(study: Study) -> list[Section]:
    differences = compare_systems(study)
    if not differences:  # of one system alone
        return []
    title = f"The paper's order of the systems ({study.corpus}, {study.encoder})"
    order = ListSection(title, describe_order(differences))
    return [order, make_difference_table(study, differences)]


def _make_layer_figure(
    title: str, name: str, studies: Sequence[Study], states: Sequence[bool]
) -> FigureSection:
    rows = make_panels(studies, states=states)
    data = []
    for row in rows:
        data.append([panel.to_dict() for panel in row])
    return FigureSection(title, name, data, partial(draw_panels, rows))


def _make_reliability_figures(
    calibrations: Iterable[tuple[str, Mapping[str, Calibration]]],
) -> list[FigureSection]:
    figures = []
    for number, (title, groups) in enumerate(calibrations, start=1):
        data = describe_calibration(groups, title=title)
        draw = partial(draw_reliability, groups)
        figures.append(FigureSection(f"Reliability: {title}", f"reliability{number}", data, draw))
    return figures
