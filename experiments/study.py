"""A study: a queue of runs. Several processes and machines share it, and it survives their end.

The queue is an Optuna study. Optuna hands out its trials and detects dead workers by their
heartbeat. This module decides which trials there are: one for each run, by `enqueue_trial`.
Optuna's GridSampler does not serve: it numbers its runs within one grid, so it would compute
finished runs again when a grid grows, and running ones when the queue is empty.
"""

import gc
import os
import socket
import time
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Event, Thread
from typing import Protocol, runtime_checkable

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage, fail_stale_trials
from optuna.trial import FrozenTrial, TrialState

from spacy_tabcnn.runtime.parent import follow_parent

from .grid import Overrides, Run, SearchSpace, suggest
from .progress import StudyProgress, get_state, measure_progress
from .results import RunRecord, RunScores, StudySettings, read_run
from .storage import (
    HEARTBEAT,
    SAMPLERS,
    get_objective,
    get_run_trials,
    open_storage,
    open_study,
)

# How often one command queues a run again after its worker died. The run may be the cause.
MAX_RETRIES = 3
# Seconds that a worker may take to end when the queue is empty.
_PATIENCE = 10

# Trains a run with the overrides that a sampler chose. It is sent to other processes, so it must be
# picklable.
Train = Callable[[Run, Overrides], RunScores]


def run_study(
    url: str | Path,
    name: str,
    runs: Sequence[Run],
    train: Train,
    *,
    settings: StudySettings | None = None,
    space: SearchSpace | None = None,
    sampler: str = "tpe",
    n_workers: int = 1,
    heartbeat: int = HEARTBEAT,
    report: Callable[[str], None] = print,
) -> StudyProgress:
    """Compute the runs of a study that are not complete, and wait for those that others compute.

    Complete runs stay as they are. Runs are computed again, with the settings that the sampler
    chose, if their worker died; runs that failed with an error are computed again once a call.
    Waiting runs of an earlier call that are not among `runs` are withdrawn. The same call on
    several machines shares the work between them.

    url (str | Path): See `open_storage`.
    name (str): The name of the study.
    runs (Sequence[Run]): The runs, in the order in which to compute them.
    train (Train): Computes a run.
    settings (StudySettings | None): See `open_study`.
    space (SearchSpace | None): The search space of a search, see `check_space`.
    sampler (str): The sampler, see `open_study`.
    n_workers (int): Number of processes on this machine.
    heartbeat (int): Seconds between two signs of life of a worker.
    report (Callable): Called with a line of text whenever the progress changes.
    RETURNS (StudyProgress): The progress at the end.
    RAISES (ValueError): See `open_study`.
    RAISES (RuntimeError): If the processes die without beginning a run.
    """
    storage = open_storage(url, heartbeat=heartbeat)
    study = open_study(storage, name, settings=settings or {}, sampler=sampler)
    _withdraw(storage, study, runs)
    _enqueue(study, runs, get_run_trials(study), with_errors=True)
    workers = _Workers(n_workers, (url, name, runs, train, dict(space or {}), sampler, heartbeat))
    try:
        return _supervise(study, runs, workers, _Reporter(report), heartbeat=heartbeat)
    finally:
        workers.terminate()


def _supervise(
    study: optuna.Study,
    runs: Sequence[Run],
    workers: "_Workers",
    reporter: "_Reporter",
    *,
    heartbeat: int,
) -> StudyProgress:
    """Keep the workers busy until no run is waiting or running."""
    n_retries: Counter[Run] = Counter()
    n_deaths = 0
    while True:
        trials = _requeue(study, runs, n_retries, heartbeat=heartbeat)
        progress = measure_progress(trials, runs, workers.n_workers)
        if reporter.update(progress, trials, runs):
            n_deaths = 0
        n_deaths += workers.remove_ended()
        if n_deaths > MAX_RETRIES * workers.n_workers:
            raise RuntimeError(
                "the worker processes die before they have begun a run; their messages say why"
            )
        n_waiting = sum(run in trials and trials[run].state == TrialState.WAITING for run in runs)
        if not n_waiting and not progress.n_running:
            workers.join()
            return progress
        workers.start(n_waiting)
        time.sleep(min(5, heartbeat / 4))


@runtime_checkable
class DeviceTrain(Protocol):
    """Computes runs on a device of each worker."""

    def for_worker(self, number: int) -> Train:
        """Return the same for a worker.

        number (int): Number of the worker, from 0 on.
        """


class _Workers:
    """The worker processes of a command.

    n_workers (int): Maximum number of processes.
    arguments (tuple[object, ...]): The arguments of `work`.
    """

    def __init__(self, n_workers: int, arguments: tuple[object, ...]) -> None:
        self.n_workers = n_workers
        self._arguments = arguments
        self._context = get_context("spawn")  # a forked process cannot use CUDA
        self._processes: dict[int, BaseProcess] = {}  # by the number of the worker

    def start(self, n_waiting: int) -> None:
        """Start as many processes as there are runs for, up to the maximum number."""
        free = sorted(set(range(self.n_workers)) - set(self._processes))
        for number in free[:n_waiting]:
            arguments = (*self._arguments, number)
            process = self._context.Process(target=work, args=arguments, daemon=True)
            process.start()
            self._processes[number] = process

    def remove_ended(self) -> int:
        """Forget the processes that have ended, and return the number of those that crashed."""
        alive, n_crashed = {}, 0
        for number, process in self._processes.items():
            n_crashed += process.exitcode not in (None, 0)
            if process.is_alive():
                alive[number] = process
        self._processes = alive
        return n_crashed

    def join(self) -> None:
        """Wait for the processes, which are about to find the queue empty."""
        for process in self._processes.values():
            process.join(_PATIENCE)

    def terminate(self) -> None:
        for process in self._processes.values():
            process.terminate()
            process.join()


class _Reporter:
    """Reports new failures and changes of the progress, a line each.

    report (Callable): Called with each line.
    """

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._reported: set[str] = set()
        self._counts: tuple[object, ...] = ()

    def update(
        self, progress: StudyProgress, trials: Mapping[Run, FrozenTrial], runs: Iterable[Run]
    ) -> bool:
        """Report the changes, and return whether the number of runs in any state has changed."""
        for line in _describe_failures(trials, runs):
            if line not in self._reported:
                self._report(line)
                self._reported.add(line)
        counts = progress[:-1]  # without the time left
        if counts == self._counts:
            return False
        self._report(str(progress))
        self._counts = counts
        return True


def _describe_failures(trials: Mapping[Run, FrozenTrial], runs: Iterable[Run]) -> list[str]:
    lines = []
    for run in runs:
        if get_state(trials, run) == TrialState.FAIL:
            error = trials[run].user_attrs.get("error", "its worker died")
            lines.append(f"{run.name} failed: {error}")
    return lines


def work(
    url: str | Path,
    name: str,
    runs: Sequence[Run],
    train: Train,
    space: SearchSpace,
    sampler: str,
    heartbeat: int,
    number: int = 0,
) -> None:
    """Compute the waiting ones of some runs, until there are none or the parent process ends.

    A run that the end of the parent process cuts off counts as one whose worker died.

    Waiting runs of other commands stay in the queue: only their command has their configs.

    The arguments are the arguments of `run_study`, and the number of this worker on its machine.
    """
    follow_parent()
    if isinstance(train, DeviceTrain):
        train = train.for_worker(number)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = open_storage(url, heartbeat=heartbeat)
    study = optuna.load_study(study_name=name, storage=storage, sampler=SAMPLERS[sampler]())
    own = set(runs)
    while trial := _claim(storage, study, own):
        with _signs_of_life(storage, trial, heartbeat):
            _compute(trial, study=study, train=train, space=space)
        gc.collect()


def _claim(storage: RDBStorage, study: optuna.Study, runs: Collection[Run]) -> optuna.Trial | None:
    """Take the first of some runs that is waiting. `Study.ask` would take any waiting trial."""
    for waiting in study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        if read_run(waiting.user_attrs) not in runs:
            continue
        trial_id = waiting._trial_id
        with suppress(optuna.exceptions.UpdateFinishedTrialError):  # withdrawn
            if storage.set_trial_state_values(trial_id, state=TrialState.RUNNING):
                return optuna.Trial(study, trial_id)
    return None


@contextmanager
def _signs_of_life(storage: RDBStorage, trial: optuna.Trial, heartbeat: int) -> Iterator[None]:
    """Record heartbeats of a trial within a block, and the minutes of its run so far."""
    start = time.monotonic()
    ended = Event()
    # Only a trial with a heartbeat can be found dead.
    storage.record_heartbeat(trial._trial_id)

    def record() -> None:
        while not ended.wait(heartbeat):
            storage.record_heartbeat(trial._trial_id)
            with suppress(optuna.exceptions.UpdateFinishedTrialError):  # it was found dead
                trial.set_user_attr("minutes", _measure_minutes(start))

    thread = Thread(target=record, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _compute(trial: optuna.Trial, *, study: optuna.Study, train: Train, space: SearchSpace) -> None:
    """Compute the run of a trial, and write its scores or its error into the trial."""
    trial.set_user_attr("worker", f"{socket.gethostname()}:{os.getpid()}")
    run = read_run(trial.user_attrs)
    if run is None or _has_twin(study, trial, run):
        study.tell(trial, state=TrialState.PRUNED)  # another worker was faster
        return
    start = time.monotonic()
    try:
        overrides = suggest(trial, space)
        trial.set_user_attr("overrides", overrides)
        outcome = train(run, overrides)
    except Exception as error:
        with suppress(optuna.exceptions.UpdateFinishedTrialError):  # it was found dead before
            trial.set_user_attr("error", f"{type(error).__name__}: {error}")
        study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
        return
    except KeyboardInterrupt:
        study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
        raise
    record: RunRecord = {
        "run": run.to_dict(),
        "overrides": overrides,
        "minutes": _measure_minutes(start) + _sum_lost_minutes(study, trial, run),
        "scores": outcome.scores,
        "counts": outcome.counts,
    }
    _finish(study, trial, record)


def _finish(study: optuna.Study, trial: optuna.Trial, record: RunRecord) -> None:
    """Write the result of a run into its trial, or into a new one if it was found dead."""
    value = get_objective(record["scores"])
    try:
        for key, content in record.items():
            trial.set_user_attr(key, content)
    except optuna.exceptions.UpdateFinishedTrialError:
        # Its machine slept or did not reach the storage. The result is as good as any other.
        finished = optuna.trial.create_trial(
            value=value,
            params=trial.params,
            distributions=trial.distributions,
            user_attrs=dict(record),
        )
        study.add_trial(finished)
        return
    study.tell(trial, value)


def _measure_minutes(start: float) -> float:
    return (time.monotonic() - start) / 60


def _sum_lost_minutes(study: optuna.Study, trial: optuna.Trial, run: Run) -> float:
    """Sum the minutes of the earlier workers of a run that died, up to their last sign of life."""
    minutes = 0.0
    for other in study.get_trials(deepcopy=False, states=(TrialState.FAIL,)):
        is_dead = other.number < trial.number and "error" not in other.user_attrs
        if is_dead and read_run(other.user_attrs) == run:
            minutes += other.user_attrs.get("minutes", 0.0)
    return minutes


def _has_twin(study: optuna.Study, trial: optuna.Trial, run: Run) -> bool:
    """Whether a run is complete, or an earlier trial is of the same run. Two commands that start
    together may both queue a run, and a worker that seemed dead may have finished it."""
    states = (TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING)
    for other in study.get_trials(deepcopy=False, states=states):
        counts = other.state == TrialState.COMPLETE or other.number < trial.number
        if counts and read_run(other.user_attrs) == run:
            return True
    return False


def _withdraw(storage: RDBStorage, study: optuna.Study, runs: Iterable[Run]) -> None:
    """Remove the runs of earlier commands from the queue."""
    wanted = set(runs)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        if read_run(trial.user_attrs) not in wanted:
            try:
                storage.set_trial_state_values(trial._trial_id, state=TrialState.PRUNED)
            except optuna.exceptions.UpdateFinishedTrialError:
                continue  # another command did the same


def _requeue(
    study: optuna.Study, runs: Sequence[Run], n_retries: Counter[Run], *, heartbeat: int
) -> dict[Run, FrozenTrial]:
    """Queue the runs of dead workers again, at most `MAX_RETRIES` times. Returns the trials."""
    _fail_dead(study, heartbeat)
    trials = get_run_trials(study)
    again = _enqueue(study, [run for run in runs if n_retries[run] < MAX_RETRIES], trials)
    if not again:
        return trials
    # The others are without a trial: another command has withdrawn them.
    n_retries.update(run for run in again if run in trials)
    return get_run_trials(study)


def _enqueue(
    study: optuna.Study,
    runs: Iterable[Run],
    trials: Mapping[Run, FrozenTrial],
    *,
    with_errors: bool = False,
) -> list[Run]:
    """Queue the runs without a trial and the runs whose worker died. Optionally, queue the runs
    that failed with an error, too."""
    queued = []
    for run in runs:
        if run not in trials or _is_to_repeat(trials[run], with_errors):
            settings = _read_own_settings(trials.get(run))
            study.enqueue_trial(settings, user_attrs={"run": run.to_dict()})
            queued.append(run)
    return queued


def _read_own_settings(trial: FrozenTrial | None) -> dict[str, object]:
    """Read the settings that the sampler of a search chose for a run whose worker died. After an
    error it chooses others: the settings may be the cause."""
    if trial is None or "error" in trial.user_attrs:
        return {}
    return {**trial.system_attrs.get("fixed_params", {}), **trial.params}


def _is_to_repeat(trial: FrozenTrial, with_errors: bool) -> bool:
    if trial.state != TrialState.FAIL:
        return False
    return with_errors or "error" not in trial.user_attrs


def _fail_dead(study: optuna.Study, heartbeat: int) -> None:
    """Mark the running trials of dead workers as failed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        fail_stale_trials(study)
    # A worker that died before its first heartbeat has not left its name either.
    latest = datetime.now() - timedelta(seconds=3 * heartbeat)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        start = trial.datetime_start
        if "worker" not in trial.user_attrs and start is not None and start < latest:
            study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
