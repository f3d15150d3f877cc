"""Calls under limits: files of a maximum size, as on a full disk, and a user without rights."""

import multiprocessing
import os
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from .kills import fork

try:
    import resource
except ImportError:
    resource = None

needs_limits = pytest.mark.skipif(
    resource is None or "fork" not in multiprocessing.get_all_start_methods(),
    reason="needs limits of resources, and fork",
)
# A user that owns nothing.
NOBODY = 65534
TIMEOUT = 120.0


def call_limited(
    function: Callable[..., object],
    *arguments: object,
    max_bytes: int | None = None,
    as_nobody: bool = False,
) -> str:
    """Call a function in a forked process, and return the text of its result or of its error.

    function (Callable): The function.
    arguments (object): Its arguments.
    max_bytes (int | None): Maximum size of a file, beyond which writing fails.
    as_nobody (bool): Call it as a user without rights, if this process may choose its user.
    RETURNS (str): The result, or the last line of the traceback.
    """
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = fork(_call, sender, function, arguments, max_bytes, as_nobody)
    sender.close()
    try:
        # Threads that held a lock at the fork do not exist in the new process, which may hang.
        assert receiver.poll(TIMEOUT), "no answer from the forked process"
        return receiver.recv()
    finally:
        process.kill()
        process.join()


def _call(
    sender: Connection,
    function: Callable[..., object],
    arguments: tuple[object, ...],
    max_bytes: int | None,
    as_nobody: bool,
) -> None:
    if max_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (max_bytes, max_bytes))
    if as_nobody and os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    try:
        text = str(function(*arguments))
    except BaseException as err:
        text = traceback.format_exception_only(err)[-1]
    sender.send(text)


def make_open_folder() -> Iterator[Path]:
    """Make a folder that every user can read, and remove it in the end; for a fixture."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
