"""Kills at seeded moments: of commands by time, of functions before and after each step on disk.

A test that repeats a kill with its seed kills at the same moment, as far as time allows it. A kill
before or after the n-th step on disk is the same each time.
"""

import faulthandler
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple, cast

import pytest
from tqdm import tqdm

needs_kills = pytest.mark.skipif(
    not hasattr(signal, "SIGKILL") or "fork" not in multiprocessing.get_all_start_methods(),
    reason="needs SIGKILL and fork",
)
# The functions of `os` that change names or bring data to the disk.
STEPS = ("replace", "rename", "fsync", "unlink", "mkdir", "rmdir")
TIMEOUT = 600.0
# Seconds after which a forked process counts as hanging.
FORK_TIMEOUT = 120.0


class Outcome(NamedTuple):
    """The end of a command.

    killed (bool): Whether it was killed; False if it ended before.
    returncode (int): Its exit code.
    output (str): Everything that it printed.
    seconds (float): Its time from `ready` on.
    """

    killed: bool
    returncode: int
    output: str
    seconds: float


def spacy_command(*arguments: object) -> list[str]:
    """Return the command line of `spacy ARGUMENTS` in another process."""
    return [sys.executable, "-m", "spacy", *map(str, arguments)]


def draw_moments(seed: int | str, number: int, end: float) -> list[float]:
    """Draw moments between 0 and an end, in seconds, in the order of time."""
    draw = random.Random(seed)
    return sorted(draw.uniform(0.0, end) for _ in range(number))


def run(
    command: Sequence[str],
    *,
    kill_after: float | None = None,
    ready: Callable[[], bool] | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Outcome:
    """Run a command and kill it, with all processes that it has started.

    command (Sequence[str]): The command.
    kill_after (float | None): Seconds from `ready` to the kill; None for no kill.
    ready (Callable | None): The moment from which to count, such as the first file of the command.
        By default, its start.
    environment (Mapping[str, str] | None): Variables to add to the environment.
    folder (Path | None): The working directory.
    RETURNS (Outcome): Its end.
    """
    options = {"OMP_NUM_THREADS": "1", **(environment or {})}
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **options},
        cwd=folder,
        start_new_session=True,
    )
    try:
        while ready is not None and process.poll() is None and not ready():
            time.sleep(0.001)
        start = time.monotonic()
        try:
            output, _ = process.communicate(timeout=TIMEOUT if kill_after is None else kill_after)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    seconds = time.monotonic() - start
    killed = process.returncode == -signal.SIGKILL
    return Outcome(killed, process.returncode, output.decode("utf-8", "replace"), seconds)


def fork(function: Callable[..., object], *arguments: object, **options: object) -> BaseProcess:
    """Call a function in a forked process, which needs no imports.

    function (Callable): The function.
    arguments (object): Its arguments.
    options (object): Its named arguments.
    RETURNS (BaseProcess): The process, which has started.
    """
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_call_apart, args=(function, arguments, options))
    with warnings.catch_warnings():
        # A thread of a progress bar. The function does not wait for any.
        warnings.filterwarnings("ignore", ".*multi-threaded.*", DeprecationWarning)
        process.start()
    return process


def _call_apart(
    function: Callable[..., object], arguments: Sequence[object], options: Mapping[str, object]
) -> None:
    """Call a function without a lock and without the threads of the process that forked this one.

    tqdm's lock is shared by the two. If this one was killed while it has it, the other one would
    wait without end. The tokenizers would wait for the other one's threads.
    """
    faulthandler.register(signal.SIGUSR1, file=2)
    tqdm.set_lock(threading.RLock())
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    function(*arguments, **options)


def call_and_kill(
    function: Callable[..., object],
    *arguments: object,
    kill_after: float,
    ready: Callable[[], bool] | None = None,
    **options: object,
) -> bool:
    """Call a function in a forked process and kill it. This saves the time of all imports.

    function (Callable): The function.
    arguments (object): Its arguments.
    kill_after (float): Seconds from `ready` to the kill.
    ready (Callable | None): The moment from which to count. By default, the start.
    options (object): Its named arguments.
    RETURNS (bool): Whether it was killed; False if it ended before.
    RAISES (TimeoutError): If it did not become ready. It has written to stderr where it waits.
    """
    process = fork(function, *arguments, **options)
    try:
        if ready is not None:
            _wait_until_ready(process, ready)
        process.join(kill_after)
    finally:
        process.kill()
        process.join(10)
    return process.exitcode == -signal.SIGKILL


def _wait_until_ready(process: BaseProcess, ready: Callable[[], bool]) -> None:
    end = time.monotonic() + FORK_TIMEOUT
    while process.is_alive() and not ready():
        if time.monotonic() > end:
            _write_stack(process)
            raise TimeoutError(f"the process was not ready after {FORK_TIMEOUT:.0f} seconds")
        time.sleep(0.0005)


def _write_stack(process: BaseProcess) -> None:
    """Let a process that hangs write to stderr where it does."""
    os.kill(cast(int, process.pid), signal.SIGUSR1)
    time.sleep(1)


def kill_at_steps(
    function: Callable[..., object], *arguments: object, **options: object
) -> Iterator[str]:
    """Call a function again and again in forked processes: killed before its first step on disk,
    after it, before the second one, and so on, until a call ends undisturbed.

    function (Callable): The function.
    arguments (object): Its arguments.
    options (object): Its named arguments.
    YIELDS (str): The place of each kill, for messages. Check (and restore) the files then.
    """
    for number in range(10_000):
        for is_before in (True, False):
            process = fork(_call_with_kill, function, arguments, options, number, is_before)
            process.join(FORK_TIMEOUT)
            if process.exitcode is None:
                _write_stack(process)
                process.kill()
                raise AssertionError(f"step {number}: no end")
            if process.exitcode != -signal.SIGKILL:
                assert process.exitcode == 0, f"step {number}: exit code {process.exitcode}"
                return
            yield f"{'before' if is_before else 'after'} step {number}"


def _call_with_kill(
    function: Callable[..., object],
    arguments: Sequence[object],
    options: Mapping[str, object],
    number: int,
    is_before: bool,
) -> None:
    with _killing_step(number, is_before):
        function(*arguments, **options)


@contextmanager
def _killing_step(number: int, is_before: bool) -> Iterator[None]:
    """Kill this process before or after the n-th step on disk."""
    steps = 0

    def wrap(original: Callable[..., object]) -> Callable[..., object]:
        def step(*arguments: object, **options: object) -> object:
            nonlocal steps
            steps += 1
            if steps == number + 1 and is_before:
                os.kill(os.getpid(), signal.SIGKILL)
            is_last = steps == number + 1
            try:
                return original(*arguments, **options)
            finally:
                if is_last:
                    os.kill(os.getpid(), signal.SIGKILL)

        return step

    with pytest.MonkeyPatch.context() as patch:
        for name in STEPS:
            patch.setattr(os, name, wrap(getattr(os, name)))
        yield
