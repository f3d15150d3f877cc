"""Matrix products in another precision than sums."""

import torch
from torch import Tensor


def multiply(left: Tensor, right: Tensor) -> Tensor:
    """Multiply in the type of the right matrix.

    left (Tensor): (rows, inner).
    right (Tensor): (inner, columns).
    RETURNS (Tensor): (rows, columns), of the type of the left matrix.
    """
    return (left.to(right.dtype) @ right).to(left.dtype)


def add_product(addend: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Compute addend + left @ right, the product in the type of the right matrix.

    addend (Tensor): (rows, columns) or (columns,).
    left (Tensor): (rows, inner), of the type of the addend.
    right (Tensor): (inner, columns).
    RETURNS (Tensor): (rows, columns), of the type of the addend.
    """
    if left.dtype == right.dtype:
        return torch.addmm(addend, left, right)
    return addend + multiply(left, right)
