"""Feeding inputs to a target, within limits of time and memory, and counting the findings."""

import contextlib
import gc
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import hypothesis
from hypothesis import HealthCheck, Phase

from .target import Files, Finding, Target

PACKAGE = Path(__file__).parents[2] / "spacy_tabcnn"
_ROUND = 200  # inputs with one seed
_MEGABYTE = 2**20
_WAITING = 30  # the limit of time over the limit of CPU time
# Files in memory, where the system has such a folder: an input takes half the time there.
_MEMORY_DISK = None
if os.access("/dev/shm", os.W_OK):
    _MEMORY_DISK = "/dev/shm"


class TimeUpError(BaseException):
    """An input takes too long. No handler of ordinary errors catches it."""


class Verdict(NamedTuple):
    """The outcome of one input.

    outcome (str): READ or REFUSED; "finding" otherwise.
    place (str): File, line and type of the error of a finding, or its kind; empty without one.
    detail (str): The message or the traceback of a finding.
    """

    outcome: str
    place: str = ""
    detail: str = ""


class Found(NamedTuple):
    """A place with findings, and the smallest input that led to it."""

    files: Files
    detail: str


@dataclass
class Campaign:
    """The counts of one target.

    outcomes (Counter[str]): Number of inputs by outcome.
    places (Counter[str]): Number of findings by place.
    found (dict[str, Found]): For each place its smallest input.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    places: Counter[str] = field(default_factory=Counter)
    found: dict[str, Found] = field(default_factory=dict)

    def add(self, files: Files, verdict: Verdict) -> None:
        """Count an input."""
        self.outcomes[verdict.outcome] += 1
        if verdict.place:
            self.places[verdict.place] += 1
            known = self.found.get(verdict.place)
            if known is None or _measure(files) < _measure(known.files):
                self.found[verdict.place] = Found(files, verdict.detail)


def run_inputs(target: Target, n_inputs: int, seed: int, campaign: Campaign) -> None:
    """Try a number of inputs."""

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=n_inputs,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(target.inputs)
    def run(files: Files) -> None:
        campaign.add(files, try_input(target, files))

    run()


def run_for(target: Target, seconds: float, seed: int, campaign: Campaign) -> None:
    """Try inputs until the time is over, with another seed for every round."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        run_inputs(target, _ROUND, seed, campaign)
        seed += 1


def try_input(target: Target, files: Files) -> Verdict:
    """Run a target on one input and return the verdict."""
    before = _measure_memory()
    start = time.process_time()
    try:
        with (
            _silence(),
            tempfile.TemporaryDirectory(dir=_MEMORY_DISK) as folder,
            _limit_time(target.seconds),
        ):
            outcome = target.check(files, Path(folder))
    except Finding as err:
        return Verdict("finding", err.kind, str(err))
    except TimeUpError as err:
        place = f"hang at {_find_place(err.__traceback__)}"
        return Verdict("finding", place, "".join(traceback.format_exception(err)))
    except Exception as err:
        place = f"{_find_place(err.__traceback__)} {type(err).__name__}"
        return Verdict("finding", place, "".join(traceback.format_exception(err)))
    seconds = time.process_time() - start
    if seconds > target.seconds:
        return Verdict("finding", "hang", f"{seconds:.1f} s")
    growth = _measure_memory() - before
    if growth > target.megabytes:
        return Verdict("finding", "memory", f"grew by {growth:.0f} MB")
    return Verdict(outcome)


def find_origin(err: BaseException) -> str:
    """Return file, line and type of an error that the program raised, for the kind of a finding."""
    return f"{_find_place(err.__traceback__)} {type(err).__name__}"


def _measure(files: Files) -> int:
    return sum(map(len, files.values()))


def _measure_memory() -> float:
    """Return the largest memory of the process so far, in megabytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if sys.platform == "darwin":
        return peak / _MEGABYTE
    return peak / 1024


def _find_place(trace: TracebackType | None) -> str:
    """Return the innermost line of the package in a traceback, or else its innermost line."""
    frames = traceback.extract_tb(trace)
    inner = [frame for frame in frames if Path(frame.filename).is_relative_to(PACKAGE)]
    last = (inner or frames)[-1]
    path = Path(last.filename)
    if inner:
        path = path.relative_to(PACKAGE.parent)
    return f"{path.as_posix()}:{last.lineno}"


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    if gc.get_count()[0] > 100_000:
        gc.collect()


@contextlib.contextmanager
def _limit_time(seconds: float) -> Iterator[None]:
    """Interrupt an input that takes too long, where the system has a timer for it.

    The limit is one of CPU time. An input that only waits gets much more, since other programs may
    take the CPU.
    """
    if not hasattr(signal, "setitimer"):
        yield
        return

    def stop(*args: object) -> None:
        raise TimeUpError(f"no answer within {seconds} s")

    timers = {
        signal.ITIMER_PROF: (signal.SIGPROF, seconds),
        signal.ITIMER_REAL: (signal.SIGALRM, _WAITING * seconds),
    }
    previous = {}
    for timer, (number, limit) in timers.items():
        previous[number] = signal.signal(number, stop)
        signal.setitimer(timer, limit)
    try:
        yield
    finally:
        for timer in timers:
            signal.setitimer(timer, 0)
        for number, handler in previous.items():
            signal.signal(number, handler)
