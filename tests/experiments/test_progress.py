"""The progress of a study, and the time left."""

from experiments.grid import Run
from experiments.progress import format_minutes, measure_progress
from experiments.storage import get_run_trials


def test_no_progress_without_runs_has_no_estimate(url, runs, queue):
    study = queue(runs)
    assert measure_progress(get_run_trials(study), runs, 2) == (4, 0, 0, 0, None)


def test_the_time_left_is_that_of_similar_runs(url, train, queue, compute):
    study = queue([Run("A", 1, frozen=True, layer=0), Run("A", 1, frozen=False, layer=0)])
    compute()
    trials = get_run_trials(study)
    for trial, minutes in zip(trials.values(), (10, 60), strict=True):
        trial.user_attrs["minutes"] = minutes
    left = [
        Run("A", 2, frozen=True, layer=0),
        Run("A", 1, frozen=False, layer=1),
        Run("B", 1, frozen=False, layer=0),
    ]
    assert measure_progress(trials, [*trials, *left], 1).minutes_left == 10 + 60 + 60
    assert measure_progress(trials, [*trials, *left], 2).minutes_left == 65
    assert (
        str(measure_progress(trials, [*trials, *left], 1))
        == "2 of 5 runs, 0 running, about 2.2 h left"
    )


def test_durations():
    assert (
        format_minutes(0.4) == "0 min"
        and format_minutes(119) == "119 min"
        and format_minutes(150) == "2.5 h"
    )
