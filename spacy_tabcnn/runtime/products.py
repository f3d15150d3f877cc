"""The products of heads, by oneDNN."""

import torch
from torch import Tensor

from ..heads.products import TorchProducts
from .onednn import prefers_onednn
from .onednn_operator import compute_linear


class OneDNNProducts(TorchProducts):
    """Matrix products without a gradient, by oneDNN where it is faster than torch's choice."""

    def multiply(self, left: Tensor, right: Tensor) -> Tensor:
        """Multiply two matrices; see `Products.multiply`."""
        if suits_onednn(left):
            return compute_linear(left, right.t())
        return super().multiply(left, right)

    def multiply_into(
        self,
        out: Tensor,
        left: Tensor,
        right: Tensor,
        precision: torch.dtype,
        *,
        add: bool = False,
    ) -> None:
        """Write a product into a matrix or add it; see `Products.multiply_into`."""
        left, right = left.to(precision), right.to(precision)
        if not suits_onednn(left):
            super().multiply_into(out, left, right, precision, add=add)
        elif add:
            out += self.multiply(left, right)
        else:
            out.copy_(self.multiply(left, right))


def suits_onednn(array: Tensor) -> bool:
    """Return whether oneDNN is the faster choice for a product of an array.

    array (Tensor): The left side of the product.
    RETURNS (bool): Whether the array is in float32 on a CPU for which oneDNN is faster.
    """
    return (
        array.dtype == torch.float32
        and array.device.type == "cpu"
        and array.dim() > 1
        and prefers_onednn()
    )
