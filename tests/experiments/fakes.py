"""Training that takes no time and gives scores that are known."""

import os
import signal
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.grid import Run
from experiments.results import RunScores


def make_scores(run: Run) -> dict[str, float]:
    """Scores from which the run can be read."""
    score = ((run.layer or 0) + 1) / 10 + run.seed / 100 - (0.05 if run.frozen else 0)
    return {"ents_f": score, "rels_boundaries_f": score - 0.1, "rels_strict_f": score - 0.2}


def make_counts(score: float, n_sentences: int = 20) -> list[list[int]]:
    """Counts of sentences with one gold and one predicted item each, of which a share is right."""
    n_right = round(score * n_sentences)
    return [[1, 0, 0] if number < n_right else [0, 1, 1] for number in range(n_sentences)]


@dataclass
class FakeTrain:
    """Takes its time and writes down when it begins and ends a run.

    journal (Path): A file for the lines "begin NAME PID" and "end NAME PID".
    seconds (float): How long a run takes.
    company (int): How many processes have to have begun runs before any ends.
    failing (Collection[str]): Names of runs that raise an error.
    deadly (Collection[str]): Names of runs that kill their process.
    """

    journal: Path
    seconds: float = 0.0
    company: int = 1
    failing: Collection[str] = ()
    deadly: Collection[str] = ()

    def __call__(self, run: Run, overrides: dict[str, Any]) -> RunScores:
        self.write("begin", run)
        time.sleep(self.seconds)
        while len({pid for _, pid in self.read("begin")}) < self.company:
            time.sleep(0.1)
        if run.name in self.failing:
            raise ValueError("no such encoder")
        if run.name in self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        self.write("end", run)
        scores = make_scores(run)
        if overrides:
            scores["ents_f"] = scores["rels_strict_f"] = overrides["training.dropout"]
        return RunScores(
            scores, {name.removesuffix("_f"): make_counts(score) for name, score in scores.items()}
        )

    def write(self, what: str, run: Run) -> None:
        # One write of a short line appends it whole, also where several processes do it.
        with self.journal.open("ab", buffering=0) as file_:
            file_.write(f"{what} {run.name} {os.getpid()}\n".encode())

    def read(self, what: str) -> list[tuple[str, int]]:
        """The names of the runs that were begun or ended so far, and the processes that did it."""
        lines = self.journal.read_text().splitlines() if self.journal.exists() else []
        rows = [line.split() for line in lines]
        return [(name, int(pid)) for kind, name, pid in rows if kind == what]


class FakePart:
    """A part of the loop that takes no time; it writes the names of its runs to a file."""

    def __init__(
        self, config: Path, overrides: object, journal: Path, *settings: object, **steps: object
    ) -> None:
        self.journal = journal

    def __call__(self, run: Run, overrides: object) -> RunScores:
        with self.journal.open("a") as file_:
            file_.write(f"{run.name}\n")
        scores = make_scores(run)
        for number in (50, 100):
            scores[f"ents_f@{number}"] = number / 150
            scores[f"rels_strict_f@{number}"] = number / 200
            scores[f"words@{number}"] = 25.0 * number
            scores[f"precision@{number}"] = 0.5
        return RunScores({**scores, "errors": 3.0}, {})
