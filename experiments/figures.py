"""Figures 2 and 3 of the paper, F1 over the encoder layer, with the curves of studies below."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, cycle, product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from spacy_tabcnn.visual.reliability import BLUE, save_figure, tidy_axis

from .grid import STATES, RunGroup
from .paper import get_layer_scores, read_paper
from .results import ScoreSummary, Study, sort_systems, summarise_study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.container import ErrorbarContainer

# A colour and a mark. Colour-blind readers can tell the colours apart (Okabe and Ito, 2008). The
# marks tell the systems apart without any colour.
Style = tuple[str, str]
_STYLES = {"TabERT-CNN": (BLUE, "o"), "TabERT": ("#D55E00", "s"), "SpERT": ("#009E73", "^")}
_OTHER_STYLES = (("#CC79A7", "D"), ("#E69F00", "v"), ("#56B4E9", "P"), ("#000000", "X"))
# Three columns of longer labels are wider than the figure.
_WIDE_LABEL = 22
_PANELS = {"NER": "Entities (NER)", "RE": "Relations (RE)"}


class Series(NamedTuple):
    """A curve.

    system (str): Name of the system.
    frozen (bool): Whether its encoder is frozen.
    layers (list[int]): The encoder layers.
    mean (list[float]): F1 at each layer, in percent.
    sd (list[float | None]): Standard deviation of F1 over seeds; None where it is not known.
    """

    system: str
    frozen: bool
    layers: list[int]
    mean: list[float]
    sd: list[float | None]

    @property
    def label(self) -> str:
        """The name of the curve in the legend."""
        return f"{self.system} ({STATES[self.frozen]})"


class PanelData(TypedDict):
    """A plot in a JSON file."""

    title: str
    x: str
    y: str
    series: list[dict[str, object]]


class Panel(NamedTuple):
    """A plot.

    title (str): The title.
    measure (str): "NER" or "RE".
    series (list[Series]): The curves, in the order of the legend.
    """

    title: str
    measure: str
    series: list[Series]

    def to_dict(self) -> PanelData:
        """Return the data for a JSON file.

        RETURNS (PanelData): The data.
        """
        return {
            "title": self.title,
            "x": "encoder layer",
            "y": "F1 in percent",
            "series": [series._asdict() for series in self.series],
        }


def make_panels(studies: Sequence[Study], *, states: Sequence[bool]) -> list[list[Panel]]:
    """Collect the data of a figure.

    studies (Sequence[Study]): The layer studies.
    states (Sequence[bool]): The states of the encoder to show, True for frozen.
    RETURNS (list[list[Panel]]): A row for the paper and one for each study, each with entities and
        relations. Rows without a curve are left out.
    """
    paper = []
    for measure, title in _PANELS.items():
        paper.append(Panel(f"{title}, paper", measure, _make_paper_series(measure, states)))
    rows = [paper]
    for study in studies:
        row = []
        for measure, title in _PANELS.items():
            series = _make_study_series(study, measure, states)
            row.append(Panel(f"{title}, ours, {study.label}", measure, series))
        if any(panel.series for panel in row):
            rows.append(row)
    return rows


def _make_paper_series(measure: str, states: Sequence[bool]) -> list[Series]:
    layers = read_paper()["layers"]
    scores = get_layer_scores(measure)
    series = []
    for system, frozen in product(sort_systems(scores), sorted(states)):
        mean = scores[system][STATES[frozen]]
        series.append(Series(system, frozen, layers, mean, [None] * len(layers)))
    return series


def _make_study_series(study: Study, measure: str, states: Sequence[bool]) -> list[Series]:
    summaries = summarise_study(study, measure)
    systems = sort_systems(group.system for group in summaries)
    series = []
    for system, frozen in product(systems, sorted(states)):
        curve = _make_curve(system, frozen, summaries)
        if curve.layers:
            series.append(curve)
    return series


def _make_curve(system: str, frozen: bool, summaries: Mapping[RunGroup, ScoreSummary]) -> Series:
    layers, means, deviations = [], [], []
    for group in sorted(summaries, key=lambda group: group.layer or 0):
        if (group.system, group.frozen) == (system, frozen) and group.layer is not None:
            layers.append(group.layer)
            means.append(summaries[group].mean)
            deviations.append(summaries[group].sd)
    return Series(system, frozen, layers, means, deviations)


def draw_panels(rows: Sequence[Sequence[Panel]], path: Path) -> None:
    """Draw a figure.

    rows (Sequence[Sequence[Panel]]): The panels.
    path (Path): The file; its extension, .png or .svg, decides the format.
    RAISES (ImportError): If matplotlib is not installed.
    """
    with save_figure(path, height=0.6 + 2.9 * len(rows)) as figure:
        axes = figure.subplots(len(rows), len(rows[0]), squeeze=False)
        handles: dict[str, Any] = {}
        for axis, panel in zip(axes.flat, chain.from_iterable(rows), strict=True):
            handles.update(_draw_panel(axis, panel))
        figure.legend(
            handles.values(),
            handles,
            loc="outside lower center",
            ncols=2 if max(map(len, handles), default=0) > _WIDE_LABEL else 3,
            frameon=False,
            handlelength=3,
        )


def _draw_panel(axis: "Axes", panel: Panel) -> "dict[str, ErrorbarContainer]":
    """Draw a plot, and return its curves by their labels."""
    styles = choose_styles(series.system for series in panel.series)
    handles = {}
    layers: set[int] = set()
    for series in panel.series:
        handles[series.label] = _draw_series(axis, series, styles[series.system])
        layers.update(series.layers)
    last, step = max(layers, default=12), 1
    if last > 8:
        step = 2
    axis.set(
        title=panel.title,
        xlabel="Encoder layer",
        ylabel="F1",
        ylim=(-2, 100),  # a mark at 0 is whole
        xticks=range(0, last + 1, step),
        yticks=range(0, 101, 10),
    )
    axis.title.set_fontsize(9)
    tidy_axis(axis)
    return handles


def choose_styles(systems: Iterable[str]) -> dict[str, Style]:
    """Choose a style for each system. A system of the paper has the same style in all figures.

    systems (Iterable[str]): Names of systems.
    RETURNS (dict[str, Style]): A colour and a mark for each.
    """
    styles: dict[str, Style] = dict(_STYLES)
    others = cycle(_OTHER_STYLES)
    for system in sort_systems(systems):
        if system not in styles:
            styles[system] = next(others)
    return styles


def _draw_series(axis: "Axes", series: Series, style: Style) -> "ErrorbarContainer":
    color, marker = style
    fill, line = color, "-"
    if series.frozen:
        fill, line = "white", "--"
    bars = None
    if any(sd is not None for sd in series.sd):
        bars = [sd or 0.0 for sd in series.sd]
    return axis.errorbar(
        series.layers,
        series.mean,
        yerr=bars,
        color=color,
        marker=marker,
        markersize=4.5,
        markerfacecolor=fill,
        linestyle=line,
        linewidth=1.3,
        elinewidth=0.8,
        capsize=2,
    )
