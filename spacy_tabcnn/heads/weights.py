"""Values that depend on weights only, kept until a weight changes."""

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple, TypeVar, cast

import torch
from torch import Tensor

Value = TypeVar("Value")


class WeightCache:
    """Values computed from parameters, such as transposed or converted weights.

    A parameter counts as changed if its memory, its version, its type or its device is another.
    torch raises the version at each change in place. Who writes to a parameter in another way,
    through numpy or through `parameter.data`, has to raise it by
    `torch.autograd.graph.increment_version`.

    The values are no part of a module's state: copies and pickles of a cache are empty.
    """

    def __init__(self) -> None:
        self._kept: dict[Hashable, _Kept] = {}

    def get(
        self, parameters: Sequence[Tensor], key: Hashable, compute: Callable[[], Value]
    ) -> Value:
        """Return a kept value, or compute it if there is none or a parameter has changed.

        parameters (Sequence[Tensor]): The parameters on which the value depends.
        key (Hashable): The name of the value, with everything else on which it depends.
        compute (Callable[[], Value]): Computes the value; called without gradients.
        RETURNS (Value): The value.
        """
        state = []
        for parameter in parameters:
            if parameter.is_inference():  # torch does not count the versions of such a tensor
                return compute()
            state.append(
                (parameter.data_ptr(), parameter._version, parameter.dtype, parameter.device)
            )
        kept = self._kept.get(key)
        if kept is None or kept.state != state:
            # A tensor made in inference mode could not be used outside it.
            with torch.inference_mode(False), torch.no_grad():
                kept = _Kept(state, [*map(torch.Tensor.detach, parameters)], compute())
            self._kept[key] = kept
        return cast(Value, kept.value)

    def __len__(self) -> int:
        """Count the kept values."""
        return len(self._kept)

    def __reduce__(self) -> tuple[type["WeightCache"], tuple[()]]:
        """Copy or pickle the cache without its values."""
        return WeightCache, ()


class _Kept(NamedTuple):
    """A value and the state of the parameters from which it was computed."""

    state: list[tuple[int, int, torch.dtype, torch.device]]
    # Without these references, torch could give the memory, with its address, to other weights.
    parameters: list[Tensor]
    value: object
