"""Copies from a GPU to the host for which the GPU does not wait."""

from collections.abc import Callable

import torch
from thinc.util import is_cupy_array

from ..arrays import Scalar


def start_read(value: Scalar) -> Callable[[], float]:
    """Start to copy a number to the host.

    Work that the GPU gets after this call does not delay the number.

    value (Scalar): The number.
    RETURNS (Callable[[], float]): Returns the number; waits until it has been computed.
    """
    if not is_cupy_array(value):
        return value.__float__
    on_device = torch.from_dlpack(value)
    on_host = torch.empty((), dtype=on_device.dtype, pin_memory=True)
    on_host.copy_(on_device, non_blocking=True)
    copied = torch.cuda.Event()
    copied.record()

    def read() -> float:
        copied.synchronize()
        return float(on_host)

    return read
