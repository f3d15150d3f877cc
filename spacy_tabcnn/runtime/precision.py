"""Mixed precision: matrix products in bfloat16, everything that sums or decides in float32."""

import warnings
from contextlib import AbstractContextManager

import torch


def autocast(device: torch.device, *, enabled: bool) -> AbstractContextManager:
    """Return a context in which torch computes matrix products in bfloat16.

    On a device without fast bfloat16, they stay in float32, with one warning.

    bfloat16 has the range of float32, so gradients need no scaling, and the same setting serves
    training and prediction.

    device (torch.device): Where the products run.
    enabled (bool): False for float32 throughout.
    RETURNS (AbstractContextManager): The context to run a module's forward pass in; never its
        backward pass.
    """
    if enabled and not has_bfloat16(device):
        warnings.warn(
            f"mixed_precision: this device ({device.type}) computes no faster in bfloat16, so "
            "float32 is used. Set mixed_precision to false, or run on a CPU with AVX512-BF16 or "
            "AMX or on a GPU from Ampere on",
            stacklevel=2,
        )
        enabled = False
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


def has_bfloat16(device: torch.device) -> bool:
    """Return whether a device has fast matrix products in bfloat16.

    device (torch.device): A CPU or CUDA device; any other has none.
    RETURNS (bool): Whether it has.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return (
        device.type == "cpu" and bool(torch.backends.mkldnn.is_available()) and _cpu_has_bfloat16()
    )


def _cpu_has_bfloat16() -> bool:
    # torch names these two instruction sets in private functions only.
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
