"""The outputs of the sequences that were encoded last."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers.modeling_outputs import BaseModelOutput

from .outputs import Output, Outputs, join_arrays, map_arrays


class OutputCache:
    """The outputs of the sequences that were encoded last, up to a number of bytes.

    A cache holds the outputs of one set of weights.

    size (int): Maximum number of bytes.
    """

    def __init__(self, size: int):
        self.size = size
        self.n_bytes = 0
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()

    def __len__(self) -> int:
        """Count the sequences."""
        return len(self._entries)

    def complete(
        self, inputs: dict[str, Tensor], encode: Callable[[dict[str, Tensor]], Outputs]
    ) -> BaseModelOutput:
        """Encode the sequences of a padded batch that are not in the cache, and return all outputs.

        inputs (dict[str, Tensor]): The encoder's inputs by name, among them "attention_mask", each
            (sequences, sub-words).
        encode (Callable): The encoder.
        RETURNS (BaseModelOutput): The outputs by name, (sequences, sub-words, width).
        """
        sequences = _Sequences.of(inputs)
        found = self._find(sequences.keys)
        missing = [row for row, key in enumerate(sequences.keys) if key not in found]
        if missing:
            outputs = encode({name: array[missing] for name, array in inputs.items()})
            for place, row in enumerate(missing):
                found[sequences.keys[row]] = _Entry.of(outputs, place, sequences.lengths[row])
        for key in sequences.keys:
            self._keep(key, found[key])
        return _pad([found[key] for key in sequences.keys], sequences.n_subwords)

    def get_keys(self) -> list[bytes]:
        """Return the keys of the sequences, from the one that was used longest ago.

        RETURNS (list[bytes]): The keys.
        """
        return list(self._entries)

    def get_outputs(self, key: bytes) -> Outputs:
        """Return the outputs of a sequence.

        key (bytes): Its key.
        RETURNS (Outputs): Arrays (sub-words, width) by name, or tuples of such arrays.
        """
        return self._entries[key].outputs

    def add(self, key: bytes, outputs: Outputs) -> None:
        """Add the outputs of a sequence, as the one that was used last.

        key (bytes): The key of the sequence.
        outputs (Outputs): Its outputs; see `get_outputs`.
        """
        self._keep(key, _Entry(dict(outputs), _count_bytes(outputs)))

    def _find(self, keys: Sequence[bytes]) -> dict[bytes, "_Entry"]:
        found = {}
        for key in keys:
            if key in self._entries:
                found[key] = self._entries[key]
        return found

    def _keep(self, key: bytes, entry: "_Entry") -> None:
        if key in self._entries:
            self._entries.move_to_end(key)
            return
        self._entries[key] = entry
        self.n_bytes += entry.n_bytes
        while self.n_bytes > self.size:
            self.n_bytes -= self._entries.popitem(last=False)[1].n_bytes


class _Sequences(NamedTuple):
    """The sequences of a padded batch: their keys, their lengths, and the padded length."""

    keys: list[bytes]
    lengths: list[int]
    n_subwords: int

    @classmethod
    def of(cls, inputs: dict[str, Tensor]) -> "_Sequences":
        lengths = inputs["attention_mask"].sum(dim=1).long().tolist()
        # One transfer for the batch: (sequences, inputs, sub-words).
        table = torch.stack(list(map(Tensor.long, inputs.values())), dim=1).cpu().numpy()
        keys = []
        for row, length in zip(table, lengths, strict=True):
            keys.append(row[:, :length].tobytes())
        return cls(keys, lengths, table.shape[2])


class _Entry(NamedTuple):
    """The outputs of a sequence by name: arrays (sub-words, width), or tuples of such arrays."""

    outputs: dict[str, Output]
    n_bytes: int

    @classmethod
    def of(cls, outputs: Outputs, row: int, length: int) -> "_Entry":
        n_bytes = 0

        def cut(array: Tensor) -> Tensor:
            nonlocal n_bytes
            # A view would keep the whole batch in memory.
            part = array[row, :length].clone()
            n_bytes += part.nbytes
            return part

        cut_outputs = map_arrays(cut, outputs)
        return cls(cut_outputs, n_bytes)


def _count_bytes(outputs: Outputs) -> int:
    n_bytes = 0

    def count(array: Tensor) -> Tensor:
        nonlocal n_bytes
        n_bytes += array.nbytes
        return array

    map_arrays(count, outputs)
    return n_bytes


def _pad(entries: list[_Entry], n_subwords: int) -> BaseModelOutput:
    """Put the outputs of sequences into one padded batch."""

    def pad(parts: list[Tensor]) -> Tensor:
        batch = pad_sequence(parts, batch_first=True)
        return F.pad(batch, (0, 0, 0, n_subwords - batch.shape[1]))

    return join_arrays(pad, [entry.outputs for entry in entries])
