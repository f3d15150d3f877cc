"""The parts of a run: they let a run go on after a stop, and a lock keeps other runs off them.

A part appears complete or not at all. Its last line has its number, its run and a checksum, so that
a part that was damaged, swapped or put there by someone else is refused. The run writes and removes
files with names of its own only.
"""

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeAlias

from filelock import FileLock, Timeout

from ..files import name_output, open_output, write_text
from .json_rows import encode_line
from .rows import RowResult

# Everything on which the results of a run depend.
Settings: TypeAlias = dict[str, str | int]

# The file with the settings of a run.
RUN = "tabcnn-run.json"
# The names of parts, and of all files that a run writes, temporary ones included.
_PART = re.compile(r"tabcnn-[0-9]{6,}\.jsonl")
_OWN = re.compile(r"\.?tabcnn-(run\.json|[0-9]{6,}\.jsonl)(\.tabcnn-.*)?")
_WAY_OUT = (
    "Remove this file to annotate its documents and all following ones again, or start over with "
    "--overwrite"
)


@contextmanager
def lock_output(output: Path) -> Iterator[None]:
    """Keep other runs off an output and its parts.

    The lock, on OUT.lock, ends with this process, however the process ends.

    output (Path): The file; its folder is made if needed.
    RAISES (BlockingIOError): If another run has the lock.
    RAISES (ValueError): If OUT.lock is a file of someone else.
    """
    path = get_lock_path(output)
    if path.is_dir() or (path.exists() and path.stat().st_size):
        raise ValueError(
            f"{path}: is no lock of a run, which is an empty file. Move it, or name another output"
        )
    lock = FileLock(path, timeout=0)
    try:
        with name_output(output, also=[path]):
            output.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire()
    except Timeout as err:
        raise BlockingIOError(
            f"{output}: another run is writing it. Wait until it has ended, or name another file "
            "for the output"
        ) from err
    try:
        yield
    finally:
        # Removed while the lock is held. Another run that has opened the file already then gets a
        # lock on a file without a name, which filelock does not accept.
        with suppress(OSError):  # Windows keeps open files; there filelock removes it
            path.unlink()
        lock.release()


def get_lock_path(output: Path) -> Path:
    """Return the lock of an output.

    output (Path): The file.
    RETURNS (Path): The lock: an empty file.
    """
    return output.with_name(f"{output.name}.lock")


def get_parts_path(output: Path) -> Path:
    """Return the folder with the parts of a run.

    output (Path): The output of the run.
    RETURNS (Path): The folder.
    """
    return output.with_name(f"{output.name}.parts")


class _Run(NamedTuple):
    """A run, as its file describes it.

    name (str): A random name, which its parts have, too.
    settings (Settings): Everything on which the results depend.
    replaces (bool): Whether the output existed before, and is to be replaced.
    finished (list[int] | None): Size and time of the complete output; None before it is complete.
    """

    name: str
    settings: Settings
    replaces: bool
    finished: list[int] | None


class Parts:
    """The folder OUT.parts, which exists from the start of a run until OUT is complete.

    It holds the results of equal ranges of the input's rows, one file each, and the settings of
    the run.
    """

    def __init__(self, output: Path):
        """Name the folder.

        output (Path): The file to which the parts belong.
        """
        self.output = output
        self.folder = get_parts_path(output)
        self._run: _Run | None = None

    def open(
        self, settings: Settings, *, overwrite: bool = False, others: Iterable[Path] = ()
    ) -> bool:
        """Start a run or go on with one.

        settings (Settings): Everything on which the results depend.
        overwrite (bool): Start over: remove all parts, and replace the output once the new one is
            complete.
        others (Iterable[Path]): The files that the run writes besides.
        RETURNS (bool): True if there is work; False if a run was stopped when its output was
            complete.
        RAISES (ValueError): If the parts were made with other settings or are damaged, or the
            output or another file exists.
        """
        if overwrite:
            self.remove()
        self._run = self._read_run()
        if self._run and self._run.settings != settings and not self._holds_work(self._run):
            # Its input was refused, for example, and is corrected now.
            self.remove()
            self._run = None
        if self._run is None:
            return self._start(settings, overwrite, others)
        if self._run.settings != settings:
            self._refuse_settings(self._run.settings, settings)
        if self.output.exists() and self._run.finished == _describe_file(self.output):
            self.remove()
            return False
        if self.output.exists() and not self._run.replaces:
            raise ValueError(
                f"{self.output}: exists, but not as the run wrote it whose parts are in "
                f"{self.folder}. Move it to go on with the run, or start over with --overwrite"
            )
        n_parts = self.count()
        for number in range(n_parts):
            self._check(number)
        self._remove_files(after=n_parts)
        return True

    def count(self) -> int:
        """Count the parts up to the first missing one.

        RETURNS (int): The number of parts.
        """
        number = 0
        while self._get_path(number).is_file():
            number += 1
        return number

    def write(self, number: int, results: Iterable[RowResult]) -> None:
        """Write a part.

        number (int): Its number, from 0.
        results (Iterable[RowResult]): The results, one for each row of its range.
        RAISES (OSError): If it cannot be written.
        """
        digest = hashlib.sha256()
        n_rows = 0
        with open_output(self._get_path(number)) as file_:
            for result in results:
                line = encode_line(result)
                digest.update(line)
                file_.write(line)
                n_rows += 1
            file_.write(encode_line(self._describe(number, n_rows, digest.hexdigest())))

    def read(self) -> Iterator[RowResult]:
        """Read all parts.

        YIELDS (RowResult): The results of all rows, in order.
        RAISES (ValueError): If a part is damaged.
        """
        for number in range(self.count()):
            n_rows = self._check(number)
            with self._get_path(number).open("rb") as file_:
                yield from map(json.loads, islice(file_, n_rows))

    def finish(self, complete: Path) -> None:
        """Note that the output is complete, before it gets its name.

        A run that is stopped after that has nothing to do.

        complete (Path): The output under a temporary name.
        """
        assert self._run is not None
        self._write_run(self._run._replace(finished=_describe_file(complete)))

    def remove(self) -> None:
        """Remove the files of the run, and the folder if it holds nothing else."""
        if not self.folder.is_dir():
            return
        self._remove_files()
        # The settings go last: a run that is stopped before can be resumed.
        (self.folder / RUN).unlink(missing_ok=True)
        with suppress(OSError):  # it holds files of someone else
            self.folder.rmdir()

    def _holds_work(self, run: _Run) -> bool:
        """Check whether a run has written a part or its output."""
        return self.count() > 0 or run.finished is not None

    def _remove_files(self, after: int = 0) -> None:
        """Remove the parts from a number on, and temporary files."""
        kept = {RUN}
        for number in range(after):
            kept.add(self._get_path(number).name)
        for path in sorted(self.folder.iterdir()):
            if _OWN.fullmatch(path.name) and path.name not in kept and not path.is_dir():
                path.unlink()

    def _get_path(self, number: int) -> Path:
        return self.folder / f"tabcnn-{number:06}.jsonl"

    def _start(self, settings: Settings, overwrite: bool, others: Iterable[Path]) -> bool:
        """Start a run that has no file yet; return False if it is complete."""
        if not overwrite:
            self._check_no_parts()
            if self.output.exists():
                return self._tidy()
            self._check_new(others)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write_run(_Run(secrets.token_hex(8), settings, self.output.exists(), None))
        return True

    def _tidy(self) -> bool:
        """Remove the empty folder of a run that was stopped when it had removed all else."""
        with suppress(OSError):
            self.folder.rmdir()
            return False
        raise ValueError(f"{self.output}: exists and is complete. Annotate again with --overwrite")

    def _check_no_parts(self) -> None:
        """Check that there are no parts without the file of their run."""
        if self.folder.is_dir() and any(map(_PART.fullmatch, os.listdir(self.folder))):
            raise ValueError(
                f"{self.folder}: holds parts, but not the settings of their run, {RUN}. Start over "
                "with --overwrite"
            )

    def _check_new(self, others: Iterable[Path]) -> None:
        """Check that a new run replaces nothing."""
        for path in others:
            if path.exists():
                raise ValueError(
                    f"{path}: exists, but {self.output} does not. Move it, or replace it with "
                    "--overwrite"
                )

    def _read_run(self) -> _Run | None:
        """Read the file of the run; return None if there is none."""
        path = self.folder / RUN
        if not path.exists():
            return None
        with suppress(ValueError, RecursionError, KeyError, TypeError, AttributeError):
            content = json.loads(path.read_bytes())
            run = _Run(*map(content["run"].get, _Run._fields))
            if path.read_bytes() == _render_run(run):
                return run
        raise ValueError(
            f"{path}: damaged: its content does not fit its checksum. Start over with --overwrite"
        )

    def _write_run(self, run: _Run) -> None:
        self._run = run
        write_text(self.folder / RUN, _render_run(run).decode("utf-8"))

    def _describe(self, number: int, n_rows: int, digest: str) -> dict[str, object]:
        """Return the last line of a part."""
        assert self._run is not None
        return {"run": self._run.name, "part": number, "rows": n_rows, "sha256": digest}

    def _check(self, number: int) -> int:
        """Check that a part is as the run wrote it, and return the number of its rows."""
        path = self._get_path(number)
        digest = hashlib.sha256()
        n_lines = 0
        last = b""
        with path.open("rb") as file_:
            for line in file_:
                digest.update(last)
                last = line
                n_lines += 1
        expected = self._describe(number, n_lines - 1, digest.hexdigest())
        if last != encode_line(expected):
            raise ValueError(f"{path}: {_find_damage(last, expected)}. {_WAY_OUT}")
        return n_lines - 1

    def _refuse_settings(self, saved: Settings, settings: Settings) -> None:
        changes = []
        for name in {**saved, **settings}:
            before, now = saved.get(name), settings.get(name)
            if before != now:
                changes.append(f"{name}: {before!r}, now {now!r}")
        raise ValueError(
            f"{self.folder}: these parts were made with other settings ({'; '.join(changes)}). "
            "Go on with the same settings, or start over with --overwrite"
        )


def _render_run(run: _Run) -> bytes:
    """Return the content of the file of a run: its fields, and their checksum."""
    fields = run._asdict()
    digest = hashlib.sha256(encode_line(fields)).hexdigest()
    return json.dumps({"run": fields, "sha256": digest}, indent=2).encode("utf-8")


def _describe_file(path: Path) -> list[int]:
    """Return the size and the time of a file."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _find_damage(last: bytes, expected: dict[str, object]) -> str:
    """Return the reason why the last line of a part is not as expected."""
    found: object = None
    with suppress(ValueError, RecursionError):
        found = json.loads(last)
    if not isinstance(found, dict) or found.keys() != expected.keys():
        return "damaged: it is cut short, or it is no part of a run"
    if found["run"] != expected["run"]:
        return "a part of another run"
    if found["part"] != expected["part"]:
        return f"the content of part {found['part']}, not of part {expected['part']}"
    return "damaged: its content does not fit its checksum"
