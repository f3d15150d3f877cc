"""Copies from the host to a device."""

import torch
from torch import Tensor

MAX_UNPINNED = 2**16  # CUDA's limit; to pin a small array takes longer than to copy it


def to_device(array: Tensor, device: torch.device) -> Tensor:
    """Copy an array to a device. The host does not wait for a GPU.

    From memory that is not pinned, a copy of more than `MAX_UNPINNED` bytes would begin when the
    GPU has done all its work.

    array (Tensor): The array, on the CPU or on the device.
    device (torch.device): The device.
    RETURNS (Tensor): The array on the device; the same array if it is there.
    """
    if device.type == "cuda" and array.device.type == "cpu" and array.nbytes > MAX_UNPINNED:
        array = array.pin_memory()
    return array.to(device, non_blocking=True)
