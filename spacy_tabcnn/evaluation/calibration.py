"""Calibration: of what is predicted with a score, how much is right.

Of entities and relations that score 0.8, eight in ten should be right (Guo et al., 2017, section 2).
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from spacy.training import Example

from .errors import find_errors
from .items import RelationItem, entity_items

# A score, and whether what has it is right.
Scored = tuple[float, bool]
# What is scored, by the name that it has in files.
TITLES = {
    "ents": "Entities",
    "rels_strict": "Relations, strict (RE+)",
    "rels_between_gold": "Relations between gold entities",
}
# Of a normal distribution, for intervals of 95 %.
_Z = 1.96


class Bin(NamedTuple):
    """Predictions with similar scores.

    low (float): Least score of the bin.
    high (float): Its end; exclusive, but for the last bin.
    n (int): How many predictions it has.
    score (float): Their mean score.
    accuracy (float): The share of them that is right.
    interval (tuple[float, float]): Wilson's interval for that share, 95 %.
    """

    low: float
    high: float
    n: int
    score: float
    accuracy: float
    interval: tuple[float, float]


class Calibration(NamedTuple):
    """How far scores are probabilities.

    n (int): How many predictions have one.
    score (float): Their mean score; 0 if there are none.
    accuracy (float): The share of them that is right; 0 if there are none.
    error (float): The expected calibration error: the difference between mean score and accuracy of a bin, averaged
        over the predictions.
    bins (list[Bin]): The bins that hold any, in ascending order.
    """

    n: int
    score: float
    accuracy: float
    error: float
    bins: list[Bin]

    def to_dict(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The data, for a JSON file."""
        return {**self._asdict(), "bins": [bin_._asdict() for bin_ in self.bins]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Calibration":
        """RETURNS (Calibration): What `to_dict` made the data of."""
        bins = [Bin(**{**bin_, "interval": tuple(bin_["interval"])}) for bin_ in data["bins"]]
        return cls(**{**data, "bins": bins})


def collect_scores(examples: Iterable[Example]) -> dict[str, list[Scored]]:
    """Collect the scores of what was predicted. What a reference is not annotated with is left out, and so is what was
    predicted without a score.

    examples (Iterable[Example]): The predicted and the reference documents.
    RETURNS (dict[str, list[Scored]]): By the names of `TITLES`: entities; relations, right by the rule of `rels_strict`
        in `score_relations`; and of these the ones whose two entities are right, so that only the relation itself can
        be wrong.
    """
    found: dict[str, list[Scored]] = {name: [] for name in TITLES}
    for eg in examples:
        gold_entities = entity_items(eg.reference)
        for finding in find_errors(eg):
            if finding.predicted is None or finding.score is None:
                continue
            item = (finding.score, finding.kind == "correct")
            if finding.unit == "entity":
                found["ents"].append(item)
                continue
            found["rels_strict"].append(item)
            relation = cast(RelationItem, finding.predicted)
            if relation.head in gold_entities and relation.tail in gold_entities:
                found["rels_between_gold"].append(item)
    return found


def calibrate(scores: Sequence[Scored], *, n_bins: int = 10) -> Calibration:
    """Compare scores with the share that is right, in bins of equal width.

    scores (Sequence[Scored]): The scores, between 0 and 1.
    n_bins (int): The number of bins between 0 and 1.
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
            mean_score, accuracy = _means(held)
            interval = _wilson(accuracy, len(held))
            bins.append(
                Bin(
                    number / n_bins,
                    (number + 1) / n_bins,
                    len(held),
                    mean_score,
                    accuracy,
                    interval,
                )
            )
    gaps = sum(bin_.n * abs(bin_.score - bin_.accuracy) for bin_ in bins)
    return Calibration(len(scores), *_means(scores), gaps / max(len(scores), 1), bins)


def save_calibration(path: Path, groups: Mapping[str, Calibration], *, title: str) -> None:
    """Write a JSON file, and the diagram beside it as PNG and SVG.

    path (Path): The JSON file; its folder is made if needed.
    groups (Mapping[str, Calibration]): The comparisons, by the names of `TITLES`.
    title (str): Names the model, for reports.
    RAISES (ImportError): If matplotlib is not installed.
    """
    from experiments.figures import draw_reliability

    path.parent.mkdir(parents=True, exist_ok=True)
    for suffix in (".png", ".svg"):
        draw_reliability(groups, path.with_suffix(suffix))
    data = {
        "title": title,
        "groups": {name: calibration.to_dict() for name, calibration in groups.items()},
    }
    path.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read_calibration(path: str | Path) -> tuple[str, dict[str, Calibration]]:
    """Read what `save_calibration` wrote.

    path (str | Path): The JSON file.
    RETURNS (tuple[str, dict[str, Calibration]]): The title and the comparisons.
    RAISES (OSError): If there is no such file.
    RAISES (ValueError): If it holds something else.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        groups = {name: Calibration.from_dict(data["groups"][name]) for name in TITLES}
        return str(data["title"]), groups
    except (KeyError, TypeError, ValueError) as err:
        raise ValueError(
            f"{path}: expected the JSON file that `spacy tabcnn calibration` writes"
        ) from err


def _means(scores: Sequence[Scored]) -> tuple[float, float]:
    n = max(len(scores), 1)
    return math.fsum(score for score, _ in scores) / n, sum(is_right for _, is_right in scores) / n


def _wilson(share: float, n: int) -> tuple[float, float]:
    """Wilson's interval (1927), which stays between 0 and 1 also for shares of 0 and 1."""
    middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2)) / (1 + _Z**2 / n)
    return max(middle - half, 0.0), min(middle + half, 1.0)
