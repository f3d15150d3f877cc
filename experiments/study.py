"""A study: its cells in a queue that several processes and machines work on, and that survives their death.

The queue is an Optuna study. Its trials are handed out, and found dead by their heartbeat, as Optuna does it. Which
trials there are is decided here: one for each cell, by `enqueue_trial`. Optuna's GridSampler numbers its cells within
one grid, so it would compute finished cells again when a grid grows, and running ones when the queue runs empty.
"""

import json
import os
import socket
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage, fail_stale_trials
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import event

from .grid import Cell, suggest

# Seconds between two signs of life of a worker. It counts as dead after three intervals without any.
HEARTBEAT = 60
# How often one command queues a cell again after its worker died: the cell may be what kills it.
MAX_RETRIES = 3
# Seconds that a worker may take to leave when the queue is empty.
_PATIENCE = 10
SAMPLERS: dict[str, Callable[[], optuna.samplers.BaseSampler]] = {
    "tpe": optuna.samplers.TPESampler,
    "random": optuna.samplers.RandomSampler,
}
# The states of a cell with several trials, the one that counts first. Pruned are those that were withdrawn.
_PRIORITY = (TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING, TrialState.FAIL)


class Outcome(NamedTuple):
    """What training a cell gives.

    scores (dict[str, float]): The scores of the best model on the development set, as shares of 1.
    counts (dict[str, list[list[int]]]): Hits, misses and spurious items of each sentence, by the scores' prefix.
    """

    scores: dict[str, float]
    counts: dict[str, list[list[int]]]


# Trains a cell with the overrides that a sampler chose. It is sent to other processes, so it must be picklable.
Train = Callable[[Cell, dict[str, Any]], Outcome]


class Result(NamedTuple):
    """What is known of a cell.

    cell (Cell): The cell.
    state (str): "complete", "running", "waiting" or "fail".
    scores (dict[str, float]): See `Outcome`; empty unless complete.
    counts (dict[str, list[list[int]]]): See `Outcome`.
    minutes (float | None): How long it ran.
    error (str | None): Why it failed; None if its worker died.
    overrides (Mapping[str, Any]): What the sampler of a search chose.
    """

    cell: Cell
    state: str
    scores: dict[str, float]
    counts: dict[str, list[list[int]]]
    minutes: float | None = None
    error: str | None = None
    overrides: Mapping[str, Any] = MappingProxyType({})


class Progress(NamedTuple):
    """How far a command has come: numbers of its cells, and an estimate."""

    n_cells: int
    n_complete: int
    n_running: int
    n_failed: int
    minutes_left: float | None

    def __str__(self) -> str:
        parts = [f"{self.n_complete} of {self.n_cells} cells", f"{self.n_running} running"]
        if self.n_failed:
            parts.append(f"{self.n_failed} failed")
        if self.minutes_left is not None:
            parts.append(f"about {format_minutes(self.minutes_left)} left")
        return ", ".join(parts)


def format_minutes(minutes: float) -> str:
    """RETURNS (str): A duration in minutes, or in hours from two of them on."""
    return f"{minutes / 60:.1f} h" if minutes >= 120 else f"{minutes:.0f} min"


def open_storage(url: str | Path, *, heartbeat: int = HEARTBEAT) -> RDBStorage:
    """Open the database of a study; an SQLite file is made if needed.

    url (str | Path): The URL of a database, or the path of an SQLite file. SQLite's locks need a local disk: machines
        that work together need a database server.
    heartbeat (int): Seconds between two signs of life of a worker, the same in all processes.
    RETURNS (RDBStorage): The storage.
    """
    url = str(url)
    if "://" not in url:
        Path(url).parent.mkdir(parents=True, exist_ok=True)
        url = f"sqlite:///{url}"
    is_sqlite = url.startswith("sqlite")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        storage = RDBStorage(
            url,
            engine_kwargs={"connect_args": {"timeout": 60}} if is_sqlite else None,
            heartbeat_interval=heartbeat,
            grace_period=3 * heartbeat,
        )
    if is_sqlite:
        # SQLite has no "SELECT FOR UPDATE", with which Optuna claims a trial. Without a lock from the first statement
        # of a transaction on, two workers could read that one trial is waiting and both take it.
        event.listen(storage.engine, "connect", _leave_transactions_to_us)
        event.listen(storage.engine, "begin", _begin_immediate)
        storage.engine.dispose()
    return storage


def _leave_transactions_to_us(connection: Any, record: Any) -> None:
    connection.isolation_level = None


def _begin_immediate(connection: Any) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def open_study(
    storage: RDBStorage,
    name: str,
    *,
    settings: Mapping[str, Any] | None = None,
    sampler: str = "tpe",
) -> optuna.Study:
    """Open a study, or make it if it is not there.

    storage (RDBStorage): The storage.
    name (str): The name of the study.
    settings (Mapping[str, Any] | None): Where its scores come from. `settings["systems"]` may grow, the rest stays.
    sampler (str): Chooses the values of a search: "tpe" or "random".
    RETURNS (Study): The study.
    RAISES (ValueError): If the study has been run with other settings.
    """
    if settings is None:
        return optuna.load_study(study_name=name, storage=storage)
    study = optuna.create_study(
        study_name=name,
        storage=storage,
        sampler=SAMPLERS[sampler](),
        direction="maximize",
        load_if_exists=True,
    )
    settings = json.loads(json.dumps(settings))
    old = study.user_attrs.get("settings", {})
    systems = {**old.get("systems", {}), **settings.get("systems", {})}
    changed = [
        key for key in old.keys() & settings.keys() - {"systems"} if old[key] != settings[key]
    ]
    changed += [
        f"system {key}" for key, value in old.get("systems", {}).items() if systems[key] != value
    ]
    if changed:
        raise ValueError(
            f"the study {name!r} has been run with another {' and '.join(sorted(changed))}. "
            "Its scores would not be comparable: give the new one another --name"
        )
    study.set_user_attr("settings", {**old, **settings, "systems": systems})
    return study


def run_study(
    url: str | Path,
    name: str,
    cells: Sequence[Cell],
    train: Train,
    *,
    settings: Mapping[str, Any] | None = None,
    space: Mapping[str, Any] | None = None,
    sampler: str = "tpe",
    n_workers: int = 1,
    heartbeat: int = HEARTBEAT,
    report: Callable[[str], None] = print,
) -> Progress:
    """Compute the cells of a study that have not been, and wait for those that others compute.

    Finished cells stay as they are. Cells whose worker has died are computed again, and so, but only once a call, are
    those that failed with an error. Waiting cells of an earlier call that are not among `cells` are withdrawn. The same
    call on several machines shares the work between them.

    url (str | Path): See `open_storage`.
    name (str): The name of the study.
    cells (Sequence[Cell]): The cells, in the order in which to compute them.
    train (Train): Computes a cell.
    settings (Mapping[str, Any] | None): See `open_study`.
    space (Mapping[str, Any] | None): What a sampler chooses for each cell, see `check_space`.
    sampler (str): The sampler, see `open_study`.
    n_workers (int): Number of processes on this machine.
    heartbeat (int): Seconds between two signs of life of a worker.
    report (Callable): Takes a line of text whenever something has changed.
    RETURNS (Progress): How it ended.
    RAISES (ValueError): See `open_study`.
    RAISES (RuntimeError): If the processes die without beginning a cell.
    """
    storage = open_storage(url, heartbeat=heartbeat)
    study = open_study(storage, name, settings=settings or {}, sampler=sampler)
    _withdraw(storage, study, cells)
    _enqueue(study, cells, get_cell_trials(study), with_errors=True)
    context = get_context("spawn")  # a forked process cannot use CUDA
    arguments = (url, name, train, dict(space or {}), sampler, heartbeat)
    workers: list[BaseProcess] = []
    n_retries: Counter[Cell] = Counter()
    n_deaths = 0
    reported: set[str] = set()
    progress: Progress | None = None
    try:
        while True:
            _fail_dead(study, heartbeat)
            trials = get_cell_trials(study)
            if again := _enqueue(
                study, [cell for cell in cells if n_retries[cell] < MAX_RETRIES], trials
            ):
                n_retries.update(again)
                trials = get_cell_trials(study)
            for line in _describe_failures(trials, cells):
                if line not in reported:
                    report(line)
                    reported.add(line)
            latest = measure_progress(trials, cells, n_workers)
            if latest[:-1] != (progress or ())[:-1]:
                report(str(latest))
                n_deaths = 0
            progress = latest
            n_deaths += sum(worker.exitcode not in (None, 0) for worker in workers)
            if n_deaths > MAX_RETRIES * n_workers:
                raise RuntimeError(
                    "the worker processes die before they have begun a cell; their messages say why"
                )
            workers = [worker for worker in workers if worker.is_alive()]
            n_waiting = sum(
                trials[cell].state == TrialState.WAITING for cell in cells if cell in trials
            )
            if not n_waiting and not progress.n_running:
                for worker in workers:
                    worker.join(_PATIENCE)  # it is about to find the queue empty
                return progress
            for _ in range(min(n_workers - len(workers), n_waiting)):
                worker = context.Process(target=work, args=arguments, daemon=True)
                worker.start()
                workers.append(worker)
            time.sleep(min(5, heartbeat / 4))
    finally:
        for worker in workers:
            worker.terminate()
            worker.join()


def work(
    url: str | Path, name: str, train: Train, space: dict[str, Any], sampler: str, heartbeat: int
) -> None:
    """Compute waiting cells until there are none, or until the process that started this one has gone.

    The arguments are those of `run_study`.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = open_storage(url, heartbeat=heartbeat)
    study = optuna.load_study(study_name=name, storage=storage, sampler=SAMPLERS[sampler]())
    parent = parent_process()

    def compute(trial: optuna.Trial) -> float:
        # Only what has a heartbeat can be found dead; Optuna's own first one may come a moment later.
        storage.record_heartbeat(trial._trial_id)
        trial.set_user_attr("worker", f"{socket.gethostname()}:{os.getpid()}")
        if "cell" not in trial.user_attrs or _has_twin(study, trial):
            raise optuna.TrialPruned  # another worker was faster
        start = time.monotonic()
        try:
            overrides = suggest(trial, space)
            trial.set_user_attr("overrides", overrides)
            outcome = train(Cell(**trial.user_attrs["cell"]), overrides)
        except Exception as error:
            trial.set_user_attr("error", f"{type(error).__name__}: {error}")
            raise
        trial.set_user_attr("minutes", (time.monotonic() - start) / 60)
        trial.set_user_attr("scores", outcome.scores)
        trial.set_user_attr("counts", outcome.counts)
        return get_objective(outcome.scores)

    while study.get_trials(deepcopy=False, states=(TrialState.WAITING,)) and (
        parent is None or parent.is_alive()
    ):
        study.optimize(compute, n_trials=1, catch=(Exception,), gc_after_trial=True)


def get_objective(scores: Mapping[str, float]) -> float:
    """RETURNS (float): What a search maximises: the mean of the F1 of entities and of strict relations."""
    return (scores["ents_f"] + scores["rels_strict_f"]) / 2


def read_results(url: str | Path, name: str) -> tuple[dict[str, Any], list[Result]]:
    """Read what a study has found so far.

    url (str | Path): See `open_storage`.
    name (str): The name of the study.
    RETURNS (tuple[dict[str, Any], list[Result]]): Its settings, and a result for each cell that was ever queued.
    RAISES (KeyError): If there is no such study.
    """
    study = open_study(open_storage(url), name)
    results = []
    for cell, trial in get_cell_trials(study).items():
        attributes = trial.user_attrs
        is_complete = trial.state == TrialState.COMPLETE
        results.append(
            Result(
                cell,
                trial.state.name.lower(),
                attributes["scores"] if is_complete else {},
                attributes["counts"] if is_complete else {},
                attributes.get("minutes"),
                attributes.get("error"),
                attributes.get("overrides", {}),
            )
        )
    return study.user_attrs.get("settings", {}), results


def add_results(url: str | Path, name: str, path: Path) -> int:
    """Add the cells of a file to a study, so that they are not computed again.

    url (str | Path): See `open_storage`.
    name (str): The name of the study.
    path (Path): A file that `results.save_results` made.
    RETURNS (int): How many of the cells the study did not have.
    RAISES (OSError): If there is no such file.
    RAISES (ValueError): If it cannot be read, or comes from other settings than those of the study.
    """
    try:
        header, *rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        settings = header["settings"]
        attributes = [
            {key: row[key] for key in ("cell", "overrides", "minutes", "scores", "counts")}
            for row in rows
        ]
        cells = [Cell(**row["cell"]) for row in rows]
    except (KeyError, TypeError, ValueError) as err:
        raise ValueError(
            f"{path}: not the results of a study ({err!r}); expected the NAME.jsonl of a report"
        ) from err
    study = open_study(open_storage(url), name, settings=settings)
    known = {
        cell for cell, trial in get_cell_trials(study).items() if trial.state == TrialState.COMPLETE
    }
    missing = [row for cell, row in zip(cells, attributes, strict=True) if cell not in known]
    for row in missing:
        study.add_trial(
            optuna.trial.create_trial(value=get_objective(row["scores"]), user_attrs=row)
        )
    return len(missing)


def list_studies(url: str | Path) -> list[str]:
    """List the studies in a storage.

    url (str | Path): See `open_storage`.
    RETURNS (list[str]): Their names.
    RAISES (FileNotFoundError): If it is the path of a file that does not exist.
    """
    if "://" not in str(url) and not Path(url).is_file():
        raise FileNotFoundError(
            f"{url}: no such file. Expected the storage of `spacy tabcnn study`"
        )
    return sorted(optuna.get_all_study_names(open_storage(url)))


def get_cell_trials(study: optuna.Study) -> dict[Cell, FrozenTrial]:
    """Find the trial that counts for each cell.

    study (Study): The study.
    RETURNS (dict[Cell, FrozenTrial]): The trials, in the order in which their cells were first queued.
    """
    found: dict[Cell, FrozenTrial] = {}
    for trial in study.get_trials(deepcopy=False):
        if "cell" not in trial.user_attrs or trial.state not in _PRIORITY:
            continue
        cell = Cell(**trial.user_attrs["cell"])
        # The first of two that are complete, running or waiting, and the last of two that failed.
        old = found.get(cell)
        rank = _PRIORITY.index(trial.state)
        if (
            old is None
            or rank < _PRIORITY.index(old.state)
            or trial.state == old.state == TrialState.FAIL
        ):
            found[cell] = trial
    return found


def measure_progress(
    trials: Mapping[Cell, FrozenTrial], cells: Iterable[Cell], n_workers: int
) -> Progress:
    """Count the cells in each state, and estimate how long the rest takes.

    A cell is expected to take the mean time of those with the same layer and as frozen, else as frozen, else of all.

    trials (Mapping[Cell, FrozenTrial]): The trial of each cell.
    cells (Iterable[Cell]): The cells to count.
    n_workers (int): Number of processes, for the estimate where fewer are running.
    RETURNS (Progress): The counts, and the estimate unless nothing has finished, or everything has.
    """
    cells = list(cells)
    states = [trials[cell].state if cell in trials else TrialState.WAITING for cell in cells]
    minutes: dict[tuple[object, ...], list[float]] = {}
    for cell in cells:
        if cell in trials and trials[cell].state == TrialState.COMPLETE:
            for key in _similar(cell):
                minutes.setdefault(key, []).append(trials[cell].user_attrs["minutes"])
    left = 0.0
    for cell, state in zip(cells, states, strict=True):
        if minutes and state in (TrialState.WAITING, TrialState.RUNNING):
            times = next(minutes[key] for key in _similar(cell) if key in minutes)
            left += sum(times) / len(times)
    n_running = states.count(TrialState.RUNNING)
    return Progress(
        len(cells),
        states.count(TrialState.COMPLETE),
        n_running,
        states.count(TrialState.FAIL),
        left / max(n_running, n_workers) if left else None,
    )


def _similar(cell: Cell) -> list[tuple[object, ...]]:
    """Name the groups of cells that take about as long, the most similar first."""
    return [(cell.system, cell.frozen, cell.layer), (cell.system, cell.frozen), (cell.frozen,), ()]


def _withdraw(storage: RDBStorage, study: optuna.Study, cells: Iterable[Cell]) -> None:
    """Take the cells of earlier commands out of the queue."""
    wanted = set(cells)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
        if Cell(**trial.user_attrs["cell"]) not in wanted:
            try:
                storage.set_trial_state_values(trial._trial_id, state=TrialState.PRUNED)
            except optuna.exceptions.UpdateFinishedTrialError:
                continue  # another command did the same


def _enqueue(
    study: optuna.Study,
    cells: Iterable[Cell],
    trials: Mapping[Cell, FrozenTrial],
    *,
    with_errors: bool = False,
) -> list[Cell]:
    """Queue the cells that have never been, those whose worker died and, if wanted, those that failed with an error."""
    queued = []
    for cell in cells:
        trial = trials.get(cell)
        if trial is None or (
            trial.state == TrialState.FAIL and (with_errors or "error" not in trial.user_attrs)
        ):
            study.enqueue_trial({}, user_attrs={"cell": cell.to_dict()})
            queued.append(cell)
    return queued


def _fail_dead(study: optuna.Study, heartbeat: int) -> None:
    """Let the running trials of dead workers fail."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        fail_stale_trials(study)
    # A worker that died before its first heartbeat has not left its name either.
    latest = datetime.now() - timedelta(seconds=3 * heartbeat)
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if (
            "worker" not in trial.user_attrs
            and trial.datetime_start is not None
            and trial.datetime_start < latest
        ):
            study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)


def _has_twin(study: optuna.Study, trial: optuna.Trial) -> bool:
    """Say whether two commands that started together have both queued the cell, and the other trial comes first."""
    return any(
        other.number < trial.number and other.user_attrs.get("cell") == trial.user_attrs["cell"]
        for other in study.get_trials(
            deepcopy=False, states=(TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING)
        )
    )


def _describe_failures(trials: Mapping[Cell, FrozenTrial], cells: Iterable[Cell]) -> list[str]:
    failed = [
        (cell, trials[cell])
        for cell in cells
        if cell in trials and trials[cell].state == TrialState.FAIL
    ]
    return [
        f"{cell.name} failed: {trial.user_attrs.get('error', 'its worker died')}"
        for cell, trial in failed
    ]
