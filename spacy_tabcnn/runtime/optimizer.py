"""The optimisers that torch modules can be updated by."""

from collections.abc import Callable
from typing import Protocol, cast, runtime_checkable

from thinc.api import Optimizer
from thinc.optimizers import KeyT
from torch import Tensor


@runtime_checkable
class TensorOptimizer(Protocol):
    """An optimiser that takes parameters and gradients as torch's tensors, without a copy."""

    def collect(
        self, key: KeyT, parameter: Tensor, gradient: Tensor, on_change: Callable[[], None]
    ) -> None:
        """Take the gradient of a parameter, to update the parameter now or later.

        key (tuple[int, str]): The id of the parameter's shim, and the name of the parameter.
        parameter (Tensor): The parameter, updated in place.
        gradient (Tensor): Its gradient. The optimiser owns it from then on.
        on_change (Callable[[], None]): Called after each step that updates the parameter, so that
            values computed from weights are forgotten.
        """


@runtime_checkable
class OptimizerWithHead(Protocol):
    """An optimiser that trains heads in a way of their own, such as with another learning rate."""

    @property
    def for_head(self) -> Optimizer:
        """The optimiser of heads."""


def for_head(optimizer: Optimizer) -> Optimizer:
    """Return the optimiser of heads.

    optimizer (Optimizer): The optimiser of a training.
    RETURNS (Optimizer): Its `for_head` if it has one, else the optimiser itself.
    """
    if isinstance(optimizer, OptimizerWithHead):
        return cast(OptimizerWithHead, optimizer).for_head
    return optimizer
