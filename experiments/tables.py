"""The tables of the report: scores, differences, calibration and the sizes of the corpora."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from spacy_tabcnn.evaluation.calibration import TITLES, Calibration
from spacy_tabcnn.evaluation.significance import Comparison

from .corpora import get_convention
from .differences import Difference
from .grid import STATES, RunGroup
from .heldout import HeldOutSummaries
from .paper import CorpusSizes, get_layer_scores, read_paper
from .results import MEASURES, ScoreSummary, Study, sort_systems, summarise_study
from .sections import NONE, TableSection, count_things, format_number


def make_test_table(test_scores: HeldOutSummaries) -> TableSection:
    """Make table 1: scores on the test sets.

    test_scores (HeldOutSummaries): See `read_test_scores`.
    RETURNS (TableSection): The table.
    """
    paper = read_paper()["table1"]
    rows = []
    for corpus in dict.fromkeys([*paper["corpora"], *(system.corpus for system in test_scores)]):
        for name, values in paper["corpora"].get(corpus, {}).items():
            rows.append([corpus, *name.split("/"), "paper", *map(format_number, values)])
        repeat = get_convention(corpus).repeat
        for system, scores in test_scores.items():
            if system.corpus == corpus:
                rows.append([*system, _name_source(scores, repeat), *map(str, scores)])
    return TableSection(
        "Table 1: F1 on the test sets",
        ["Corpus", "System", "Encoder", "Source", *paper["columns"]],
        rows,
        [f"{paper['note']} In percent."],
    )


class LayerRow(NamedTuple):
    """A row of a table of scores by encoder layer.

    system (str): Name of the system.
    frozen (bool): Whether the encoder is frozen.
    source (str): The source of the scores.
    scores (dict[int, str]): The scores by layer.
    """

    system: str
    frozen: bool
    source: str
    scores: dict[int, str]


def make_layer_tables(studies: Sequence[Study]) -> list[TableSection]:
    """Make tables 2 and 3: scores by encoder layer on the development set; and one more, for RE+.

    studies (Sequence[Study]): The layer studies.
    RETURNS (list[TableSection]): The tables.
    """
    erratum = read_paper()["erratum"]
    return [
        _make_layer_table("Table 2: F1 of entities (NER)", studies, "NER", erratum),
        _make_layer_table("Table 3: F1 of relations (RE)", studies, "RE", erratum),
        _make_layer_table(
            "Table 3, with the types of the entities (RE+)", studies, "RE+", "Not in the paper."
        ),
    ]


def _make_layer_table(
    title: str, studies: Sequence[Study], measure: str, note: str
) -> TableSection:
    rows = _make_paper_rows(measure)
    for study in studies:
        rows += _make_study_rows(study, measure)
    systems = sort_systems(row.system for row in rows)
    rows.sort(key=lambda row: (systems.index(row.system), not row.frozen))
    layers: set[int] = set()
    for row in rows:
        layers |= row.scores.keys()
    columns = sorted(layers)
    cells = []
    for row in rows:
        scores = [row.scores.get(layer, NONE) for layer in columns]
        cells.append([row.system, STATES[row.frozen], row.source, *scores])
    return TableSection(
        f"{title} by encoder layer, on the development set",
        ["System", "Encoder", "Source", *map(str, columns)],
        cells,
        [
            note,
            "Micro F1 in percent, with the standard deviation over seeds; CoNLL04 unless a row "
            f"says otherwise. {NONE}: not run, or not in the paper.",
        ],
    )


def _make_paper_rows(measure: str) -> list[LayerRow]:
    layers = read_paper()["layers"]
    rows = []
    for system, states in get_layer_scores(measure).items():
        for frozen in (True, False):
            scores = map(format_number, states[STATES[frozen]])
            by_layer = dict(zip(layers, scores, strict=True))
            rows.append(LayerRow(system, frozen, "paper, bert-base", by_layer))
    return rows


def _make_study_rows(study: Study, measure: str) -> list[LayerRow]:
    """Make a row for each system and state of the encoder. Layers without a score stay empty."""
    summaries = summarise_study(study, measure)
    rows = []
    for (system, frozen), layers in _group_layers(study).items():
        found = []
        scores = dict.fromkeys(layers, NONE)
        for layer in scores:
            summary = summaries.get(RunGroup(system, frozen, layer))
            if summary is not None:
                found.append(summary)
                scores[layer] = str(summary)
        source = f"{_name_source(found, 'seed')}, {study.label}"
        rows.append(LayerRow(system, frozen, source, scores))
    return rows


def _group_layers(study: Study) -> dict[tuple[str, bool], list[int]]:
    """Group the layers of a study, run or not, by system and state of the encoder."""
    layers: dict[tuple[str, bool], list[int]] = {}
    for result in study.results:
        system, frozen, layer = result.run.group
        if frozen is not None and layer is not None:
            layers.setdefault((system, frozen), []).append(layer)
    return layers


def make_difference_table(study: Study, differences: Sequence[Difference]) -> TableSection:
    """Tabulate the differences between the systems of a study.

    study (Study): A layer study.
    differences (Sequence[Difference]): See `compare_systems`.
    RETURNS (TableSection): The differences in all measures, for each layer that both of two systems
        have.
    """
    rows: dict[tuple[str, str, str], list[str]] = {}
    for first, second, frozen, layer, _, comparison in differences:
        row = rows.setdefault((f"{first} − {second}", STATES[frozen], str(layer)), [])
        row += _format_comparison(comparison)
    header = ["Systems", "Encoder", "Layer"]
    for measure in MEASURES:
        header += [f"{measure} difference [95 %]", "p"]
    return TableSection(
        f"Differences between systems ({study.corpus}, {study.encoder})",
        header,
        [[*key, *row] for key, row in rows.items()],
        [
            "Paired bootstrap over sentences (10,000 resamples) of the difference in micro F1, "
            "each the mean over the seeds; confidence interval and two-sided p-value. The p-values "
            "are not corrected for their number."
        ],
    )


def _format_comparison(comparison: Comparison) -> list[str]:
    """Format the difference with its interval, and the p-value."""
    figures = []
    for share in comparison[:3]:
        figures.append(f"{100 * share:+.1f}".replace("-", "−"))
    difference, low, high = figures
    p_value = f"{comparison.p_value:.3f}"
    if comparison.p_value < 0.001:
        p_value = "< 0.001"
    return [f"{difference} [{low}, {high}]", p_value]


def make_calibration_table(
    calibrations: Iterable[tuple[str, Mapping[str, Calibration]]],
) -> TableSection:
    """Tabulate the calibration of models.

    calibrations (Iterable[tuple[str, Mapping[str, Calibration]]]): Titles and comparisons, see
        `read_calibration`.
    RETURNS (TableSection): The table.
    """
    rows = []
    for title, groups in calibrations:
        for name, found in groups.items():
            shares = [100 * found.score, 100 * found.accuracy, 100 * found.error]
            rows.append([title, TITLES[name], str(found.n), *map(format_number, shares)])
    header = ["Model", "Predictions", "Number", "Mean score", "Right", "Expected calibration error"]
    return TableSection("Calibration of scores", header, rows, ["Not in the paper. In percent."])


def make_corpus_table(studies: Sequence[Study]) -> TableSection:
    """Make table 4: the sizes of the corpora.

    studies (Sequence[Study]): The layer studies.
    RETURNS (TableSection): The table.
    """
    paper, ours = read_paper()["table4_datasets"], _read_sizes(studies)
    rows = []
    for corpus in dict.fromkeys([*paper, *ours]):
        if corpus in paper:
            rows.append([corpus, "paper", *_format_sizes(paper[corpus])])
        if corpus in ours:
            rows.append([corpus, "ours", *_format_sizes(ours[corpus])])
    header = ["Corpus", "Source", "Train", "Development", "Test", "Entity types", "Relation types"]
    return TableSection(
        "Table 4: sentences and types of the corpora",
        header,
        rows,
        ["Studies do not read test sets."],
    )


def _read_sizes(studies: Iterable[Study]) -> dict[str, CorpusSizes]:
    """Read the sizes of the corpora of studies, by name of the corpus."""
    sizes: dict[str, CorpusSizes] = {}
    for study in studies:
        corpus = study.settings.get("corpus", {})
        if "train" in corpus and "dev" in corpus:
            sizes[study.corpus] = {
                "train": corpus["train"]["sentences"],
                "dev": corpus["dev"]["sentences"],
                "entity_types": corpus["train"]["entity_types"],
                "relation_types": corpus["train"]["relation_types"],
            }
    return sizes


def _format_sizes(sizes: CorpusSizes) -> list[str]:
    columns = [format_number(sizes.get(part), "d") for part in ("train", "dev", "test")]
    if "sentences" in sizes:
        columns[0] = f"{sizes['sentences']} ({sizes['protocol']})"
    return [*columns, str(sizes["entity_types"]), str(sizes["relation_types"])]


def _name_source(summaries: Iterable[ScoreSummary], repeat: str) -> str:
    """Name the source of our scores, with the number of seeds or folds."""
    numbers = sorted({summary.n_runs for summary in summaries})
    if not numbers:
        return "ours (not run)"
    if len(numbers) > 1:
        return f"ours ({numbers[0]}–{numbers[-1]} {repeat}s)"
    return f"ours ({count_things(numbers[0], repeat)})"
