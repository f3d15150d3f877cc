"""The options of pictures, and the colours of labels."""

from collections.abc import Mapping, Sequence
from colorsys import hls_to_rgb
from math import isfinite
from numbers import Real
from typing import TypedDict, TypeGuard, cast

# Relative luminances of neighbouring colours (WCAG 2). Black text on them has a contrast of at
# least 4.5. Lines in them have a contrast of at least 3 with white and with dark pages.
_LUMINANCES = (0.27, 0.19)
_COMMON = ("bg", "color", "colors", "font")
_OPTIONS = {"relations": (*_COMMON, "width"), "table": (*_COMMON, "cell_size")}
MIN_WIDTH = 160
_MINIMA = {"width": MIN_WIDTH, "cell_size": 1}


class PictureOptions(TypedDict, total=False):
    """The options of a picture.

    colors (Mapping[str, str]): CSS colours of labels; the others have the default colours.
    color (str): CSS colour of words, by default the colour of the text around the picture.
    bg (str): CSS colour of the background, by default none.
    font (str): CSS font.
    width (float): Width of the lines of words, in pixels; of arcs.
    cell_size (float): Minimum width and height of a cell, in pixels; of the label table.
    """

    colors: Mapping[str, str]
    color: str
    bg: str
    font: str
    width: float
    cell_size: float


def check_options(options: Mapping[str, object] | None, style: str) -> PictureOptions:
    """Check the names and the values of options.

    options (Mapping[str, object] | None): The options.
    style (str): "relations" or "table".
    RETURNS (PictureOptions): The options.
    RAISES (ValueError): If an option does not belong to the style, or its value does not fit.
    """
    if options is None:
        return {}
    if not isinstance(options, Mapping):
        raise ValueError(
            f"spacy_tabcnn.visual.render: `options` is {options!r}; expected a dictionary of "
            "options, or None"
        )
    for name, value in options.items():
        if name not in _OPTIONS[style]:
            raise ValueError(
                f"spacy_tabcnn.visual.render: unknown option {name!r} of style {style!r}; expected "
                f"{', '.join(_OPTIONS[style])}"
            )
        expected = _find_expected(name, value)
        if expected:
            raise ValueError(
                f"spacy_tabcnn.visual.render: the option {name!r} is {value!r}; expected {expected}"
            )
    return cast(PictureOptions, dict(options))


def _find_expected(name: str, value: object) -> str:
    """Return the values that an option can have; empty if it has one of them."""
    if name in _MINIMA:
        if not _is_number(value):
            return "a number of pixels, or leave the option out"
        if value < _MINIMA[name]:
            return f"at least {_MINIMA[name]} pixels"
    elif name == "colors":
        if not _has_strings(value):
            return "a dictionary of labels and CSS colours, or leave the option out"
    elif not isinstance(value, str):
        return "a string of CSS, or leave the option out"
    return ""


def _is_number(value: object) -> TypeGuard[float]:
    """Check whether a value is a finite number. Numbers of numpy are, and truth values are not."""
    return isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)


def _has_strings(value: object) -> bool:
    """Check whether a value is a dictionary of strings with strings."""
    if not isinstance(value, Mapping):
        return False
    return all(isinstance(item, str) for item in (*value.keys(), *value.values()))


def label_colours(labels: Sequence[str]) -> dict[str, str]:
    """Choose colours for labels, as far apart as their number allows.

    The hues go around the colour circle. Every second colour is darker.

    labels (Sequence[str]): The labels, in the order that decides their colours.
    RETURNS (dict[str, str]): A CSS colour for each label. Black text on it is readable, and so are
        lines in it on light and on dark pages.
    """
    colours = {}
    for index, label in enumerate(labels):
        colours[label] = _make_colour(index / len(labels), _LUMINANCES[index % 2])
    return colours


def _make_colour(hue: float, luminance: float) -> str:
    """Make a colour of a hue and a luminance, by bisection over its lightness."""
    low, high = 0.0, 1.0
    for _ in range(12):
        middle = (low + high) / 2
        rgb = hls_to_rgb(hue, middle, 0.6)
        if _compute_luminance(rgb) < luminance:
            low = middle
        else:
            high = middle
    red, green, blue = (round(255 * value) for value in rgb)
    return f"#{red:02x}{green:02x}{blue:02x}"


def _compute_luminance(rgb: tuple[float, float, float]) -> float:
    """Compute the relative luminance of a colour (WCAG 2)."""
    total = 0.0
    for value, weight in zip(rgb, (0.2126, 0.7152, 0.0722), strict=True):
        if value > 0.04045:
            total += weight * ((value + 0.055) / 1.055) ** 2.4
        else:
            total += weight * value / 12.92
    return total
