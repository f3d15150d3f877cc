"""Figures: F1 over the encoder layer, of the paper and of a study (the paper's figures 2 and 3), and reliability."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from spacy_tabcnn.evaluation.calibration import TITLES, Calibration

from .results import MEASURES, Study, read_paper, sort_systems, summarise_study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colours that the colour-blind can tell apart (Okabe and Ito, 2008), and marks that tell the systems apart without any.
_STYLES = {"TabERT-CNN": ("#0072B2", "o"), "TabERT": ("#D55E00", "s"), "SpERT": ("#009E73", "^")}
_OTHER_STYLES = (("#CC79A7", "D"), ("#E69F00", "v"), ("#56B4E9", "P"), ("#000000", "X"))
_PANELS = {"NER": "Entities (NER)", "RE": "Relations (RE)"}
_PAPER_TABLES = {"NER": "table2_ner_dev_conll04", "RE": "table3_re_dev_conll04"}


class Series(NamedTuple):
    """A curve.

    system (str): Name of the system.
    frozen (bool): Whether its encoder is frozen.
    layers (list[int]): The encoder layers.
    mean (list[float]): F1 at each layer, in percent.
    sd (list[float | None]): Its standard deviation over seeds; None where it is not known.
    """

    system: str
    frozen: bool
    layers: list[int]
    mean: list[float]
    sd: list[float | None]

    @property
    def label(self) -> str:
        """Its name in the legend."""
        return f"{self.system} ({'frozen' if self.frozen else 'updated'})"


class Panel(NamedTuple):
    """A plot: its title, its measure ("NER" or "RE") and its curves, in the order of the legend."""

    title: str
    measure: str
    series: list[Series]

    def to_dict(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The data, for a JSON file."""
        return {
            "title": self.title,
            "x": "encoder layer",
            "y": "F1 in percent",
            "series": [series._asdict() for series in self.series],
        }


def make_panels(studies: Sequence[Study], *, states: Sequence[bool]) -> list[list[Panel]]:
    """Collect the data of a figure.

    studies (Sequence[Study]): The layer studies.
    states (Sequence[bool]): The states of the encoder that are shown, True for frozen.
    RETURNS (list[list[Panel]]): A row for the paper and one for each study, each with entities and relations.
    """
    rows = [
        [
            Panel(f"{_PANELS[measure]}, paper", measure, _paper_series(measure, states))
            for measure in _PANELS
        ]
    ]
    for study in studies:
        title = f"ours, {study.encoder}" + (
            "" if study.corpus == "CoNLL04" else f", {study.corpus}"
        )
        rows.append(
            [
                Panel(f"{_PANELS[measure]}, {title}", measure, _our_series(study, measure, states))
                for measure in _PANELS
            ]
        )
    return [row for row in rows if any(panel.series for panel in row)]


def _paper_series(measure: str, states: Sequence[bool]) -> list[Series]:
    paper = read_paper()
    table = paper[_PAPER_TABLES[measure]]
    layers = paper["layers"]
    return [
        Series(
            system,
            frozen,
            layers,
            table[system]["frozen" if frozen else "updated"],
            [None] * len(layers),
        )
        for system in sort_systems(table)
        for frozen in sorted(states)
    ]


def _our_series(study: Study, measure: str, states: Sequence[bool]) -> list[Series]:
    summaries = summarise_study(study.results, MEASURES[measure])
    found = []
    for system in sort_systems(system for system, _, _ in summaries):
        for frozen in sorted(states):
            layers = sorted(
                layer
                for name, state, layer in summaries
                if (name, state) == (system, frozen) and layer is not None
            )
            if layers:
                points = [summaries[system, frozen, layer] for layer in layers]
                found.append(
                    Series(
                        system,
                        frozen,
                        layers,
                        [point.mean for point in points],
                        [point.sd for point in points],
                    )
                )
    return found


def draw(rows: Sequence[Sequence[Panel]], path: Path) -> None:
    """Draw a figure.

    rows (Sequence[Sequence[Panel]]): The panels.
    path (Path): The file; its extension, .png or .svg, decides the format.
    RAISES (ImportError): If matplotlib is not installed.
    """
    with _saved(path, height=0.6 + 2.9 * len(rows)) as figure:
        axes = figure.subplots(len(rows), len(rows[0]), squeeze=False)
        handles: dict[str, Any] = {}
        for row, panels in zip(axes, rows, strict=True):
            for axis, panel in zip(row, panels, strict=True):
                handles.update(_draw_panel(axis, panel))
        figure.legend(
            handles.values(),
            handles,
            loc="outside lower center",
            ncols=3,
            frameon=False,
            handlelength=3,
        )


def draw_reliability(groups: Mapping[str, Calibration], path: Path) -> None:
    """Draw a reliability diagram: accuracy over score, and below it how many predictions have such a score.

    groups (Mapping[str, Calibration]): The comparisons, by their names in `TITLES`; each gets a column.
    path (Path): The file; its extension, .png or .svg, decides the format.
    RAISES (ImportError): If matplotlib is not installed.
    """
    with _saved(path, height=3.6) as figure:
        axes = figure.subplots(
            2, len(groups), squeeze=False, sharex="col", sharey="row", height_ratios=(3, 1)
        )
        for upper, lower, (name, calibration) in zip(*axes, groups.items(), strict=True):
            _draw_accuracy(upper, calibration)
            error = f"calibration error {100 * calibration.error:.1f} %"
            upper.set_title(f"{TITLES[name]}\nn = {calibration.n}, {error}", fontsize=8)
            bins = calibration.bins
            widths, heights = [bin_.high - bin_.low for bin_ in bins], [bin_.n for bin_ in bins]
            lower.bar(
                [bin_.low for bin_ in bins],
                heights,
                widths,
                align="edge",
                color="0.7",
                edgecolor="w",
            )
            lower.set(xlabel="Score", yscale="log")
            lower.yaxis.set_major_formatter("{x:g}")
            _tidy(lower)
        axes[0, 0].set_ylabel("Share that is right")
        axes[1, 0].set_ylabel("Predictions")


@contextmanager
def _saved(path: Path, *, height: float) -> "Iterator[Figure]":
    """Make a figure, and save it when it has been drawn."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"font.size": 9, "svg.hashsalt": path.stem, "svg.fonttype": "path"}):
        figure = Figure(figsize=(7.2, height), layout="constrained")
        yield figure
        # A date in the file would make each run another file.
        metadata = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(path, dpi=200, metadata=metadata)


def _draw_accuracy(axis: "Axes", calibration: Calibration) -> None:
    color, marker = _STYLES["TabERT-CNN"]
    bins = calibration.bins
    axis.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, linestyle=":")
    axis.errorbar(
        [bin_.score for bin_ in bins],
        [bin_.accuracy for bin_ in bins],
        yerr=[
            [bin_.accuracy - bin_.interval[0] for bin_ in bins],
            [bin_.interval[1] - bin_.accuracy for bin_ in bins],
        ],
        color=color,
        marker=marker,
        markersize=4.5,
        linestyle="none",  # a bin may hold very few
        elinewidth=0.8,
        capsize=2,
    )
    ticks = [0, 0.2, 0.4, 0.6, 0.8, 1]
    axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=ticks, yticks=ticks)
    _tidy(axis)


def _draw_panel(axis: "Axes", panel: Panel) -> dict[str, Any]:
    """RETURNS (dict[str, Any]): The curves by their labels."""
    handles = {}
    others = sort_systems(series.system for series in panel.series if series.system not in _STYLES)
    styles = _STYLES | {
        name: _OTHER_STYLES[i % len(_OTHER_STYLES)] for i, name in enumerate(others)
    }
    for series in panel.series:
        color, marker = styles[series.system]
        handles[series.label] = axis.errorbar(
            series.layers,
            series.mean,
            yerr=None if all(sd is None for sd in series.sd) else [sd or 0.0 for sd in series.sd],
            color=color,
            marker=marker,
            markersize=4.5,
            markerfacecolor="white" if series.frozen else color,
            linestyle="--" if series.frozen else "-",
            linewidth=1.3,
            elinewidth=0.8,
            capsize=2,
        )
    last = max((layer for series in panel.series for layer in series.layers), default=12)
    axis.set(
        title=panel.title,
        xlabel="Encoder layer",
        ylabel="F1",
        ylim=(-2, 100),  # a mark at 0 is whole
        xticks=range(0, last + 1, 2 if last > 8 else 1),
        yticks=range(0, 101, 10),
    )
    axis.title.set_fontsize(9)
    _tidy(axis)
    return handles


def _tidy(axis: "Axes") -> None:
    axis.grid(axis="y", color="0.85", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
