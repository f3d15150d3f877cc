"""The encoder: spacy-transformers' model with less padding, bfloat16 on any device, and a cache for a frozen one."""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from spacy_transformers.data_classes import HFObjects
from spacy_transformers.layers.hf_shim import HFShim
from thinc.api import ArgsKwargs
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput, ModelOutput

from .torch_shim import TorchShim

# Sub-words that the encoder could read in the time that one more pass costs on a CPU, and what fits its caches. A GPU
# takes the whole batch in one pass.
PASS_COST = 32
PASS_SIZE = 512
OUTPUTS = ("last_hidden_state", "hidden_states", "attentions")


class EncoderShim(TorchShim, HFShim):
    """Runs a Hugging Face encoder on a padded batch, pass by pass over sequences of similar length.

    hf_objects (HFObjects): The encoder and its tokenizer, or their settings.
    use_bfloat16 (bool): Whether to compute matrix products in bfloat16.
    frozen (bool): Whether training leaves the encoder alone.
    all_layers (bool): Whether the output is that of all layers, side by side.
    cache_size (int): Bytes of output to keep.
    """

    def __init__(
        self,
        hf_objects: HFObjects,
        *,
        use_bfloat16: bool = False,
        frozen: bool = False,
        all_layers: bool = False,
        cache_size: int = 0,
    ):
        super().__init__(hf_objects)
        self.use_bfloat16 = use_bfloat16
        self.frozen = frozen
        self.all_layers = all_layers
        self.cache = OutputCache(cache_size)
        self._embedding_gradient = RowGradient()

    def begin_update(self, inputs: ArgsKwargs) -> tuple[Any, Callable[[ArgsKwargs], ArgsKwargs]]:
        if self.frozen:
            return self.predict(inputs), lambda gradients: inputs
        table = self._model.get_input_embeddings().weight
        if self.device.type != "cpu" or not table.requires_grad:
            return super().begin_update(inputs)
        # torch would make a new gradient of the whole vocabulary's embeddings for each lookup.
        others = dict(inputs.kwargs)
        ids = others.pop("input_ids")
        embedded = F.embedding(ids, table.detach()).requires_grad_()
        output, backprop_embedded = super().begin_update(
            ArgsKwargs((), {**others, "inputs_embeds": embedded})
        )

        def backprop(gradients: ArgsKwargs) -> ArgsKwargs:
            backprop_embedded(gradients)
            if embedded.grad is not None:
                self._embedding_gradient.add(table, ids.flatten(), embedded.grad.flatten(0, 1))
            return inputs

        return output, backprop

    def run(self, inputs: ArgsKwargs, *, is_train: bool) -> ModelOutput:
        if is_train or self._model.config.output_attentions:
            return self._encode(inputs.kwargs)
        return self.cache.complete(inputs.kwargs, self._encode)

    def finish_update(self, optimizer: Callable[..., Any]) -> None:
        if not self.frozen:
            self.cache.clear()
            super().finish_update(optimizer)

    @contextmanager
    def use_params(self, params: dict[Any, Any]) -> Iterator[None]:
        if self.frozen:
            yield
            return
        self.cache.clear()
        with super().use_params(params):
            yield
        self.cache.clear()

    def from_bytes(self, bytes_data: bytes) -> "EncoderShim":
        self.cache.clear()
        return cast(EncoderShim, super().from_bytes(bytes_data))

    def _encode(self, inputs: dict[str, Tensor]) -> ModelOutput:
        """Encode a padded batch: the encoder's outputs of shape (sequences, sub-words, width)."""
        mask = inputs["attention_mask"]
        config = self._model.config
        if mask.device.type != "cpu" or config.output_attentions or not mask[:, 0].all():
            passes = [torch.arange(len(mask))]
        else:
            passes = plan_passes(mask.sum(dim=1).long())
        outputs = []
        for rows in passes:
            longest = int(mask[rows].sum(dim=1).max()) if len(passes) > 1 else mask.shape[1]
            parts = {name: array[rows, :longest] for name, array in inputs.items()}
            if self.all_layers:
                layers = self._model(**parts, output_hidden_states=True).hidden_states
                outputs.append({"last_hidden_state": torch.cat(layers, dim=-1)})
            else:
                outputs.append(
                    {name: value for name, value in self._model(**parts).items() if name in OUTPUTS}
                )
        return join_passes(outputs, passes, n_subwords=mask.shape[1])


class RowGradient:
    """The gradient of a table of which each update reads few rows: it stays allocated, and only those rows are cleared.

    There are two, in turn: an optimizer may hold one until the next update hands it the other.
    """

    def __init__(self) -> None:
        self._current = _Rows()
        self._previous = _Rows()

    def add(self, table: Tensor, rows: Tensor, d_rows: Tensor) -> None:
        """Add to the gradient of a table.

        table (Tensor): A parameter (rows, width).
        rows (Tensor): Rows of it, int64 (n,), which may repeat.
        d_rows (Tensor): Their gradients (n, width).
        """
        if table.grad is None:
            self._previous, self._current = self._current, self._previous
            table.grad = self._current.cleared(table)
        table.grad.index_add_(0, rows, d_rows)
        self._current.filled.append(rows)


class _Rows:
    def __init__(self) -> None:
        self.gradient: Tensor | None = None
        self.filled: list[Tensor] = []

    def cleared(self, table: Tensor) -> Tensor:
        if self.gradient is None or self.gradient.shape != table.shape:
            self.gradient = torch.zeros_like(table)
        elif self.filled:
            self.gradient.index_fill_(0, torch.cat(self.filled), 0.0)
        self.filled = []
        return self.gradient


class OutputCache:
    """The outputs of the sequences that were encoded last, as long as the weights stay the same.

    size (int): Bytes to keep; 0 for no cache.
    """

    def __init__(self, size: int):
        self.size = size
        self.n_bytes = 0
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self.n_bytes = 0

    def complete(
        self, inputs: dict[str, Tensor], encode: Callable[[dict[str, Tensor]], ModelOutput]
    ) -> ModelOutput:
        """Encode the sequences of a padded batch that are not in the cache, and put all into one output.

        inputs (dict[str, Tensor]): The encoder's inputs by name, among them "attention_mask", each
            (sequences, sub-words).
        encode (Callable): The encoder.
        RETURNS (ModelOutput): Its outputs by name: arrays (sequences, sub-words, width), or tuples of such.
        """
        if not self.size:
            return encode(inputs)
        # One transfer for the batch.
        lengths = inputs["attention_mask"].sum(dim=1).long().tolist()
        table = torch.stack([array.long() for array in inputs.values()], dim=1).cpu().numpy()
        keys = [row[:, :length].tobytes() for row, length in zip(table, lengths, strict=True)]
        found = {key: self._entries[key] for key in keys if key in self._entries}
        rows = [i for i, key in enumerate(keys) if key not in found]
        if rows:
            output = encode({name: array[rows] for name, array in inputs.items()})
            for place, i in enumerate(rows):
                found[keys[i]] = _Entry.of(output, place, lengths[i])
        for key in keys:
            self._keep(key, found[key])
        return _pad([found[key] for key in keys], n_subwords=table.shape[2])

    def _keep(self, key: bytes, entry: "_Entry") -> None:
        if key in self._entries:
            self._entries.move_to_end(key)
            return
        self._entries[key] = entry
        self.n_bytes += entry.n_bytes
        while self.n_bytes > self.size:
            self.n_bytes -= self._entries.popitem(last=False)[1].n_bytes


class _Entry(NamedTuple):
    """A sequence's outputs by name: arrays (sub-words, width), or tuples of such."""

    outputs: dict[str, Any]
    n_bytes: int

    @classmethod
    def of(cls, output: ModelOutput, row: int, length: int) -> "_Entry":
        arrays: list[Tensor] = []

        def cut(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(cut(part) for part in value)
            # A view would keep the whole batch in memory.
            arrays.append(value[row, :length].clone())
            return arrays[-1]

        outputs = {name: cut(value) for name, value in output.items()}
        return cls(outputs, sum(array.nbytes for array in arrays))


def _pad(entries: list[_Entry], *, n_subwords: int) -> ModelOutput:
    def pad(parts: list[Any]) -> Any:
        if isinstance(parts[0], tuple):
            return tuple(pad(list(arrays)) for arrays in zip(*parts, strict=True))
        batch = parts[0].new_zeros(len(parts), n_subwords, parts[0].shape[1])
        for row, part in zip(batch, parts, strict=True):
            row[: len(part)] = part
        return batch

    return BaseModelOutput(
        **{name: pad([entry.outputs[name] for entry in entries]) for name in entries[0].outputs}
    )


def plan_passes(lengths: Tensor) -> list[Tensor]:
    """Divide the sequences of a batch into groups of similar length.

    A group ends where padding one more sequence to its length would bring its padding to more than the price of a
    pass, `PASS_COST`, or its size to more than `PASS_SIZE`.

    lengths (Tensor): Sub-words of each sequence, int64 (sequences,).
    RETURNS (list[Tensor]): The sequences' indices, int64, sorted, the longest group first.
    """
    order = torch.argsort(lengths, descending=True, stable=True)
    groups: list[list[int]] = []
    longest = padding = 0
    for row, length in zip(order.tolist(), lengths[order].tolist(), strict=True):
        padding += longest - length
        if not groups or padding > PASS_COST or (len(groups[-1]) + 1) * longest > PASS_SIZE:
            groups.append([])
            longest, padding = length, 0
        groups[-1].append(row)
    return [torch.tensor(sorted(group)) for group in groups]


def join_passes(
    outputs: list[dict[str, Any]], passes: list[Tensor], *, n_subwords: int
) -> ModelOutput:
    """Put the outputs of several passes back into one padded batch, in float32.

    outputs (list[dict[str, Any]]): By name, the outputs of each pass: arrays (sequences, sub-words, width), or tuples
        of such.
    passes (list[Tensor]): The sequences of each pass; those of a single one in order.
    n_subwords (int): Sub-words of the padded batch.
    RETURNS (ModelOutput): By name, the outputs of the batch, zero in the padding.
    """
    inverse = torch.argsort(torch.cat(passes))

    def join(parts: list[Any]) -> Any:
        if isinstance(parts[0], tuple):
            return tuple(join(list(arrays)) for arrays in zip(*parts, strict=True))
        if len(parts) == 1:
            return parts[0].float()
        padded = [F.pad(part, (0, 0, 0, n_subwords - part.shape[1])) for part in parts]
        return torch.cat(padded)[inverse.to(parts[0].device)].float()

    return BaseModelOutput(
        **{name: join([output[name] for output in outputs]) for name in outputs[0]}
    )
