"""The products of heads, by oneDNN."""

import torch
from torch import Tensor

from .onednn import prefers_onednn
from .onednn_operator import compute_linear


class OneDNNProducts:
    """Matrix products without a gradient, by oneDNN where it is faster than torch's choice."""

    def multiply(self, left: Tensor, right: Tensor) -> Tensor:
        """Multiply two matrices.

        left (Tensor): (rows, inner).
        right (Tensor): (inner, columns), of the same type; it need not be contiguous.
        RETURNS (Tensor): (rows, columns).
        """
        if suits_onednn(left):
            return compute_linear(left, right.t())
        return left @ right

    def multiply_into(
        self,
        out: Tensor,
        left: Tensor,
        right: Tensor,
        precision: torch.dtype,
        *,
        add: bool = False,
    ) -> None:
        """Write the product of two matrices into a third matrix, or add the product to it.

        out (Tensor): (rows, columns).
        left (Tensor): (rows, inner), of any type.
        right (Tensor): (inner, columns), of any type; it need not be contiguous.
        precision (torch.dtype): The type in which the product is computed.
        add (bool): Whether to add the product to `out`.
        """
        left, right = left.to(precision), right.to(precision)
        if out.dtype == precision and not suits_onednn(left):
            torch.addmm(out, left, right, beta=int(add), out=out)
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
