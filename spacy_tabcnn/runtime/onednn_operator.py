"""oneDNN's matrix product as torch exposes it, with its gradient."""

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import FunctionCtx, once_differentiable

# Number of multiplications from which on a product is worth the kernel that oneDNN makes for its
# size.
MIN_SIZE = 2**24


def has_operator() -> bool:
    """Return whether this torch has the operator.

    It has no public name, but torch's own compiler calls it.

    RETURNS (bool): Whether it has.
    """
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def linear(
    inputs: Tensor, weight: Tensor, bias: Tensor | None = None, *, min_size: int | None = None
) -> Tensor:
    """Compute `torch.nn.functional.linear` by oneDNN, and its gradient, too.

    inputs (Tensor): (..., n_in), float32 on the CPU.
    weight (Tensor): (n_out, n_in).
    bias (Tensor | None): (n_out,).
    min_size (int | None): Number of multiplications of a product below which torch computes it;
        `MIN_SIZE` by default.
    RETURNS (Tensor): (..., n_out).
    """
    output: Tensor = _Linear.apply(inputs, weight, bias, min_size)
    return output


def compute_linear(
    inputs: Tensor, weight: Tensor, bias: Tensor | None = None, min_size: int | None = None
) -> Tensor:
    """Compute a product without a gradient: by oneDNN, or by torch if it is small.

    inputs (Tensor): (..., n_in), float32 on the CPU.
    weight (Tensor): (n_out, n_in); it may be transposed or part of a matrix.
    bias (Tensor | None): (n_out,).
    min_size (int | None): Number of multiplications of a product below which torch computes it;
        `MIN_SIZE` by default.
    RETURNS (Tensor): (..., n_out).
    """
    if min_size is None:
        min_size = MIN_SIZE
    if inputs.numel() * len(weight) < min_size:
        return F.linear(inputs, weight, bias)
    return call_operator(inputs, weight, bias)


def call_operator(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute a product of any size by oneDNN, without a gradient; see `compute_linear`."""
    if not (weight.is_contiguous() or weight.t().is_contiguous()):
        # oneDNN's optimised kernels do not read a part of a matrix as weights.
        weight = weight.contiguous()
    output: Tensor = torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")
    return output


class _Linear(Function):
    @staticmethod
    def forward(
        ctx: "_Context", inputs: Tensor, weight: Tensor, bias: Tensor | None, min_size: int | None
    ) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.min_size = min_size
        return compute_linear(inputs, weight, bias, min_size=min_size)

    @staticmethod
    @once_differentiable
    def backward(ctx: "_Context", d_output: Tensor) -> tuple[Tensor | None, ...]:
        inputs, weight = ctx.saved_tensors
        needs_inputs, needs_weight, needs_bias, _ = ctx.needs_input_grad
        d_rows = d_output.flatten(0, -2)
        d_inputs = d_weight = d_bias = None
        if needs_inputs:
            d_inputs = compute_linear(d_rows, weight.t(), min_size=ctx.min_size).view_as(inputs)
        if needs_weight:
            columns = inputs.flatten(0, -2).t()
            d_weight = compute_linear(d_rows.t(), columns, min_size=ctx.min_size)
        if needs_bias:
            d_bias = d_rows.sum(0)
        return d_inputs, d_weight, d_bias, None


class _Context(FunctionCtx):
    """The context of a product's backward pass, with the attributes that torch adds."""

    min_size: int | None
    saved_tensors: tuple[Tensor, Tensor]
    needs_input_grad: tuple[bool, bool, bool, bool]
