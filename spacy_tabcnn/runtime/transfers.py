"""Copies from a GPU to the host for which the GPU does not wait."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from thinc.util import is_cupy_array
from torch import Tensor

from ..arrays import Scalar

LogitsT = TypeVar("LogitsT", bound=tuple)
# Maximum number of elements of an array that is copied as a whole: 64 MiB in float32. Of larger
# arrays only the elements that are read leave the GPU.
MAX_ELEMENTS = 2**24


def start_copy(logits: LogitsT) -> Callable[[], LogitsT]:
    """Start to copy the arrays of a named tuple to the host.

    Work that the GPU gets after this call does not delay the arrays.

    logits (LogitsT): The named tuple. What is no cupy array, or a large one, stays as it is.
    RETURNS (Callable[[], LogitsT]): Returns the tuple with numpy arrays; waits until they have been
        computed.
    """
    copies: dict[str, Tensor] = {}
    for name, value in zip(cast(Any, logits)._fields, logits, strict=True):
        if is_cupy_array(value) and 0 < value.size <= MAX_ELEMENTS:
            copies[name] = _copy_to_pinned(value)
    if not copies:
        return lambda: logits
    copied = torch.cuda.Event()
    copied.record()

    def finish() -> LogitsT:
        copied.synchronize()
        on_host = {name: copy.numpy() for name, copy in copies.items()}
        return cast(LogitsT, cast(Any, logits)._replace(**on_host))

    return finish


def start_read(value: Scalar) -> Callable[[], float]:
    """Start to copy a number to the host.

    Work that the GPU gets after this call does not delay the number.

    value (Scalar): The number.
    RETURNS (Callable[[], float]): Returns the number; waits until it has been computed.
    """
    if not is_cupy_array(value):
        return value.__float__
    on_host = _copy_to_pinned(value)
    copied = torch.cuda.Event()
    copied.record()

    def read() -> float:
        copied.synchronize()
        return float(on_host)

    return read


def _copy_to_pinned(array: Any) -> Tensor:
    """Start to copy a cupy array to memory that the GPU can write by itself."""
    on_device = torch.from_dlpack(array)
    on_host = torch.empty(on_device.shape, dtype=on_device.dtype, pin_memory=True)
    return on_host.copy_(on_device, non_blocking=True)
