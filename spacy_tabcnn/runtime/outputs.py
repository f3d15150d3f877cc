"""Outputs of an encoder by name, each an array or a tuple of arrays, one for each layer."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput

# An array, or a tuple of arrays.
Output: TypeAlias = "Tensor | tuple[Tensor, ...]"
Outputs: TypeAlias = "Mapping[str, Output]"
NAMES = ("last_hidden_state", "hidden_states", "attentions")


def keep_subword_outputs(outputs: Outputs) -> dict[str, Output]:
    """Keep the outputs that an encoder computes for each sub-word, not BERT's pooled output.

    outputs (Outputs): Outputs by name.
    RETURNS (dict[str, Output]): The kept outputs by name.
    """
    kept: dict[str, Output] = {}
    for name in NAMES:
        if outputs.get(name) is not None:
            kept[name] = outputs[name]
    return kept


def map_arrays(function: Callable[[Tensor], Tensor], outputs: Outputs) -> dict[str, Output]:
    """Apply a function to each array of some outputs.

    function (Callable[[Tensor], Tensor]): The function.
    outputs (Outputs): Outputs by name.
    RETURNS (dict[str, Output]): The results by name.
    """
    results: dict[str, Output] = {}
    for name, output in outputs.items():
        if isinstance(output, tuple):
            results[name] = tuple(map(function, output))
        else:
            results[name] = function(output)
    return results


def join_arrays(
    join: Callable[[list[Tensor]], Tensor], parts: Sequence[Outputs]
) -> BaseModelOutput:
    """Join the outputs of several parts of a batch, array by array.

    join (Callable[[list[Tensor]], Tensor]): Joins an array of each part.
    parts (Sequence[Outputs]): The outputs of each part by name, all with the same names.
    RETURNS (BaseModelOutput): The outputs of the batch.
    """
    joined = BaseModelOutput()
    for name, first in parts[0].items():
        outputs: list[Any] = [part[name] for part in parts]
        if isinstance(first, tuple):
            joined[name] = tuple(map(join, map(list, zip(*outputs, strict=True))))
        else:
            joined[name] = join(outputs)
    return joined
