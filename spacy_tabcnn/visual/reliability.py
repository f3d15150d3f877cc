"""Reliability diagrams: accuracy over score, drawn with matplotlib (extra `report`)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from ..evaluation.calibration import TITLES, Calibration
from ..files import replace_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# A colour that colour-blind readers can tell apart from the others of its palette (Okabe and Ito,
# 2008).
BLUE = "#0072B2"
# The beginning of the style sheet in SVG files of matplotlib, and its continuation.
_SVG_STYLE = '<style type="text/css">'
_SCHEMES = "svg{color-scheme: light dark; color: CanvasText; fill: currentColor}"


def draw_reliability(groups: Mapping[str, Calibration], path: Path) -> None:
    """Draw a reliability diagram: accuracy over score. Below it are the numbers of predictions.

    groups (Mapping[str, Calibration]): The comparisons, by their names in `TITLES`; each gets a
        column.
    path (Path): The file; its extension, .png or .svg, decides the format.
    RAISES (ImportError): If matplotlib is not installed.
    """
    with save_figure(path, height=3.6) as figure:
        axes = figure.subplots(
            2, len(groups), squeeze=False, sharex="col", sharey="row", height_ratios=(3, 1)
        )
        for upper, lower, (name, calibration) in zip(*axes, groups.items(), strict=True):
            error = f"calibration error {100 * calibration.error:.1f} %"
            upper.set_title(f"{TITLES[name]}\nn = {calibration.n}, {error}", fontsize=8)
            _draw_accuracy(upper, calibration)
            _draw_numbers(lower, calibration)
        axes[0, 0].set_ylabel("Share that is right")
        axes[1, 0].set_ylabel("Predictions")


@contextmanager
def save_figure(path: Path, *, height: float) -> "Iterator[Figure]":
    """Make a figure, and save it at the end of the context. An SVG file has the colours of the
    page around it, light or dark, without a background.

    path (Path): The file; its extension, .png or .svg, decides the format.
    height (float): Height of the figure in inches.
    YIELDS (Figure): The empty figure.
    RAISES (ImportError): If matplotlib is not installed.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"font.size": 9, "svg.hashsalt": path.stem, "svg.fonttype": "path"}):
        figure = Figure(figsize=(7.2, height), layout="constrained")
        yield figure
        with replace_file(path) as new:
            if path.suffix == ".svg":
                new.write_text(draw_svg(figure), encoding="utf-8")
            else:
                figure.savefig(new, dpi=200)


def draw_svg(figure: "Figure") -> str:
    """Draw a figure as SVG without a background. Black stands for the text's colour of the page
    around it, and white for its background's colour.

    figure (Figure): The figure.
    RETURNS (str): The picture.
    """
    buffer = StringIO()
    # A date would make each run another file.
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue().replace("#000000", "currentColor").replace("#ffffff", "Canvas")
    # Black text has no colour of its own in the file.
    return svg.replace(_SVG_STYLE, f"{_SVG_STYLE}{_SCHEMES}", 1)


def tidy_axis(axis: "Axes") -> None:
    """Draw a light grid behind the data of an axis, and hide its upper and right border.

    axis (Axes): The axis.
    """
    axis.grid(axis="y", color="0.5", alpha=0.3, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def _draw_accuracy(axis: "Axes", calibration: Calibration) -> None:
    scores, accuracies, below, above = [], [], [], []
    for bin_ in calibration.bins:
        low, high = bin_.interval
        scores.append(bin_.score)
        accuracies.append(bin_.accuracy)
        below.append(bin_.accuracy - low)
        above.append(high - bin_.accuracy)
    axis.plot([0, 1], [0, 1], color="0.6", linewidth=0.8, linestyle=":")
    axis.errorbar(
        scores,
        accuracies,
        yerr=[below, above],
        color=BLUE,
        marker="o",
        markersize=4.5,
        linestyle="none",  # a bin may hold very few predictions
        elinewidth=0.8,
        capsize=2,
    )
    ticks = [0, 0.2, 0.4, 0.6, 0.8, 1]
    axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xticks=ticks, yticks=ticks)
    tidy_axis(axis)


def _draw_numbers(axis: "Axes", calibration: Calibration) -> None:
    lows, numbers, widths = [], [], []
    for bin_ in calibration.bins:
        lows.append(bin_.low)
        numbers.append(bin_.n)
        widths.append(bin_.high - bin_.low)
    axis.bar(lows, numbers, widths, align="edge", color="0.7", edgecolor="w")
    axis.set(xlabel="Score", yscale="log")
    axis.yaxis.set_major_formatter("{x:g}")
    tidy_axis(axis)
