"""Calibration: the share of right predictions among predictions with similar scores.

Of entities and relations that score 0.8, eight in ten should be right (Guo et al., 2017, section
2). A temperature that softens the scores brings them nearer to that (section 4.2).
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence, Set
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from spacy.training import Example

from ..files import write_json
from ..predictions import RESOLUTION, Temperature
from .errors import find_errors
from .items import EntityItem, Item, entity_items

# The score of a prediction, and whether the prediction is right.
Scored = tuple[float, bool]
# The groups of predictions, by their names in files.
TITLES = {
    "ents": "Entities",
    "rels_strict": "Relations, strict (RE+)",
    "rels_between_gold": "Relations between gold entities",
}
# The temperatures that are tried, 1 % apart.
_TEMPERATURES = np.geomspace(0.1, 100.0, 695)
# The advice where the lowest or the highest of them is the best.
_SHARPEST = "Take a larger corpus, which the model has not learned from"
_SOFTEST = (
    "A softened score stays on its side of 0.5, and too few of the predictions above 0.5 are "
    "right. Raise the threshold of the component, or train a better model"
)
# The quantile of the normal distribution for intervals of 95 %.
_Z = 1.96


class Bin(NamedTuple):
    """Predictions with similar scores.

    low (float): Minimum score of the bin.
    high (float): End of the bin; exclusive, except in the last bin.
    n (int): Number of predictions.
    score (float): Mean score of the predictions.
    accuracy (float): Share of the predictions that are right.
    interval (tuple[float, float]): Wilson's interval of the accuracy, 95 %.
    """

    low: float
    high: float
    n: int
    score: float
    accuracy: float
    interval: tuple[float, float]


class Calibration(NamedTuple):
    """The comparison of scores with the share of right predictions.

    n (int): Number of predictions.
    score (float): Mean score of the predictions; 0 if there are none.
    accuracy (float): Share of the predictions that are right; 0 if there are none.
    error (float): The expected calibration error: the difference between mean score and accuracy of
        a bin, averaged over the predictions.
    bins (list[Bin]): The bins with at least one prediction, in ascending order.
    """

    n: int
    score: float
    accuracy: float
    error: float
    bins: list[Bin]

    def to_dict(self) -> dict[str, object]:
        """Return the figures for a JSON file.

        RETURNS (dict[str, object]): The figures by name.
        """
        return self._asdict() | {"bins": [bin_._asdict() for bin_ in self.bins]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Calibration":
        """Rebuild a comparison from the output of `to_dict`.

        data (Mapping[str, Any]): The figures by name, as read from JSON.
        RETURNS (Calibration): The comparison.
        RAISES (KeyError): If there are no bins.
        RAISES (TypeError): If other figures are missing, there are more, or one is no number.
        RAISES (ValueError): If an interval has not two ends.
        """
        bins = []
        for values in data["bins"]:
            low, high = values["interval"]
            bin_ = Bin(**{**values, "interval": (low, high)})
            _check_numbers([*bin_[:-1], low, high])
            bins.append(bin_)
        found = cls(**{**data, "bins": bins})
        _check_numbers(found[:-1])
        return found


def collect_scores(examples: Iterable[Example]) -> dict[str, list[Scored]]:
    """Collect the scores of predictions. Predictions without a score are left out, and so are
    predictions that the reference is not annotated with.

    examples (Iterable[Example]): The predicted and the reference documents.
    RETURNS (dict[str, list[Scored]]): By the names of `TITLES`: entities; relations, right by the
        rule of `rels_strict` in `score_relations`; and the relations between two right entities, in
        which only the relation itself can be wrong.
    """
    found: dict[str, list[Scored]] = {name: [] for name in TITLES}
    for eg in examples:
        gold_entities = entity_items(eg.reference).keys()
        for finding in find_errors(eg):
            if finding.predicted is None or finding.score is None:
                continue
            scored = (finding.score, finding.kind == "correct")
            for name in _find_groups(finding.predicted, gold_entities):
                found[name].append(scored)
    return found


def _find_groups(item: Item, gold_entities: Set[EntityItem]) -> list[str]:
    """List the groups that a predicted item belongs to."""
    if isinstance(item, EntityItem):
        return ["ents"]
    if item.head in gold_entities and item.tail in gold_entities:
        return ["rels_strict", "rels_between_gold"]
    return ["rels_strict"]


def calibrate(scores: Sequence[Scored], *, n_bins: int = 10) -> Calibration:
    """Compare scores with the share of right predictions, in bins of equal width.

    scores (Sequence[Scored]): The scores, between 0 and 1.
    n_bins (int): Number of bins between 0 and 1.
    RETURNS (Calibration): The comparison.
    RAISES (ValueError): If there is no bin.
    """
    if n_bins < 1:
        raise ValueError(f"the number of bins is {n_bins}; expected 1 or more")
    members: list[list[Scored]] = [[] for _ in range(n_bins)]
    for score, is_right in scores:
        members[min(int(score * n_bins), n_bins - 1)].append((score, is_right))
    bins = []
    for number, held in enumerate(members):
        if held:
            bins.append(_make_bin(number / n_bins, (number + 1) / n_bins, held))
    gaps = sum(bin_.n * abs(bin_.score - bin_.accuracy) for bin_ in bins)
    return Calibration(len(scores), *_means(scores), gaps / max(len(scores), 1), bins)


def calibrate_groups(
    groups: Mapping[str, Sequence[Scored]], *, n_bins: int = 10
) -> dict[str, Calibration]:
    """Compare the scores of each group with the share of right predictions; see `calibrate`.

    groups (Mapping[str, Sequence[Scored]]): The output of `collect_scores`.
    n_bins (int): Number of bins between 0 and 1.
    RETURNS (dict[str, Calibration]): The comparisons, by the names of `TITLES`.
    """
    return {name: calibrate(scores, n_bins=n_bins) for name, scores in groups.items()}


def fit_temperature(groups: Mapping[str, Sequence[Scored]]) -> Temperature:
    """Find the temperatures with which scores come nearest to the share of right predictions.

    They minimise the cross-entropy of the scores (Guo et al., 2017, section 4.2). A relation counts
    as right with the types of its entities. So its score becomes the probability of the whole fact.

    groups (Mapping[str, Sequence[Scored]]): The output of `collect_scores`.
    RETURNS (Temperature): The temperatures, between 0.1 and 100; 1 for entities or relations
        without a score, such as given entities.
    RAISES (ValueError): If there are no scores; if all scored entities or relations are right or
        wrong; or if their scores tell right and wrong ones apart so well or so badly that no such
        temperature fits.
    """
    names = ("ents", "rels_strict")
    if not any(groups[name] for name in names):
        raise ValueError("No prediction has a score. A temperature needs right and wrong ones")
    return Temperature(*(_fit(TITLES[name], groups[name]) for name in names))


def _fit(title: str, scores: Sequence[Scored]) -> float:
    """Find the temperature of a group of predictions."""
    if not scores:
        return 1.0
    values = np.array([score for score, _ in scores])
    are_right = np.array([is_right for _, is_right in scores], dtype=bool)
    if are_right.all() or not are_right.any():
        raise ValueError(
            f"{title}: {are_right.sum()} of {len(scores)} predictions are right. A temperature "
            "needs right and wrong ones: take a larger corpus, which the model has not learned from"
        )
    values = values.clip(RESOLUTION, 1.0 - RESOLUTION)
    logits = np.log(values / (1.0 - values))
    margins = np.where(are_right, logits, -logits)
    losses = [np.logaddexp(0.0, -margins / temperature).sum() for temperature in _TEMPERATURES]
    best = int(np.argmin(losses))
    if best in (0, len(_TEMPERATURES) - 1):
        advice = _SHARPEST if best == 0 else _SOFTEST
        raise ValueError(
            f"{title}: no temperature from {_TEMPERATURES[0]:g} to {_TEMPERATURES[-1]:g} fits "
            f"{len(scores)} predictions, of which {are_right.sum()} are right. {advice}"
        )
    return float(_TEMPERATURES[best])


def save_calibration(path: Path, groups: Mapping[str, Calibration], *, title: str) -> None:
    """Write a JSON file, whole or not at all.

    path (Path): The JSON file; its folder is made if needed. It is replaced if it exists.
    groups (Mapping[str, Calibration]): The comparisons, by the names of `TITLES`.
    title (str): Name of the model in reports.
    """
    write_json(path, describe_calibration(groups, title=title))


def describe_calibration(groups: Mapping[str, Calibration], *, title: str) -> dict[str, object]:
    """Return comparisons as plain data, as in the file of `save_calibration`.

    groups (Mapping[str, Calibration]): The comparisons, by the names of `TITLES`.
    title (str): Name of the model in reports.
    RETURNS (dict[str, object]): "title", and in "groups" the figures by the name of the group.
    """
    figures = {name: calibration.to_dict() for name, calibration in groups.items()}
    return {"title": title, "groups": figures}


def read_calibration(path: str | Path) -> tuple[str, dict[str, Calibration]]:
    """Read a file that `save_calibration` wrote.

    path (str | Path): The JSON file.
    RETURNS (tuple[str, dict[str, Calibration]]): The title and the comparisons.
    RAISES (OSError): If there is no such file.
    RAISES (ValueError): If the file has other content.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        groups = {name: Calibration.from_dict(data["groups"][name]) for name in TITLES}
        return str(data["title"]), groups
    except (KeyError, RecursionError, TypeError, ValueError) as err:
        raise ValueError(
            f"{path}: expected the JSON file that `spacy tabcnn calibration` writes"
        ) from err


def _check_numbers(figures: Iterable[object]) -> None:
    for figure in figures:
        if not isinstance(figure, int | float):
            raise TypeError(f"{figure!r:.100} is no number")


def _make_bin(low: float, high: float, scores: Sequence[Scored]) -> Bin:
    mean_score, accuracy = _means(scores)
    n = len(scores)
    return Bin(low, high, n, mean_score, accuracy, _wilson_interval(accuracy, n))


def _means(scores: Sequence[Scored]) -> tuple[float, float]:
    """Compute the mean score and the share of right predictions; both are 0 without predictions."""
    if not scores:
        return 0.0, 0.0
    values, are_right = zip(*scores, strict=True)
    return math.fsum(values) / len(scores), sum(are_right) / len(scores)


def _wilson_interval(share: float, n: int) -> tuple[float, float]:
    """Compute Wilson's interval (1927). It stays between 0 and 1, and holds its share."""
    middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2)) / (1 + _Z**2 / n)
    # An interval of the share 0 or 1 ends there, which a rounding error can miss.
    low, high = min(middle - half, share), max(middle + half, share)
    return max(low, 0.0), min(high, 1.0)
