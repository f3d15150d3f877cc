"""The report of studies: the paper's tables and figures with ours beside them, as Markdown and as one HTML page."""

import base64
import glob
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from thinc.api import Config

from spacy_tabcnn.evaluation.calibration import TITLES, Calibration, read_calibration

from .differences import STATES, Difference, compare_systems, describe_order
from .figures import Panel, draw, draw_reliability, make_panels
from .results import (
    MEASURES,
    Study,
    Summary,
    read_paper,
    save_results,
    sort_systems,
    summarise,
    summarise_study,
)

# Where there is no figure.
NONE = "–"
# The corpus whose scores are macro averages over folds; those of the others are micro averages over seeds.
CROSS_VALIDATED = "ADE"


class Table(NamedTuple):
    """A table with its title and notes; rows are as long as the header."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


class Figure(NamedTuple):
    """A figure: its title, the stem of its files, its data as JSON has them, and what draws it to a file."""

    title: str
    name: str
    data: Any
    draw: Callable[[Path], None]


class Bullets(NamedTuple):
    """A list with its title."""

    title: str
    lines: Sequence[str]


Section = Table | Figure | Bullets


def write_report(
    studies: Sequence[Study],
    folder: Path,
    *,
    test_scores: Sequence[str] = (),
    calibrations: Sequence[str | Path] = (),
) -> None:
    """Write report.md, report.html, the figures with their data, and the results of each study (see `save_results`).

    studies (Sequence[Study]): The studies of a storage; tables and figures leave out searches among them.
    folder (Path): The folder; made if needed.
    test_scores (Sequence[str]): Scores on test sets, for table 1: "CORPUS/SYSTEM/ENCODER=FILES", with a pattern for the
        JSON files of `spacy tabcnn evaluate`, one for each seed (ADE: fold).
    calibrations (Sequence[str | Path]): Files of `spacy tabcnn calibration`.
    RAISES (ImportError): If matplotlib is not installed.
    RAISES (OSError): If there is no such file.
    RAISES (ValueError): If test_scores or a file cannot be read.
    """
    reliability = [read_calibration(path) for path in calibrations]
    sections = make_report(studies, read_test_scores(test_scores), reliability)
    folder.mkdir(parents=True, exist_ok=True)
    for study in studies:
        save_results(study, folder / f"{study.name}.jsonl")
    for section in sections:
        if isinstance(section, Figure):
            for suffix in (".png", ".svg"):
                section.draw(folder / f"{section.name}{suffix}")
            (folder / f"{section.name}.json").write_text(
                json.dumps(section.data, indent=1), encoding="utf-8"
            )
    (folder / "report.md").write_text(to_markdown(sections), encoding="utf-8")
    (folder / "report.html").write_text(to_html(sections, folder), encoding="utf-8")


def make_report(
    studies: Sequence[Study],
    test_scores: Mapping[tuple[str, str, str], Sequence[Summary]],
    calibrations: Sequence[tuple[str, Mapping[str, Calibration]]] = (),
) -> list[Section]:
    """Make the sections of a report, in the order of the paper.

    studies (Sequence[Study]): The studies; searches among them are left out.
    test_scores (Mapping): See `read_test_scores`.
    calibrations (Sequence): Titles and comparisons, see `read_calibration`.
    RETURNS (list[Section]): The sections.
    """
    studies = [
        study for study in studies if any(result.cell.layer is not None for result in study.results)
    ]
    return [
        Bullets("What was run", _describe_runs(studies)),
        make_test_table(test_scores),
        *make_layer_tables(studies),
        _make_layer_figure(
            "Figure 2: F1 by layer, encoder updated",
            "figure2",
            make_panels(studies, states=[False]),
        ),
        _make_layer_figure(
            "Figure 3: F1 by layer, encoder frozen or updated",
            "figure3",
            make_panels(studies, states=[True, False]),
        ),
        *(section for study in studies for section in _compare(study)),
        *_make_calibration_sections(calibrations),
        make_corpus_table(studies),
        make_parameter_table(studies),
        Bullets("What was not run", describe_missing(studies, test_scores)),
    ]


def _compare(study: Study) -> list[Section]:
    differences = compare_systems(study)
    title = f"The paper's order of the systems ({study.corpus}, {study.encoder})"
    return [Bullets(title, describe_order(differences)), make_difference_table(study, differences)]


def _make_layer_figure(title: str, name: str, rows: list[list[Panel]]) -> Figure:
    return Figure(
        title, name, [[panel.to_dict() for panel in row] for row in rows], partial(draw, rows)
    )


def _make_calibration_sections(
    calibrations: Sequence[tuple[str, Mapping[str, Calibration]]],
) -> list[Section]:
    """Make a reliability diagram of each model and one table of all."""
    sections: list[Section] = []
    rows = []
    for number, (title, groups) in enumerate(calibrations, start=1):
        data = {"title": title, "groups": {name: found.to_dict() for name, found in groups.items()}}
        figure = Figure(
            f"Reliability: {title}", f"reliability{number}", data, partial(draw_reliability, groups)
        )
        sections.append(figure)
        for name, found in groups.items():
            shares = [_format(100 * share) for share in (found.score, found.accuracy, found.error)]
            rows.append([title, TITLES[name], str(found.n), *shares])
    if rows:
        header = [
            "Model",
            "Predictions",
            "Number",
            "Mean score",
            "Right",
            "Expected calibration error",
        ]
        sections.append(
            Table("Calibration of scores", header, rows, ["Not in the paper. In percent."])
        )
    return sections


def read_test_scores(texts: Iterable[str]) -> dict[tuple[str, str, str], list[Summary]]:
    """Read the scores of trained models on test sets.

    texts (Iterable[str]): See `write_report`.
    RETURNS (dict[tuple[str, str, str], list[Summary]]): NER, RE and RE+ by corpus, system and encoder: macro F1 for
        ADE and micro F1 for the rest, as in the paper.
    RAISES (ValueError): If a text is malformed, or no file fits it.
    """
    found = {}
    for text in texts:
        name, _, pattern = text.partition("=")
        parts = name.split("/")
        paths = sorted(glob.glob(pattern))
        if len(parts) != 3 or not paths:
            raise ValueError(
                f"the test scores are {text!r}; expected CORPUS/SYSTEM/ENCODER=FILES and at least one such file, "
                "for example CoNLL04/TabERT-CNN/minilm=metrics/conll04_test*.json"
            )
        scores = [json.loads(Path(path).read_text(encoding="utf-8")) for path in paths]
        suffix = "macro_f" if parts[0] == CROSS_VALIDATED else "f"
        keys = [f"{measure}_{suffix}" for measure in MEASURES.values()]
        for path, score in zip(paths, scores, strict=True):
            if any(score.get(key) is None for key in keys):
                raise ValueError(
                    f"{path}: expected the output of `spacy tabcnn evaluate`, with {', '.join(keys)}"
                )
        found[parts[0], parts[1], parts[2]] = [
            summarise(score[key] for score in scores) for key in keys
        ]
    return found


def make_test_table(test_scores: Mapping[tuple[str, str, str], Sequence[Summary]]) -> Table:
    """Make table 1: scores on the test sets.

    test_scores (Mapping): See `read_test_scores`.
    RETURNS (Table): The table.
    """
    paper = dict(read_paper()["table1"])
    columns, note = paper.pop("columns"), paper.pop("note")
    rows = []
    for corpus in dict.fromkeys([*paper, *(corpus for corpus, _, _ in test_scores)]):
        for name, values in paper.get(corpus, {}).items():
            system, _, encoder = name.partition("/")
            rows.append([corpus, system, encoder, "paper", *(_format(value) for value in values)])
        unit = "fold" if corpus == CROSS_VALIDATED else "seed"
        for (where, system, encoder), scores in test_scores.items():
            if where == corpus:
                rows.append([corpus, system, encoder, _ours(scores, unit), *map(str, scores)])
    return Table(
        "Table 1: F1 on the test sets",
        ["Corpus", "System", "Encoder", "Source", *columns],
        rows,
        [f"{note} In percent."],
    )


def make_layer_tables(studies: Sequence[Study]) -> list[Table]:
    """Make tables 2 and 3: scores by encoder layer on the development set; and one more, for RE+.

    studies (Sequence[Study]): The layer studies.
    RETURNS (list[Table]): The tables.
    """
    paper = read_paper()
    erratum = paper["erratum"]
    return [
        _make_layer_table(
            "Table 2: F1 of entities (NER)",
            studies,
            "NER",
            paper["table2_ner_dev_conll04"],
            [erratum],
        ),
        _make_layer_table(
            "Table 3: F1 of relations (RE)",
            studies,
            "RE",
            paper["table3_re_dev_conll04"],
            [erratum],
        ),
        _make_layer_table(
            "Table 3, with the types of the entities (RE+)",
            studies,
            "RE+",
            {},
            ["Not in the paper."],
        ),
    ]


def _make_layer_table(
    title: str, studies: Sequence[Study], measure: str, paper: Mapping[str, Any], notes: list[str]
) -> Table:
    # The scores by layer of each row, and the row's first columns.
    lines: dict[tuple[str, bool], list[tuple[str, dict[int, str]]]] = {}
    layers = read_paper()["layers"]
    for system, states in paper.items():
        for frozen in (True, False):
            values = dict(zip(layers, map(_format, states[STATES[frozen]]), strict=True))
            lines.setdefault((system, frozen), []).append(("paper, bert-base", values))
    columns = set(layers if paper else ())
    for study in studies:
        summaries = summarise_study(study.results, MEASURES[measure])
        planned = {
            (r.cell.system, r.cell.frozen, r.cell.layer)
            for r in study.results
            if r.cell.layer is not None
        }
        columns |= {layer for _, _, layer in planned if layer is not None}
        for system, frozen in {
            (system, frozen) for system, frozen, _ in planned if frozen is not None
        }:
            own = {
                layer: s
                for (name, state, layer), s in summaries.items()
                if (name, state) == (system, frozen)
            }
            source = f"{_ours(own.values(), 'seed')}, {study.encoder}"
            if study.corpus != "CoNLL04":
                source += f", {study.corpus}"
            values = {layer: str(s) for layer, s in own.items() if layer is not None}
            lines.setdefault((system, frozen), []).append((source, values))
    rows = [
        [system, STATES[frozen], source, *(values.get(layer, NONE) for layer in sorted(columns))]
        for system in sort_systems(system for system, _ in lines)
        for frozen in (True, False)
        for source, values in lines.get((system, frozen), [])
    ]
    header = ["System", "Encoder", "Source", *map(str, sorted(columns))]
    return Table(
        f"{title} by encoder layer, on the development set",
        header,
        rows,
        [
            *notes,
            f"CoNLL04, in percent, with the standard deviation over seeds. {NONE}: not run, or not in the paper.",
        ],
    )


def make_difference_table(study: Study, differences: Sequence[Difference]) -> Table:
    """Tabulate how the systems of a study differ.

    study (Study): A layer study.
    differences (Sequence[Difference]): See `compare_systems`.
    RETURNS (Table): The differences in all measures, for each layer that both of two systems have.
    """
    rows: dict[tuple[str, str, str], list[str]] = {}
    for first, second, frozen, layer, _, comparison in differences:
        row = rows.setdefault((f"{first} − {second}", STATES[frozen], str(layer)), [])
        difference, low, high = (
            f"{100 * value:+.1f}".replace("-", "−") for value in comparison[:3]
        )
        p_value = "< 0.001" if comparison.p_value < 0.001 else f"{comparison.p_value:.3f}"
        row += [f"{difference} [{low}, {high}]", p_value]
    header = ["Systems", "Encoder", "Layer"]
    for measure in MEASURES:
        header += [f"{measure} difference [95 %]", "p"]
    return Table(
        f"Differences between systems ({study.corpus}, {study.encoder})",
        header,
        [[*key, *row] for key, row in rows.items()],
        [
            "Paired bootstrap over sentences (10,000 resamples) of the difference in micro F1, each the mean over the "
            "seeds; confidence interval and two-sided p-value. The p-values are not corrected for their number."
        ],
    )


def make_corpus_table(studies: Sequence[Study]) -> Table:
    """Make table 4: the sizes of the corpora.

    studies (Sequence[Study]): The layer studies.
    RETURNS (Table): The table.
    """
    rows = []
    for corpus, counts in read_paper()["table4_datasets"].items():
        sizes = [str(counts.get(part, NONE)) for part in ("train", "dev", "test")]
        if "sentences" in counts:
            sizes = [f"{counts['sentences']} ({counts['protocol']})", NONE, NONE]
        rows.append(
            [corpus, "paper", *sizes, str(counts["entity_types"]), str(counts["relation_types"])]
        )
    for corpus, counts in {
        study.corpus: study.settings.get("corpus", {}) for study in studies
    }.items():
        if "train" in counts:
            types = [str(counts["train"][key]) for key in ("entity_types", "relation_types")]
            rows.append(
                [
                    corpus,
                    "ours",
                    *(str(counts[part]["sentences"]) for part in ("train", "dev")),
                    NONE,
                    *types,
                ]
            )
    order = list(dict.fromkeys(row[0] for row in rows))
    rows.sort(key=lambda row: order.index(row[0]))
    header = ["Corpus", "Source", "Train", "Development", "Test", "Entity types", "Relation types"]
    return Table(
        "Table 4: sentences and types of the corpora",
        header,
        rows,
        ["Studies do not read test sets."],
    )


def make_parameter_table(studies: Sequence[Study]) -> Table:
    """Make table 5: the hyper-parameters.

    studies (Sequence[Study]): The layer studies; their configs are read.
    RETURNS (Table): The table.
    """
    paper = read_paper()["table5_hyperparameters"]
    common = paper["all"]
    names = (
        "Kernel",
        "Layers",
        "Hidden channels",
        "Batch size",
        "Learning rate of the encoder",
        "Learning rate of the rest",
        "Dropout",
        "Warm-up (share of the steps)",
        "Epochs",
    )
    columns = {}
    for corpus in ("CoNLL04", "ACE05", "ADE"):
        own = paper[corpus]
        columns[f"{corpus}, paper"] = [
            " × ".join(map(str, own["kernel"])),
            str(own["layers"]),
            ", ".join(map(str, own["hidden"])),
            str(own["batch_size"]),
            *(f"{common[key]:g}" for key in ("lr_bert", "lr_other", "dropout", "warmup", "epochs")),
        ]
    for study in studies:
        for system in sort_systems(study.settings.get("systems", {})):
            n_train = study.settings.get("corpus", {}).get("train", {}).get("sentences")
            columns[f"{study.corpus}, {system}, ours"] = _read_parameters(
                study.settings["systems"][system], n_train
            )
    rows = [
        [name, *(column[number] for column in columns.values())]
        for number, name in enumerate(names)
    ]
    notes = ["Paper: TabERT-CNN. Ours: what the configs of the studies say."]
    return Table("Table 5: hyper-parameters", ["", *columns], rows, notes)


def _read_parameters(text: str, n_train: int | None) -> list[str]:
    """Read a system's hyper-parameters out of its config."""
    config = Config().from_str(text, interpolate=False)
    training = config["training"]
    models = [component.get("model", {}) for component in config["components"].values()]
    head: dict[str, Any] = next((model["head"] for model in models if "head" in model), {})
    kernel, hidden = head.get("kernel_size"), head.get("hidden")
    size = training.get("batcher", {}).get("size")
    optimizer = training.get("optimizer", {})
    rates = [
        optimizer.get(key) or optimizer.get("learn_rate")
        for key in ("learn_rate", "head_learn_rate")
    ]
    warmup = rates[0].get("warmup") if isinstance(rates[0], dict) else None
    epochs = training["max_steps"] * size / n_train if n_train and isinstance(size, int) else None
    return [
        NONE if kernel is None else f"{kernel} × {kernel}",
        NONE if hidden is None else str(len(hidden) + 1),
        NONE if hidden is None else ", ".join(map(str, hidden)),
        _format(size, "g"),
        *(_format(rate.get("rate") if isinstance(rate, dict) else rate, "g") for rate in rates),
        _format(training.get("dropout"), "g"),
        _format(warmup, "g"),
        _format(epochs, ".0f"),
    ]


def describe_missing(
    studies: Sequence[Study], test_scores: Mapping[tuple[str, str, str], Any]
) -> list[str]:
    """Say what the paper has and we have not, and which cells of the studies have no result.

    studies (Sequence[Study]): The layer studies.
    test_scores (Mapping): See `read_test_scores`.
    RETURNS (list[str]): A sentence for each.
    """
    paper = read_paper()
    lines = []
    for corpus, rows in paper["table1"].items():
        if corpus in ("columns", "note"):
            continue
        ours = {(system, encoder) for where, system, encoder in test_scores if where == corpus}
        missing = [name for name in rows if tuple(name.split("/")) not in ours]
        if missing:
            lines.append(f"Table 1, {corpus} with the paper's encoder: {', '.join(missing)}")
    ours_run = {
        (r.cell.system, r.cell.frozen)
        for study in studies
        if study.corpus == "CoNLL04"
        for r in study.results
    }
    for system in sort_systems(paper["table2_ner_dev_conll04"]):
        missing = [STATES[frozen] for frozen in (True, False) if (system, frozen) not in ours_run]
        if missing:
            lines.append(f"Tables 2 and 3: {system}, encoder {' and '.join(missing)}")
    if not any("bert-base" in study.encoder.lower() for study in studies):
        lines.append("Tables 2 and 3 with the paper's encoder, bert-base")
    for study in studies:
        for state in ("waiting", "running", "fail"):
            cells = [result for result in study.results if result.state == state]
            if cells:
                names = ", ".join(result.cell.name for result in cells[:8]) + (
                    ", …" if len(cells) > 8 else ""
                )
                word = "failed" if state == "fail" else state
                lines.append(
                    f"Study {study.name!r}: {len(cells)} of {len(study.results)} cells {word}: {names}"
                )
        for error, count in Counter(
            r.error for r in study.results if r.state == "fail" and r.error
        ).items():
            lines.append(f"Study {study.name!r}, {count} cells: {error}")
    return lines


def _describe_runs(studies: Sequence[Study]) -> list[str]:
    lines = [f"Paper: {read_paper()['source'].rstrip('.')}"]
    for study in studies:
        complete = [result for result in study.results if result.state == "complete"]
        seeds = sorted({result.cell.seed for result in complete})
        hours = sum(result.minutes or 0 for result in complete) / 60
        lines.append(
            f"Study {study.name!r}: {study.corpus}, encoder {study.encoder}, {len(complete)} of {len(study.results)} "
            f"cells, {_count(len(seeds), 'seed')}, {hours:.1f} hours of training. Each cell is scored on the "
            "development set by the checkpoint that is best there"
        )
    return lines if studies else [*lines, "No layer study was run"]


def to_markdown(sections: Iterable[Section]) -> str:
    """RETURNS (str): The report as Markdown; figures are links to their files."""
    parts = ["# TabERT-CNN: the paper's experiments", ""]
    for section in sections:
        parts += [f"## {section.title}", ""]
        if isinstance(section, Figure):
            parts += [
                f"![{section.title}]({section.name}.png)",
                "",
                f"Data: `{section.name}.json`.",
            ]
        elif isinstance(section, Bullets):
            parts += [f"- {line}." for line in section.lines] or ["Nothing."]
        elif section.rows:
            rows = [section.header, ["---"] * len(section.header), *section.rows]
            parts += [
                f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
                for row in rows
            ]
            parts += ["", *section.notes]
        else:
            parts.append("Not run.")
        parts.append("")
    return "\n".join(parts)


_STYLE = """
body { font: 15px/1.45 Georgia, serif; color: #111; max-width: 1100px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.1em; margin: 2em 0 .5em; }
table { border-collapse: collapse; font: 13px/1.35 Arial, sans-serif; border-top: 2px solid; border-bottom: 2px solid; }
th { text-align: left; border-bottom: 1px solid; } th, td { padding: 2px 10px 2px 0; vertical-align: top; }
td.number, th.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
tr.paper td { color: #666; } .wide { overflow-x: auto; } .note { font-size: 13px; color: #444; }
img { max-width: 100%; }
@media print { body { max-width: none; } h2 { break-after: avoid; } img, table { break-inside: avoid; } }
"""


def to_html(sections: Iterable[Section], folder: Path) -> str:
    """Write the report as one page that needs no other file.

    sections (Iterable[Section]): The sections.
    folder (Path): Where the figures are.
    RETURNS (str): The page.
    """
    parts = []
    for section in sections:
        parts.append(f"<h2>{escape(section.title)}</h2>")
        if isinstance(section, Figure):
            image = base64.b64encode((folder / f"{section.name}.svg").read_bytes()).decode("ascii")
            parts.append(
                f'<img alt="{escape(section.title)}" src="data:image/svg+xml;base64,{image}">'
            )
        elif isinstance(section, Bullets):
            items = "".join(f"<li>{escape(line)}.</li>" for line in section.lines)
            parts.append(f"<ul>{items}</ul>" if items else "<p>Nothing.</p>")
        elif section.rows:
            parts.append(_table_to_html(section))
            parts += [f'<p class="note">{escape(note)}</p>' for note in section.notes]
        else:
            parts.append("<p>Not run.</p>")
    title = "TabERT-CNN: the paper's experiments"
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _table_to_html(table: Table) -> str:
    # A column is one of numbers if all that is in it begins like one.
    numeric = [
        number > 0 and all(row[number][:1] in f"0123456789+−<{NONE}" for row in table.rows)
        for number in range(len(table.header))
    ]

    def to_row(tag: str, cells: Sequence[str]) -> str:
        classes = (' class="number"' if is_numeric else "" for is_numeric in numeric)
        return "".join(
            f"<{tag}{name}>{escape(cell)}</{tag}>"
            for name, cell in zip(classes, cells, strict=True)
        )

    lines = [f"<tr>{to_row('th', table.header)}</tr>"]
    for row in table.rows:
        name = (
            ' class="paper"'
            if any(cell == "paper" or cell.startswith("paper,") for cell in row)
            else ""
        )
        lines.append(f"<tr{name}>{to_row('td', row)}</tr>")
    return '<div class="wide"><table>\n' + "\n".join(lines) + "\n</table></div>"


def _ours(summaries: Iterable[Summary], unit: str) -> str:
    numbers = sorted({summary.n_runs for summary in summaries})
    if not numbers:
        return "ours (not run)"
    if len(numbers) > 1:
        return f"ours ({numbers[0]}–{numbers[-1]} {unit}s)"
    return f"ours ({_count(numbers[0], unit)})"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _format(value: Any, spec: str = ".1f") -> str:
    return f"{value:{spec}}" if isinstance(value, int | float) else NONE
