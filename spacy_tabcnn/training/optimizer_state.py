"""The state of optimisers: of `AdamW` and of thinc's own."""

from typing import cast

from thinc.api import Optimizer, get_current_ops, xp2torch
from thinc.optimizers import KeyT
from thinc.types import FloatsXd
from torch import Tensor

from .optimizer import AVERAGE, MOMENTS, AdamW, OptimizerState
from .parameters import CannotResumeError


def get_state(optimizer: Optimizer) -> OptimizerState:
    """Return the state of an optimiser, without its schedules.

    optimizer (Optimizer): `AdamW`, or thinc's Adam, RAdam or SGD.
    RETURNS (OptimizerState): The state. Its arrays are the optimiser's own.
    RAISES (CannotResumeError): If it is another optimiser.
    """
    if isinstance(optimizer, AdamW):
        return optimizer.get_state()
    check_optimizer(optimizer)
    arrays: dict[str, dict[KeyT, Tensor]] = {}
    kept = (optimizer.mom1, optimizer.mom2, optimizer.averages or {})
    for kind, by_key in zip((*MOMENTS, AVERAGE), kept, strict=True):
        arrays[kind] = {}
        for key, array in by_key.items():
            arrays[kind][key] = xp2torch(array)
    return OptimizerState(arrays, dict(optimizer.nr_update), {})


def set_state(optimizer: Optimizer, state: OptimizerState) -> None:
    """Set the state of an optimiser that has taken no step.

    optimizer (Optimizer): The optimiser, of the kind that the state comes from.
    state (OptimizerState): The state; see `get_state`.
    RAISES (CannotResumeError): If it is another optimiser.
    """
    if isinstance(optimizer, AdamW):
        optimizer.set_state(state)
        return
    check_optimizer(optimizer)
    kept = [optimizer.mom1, optimizer.mom2]
    if optimizer.averages is not None:
        kept.append(optimizer.averages)
    for kind, by_key in zip((*MOMENTS, AVERAGE), kept, strict=False):
        for key, values in state.arrays[kind].items():
            # The arrays lie in memory as thinc has laid them out.
            array = cast(FloatsXd, get_current_ops().alloc(tuple(values.shape)))
            xp2torch(array).copy_(values)
            by_key[key] = array
    optimizer.nr_update.update(state.counts)


def check_optimizer(optimizer: Optimizer) -> None:
    """Check that the state of an optimiser can be saved.

    optimizer (Optimizer): The optimiser.
    RAISES (CannotResumeError): If it cannot.
    """
    if not isinstance(optimizer, AdamW) and type(optimizer) is not Optimizer:
        raise CannotResumeError(
            f"the state of the optimiser {type(optimizer).__name__} cannot be saved. "
            "spacy-tabcnn.AdamW.v1, Adam.v1, RAdam.v1 and SGD.v1 can"
        )
