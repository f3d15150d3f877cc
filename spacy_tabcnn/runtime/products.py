"""Matrix products by oneDNN, which torch ships but asks for convolutions and lower precisions only.

In float32, torch's choice, MKL, runs CPUs of other makers than Intel on AVX2 kernels; oneDNN uses their AVX-512. On
Intel's they are equally fast, but MKL need not make a kernel for each new size. In bfloat16, torch asks oneDNN, whose
kernels take several times as long to make as to run.
"""

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

# Each combination of sizes has a kernel of its own, which takes up to 2 MB. Two caches, which take their size from the
# environment at the first product, would keep 1024 each; as sentences differ in length, few are ever used again: in
# bfloat16, where rows are rounded up, those of a layer of BERT, forward and backward, for a handful of sizes.
CACHES = ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")
CACHE_CAPACITY = 48
# What the number of rows of a layer's input is rounded up to in bfloat16. The rows cost less than a kernel does. In
# float32 they would cost more.
ROUND_ROWS = 64
# Multiplications from which on a product is worth making that kernel.
MIN_SIZE = 2**24


def faster_linear(device: torch.device) -> AbstractContextManager:
    """Compute `torch.nn.functional.linear`, and so every `torch.nn.Linear`, by oneDNN where that is faster.

    Under autocast, which has chosen oneDNN already, it only gets products of fewer sizes.

    device (torch.device): Where modules run.
    RETURNS (AbstractContextManager): The context to run a module's forward pass in; the backward pass follows it.
    """
    return _FasterLinear() if device.type == "cpu" and has_onednn() else nullcontext()


def multiply(left: Tensor, right: Tensor) -> Tensor:
    """Multiply two matrices, by oneDNN where that is faster. It has no gradient.

    left (Tensor): (rows, inner).
    right (Tensor): (inner, columns), of the same type; transposed matrices need not be contiguous.
    RETURNS (Tensor): (rows, columns).
    """
    return _linear(left, right.t()) if _suits(left) else left @ right


def multiply_into(
    out: Tensor, left: Tensor, right: Tensor, precision: torch.dtype, *, add: bool = False
) -> None:
    """Write the product of two matrices into a third, or add it, by oneDNN where that is faster. It has no gradient.

    out (Tensor): (rows, columns).
    left (Tensor): (rows, inner).
    right (Tensor): (inner, columns).
    precision (torch.dtype): What to compute the product in.
    add (bool): Whether to add.
    """
    left, right = left.to(precision), right.to(precision)
    if out.dtype == precision and not _suits(left):
        torch.addmm(out, left, right, beta=int(add), out=out)
    elif add:
        out += multiply(left, right)
    else:
        out.copy_(multiply(left, right))


@functools.cache
def prefers_onednn() -> bool:
    """Tell whether oneDNN's products in float32 are faster than MKL's.

    RETURNS (bool): Whether they are.
    """
    describe = getattr(torch.cpu, "get_capabilities", None)  # not in torch's older versions
    return has_onednn() and not (describe and "Intel" in describe()["cpu_name"])


@functools.cache
def has_onednn() -> bool:
    """Tell whether this CPU has AVX-512, and this torch oneDNN's operator.

    The first call bounds what torch and oneDNN keep for their products, unless the environment already does.

    RETURNS (bool): Whether they have.
    """
    for name in CACHES:
        os.environ.setdefault(name, str(CACHE_CAPACITY))
    return (
        torch.backends.mkldnn.is_available()
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        # Which torch's own compiler calls; it has no public name.
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


class _FasterLinear(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func is F.linear and not kwargs:
            if torch.is_autocast_enabled("cpu"):
                return _linear_by_autocast(*args)
            if _suits(args[0]):
                return _Linear.apply(*args)
        return func(*args, **(kwargs or {}))


class _Linear(Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """inputs: (..., n_in), weight: (n_out, n_in), bias: (n_out,). RETURNS: (..., n_out)."""
        ctx.save_for_backward(inputs, weight)
        return _linear(inputs, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *d_outputs: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        needs_inputs, needs_weight, needs_bias = (*ctx.needs_input_grad, False)[:3]
        d_output = d_outputs[0].flatten(0, -2)
        return (
            _linear(d_output, weight.t()).view_as(inputs) if needs_inputs else None,
            _linear(d_output.t(), inputs.flatten(0, -2).t()) if needs_weight else None,
            d_output.sum(0) if needs_bias else None,
        )[: len(ctx.needs_input_grad)]


def _linear_by_autocast(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if inputs.dim() == 1 or inputs.dtype == torch.float64:  # which autocast leaves alone
        return F.linear(inputs, weight, bias)
    rows = inputs.flatten(0, -2).to(torch.get_autocast_dtype("cpu"))
    outputs = F.linear(F.pad(rows, (0, 0, 0, -len(rows) % ROUND_ROWS)), weight, bias)
    return outputs[: len(rows)].unflatten(0, inputs.shape[:-1])


def _suits(array: Tensor) -> bool:
    return (
        array.dtype == torch.float32
        and array.device.type == "cpu"
        and array.dim() > 1
        and prefers_onednn()
    )


def _linear(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    if inputs.numel() * len(weight) < MIN_SIZE:
        return F.linear(inputs, weight, bias)
    if not (weight.is_contiguous() or weight.t().is_contiguous()):
        # oneDNN's optimised kernels do not read part of a matrix in the place of weights.
        weight = weight.contiguous()
    output: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")
    return output
