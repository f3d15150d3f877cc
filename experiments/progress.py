"""The progress of a study: the number of runs in each state, and the time left."""

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

from optuna.trial import FrozenTrial, TrialState

from .grid import Run


class StudyProgress(NamedTuple):
    """The numbers of runs of a command by state, and an estimate of the time left."""

    n_runs: int
    n_complete: int
    n_running: int
    n_failed: int
    minutes_left: float | None

    def __str__(self) -> str:
        parts = [f"{self.n_complete} of {self.n_runs} runs", f"{self.n_running} running"]
        if self.n_failed:
            parts.append(f"{self.n_failed} failed")
        if self.minutes_left is not None:
            parts.append(f"about {format_minutes(self.minutes_left)} left")
        return ", ".join(parts)


def format_minutes(minutes: float) -> str:
    """Format a duration.

    minutes (float): The duration.
    RETURNS (str): The duration in minutes, or in hours from two hours on.
    """
    if minutes >= 120:
        return f"{minutes / 60:.1f} h"
    return f"{minutes:.0f} min"


def measure_progress(
    trials: Mapping[Run, FrozenTrial], runs: Sequence[Run], n_workers: int
) -> StudyProgress:
    """Count the runs in each state, and estimate the time left.

    The expected time of a run is the mean time of the most similar complete runs: with the same
    system, state of the encoder and layer, or with the same system and state, or with the same
    state, or of all runs.

    trials (Mapping[Run, FrozenTrial]): The trial of each run.
    runs (Sequence[Run]): The runs to count.
    n_workers (int): Number of processes, for the estimate while fewer are running.
    RETURNS (StudyProgress): The counts, and the estimate unless no run is complete, or all are.
    """
    states = Counter(get_state(trials, run) for run in runs)
    minutes_left = None
    if left := _estimate_minutes(trials, runs):
        minutes_left = left / max(states[TrialState.RUNNING], n_workers)
    return StudyProgress(
        len(runs),
        states[TrialState.COMPLETE],
        states[TrialState.RUNNING],
        states[TrialState.FAIL],
        minutes_left,
    )


def get_state(trials: Mapping[Run, FrozenTrial], run: Run) -> TrialState:
    """Return the state of a run.

    trials (Mapping[Run, FrozenTrial]): The trial of each run.
    run (Run): The run.
    RETURNS (TrialState): The state of its trial; a run without a trial is waiting.
    """
    if run not in trials:
        return TrialState.WAITING
    return trials[run].state


def _estimate_minutes(trials: Mapping[Run, FrozenTrial], runs: Sequence[Run]) -> float:
    """Sum the expected times of the runs that are left; 0 if no run is complete."""
    minutes: dict[tuple[object, ...], list[float]] = {}
    for run in runs:
        if get_state(trials, run) == TrialState.COMPLETE:
            for key in _list_similar(run):
                minutes.setdefault(key, []).append(trials[run].user_attrs["minutes"])
    left = 0.0
    for run in runs:
        if minutes and get_state(trials, run) in (TrialState.WAITING, TrialState.RUNNING):
            known = filter(minutes.__contains__, _list_similar(run))
            left += fmean(minutes[next(known)])
    return left


def _list_similar(run: Run) -> list[tuple[object, ...]]:
    """Name the groups of runs with about the same duration, the most similar first."""
    return [(run.system, run.frozen, run.layer), (run.system, run.frozen), (run.frozen,), ()]
