"""The storage of studies: a database with Optuna's studies. A study has a trial for each run."""

import json
import re
import sqlite3
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import cast

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from .grid import Run
from .results import RunResult, StudySettings, read_run, read_saved_results

# Seconds between two signs of life of a worker. It counts as dead after three such intervals.
HEARTBEAT = 60
SAMPLERS: dict[str, Callable[[], optuna.samplers.BaseSampler]] = {
    "tpe": optuna.samplers.TPESampler,
    "random": optuna.samplers.RandomSampler,
}
SQLITE_FILE = "sqlite:///"
_SQLITE_MAGIC = b"SQLite format 3\0"
# Errors of the storage that no other message explains.
STORAGE_ERRORS = (SQLAlchemyError, optuna.exceptions.StorageInternalError)
# The states of a run with several trials, in the order in which they count. Withdrawn trials are
# pruned, which is none of these.
_PRIORITY = (TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING, TrialState.FAIL)

# The states of runs whose settings count.
_USED = (TrialState.COMPLETE, TrialState.RUNNING)
# The settings of a study that each of its runs has, and their names in messages.
_NAMES = {
    "corpus": "corpus",
    "contents": "content of the corpus",
    "encoder": "encoder",
    "space": "search space",
}


def open_storage(url: str | Path, *, heartbeat: int = HEARTBEAT) -> RDBStorage:
    """Open the database of a study; an SQLite file is made if needed.

    url (str | Path): The URL of a database, or the path of an SQLite file. SQLite's locks require a
        local disk: machines that share a study require a database server.
    heartbeat (int): Seconds between two signs of life of a worker, the same in all processes.
    RETURNS (RDBStorage): The storage.
    RAISES (OSError): If an SQLite file cannot be opened.
    RAISES (ValueError): If an SQLite file is damaged, or a database has no driver.
    """
    url = str(url)
    if "://" not in url:
        Path(url).parent.mkdir(parents=True, exist_ok=True)
        url = f"sqlite:///{url}"
    check_storage(url)
    engine_options = {}
    if url.startswith("sqlite"):
        engine_options = {"connect_args": {"timeout": 60}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        storage = RDBStorage(
            url,
            engine_kwargs=engine_options,
            heartbeat_interval=heartbeat,
            grace_period=3 * heartbeat,
        )
    if url.startswith("sqlite"):
        # SQLite has no "SELECT FOR UPDATE", with which Optuna claims a trial. Without a lock from
        # the first statement of a transaction on, two workers could both read that a trial is
        # waiting, and both take it.
        event.listen(storage.engine, "connect", _leave_transactions_to_us)
        event.listen(storage.engine, "begin", _begin_immediate)
        storage.engine.dispose()
    return storage


def check_storage(url: str | Path) -> None:
    """Check an SQLite file, so that a cut or damaged one is neither read in part nor written to.

    A file that does not exist, or an empty one, becomes a new storage. Of another database, only
    the driver is checked.

    url (str | Path): See `open_storage`.
    RAISES (OSError): If the file cannot be read.
    RAISES (ValueError): If it is damaged, or the database has no driver.
    """
    name = str(url).removeprefix(SQLITE_FILE)
    if "://" in name:
        _check_driver(name)
        return
    path = Path(name)
    if not path.exists() or (path.is_file() and not path.stat().st_size):
        return
    with path.open("rb") as file_:
        is_database = file_.read(len(_SQLITE_MAGIC)) == _SQLITE_MAGIC
    findings = ["it is no SQLite database"]
    if is_database:
        findings = _find_damages(path)
    if findings:
        raise ValueError(
            f"{path}: this storage is damaged ({findings[0]}). Restore it from a copy. Or move it "
            "away and start a new one; with --results NAME.jsonl of a report, the runs that the "
            "report has are not computed again"
        )


def _check_driver(url: str) -> None:
    """Check that the driver of a database is installed."""
    try:
        make_url(url).get_dialect().import_dbapi()
    except (ArgumentError, ImportError, ValueError) as err:
        raise ValueError(
            f"{hide_password(url)}: the database cannot be opened ({err}). Install its driver, for "
            "example `pip install psycopg` for postgresql://, correct the URL, or name an SQLite "
            "file"
        ) from err


def hide_password(storage: str | Path) -> str:
    """Return the path or URL of a storage for a message, without its password.

    storage (str | Path): The path or URL.
    RETURNS (str): The same with "***" as the password.
    """
    # Up to the last @: an unescaped one may be part of the password.
    text = re.sub(r"(://[^:/@]*:).+@", r"\1***@", str(storage))
    return re.sub(r"([?&]password=)[^&]*", r"\1***", text)


def _find_damages(path: Path) -> list[str]:
    """Find the damages of an SQLite file."""
    # Not read-only: with the journal of a process that was killed, SQLite restores the file first.
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=rw", uri=True, timeout=60)
    try:
        (page_size,) = connection.execute("PRAGMA page_size").fetchone()
        if path.stat().st_size % page_size:
            return ["it ends within a page"]
        (finding,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.OperationalError as err:
        raise OSError(f"{path}: cannot be read ({err})") from err
    except sqlite3.DatabaseError as err:
        return [str(err)]
    finally:
        connection.close()
    if finding == "ok":
        return []
    return str(finding).splitlines()[-1:]


def describe_error(storage: str | Path, error: Exception) -> str:
    """Describe an error of a database that a study or a report cannot do without.

    storage (str | Path): The path or URL of the storage.
    error (Exception): The error of SQLAlchemy or Optuna.
    RETURNS (str): The message.
    """
    cause = getattr(error, "orig", None) or error
    return (
        f"{hide_password(storage)}: the storage cannot be used ({cause}). If it is a file, check "
        "that it is on a local disk, complete, and can be written; if it is a database, that it "
        "can be reached"
    )


def _leave_transactions_to_us(connection: SqliteConnection, record: object) -> None:
    connection.isolation_level = None


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def open_study(
    storage: RDBStorage,
    name: str,
    *,
    settings: StudySettings | None = None,
    sampler: str = "tpe",
) -> optuna.Study:
    """Open a study, or make it if there is none of this name.

    storage (RDBStorage): The storage.
    name (str): The name of the study.
    settings (StudySettings | None): The origin of the scores. Later calls may add to
        `settings["systems"]`; the other settings stay.
    sampler (str): Chooses the values of a search: "tpe" or "random".
    RETURNS (Study): The study.
    RAISES (KeyError): If there is no such study and no settings are given.
    RAISES (ValueError): If the study has runs with other settings.
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
    old = _get_settings(study)
    new = cast(StudySettings, json.loads(json.dumps(settings)))
    if changed := _list_changes(_find_used_settings(study), new):
        raise ValueError(
            f"the study {name!r} has been run with another {' and '.join(changed)}. Its scores "
            "would not be comparable: choose another STORAGE or, if the command has it, another "
            "--name for the new study"
        )
    systems = {**old.get("systems", {}), **new.get("systems", {})}
    study.set_user_attr("settings", {**old, **new, "systems": systems})
    return study


def _get_settings(study: optuna.Study) -> StudySettings:
    return cast(StudySettings, study.user_attrs.get("settings", {}))


def _find_used_settings(study: optuna.Study) -> StudySettings:
    """Return the settings that scores come from. Settings with which no run is complete or running,
    for example since they cannot be trained, may change."""
    used = set()
    for trial in study.get_trials(deepcopy=False, states=_USED):
        if run := read_run(trial.user_attrs):
            used.add(run.system)
    settings = _get_settings(study)
    if not used:
        return {}
    texts = settings.get("systems", {})
    return {**settings, "systems": {name: texts[name] for name in used & set(texts)}}


def _list_changes(old: StudySettings, new: StudySettings) -> list[str]:
    """Name the settings that differ. A setting that only one of the two has is no difference."""
    changed = [name for key, name in _NAMES.items() if _differ(old, new, key)]
    old_texts, new_texts = old.get("systems", {}), new.get("systems", {})
    for system in sorted(old_texts):
        if _differ(old_texts, new_texts, system):
            changed.append(f"system {system}")
    return changed


def _differ(old: Mapping[str, object], new: Mapping[str, object], key: str) -> bool:
    return key in old and key in new and old[key] != new[key]


def get_objective(scores: dict[str, float]) -> float:
    """Compute the value that a search maximises.

    scores (dict[str, float]): The scores of a run.
    RETURNS (float): The mean of the F1 of entities and of strict relations.
    """
    return (scores["ents_f"] + scores["rels_strict_f"]) / 2


def list_studies(url: str | Path) -> list[str]:
    """List the studies in a storage.

    url (str | Path): See `open_storage`.
    RETURNS (list[str]): Their names.
    RAISES (FileNotFoundError): If it is the path of a file that does not exist.
    """
    if "://" not in str(url) and not Path(url).is_file():
        raise FileNotFoundError(
            f"{url}: no such file. Expected the storage of `python -m experiments study`"
        )
    return sorted(optuna.get_all_study_names(open_storage(url)))


def read_results(url: str | Path, name: str) -> tuple[StudySettings, list[RunResult]]:
    """Read the results of a study so far.

    url (str | Path): See `open_storage`.
    name (str): The name of the study.
    RETURNS (tuple[StudySettings, list[RunResult]]): Its settings, and a result for each run that
        was ever queued.
    RAISES (KeyError): If there is no such study.
    """
    study = open_study(open_storage(url), name)
    results = []
    for run, trial in get_run_trials(study).items():
        results.append(_read_result(run, trial))
    return _get_settings(study), results


def _read_result(run: Run, trial: FrozenTrial) -> RunResult:
    attributes = trial.user_attrs
    result = RunResult(
        run,
        trial.state.name.lower(),
        scores={},
        counts={},
        minutes=attributes.get("minutes"),
        error=attributes.get("error"),
        overrides=attributes.get("overrides", {}),
    )
    if trial.state != TrialState.COMPLETE:
        return result
    return result._replace(scores=attributes["scores"], counts=attributes["counts"])


def add_results(url: str | Path, name: str, path: Path, *, settings: StudySettings) -> int:
    """Add the runs of a file to a study, so that they are not computed again.

    url (str | Path): See `open_storage`.
    name (str): The name of the study.
    path (Path): A file that `results.save_results` wrote.
    settings (StudySettings): The settings of the command. Nothing is stored if they differ from the
        settings of the study or of the file.
    RETURNS (int): Number of runs that were new to the study.
    RAISES (OSError): If there is no such file.
    RAISES (ValueError): If it cannot be read, or comes from other settings than the study.
    """
    found, records = read_saved_results(path)
    if changed := _list_changes(settings, found):
        raise ValueError(
            f"{path}: its runs come from another {' and '.join(changed)} than the runs of this "
            "command, so their scores are not comparable. Leave the file out, or repeat its "
            "settings"
        )
    storage = open_storage(url)
    open_study(storage, name, settings=settings)
    study = open_study(storage, name, settings=found)
    trials = get_run_trials(study)
    n_added = 0
    for run, record in records.items():
        if run in trials and trials[run].state == TrialState.COMPLETE:
            continue
        value = get_objective(record["scores"])
        study.add_trial(optuna.trial.create_trial(value=value, user_attrs=dict(record)))
        n_added += 1
    return n_added


def get_run_trials(study: optuna.Study) -> dict[Run, FrozenTrial]:
    """Find the trial that counts for each run.

    study (Study): The study.
    RETURNS (dict[Run, FrozenTrial]): The trials, in the order in which their runs were queued.
    """
    found: dict[Run, FrozenTrial] = {}
    for trial in study.get_trials(deepcopy=False):
        run = read_run(trial.user_attrs)
        if run is None or trial.state not in _PRIORITY:
            continue
        if run not in found or _comes_before(trial, found[run]):
            found[run] = trial
    return found


def _comes_before(trial: FrozenTrial, earlier: FrozenTrial) -> bool:
    """Whether a trial counts instead of an earlier one of the same run. Of two trials in the same
    state the first one counts, but of two that failed the last one."""
    if trial.state == earlier.state:
        return trial.state == TrialState.FAIL
    return _PRIORITY.index(trial.state) < _PRIORITY.index(earlier.state)
