"""Means and standard deviations of a study, and the paper's figures to compare them with."""

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spacy_tabcnn.evaluation.significance import Counts

if TYPE_CHECKING:
    from .study import Result

# A system, whether its encoder is frozen, and the layer that it reads.
Key = tuple[str, bool | None, int | None]
PAPER = Path(__file__).with_name("paper.json")
# The prefix of the scores in each column of the paper.
MEASURES = {"NER": "ents", "RE": "rels_boundaries", "RE+": "rels_strict"}
# The order of the paper's legends. Other systems come after these.
SYSTEMS = ("TabERT-CNN", "TabERT", "SpERT")


class Summary(NamedTuple):
    """Scores over runs, such as those of several seeds or folds, in percent.

    mean (float): Their mean.
    sd (float | None): Their standard deviation, that of a sample; None for a single run.
    n_runs (int): How many there are.
    """

    mean: float
    sd: float | None = None
    n_runs: int = 1

    def __str__(self) -> str:
        return f"{self.mean:.1f}" if self.sd is None else f"{self.mean:.1f} ± {self.sd:.1f}"


class Study(NamedTuple):
    """A study as it stands in its storage.

    name (str): Its name.
    settings (Mapping[str, Any]): See `experiments.training.describe`.
    results (list[Result]): Its cells.
    """

    name: str
    settings: Mapping[str, Any]
    results: "list[Result]"

    @property
    def corpus(self) -> str:
        """The name of the corpus."""
        return str(self.settings.get("corpus", {}).get("name", "an unnamed corpus"))

    @property
    def encoder(self) -> str:
        """The name of the encoder."""
        return str(self.settings.get("encoder") or "no encoder")


def save_results(study: Study, path: Path) -> None:
    """Save the complete cells of a study as JSON lines, the first of which holds its name and its settings.

    study (Study): The study.
    path (Path): The file.
    """
    rows: list[dict[str, Any]] = [{"study": study.name, "settings": dict(study.settings)}]
    for result in study.results:
        if result.state == "complete":
            attributes = {"cell": result.cell.to_dict(), "overrides": dict(result.overrides)}
            rows.append(
                {
                    **attributes,
                    "minutes": result.minutes,
                    "scores": result.scores,
                    "counts": result.counts,
                }
            )
    path.write_text(
        "".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows), encoding="utf-8"
    )


@lru_cache(maxsize=1)
def read_paper() -> dict[str, Any]:
    """RETURNS (dict[str, Any]): The figures of the paper's tables, F1 in percent, with their source."""
    return dict(json.loads(PAPER.read_text(encoding="utf-8")))


def summarise(scores: Iterable[float]) -> Summary:
    """Average scores over runs, such as those of several seeds or folds.

    scores (Iterable[float]): The scores, as shares of 1; at least one.
    RETURNS (Summary): Their mean and standard deviation, in percent.
    """
    percent = [100 * score for score in scores]
    return Summary(mean(percent), stdev(percent) if len(percent) > 1 else None, len(percent))


def summarise_study(results: "Iterable[Result]", measure: str) -> dict[Key, Summary]:
    """Average the scores of each group of cells that differ by their seed only.

    results (Iterable[Result]): The cells of a study. Those that are not complete are left out.
    measure (str): The prefix of the score, one of `MEASURES`.
    RETURNS (dict[Key, Summary]): The averages.
    """
    groups: dict[Key, list[float]] = {}
    for result in results:
        if result.state == "complete":
            key = (result.cell.system, result.cell.frozen, result.cell.layer)
            groups.setdefault(key, []).append(result.scores[f"{measure}_f"])
    return {key: summarise(scores) for key, scores in groups.items()}


def gather_counts(results: "Iterable[Result]", key: Key, measure: str) -> Counts:
    """Collect the counts of each sentence for `paired_bootstrap`.

    results (Iterable[Result]): The cells of a study.
    key (Key): The group of cells.
    measure (str): The prefix of the score.
    RETURNS (Counts): Hits, misses and spurious items, (seeds, sentences, 3).
    """
    return np.array(
        [
            result.counts[measure]
            for result in results
            if result.state == "complete"
            and (result.cell.system, result.cell.frozen, result.cell.layer) == key
        ],
        dtype=np.float64,
    )


def sort_systems(systems: Iterable[str]) -> list[str]:
    """RETURNS (list[str]): The systems, those of the paper first and in its order."""
    rank = {name: number for number, name in enumerate(SYSTEMS)}
    return sorted(set(systems), key=lambda name: (rank.get(name, len(rank)), name))
