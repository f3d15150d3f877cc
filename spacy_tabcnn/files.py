"""Outputs: complete or absent, and never an input.

An output is written next to its target and renamed once it is complete and on the disk. A stop, an
error or a full disk leaves the old file or folder as it was. Every command writes this way.
"""

import ctypes
import errno
import json
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedWriter, FileIO
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if sys.platform != "win32":
    import fcntl
if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

# The name of a file without links, or the numbers of its disk and of the file.
_Identity: TypeAlias = str | tuple[int, int]

# The mark of temporary names, after the name of the target, and the end of the name that an old
# folder has between the two steps of its replacement.
_MARK = ".tabcnn-"
_OLD = ".old"
# The stem of a temporary folder within its target.
_NEW = "new"
# The maximum length of the part of a temporary name that comes from the target, in bytes. A name
# has 255 bytes at most on common file systems.
_MAX_STEM = 100
_MAX_SUFFIX = 20
_BUFFER = 2**18
# Names of open files; the shell may have opened a file for /dev/stdout.
_STREAMS = ("/dev/std", "/dev/fd/", "/proc/")
# `renameat2` and `renamex_np` exchange two folders in one step.
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
# The errors of file systems that cannot bring a folder to the disk by itself.
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES)


class _NamedFile(FileIO):
    """A file with its name in each error of writing."""

    def write(self, data: "ReadableBuffer") -> int:
        """Write bytes.

        data (ReadableBuffer): The bytes.
        RETURNS (int): The number of written bytes.
        RAISES (OSError): If the disk is full, for example.
        """
        try:
            return super().write(data)
        except OSError as err:
            err.filename = str(self.name)
            raise


@contextmanager
def replace_file(path: str | Path) -> Iterator[Path]:
    """Write a file that gets its name only once it is complete and on the disk.

    The temporary file has the suffix of the target. A link stays a link: the file that it names is
    replaced. A device or a pipe, such as /dev/stdout, is written directly.

    path (str | Path): The file; its folder is made if needed. It is replaced if it exists.
    YIELDS (Path): The path to write to: an empty file in the same folder.
    RAISES (OSError): If the file cannot be written. The message names it, and an old file is kept.
    """
    if _is_device(Path(path)):
        yield Path(path)
        return
    target = _resolve(path)
    with name_output(path), _reserve(target, is_folder=False) as temporary:
        _check_writable(target)
        yield temporary
        _copy_rights(target, temporary)
        _sync(temporary)
        os.replace(temporary, target)
        sync_folder(target.parent)


@contextmanager
def open_output(path: str | Path) -> Iterator[BufferedWriter]:
    """Open a file for writing that gets its name only once it is complete, as in `replace_file`.

    path (str | Path): The file; its folder is made if needed. It is replaced if it exists.
    YIELDS (BufferedWriter): The file, open.
    RAISES (OSError): If the file cannot be written.
    """
    with replace_file(path) as temporary, open_new(temporary) as file_:
        yield file_


def open_new(path: Path) -> BufferedWriter:
    """Open a temporary file for writing; an error of the disk then names its output.

    path (Path): The path that `replace_file` yields, or a path in the folder of `fill_folder` or
        `replace_folder`.
    RETURNS (BufferedWriter): The file, open.
    """
    return BufferedWriter(_NamedFile(path, "wb"), _BUFFER)


def write_text(path: str | Path, text: str) -> None:
    """Write text in UTF-8, whole or not at all, as in `replace_file`.

    path (str | Path): The file; its folder is made if needed. It is replaced if it exists.
    text (str): The text. Its line ends stay as they are.
    RAISES (OSError): If the file cannot be written.
    """
    with open_output(path) as file_:
        file_.write(text.encode("utf-8"))


def write_json(path: str | Path, value: object) -> None:
    """Write a value as indented JSON, whole or not at all, as in `replace_file`.

    path (str | Path): The file; its folder is made if needed. It is replaced if it exists.
    value (object): The value: strings, numbers, lists and dicts.
    RAISES (OSError): If the file cannot be written.
    RAISES (ValueError): If the value holds a number that is not finite.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, f"{text}\n")


@contextmanager
def replace_folder(path: str | Path) -> Iterator[Path]:
    """Write a folder that gets its name only once it is complete and on the disk.

    On Linux and macOS, the old and the new folder change places in one step, so that a complete
    folder has the name at any moment. File systems without this step need two; if a kill comes
    between them, `restore_folder` and the next `replace_folder` bring the old folder back.

    path (str | Path): The folder; the folder around it is made if needed. It is replaced if it
        exists, with everything in it.
    YIELDS (Path): The path to write to: an empty folder next to the target.
    RAISES (OSError): If the folder cannot be written. The message names it, and an old one is kept.
    """
    target = _resolve(path)
    with name_output(path), _reserve(target, is_folder=True) as temporary:
        restore_folder(target)
        if target.exists() and not target.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(target))
        yield temporary
        _copy_rights(target, temporary)
        _sync_tree(temporary)
        _swap(temporary, target)
        sync_folder(target.parent)


@contextmanager
def fill_folder(path: str | Path) -> Iterator[Path]:
    """Write files into a folder that get their names only once all of them are complete.

    Other files in the folder stay as they are, and an error leaves the old files. A kill while the
    files get their names can leave some old and some new ones, each of them complete.

    path (str | Path): The folder; made if needed. It may hold a mounted disk.
    YIELDS (Path): The folder to write to: an empty one within the target.
    RAISES (OSError): If a file cannot be written. The message names the folder.
    """
    target = _resolve(path)
    with (
        name_output(path),
        _removing_if_empty(target),
        _reserve(target / _NEW, is_folder=True) as temporary,
    ):
        yield temporary
        _sync_tree(temporary)
        files = _list_files(temporary)
        for name in files:
            with name_output(target / name):
                _check_writable(target / name)
        for name in files:
            _move(temporary / name, target / name)
        _sync_names(target, files)


def restore_folder(path: str | Path) -> None:
    """Bring back a folder whose replacement was killed between its two steps.

    path (str | Path): The folder. Nothing happens if it exists, or if it was never replaced.
    """
    target = _resolve(path)
    if target.exists() or not target.parent.is_dir():
        return
    for old in _find_leftovers(target):
        if old.name.endswith(_OLD):
            os.rename(old, target)
            return


@contextmanager
def name_output(path: str | Path, *, also: Iterable[Path] = ()) -> Iterator[None]:
    """Name an output in an error of the disk, in place of a temporary file, a folder or nothing.

    path (str | Path): The output.
    also (Iterable[Path]): Other files that it needs.
    RAISES (OSError): With a message that names the output, if it cannot be written.
    """
    target = _resolve(path)
    try:
        yield
    except OSError as err:
        named = str(err.filename or target)
        if err.errno is None or not (_belongs_to(named, target) or Path(named) in also):
            raise  # another file, such as an input
        shown = _remove_marks(Path(path))
        if is_temporary(Path(named).parent):  # a file in a temporary folder
            shown = _remove_marks(Path(named))
        end = "No file was made"
        if os.path.exists(shown):
            end = "The old one is kept"
        raise type(err)(
            f"{shown}: cannot be written ({err.strerror}). {end}. Free the disk or correct the "
            "permissions, or name another output"
        ) from err


def check_outputs(
    outputs: Iterable[str | Path],
    inputs: Iterable[str | Path],
    *,
    replaced: Iterable[str | Path] = (),
) -> None:
    """Check that no output is an input, and that no two outputs are the same.

    Links, hard links and names that differ only for people (`a/../b`, other case where the disk
    ignores it) are followed. Call it before any work.

    outputs (Iterable[str | Path]): All files and folders that a command writes or removes,
        temporary ones included.
    inputs (Iterable[str | Path]): All files and folders that it reads.
    replaced (Iterable[str | Path]): Folders that it replaces with all their content.
    RAISES (ValueError): If an output is an input or is given twice, or if an input or another
        output is in a folder that is replaced.
    """
    outputs, inputs, replaced = list(outputs), list(inputs), list(replaced)
    names: dict[_Identity, str | Path] = {}
    for source in inputs:
        for identity in _identify(source):
            names[identity] = source
    written: dict[_Identity, str | Path] = {}
    for output in (*outputs, *replaced):
        identities = list(_identify(output))
        for identity in identities:
            if identity in names:
                raise ValueError(
                    f"{output}: is the input too ({names[identity]}). Name another file for the "
                    "output"
                )
            if identity in written:
                raise ValueError(
                    f"{output}: is the output {written[identity]} too. Name another file for one"
                )
        written.update(dict.fromkeys(identities, output))
    for folder in replaced:
        _check_empty_of(folder, inputs, "input")
        _check_empty_of(folder, outputs, "other output")


def is_same(path: str | Path, other: str | Path) -> bool:
    """Check whether two paths name the same file or folder, through links and hard links.

    path (str | Path): A path; it need not exist.
    other (str | Path): The other path.
    RETURNS (bool): Whether they are the same.
    """
    return not set(_identify(path)).isdisjoint(_identify(other))


def is_temporary(path: Path) -> bool:
    """Check whether a path lies in a temporary folder of this module, or is a temporary file.

    A killed command can leave one next to its output. Whoever searches a folder skips it.

    path (Path): The path.
    RETURNS (bool): Whether it does.
    """
    return any(part.startswith(".") and _MARK in part for part in path.parts)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system can.

    folder (Path): The folder.
    """
    if os.name != "posix":  # other systems cannot open a folder
        return
    try:
        _sync(folder)
    except OSError as err:
        if err.errno not in _NO_SYNC:
            raise


def _identify(path: str | Path) -> Iterator[_Identity]:
    """Yield the name of a file without links and, if it exists, the numbers of disk and file."""
    yield os.path.realpath(path)
    with suppress(OSError, ValueError):
        status = os.stat(path)
        if not _is_device(Path(path)):
            yield status.st_dev, status.st_ino


def _check_empty_of(folder: str | Path, paths: Iterable[str | Path], kind: str) -> None:
    """Check that no input or output is in a folder that is replaced."""
    target = _resolve(folder)
    for path in paths:
        if target in _resolve(path).parents:
            raise ValueError(
                f"{folder}: the {kind} {path} is in this folder, which the output would replace. "
                "Name another output"
            )


def _is_device(path: Path) -> bool:
    """Check for a device or a pipe, which cannot be replaced."""
    if os.path.abspath(path).startswith(_STREAMS):
        return True
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _resolve(path: str | Path) -> Path:
    return Path(os.path.realpath(path))


def _check_writable(target: Path) -> None:
    """Refuse a folder, and a file that its owner has protected; a rename would replace it."""
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    if target.exists() and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(target))


def _copy_rights(target: Path, temporary: Path) -> None:
    """Copy to a temporary file the permissions and, if this user may, the owner of its target."""
    with suppress(FileNotFoundError):
        status = target.stat()
        shutil.copymode(target, temporary)
        if os.name == "posix":
            with suppress(PermissionError):
                os.chown(temporary, status.st_uid, status.st_gid)


def _belongs_to(named: str, target: Path) -> bool:
    """Check whether an error's file is a target, a folder around it, or its temporary file."""
    path = Path(named)
    is_within = target in path.parents and is_temporary(path.relative_to(target))
    return path == target or path in target.parents or is_within or _get_stem(target) in named


def _remove_marks(path: Path) -> Path:
    """Return the final name of a file in a temporary folder, for messages."""
    parts = []
    for part in path.parts:
        name, mark, _ = part.partition(_MARK)
        if not (mark and part.startswith(".")):
            parts.append(part)
        elif name != f".{_NEW}":
            parts.append(name.removeprefix("."))
    return Path(*parts)


def _get_stem(target: Path) -> str:
    """Return the beginning of the temporary names of a target. They are hidden files."""
    stem = os.fsencode(target.name)[:_MAX_STEM].decode("utf-8", errors="ignore")
    return f".{stem}{_MARK}"


@contextmanager
def _reserve(target: Path, *, is_folder: bool) -> Iterator[Path]:
    """Make a temporary file or folder next to a target, and remove it if it is left over.

    Its name is locked as long as this process has it, so that temporary files of killed processes
    are known, and removed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(target)
    temporary, lock = _make_locked(target, is_folder)
    try:
        yield temporary
    finally:
        _remove(temporary)
        if lock is not None:
            os.close(lock)


def _make_locked(target: Path, is_folder: bool) -> tuple[Path, int | None]:
    """Make a temporary file or folder, and lock it."""
    suffix = ""
    if not is_folder and len(os.fsencode(target.suffix)) <= _MAX_SUFFIX:
        suffix = target.suffix
    while True:
        temporary = target.with_name(f"{_get_stem(target)}{secrets.token_hex(4)}{suffix}")
        if is_folder:
            temporary.mkdir()
        else:
            temporary.touch(exist_ok=False)
        # Between these two steps, another process may take it for a leftover and remove it.
        with suppress(BlockingIOError, FileNotFoundError):
            lock = _lock(temporary)
            if lock is None or os.path.samestat(os.fstat(lock), temporary.stat()):
                return temporary, lock
            os.close(lock)


def _find_leftovers(target: Path) -> list[Path]:
    """Find the temporary files of a target."""
    found = []
    with os.scandir(target.parent) as entries:
        for entry in entries:
            if entry.name.startswith(_get_stem(target)):
                found.append(target.parent / entry.name)
    return sorted(found)


def _remove_leftovers(target: Path) -> None:
    """Remove the temporary files of processes that were killed."""
    for path in _find_leftovers(target):
        if path.name.endswith(_OLD) and not target.exists():
            continue  # `restore_folder` needs it
        with suppress(OSError):
            lock = _lock(path)
            if lock is not None:
                _remove(path)
                os.close(lock)


def _lock(path: Path) -> int | None:
    """Lock a file or folder; return None if the system cannot.

    Raises BlockingIOError if another process has locked it.
    """
    if sys.platform == "win32":
        return None
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:  # of a file system without locks
        os.close(descriptor)
        return None
    return descriptor


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


@contextmanager
def _removing_if_empty(folder: Path) -> Iterator[None]:
    """Remove a folder that did not exist before and is empty after an error."""
    is_new = not os.path.lexists(folder)
    try:
        yield
    except BaseException:
        if is_new:
            with suppress(OSError):
                folder.rmdir()
        raise


def _list_files(folder: Path) -> list[Path]:
    """List the files in a folder and in the folders below it, by their paths within it."""
    files = []
    for path in sorted(folder.rglob("*")):
        if not path.is_dir():
            files.append(path.relative_to(folder))
    return files


def _move(source: Path, target: Path) -> None:
    """Move a file to its place on the same disk."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink():  # it may lead to another disk
        with replace_file(target) as temporary:
            shutil.copyfile(source, temporary)
    else:
        _copy_rights(target, source)
        os.replace(source, target)


def _sync_tree(folder: Path) -> None:
    """Bring the files in a folder, and in the folders below it, to the disk."""
    for parent, _, names in os.walk(folder):
        for name in names:
            _sync(Path(parent, name))
        sync_folder(Path(parent))


def _sync_names(folder: Path, files: Iterable[Path]) -> None:
    """Bring the names of files in a folder to the disk."""
    parents = {folder}
    for name in files:
        parents.add((folder / name).parent)
    for parent in sorted(parents):
        sync_folder(parent)


def _sync(path: Path) -> None:
    """Bring a file or folder to the disk."""
    flags = os.O_RDONLY
    if os.name != "posix":
        flags = os.O_RDWR  # Windows writes back only what it may write
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    except OSError as err:
        err.filename = str(path)
        raise
    finally:
        os.close(descriptor)


def _swap(temporary: Path, target: Path) -> None:
    """Put a folder in the place of another one, which is removed."""
    if not target.exists():
        os.rename(temporary, target)
        return
    if _exchange(temporary, target):
        return  # the old folder has the temporary name now, and is removed with it
    old = temporary.with_name(f"{temporary.name}{_OLD}")
    os.rename(target, old)
    try:
        os.rename(temporary, target)
    except OSError:
        with suppress(OSError):
            os.rename(old, target)
        raise
    _remove(old)


def _exchange(path: Path, other: Path) -> bool:
    """Exchange two names in one step; return False if the system cannot."""
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            result = library.renamex_np(os.fsencode(path), os.fsencode(other), _RENAME_EXCHANGE)
        else:
            names = (_AT_FDCWD, os.fsencode(path), _AT_FDCWD, os.fsencode(other))
            result = library.renameat2(*names, _RENAME_EXCHANGE)
    except (AttributeError, OSError, TypeError):  # Windows, or an old library
        return False
    return bool(result == 0)
