"""Files that appear complete or not at all, the folder of parts that lets a run go on after a stop, and the lock that
keeps other runs off it."""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout

from .rows import dump_json

SETTINGS = "settings.json"


@contextmanager
def atomic_file(path: Path, folder: Path) -> Iterator[BinaryIO]:
    """Open a file for writing that gets its name only once it is complete and on the disk.

    path (Path): The file; replaced if it exists.
    folder (Path): Where it is written; on the same file system.
    YIELDS (BinaryIO): The file, open.
    """
    temporary = folder / f"{path.name}.{os.getpid()}.tmp"
    with temporary.open("wb") as file_:
        yield file_
        file_.flush()
        os.fsync(file_.fileno())
    temporary.replace(path)
    if os.name == "posix":  # elsewhere a folder cannot be opened
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def lock_output(output: Path) -> Iterator[None]:
    """Keep other runs off an output and its parts. The lock, on OUT.lock, ends with this process, however that ends.

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
            f"{output}: another run is writing it. Wait until it has ended, or name another file for the output"
        ) from err
    try:
        yield
    finally:
        # While it is held: who opened the file before gets a lock without a name, which filelock does not take for one.
        with suppress(OSError):  # Windows keeps files that are open; there filelock removes it
            path.unlink()
        lock.release()


class Parts:
    """The folder OUT.parts: the results of equal ranges of the input's rows, a file each, and the settings they were
    made with. It is there from the start of a run until OUT is complete."""

    def __init__(self, output: Path):
        """Name the folder.

        output (Path): The file that the parts are for.
        """
        self.output = output
        self.folder = output.with_name(f"{output.name}.parts")

    def open(self, settings: dict[str, Any], *, overwrite: bool = False) -> bool:
        """Start a run or go on with one.

        settings (dict[str, Any]): What the results depend on, in plain JSON.
        overwrite (bool): Start over: remove the output and all parts.
        RETURNS (bool): True if there is work; False if a run was stopped just when the output was complete.
        RAISES (ValueError): If the parts were made with other settings, or the output exists.
        """
        if overwrite:
            self.remove()
            self.output.unlink(missing_ok=True)
        path = self.folder / SETTINGS
        saved = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        if saved is not None and saved != settings:
            names = [
                name for name in {**saved, **settings} if saved.get(name) != settings.get(name)
            ]
            changes = "; ".join(
                f"{name}: {saved.get(name)!r}, now {settings.get(name)!r}" for name in names
            )
            raise ValueError(
                f"{self.folder}: these parts were made with other settings ({changes}). Go on with the same settings, "
                "or start over with --overwrite"
            )
        if self.output.exists():
            if not self.folder.exists():
                raise ValueError(
                    f"{self.output}: exists and is complete. Annotate anew with --overwrite"
                )
            self.remove()
            return False
        self.folder.mkdir(parents=True, exist_ok=True)
        if saved is None:
            with atomic_file(path, self.folder) as file_:
                file_.write(json.dumps(settings, indent=2).encode("utf-8"))
        return True

    def count(self) -> int:
        """RETURNS (int): How many parts there are, up to the first that is missing."""
        number = 0
        while self._get_path(number).is_file():
            number += 1
        return number

    def write(self, number: int, results: Iterable[dict[str, Any]]) -> None:
        """Write a part.

        number (int): Its number, from 0.
        results (Iterable[dict[str, Any]]): The results, one for each row of its range.
        """
        with atomic_file(self._get_path(number), self.folder) as file_:
            file_.writelines(f"{dump_json(result)}\n".encode() for result in results)

    def read(self) -> Iterator[dict[str, Any]]:
        """Read all parts.

        YIELDS (dict[str, Any]): The results of all rows, in order.
        """
        for number in range(self.count()):
            with self._get_path(number).open("rb") as file_:
                yield from map(json.loads, file_)

    def remove(self) -> None:
        """Remove the folder, if it exists. The settings go last: a run that is stopped here can be gone on with."""
        for pattern in ("*.jsonl", "*.tmp"):
            for path in self.folder.glob(pattern):
                path.unlink()
        if self.folder.exists():
            (self.folder / SETTINGS).unlink(missing_ok=True)
            self.folder.rmdir()

    def _get_path(self, number: int) -> Path:
        return self.folder / f"{number:06}.jsonl"
