"""The states of all random number generators that a training draws from."""

import random
from typing import NamedTuple, cast

import numpy as np
import torch
from thinc.api import CupyOps, get_current_ops

NumpyState = tuple[str, "np.ndarray[tuple[int], np.dtype[np.uint32]]", int, int, float]
# Plain data: the state of a generator in a checkpoint.
StateData = list[object]


class HostStates(NamedTuple):
    """The states of the generators on the host: Python's, numpy's and torch's.

    python (tuple): As `random.getstate` returns it.
    numpy (tuple): As `numpy.random.get_state` returns it.
    torch (bytes): The state of torch's generator for the CPU.
    """

    python: tuple[object, ...]
    numpy: tuple[object, ...]
    torch: bytes

    @classmethod
    def get(cls) -> "HostStates":
        """Return the current states."""
        # thinc draws from numpy's global generator.
        name, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002
        numpy_state = (name, cast(np.ndarray, keys).tobytes(), *rest)
        return cls(random.getstate(), numpy_state, torch.get_rng_state().numpy().tobytes())

    def set(self) -> None:
        """Make them the current states."""
        random.setstate(self.python)
        name, keys, *rest = self.numpy
        array = np.frombuffer(cast(bytes, keys), dtype=np.uint32)
        np.random.set_state(cast(NumpyState, (name, array, *rest)))  # noqa: NPY002
        torch.set_rng_state(torch.frombuffer(bytearray(self.torch), dtype=torch.uint8))

    def to_data(self) -> StateData:
        """Return the states as plain data."""
        version, numbers, gauss = self.python
        words = np.array(numbers, dtype=np.uint32).tobytes()
        return [version, words, gauss, list(self.numpy), self.torch]

    @classmethod
    def from_data(cls, data: StateData) -> "HostStates":
        """Read what `to_data` returned."""
        version, words, gauss, numpy_state, torch_state = data
        numbers = np.frombuffer(cast(bytes, words), dtype=np.uint32).tolist()
        python = (version, tuple(numbers), gauss)
        return cls(python, tuple(cast(list[object], numpy_state)), cast(bytes, torch_state))


def get_device_states() -> list[bytes]:
    """Return the states of torch's generators for GPUs; empty without a GPU.

    RETURNS (list[bytes]): The states.
    """
    if not torch.cuda.is_initialized():
        return []
    states = []
    for state in torch.cuda.get_rng_state_all():
        states.append(state.numpy().tobytes())
    return states


def set_device_states(states: list[bytes]) -> None:
    """Set the states of torch's generators for GPUs.

    states (list[bytes]): As `get_device_states` returned them.
    """
    for number, state in enumerate(states):
        values = torch.frombuffer(bytearray(state), dtype=torch.uint8)
        torch.cuda.set_rng_state(values, number)


def renew_cupy(seed: int) -> None:
    """Begin CuPy's random numbers anew, since the state of its generator cannot be read.

    Nothing happens if thinc does not compute with CuPy.

    seed (int): The seed, the same after the same number of steps.
    """
    ops = get_current_ops()
    if isinstance(ops, CupyOps):
        ops.xp.random.seed(seed)
