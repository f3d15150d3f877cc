"""The parts of a run: they let a run go on after a stop, and a lock keeps other runs off them.

A file of this module appears complete or not at all.
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeAlias

from filelock import FileLock, Timeout

from .json_rows import encode_line
from .rows import RowResult

# Everything on which the results of a run depend.
Settings: TypeAlias = dict[str, str | int]

SETTINGS = "settings.json"


@contextmanager
def atomic_file(path: Path, folder: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that gets its name only once it is complete and on the disk.

    path (Path): The file; replaced if it exists.
    folder (Path): The folder in which it is written; on the same file system.
    YIELDS (BinaryIO): The file, open.
    """
    temporary = folder / f"{path.name}.{os.getpid()}.tmp"
    with temporary.open("wb") as file_:
        yield file_
        file_.flush()
        os.fsync(file_.fileno())
    temporary.replace(path)
    if os.name == "posix":  # other systems cannot open a folder
        _sync_folder(path.parent)


@contextmanager
def lock_output(output: Path) -> Iterator[None]:
    """Keep other runs off an output and its parts.

    The lock, on OUT.lock, ends with this process, however the process ends.

    output (Path): The file; its folder is made if needed.
    RAISES (BlockingIOError): If another run has the lock.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    path = output.with_name(f"{output.name}.lock")
    lock = FileLock(path, timeout=0)
    try:
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
        self.folder = output.with_name(f"{output.name}.parts")

    def open(self, settings: Settings, *, overwrite: bool = False) -> bool:
        """Start a run or go on with one.

        settings (Settings): Everything on which the results depend.
        overwrite (bool): Start over: remove the output and all parts.
        RETURNS (bool): True if there is work; False if a run was stopped when its output was
            complete.
        RAISES (ValueError): If the parts were made with other settings, or the output exists.
        """
        if overwrite:
            self.remove()
            self.output.unlink(missing_ok=True)
        saved = self._read_settings()
        if saved is not None and saved != settings:
            self._refuse_settings(saved, settings)
        if self.output.exists():
            if not self.folder.exists():
                raise ValueError(
                    f"{self.output}: exists and is complete. Annotate again with --overwrite"
                )
            self.remove()
            return False
        if saved is None:
            self._write_settings(settings)
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
        """
        with atomic_file(self._get_path(number), self.folder) as file_:
            for result in results:
                file_.write(encode_line(result))

    def read(self) -> Iterator[RowResult]:
        """Read all parts.

        YIELDS (RowResult): The results of all rows, in order.
        """
        for number in range(self.count()):
            with self._get_path(number).open("rb") as file_:
                yield from map(json.loads, file_)

    def remove(self) -> None:
        """Remove the folder, if it exists."""
        for pattern in ("*.jsonl", "*.tmp"):
            for path in self.folder.glob(pattern):
                path.unlink()
        # The settings go last: a run that is stopped before can be resumed.
        if self.folder.exists():
            self._settings_path.unlink(missing_ok=True)
            self.folder.rmdir()

    @property
    def _settings_path(self) -> Path:
        return self.folder / SETTINGS

    def _get_path(self, number: int) -> Path:
        return self.folder / f"{number:06}.jsonl"

    def _read_settings(self) -> Settings | None:
        if not self._settings_path.is_file():
            return None
        return json.loads(self._settings_path.read_text(encoding="utf-8"))

    def _write_settings(self, settings: Settings) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(self._settings_path, self.folder) as file_:
            file_.write(json.dumps(settings, indent=2).encode("utf-8"))

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


def _sync_folder(folder: Path) -> None:
    """Bring the entries of a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
