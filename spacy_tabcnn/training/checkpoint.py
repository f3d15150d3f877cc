"""Checkpoints: folders that hold everything that a training needs to go on.

They hold numbers and strings only: JSON, msgpack and safetensors. A checkpoint appears complete or
not at all, and its files have checksums.
"""

import json
import os
import shutil
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, TypedDict, cast

import srsly
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ..files import replace_folder, restore_folder, write_json
from .cache_files import save_tensors
from .settings import TrainingSettings

FOLDER = "checkpoint"
RECORD = "training.json"
STATE = "state.msgpack"
FORMAT = 1
# The types of values in a record and in its settings.
TYPES = {
    "is_complete": bool,
    "step": int,
    "settings": dict,
    "environment": dict,
    "files": dict,
}
SETTING_TYPES = {"config": dict, "files": dict, "code": str}


class Record(TypedDict):
    """The file `training.json` of a checkpoint.

    format (int): The version of the format.
    is_complete (bool): Whether the training has ended. If so, the checkpoint holds nothing else.
    step (int): The number of the last step, from 0.
    settings (TrainingSettings): Everything on which the result depends.
    environment (dict[str, str]): Software and device.
    files (dict[str, int]): The checksum of each file, CRC-32.
    """

    format: int
    is_complete: bool
    step: int
    settings: TrainingSettings
    environment: dict[str, str]
    files: dict[str, int]


class DamagedCheckpointError(ValueError):
    """A checkpoint that is not as it was written."""

    def __init__(self, path: Path, finding: str) -> None:
        super().__init__(
            f"{path}: {finding}. This checkpoint cannot be used; model-best and model-last are "
            "not concerned. Restore it from a copy, or train anew, without --resume"
        )


class Checkpoint(NamedTuple):
    """A checkpoint on the disk, with its record.

    folder (Path): Its folder.
    record (Record): Its record.
    """

    folder: Path
    record: Record

    def check(self) -> None:
        """Check that all files are as they were written.

        RAISES (DamagedCheckpointError): If one is not.
        """
        for name, checksum in self.record["files"].items():
            path = self.folder / name
            if not path.is_file():
                raise DamagedCheckpointError(path, "this file is missing")
            if compute_checksum(path) != checksum:
                raise DamagedCheckpointError(path, "this file has other content than was written")

    def read_state(self) -> dict[str, object]:
        """Read the part that is no tensor."""
        path = self.folder / STATE
        try:
            state = srsly.msgpack_loads(path.read_bytes())
        except ValueError as err:
            raise DamagedCheckpointError(path, f"no msgpack ({err})") from err
        return cast(dict[str, object], state)

    def read_tensors(self, kind: str) -> dict[str, Tensor]:
        """Read tensors by name.

        kind (str): Their kind, the name of the file.
        """
        path = self.folder / f"{kind}.safetensors"
        tensors: dict[str, Tensor] = {}
        try:
            for name, values in load_file(path).items():
                tensors[name] = values.clone()  # the values lie in the file
        except SafetensorError as err:
            raise DamagedCheckpointError(path, f"no safetensors ({err})") from err
        return tensors


def read_checkpoint(output: Path) -> Checkpoint | None:
    """Read the record of the checkpoint of a training.

    output (Path): The folder of the training.
    RETURNS (Checkpoint | None): The checkpoint; None if there is none.
    RAISES (DamagedCheckpointError): If it is damaged.
    """
    folder = output / FOLDER
    restore_folder(folder)
    path = folder / RECORD
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as err:
        raise DamagedCheckpointError(path, f"no JSON ({err})") from err
    _check_record(path, record)
    return Checkpoint(folder, cast(Record, record))


def _check_record(path: Path, record: object) -> None:
    """Check the form of a record, so that no other code meets a value of another type."""
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise DamagedCheckpointError(path, f"no checkpoint of format {FORMAT}")
    if set(record) != Record.__required_keys__:
        raise DamagedCheckpointError(path, "its keys are not the keys of a checkpoint")
    for name, kind in TYPES.items():
        if not isinstance(record[name], kind):
            raise DamagedCheckpointError(path, f"{name!r} is {record[name]!r}")
    for name in record["files"]:
        if Path(name).name != name:
            raise DamagedCheckpointError(path, f"{name!r} is no name of a file")
    _check_settings(path, record["settings"])


def _check_settings(path: Path, settings: dict[str, object]) -> None:
    """Check the form of the settings in a record."""
    if set(settings) != TrainingSettings.__required_keys__:
        raise DamagedCheckpointError(path, "'settings' are not the settings of a training")
    for name, kind in SETTING_TYPES.items():
        if not isinstance(settings[name], kind):
            raise DamagedCheckpointError(path, f"'settings' has {name!r} {settings[name]!r}")


class CheckpointWriter:
    """Writes the checkpoints of a training, each in the place of the one before.

    output (Path): The folder of the training.
    settings (TrainingSettings): Everything on which the result depends.
    environment (dict[str, str]): Software and device.
    """

    def __init__(
        self, output: Path, settings: TrainingSettings, environment: dict[str, str]
    ) -> None:
        self.folder = output / FOLDER
        self.settings = settings
        self.environment = environment
        self._checksums: dict[str, int] = {}

    def keep_files(self, checksums: Mapping[str, int]) -> None:
        """Take over the checksums of files that later checkpoints share.

        checksums (Mapping[str, int]): The checksums by name.
        """
        self._checksums.update(checksums)

    def write(
        self,
        step: int,
        state: Mapping[str, object],
        tensors: Mapping[str, Mapping[str, Tensor]],
        folder: Path,
        shared: Iterable[str],
    ) -> None:
        """Write a checkpoint into a folder that takes the place of the last one.

        step (int): The number of the last step.
        state (Mapping[str, object]): Everything that is no tensor.
        tensors (Mapping[str, Mapping[str, Tensor]]): Tensors by kind and name.
        folder (Path): The new folder. Files that are new among the shared ones are in it.
        shared (Iterable[str]): Names of files that never change. The old ones are linked.
        """
        checksums: dict[str, int] = {}
        for name in shared:
            if not (folder / name).exists():
                _link(self.folder / name, folder / name)
                checksums[name] = self._checksums[name]
            else:
                checksums[name] = compute_checksum(folder / name)
        for kind, by_name in tensors.items():
            name = f"{kind}.safetensors"
            save_tensors(by_name, folder / name)
            checksums[name] = compute_checksum(folder / name)
        (folder / STATE).write_bytes(srsly.msgpack_dumps(dict(state)))
        checksums[STATE] = compute_checksum(folder / STATE)
        self._checksums = checksums
        self._write_record(folder, step, is_complete=False)

    def finish(self, step: int) -> None:
        """Replace the checkpoint by the note that the training is complete.

        step (int): The number of the last step.
        """
        self._checksums = {}
        with replace_folder(self.folder) as folder:
            self._write_record(folder, step, is_complete=True)

    def _write_record(self, folder: Path, step: int, *, is_complete: bool) -> None:
        record = Record(
            format=FORMAT,
            is_complete=is_complete,
            step=step,
            settings=self.settings,
            environment=self.environment,
            files=self._checksums,
        )
        write_json(folder / RECORD, record)


def remove_checkpoint(output: Path) -> None:
    """Remove the checkpoint of a training, if there is one.

    output (Path): The folder of the training.
    """
    folder = output / FOLDER
    if not folder.is_dir():
        return
    # Without its record, it is none.
    (folder / RECORD).unlink(missing_ok=True)
    shutil.rmtree(folder)


def compute_checksum(path: Path) -> int:
    """Compute the checksum of a file.

    path (Path): The file.
    RETURNS (int): Its CRC-32.
    """
    checksum = 0
    with path.open("rb") as file_:
        while chunk := file_.read(2**20):
            checksum = zlib.crc32(chunk, checksum)
    return checksum


def _link(source: Path, target: Path) -> None:
    """Link a file under a second name; copy it where the disk has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
