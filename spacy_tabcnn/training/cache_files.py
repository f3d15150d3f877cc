"""The output of a frozen encoder in a checkpoint, so that no sentence is encoded again.

An encoded sentence depends in its last digits on the batch in which it was encoded. So a training
that goes on needs the output itself for the same result.
"""

import errno
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

if TYPE_CHECKING:
    from ..runtime.encoder_shim import EncoderShim
    from ..runtime.outputs import Outputs

# Megabytes of a file.
FILE_SIZE = 64 * 2**20
# The share of outputs in the files that are still in use, below which all are written anew.
MINIMUM_USED = 0.5
KEY = "key"

# The name of a shim and the key of a sequence in its cache.
Entry = tuple[str, bytes]


class Place(NamedTuple):
    """The place of the output of a sequence: a file, and the number in it."""

    file: str
    number: int


class CacheFiles:
    """The files that hold the outputs that are kept, each written once.

    Checkpoints share the files: a new checkpoint adds the outputs that are new.
    """

    def __init__(self) -> None:
        self._places: dict[Entry, Place] = {}
        self._n_files = 0

    def write(self, shims: Mapping[str, "EncoderShim"], folder: Path) -> list[str]:
        """Write the outputs that no file holds yet.

        shims (Mapping[str, EncoderShim]): The encoders with a cache, by name.
        folder (Path): Folder for new files.
        RETURNS (list[str]): The names of all files in use, of earlier ones, too.
        """
        used = set(_list_entries(shims))
        if len(used) < MINIMUM_USED * len(self._places):
            self._places.clear()
        batch: dict[Entry, Outputs] = {}
        size = 0
        for place, key in _list_entries(shims):
            if (place, key) in self._places:
                continue
            outputs = shims[place].get_cache().get_outputs(key)
            batch[place, key] = outputs
            size += sum(map(_count_bytes, _flatten(outputs).values()))
            if size > FILE_SIZE:
                self._write_file(batch, folder)
                batch, size = {}, 0
        if batch:
            self._write_file(batch, folder)
        return sorted({self._places[entry].file for entry in used})

    def get_order(self, shims: Mapping[str, "EncoderShim"]) -> list[list[object]]:
        """Return the order of use of the outputs, by which a full cache forgets them.

        shims (Mapping[str, EncoderShim]): The encoders, after `write`.
        RETURNS (list): Name of the shim, file and number of each output.
        """
        order: list[list[object]] = []
        for place, key in _list_entries(shims):
            order.append([place, *self._places[place, key]])
        return order

    def read(
        self,
        order: Iterable[tuple[str, str, int]],
        shims: Mapping[str, "EncoderShim"],
        folder: Path,
    ) -> None:
        """Fill the caches of encoders.

        order (Iterable): The output of `get_order`.
        shims (Mapping[str, EncoderShim]): The encoders, by name.
        folder (Path): Folder of the files.
        """
        loaded: dict[str, list[tuple[bytes, Outputs]]] = {}
        for place, file, number in order:
            if file not in loaded:
                loaded[file] = _read_file(folder / file, shims[place].device)
            key, outputs = loaded[file][number]
            shims[place].get_cache().add(key, outputs)
            self._places[place, key] = Place(file, number)
        for file in loaded:
            self._n_files = max(self._n_files, 1 + int(Path(file).stem.rsplit("-", 1)[1]))

    def _write_file(self, batch: Mapping[Entry, "Outputs"], folder: Path) -> None:
        name = f"outputs-{self._n_files}.safetensors"
        self._n_files += 1
        tensors: dict[str, Tensor] = {}
        for number, ((place, key), outputs) in enumerate(batch.items()):
            tensors[f"{number}/{KEY}"] = torch.frombuffer(bytearray(key), dtype=torch.uint8)
            for output, array in _flatten(outputs).items():
                tensors[f"{number}/{output}"] = array
            self._places[place, key] = Place(name, number)
        save_tensors(tensors, folder / name)


def save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors to a file.

    tensors (Mapping[str, Tensor]): The tensors by name.
    path (Path): The file.
    RAISES (OSError): If the disk refuses, such as a full one.
    """
    contiguous: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, values in tensors.items():
        values = values.detach().contiguous()
        memory = values.untyped_storage().data_ptr()
        if memory in seen:
            values = values.clone()  # the format holds no memory twice
        seen.add(memory)
        contiguous[name] = values
    try:
        save_file(contiguous, path)
    except SafetensorError as err:
        raise OSError(errno.EIO, str(err), str(path)) from err


def _list_entries(shims: Mapping[str, "EncoderShim"]) -> Iterator[Entry]:
    for place, shim in shims.items():
        for key in shim.get_cache().get_keys():
            yield place, key


def _flatten(outputs: "Outputs") -> dict[str, Tensor]:
    """Return arrays by name; an array of a tuple has its number at the end of the name."""
    arrays: dict[str, Tensor] = {}
    for name, output in outputs.items():
        if isinstance(output, tuple):
            for number, array in enumerate(output):
                arrays[f"{name}/{number}"] = array
        else:
            arrays[name] = output
    return arrays


def _restore(arrays: Mapping[str, Tensor]) -> "Outputs":
    """Undo `_flatten`."""
    outputs: dict[str, Tensor | tuple[Tensor, ...]] = {}
    for name, array in arrays.items():
        name, is_part, _ = name.partition("/")
        if is_part:
            outputs[name] = (*outputs.get(name, ()), array)
        else:
            outputs[name] = array
    return outputs


def _read_file(path: Path, device: torch.device) -> "list[tuple[bytes, Outputs]]":
    """Return the keys and outputs of a file, in the order of their numbers."""
    entries: list[tuple[bytes, Outputs]] = []
    with safe_open(path, framework="pt") as file_:
        names: dict[int, list[str]] = {}
        for name in file_.keys():  # noqa: SIM118  (it is no dict)
            number, _, rest = name.partition("/")
            names.setdefault(int(number), []).append(rest)
        for number in sorted(names):
            arrays: dict[str, Tensor] = {}
            for name in sorted(names[number], key=_sort_parts):
                # A copy, since the array lies in the file.
                arrays[name] = file_.get_tensor(f"{number}/{name}").clone().to(device)
            key = arrays.pop(KEY).cpu().numpy().tobytes()
            entries.append((key, _restore(arrays)))
    return entries


def _sort_parts(name: str) -> tuple[str, int]:
    name, _, number = name.partition("/")
    return name, int(number or 0)


def _count_bytes(array: Tensor) -> int:
    return array.nbytes
