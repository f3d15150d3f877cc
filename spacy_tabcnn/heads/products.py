"""Matrix products of the heads: an interface, and its implementation by plain torch.

A head that computes products by hand holds an object with these methods in its attribute
`products`. Other implementations, such as one by oneDNN, are assigned to this attribute from
outside.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


class Products(Protocol):
    """Matrix products without a gradient."""

    def multiply(self, left: Tensor, right: Tensor) -> Tensor:
        """Multiply two matrices.

        left (Tensor): (rows, inner).
        right (Tensor): (inner, columns), of the same type; it need not be contiguous.
        RETURNS (Tensor): (rows, columns).
        """

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


@runtime_checkable
class HasProducts(Protocol):
    """A head that computes products by hand."""

    products: Products


class TorchProducts:
    """The products by torch itself."""

    def multiply(self, left: Tensor, right: Tensor) -> Tensor:
        """Multiply two matrices; see `Products.multiply`."""
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
        """Write a product into a matrix or add it; see `Products.multiply_into`."""
        left, right = left.to(precision), right.to(precision)
        if out.dtype == precision:
            torch.addmm(out, left, right, beta=int(add), out=out)
        elif add:
            out += left @ right
        else:
            out.copy_(left @ right)


@contextmanager
def product_precision(words: Tensor) -> Iterator[torch.dtype]:
    """Find the type in which a head computes its products, and switch autocast off meanwhile.

    Left to autocast, sums would be rounded, too.

    words (Tensor): Word embeddings, on the head's device.
    YIELDS (torch.dtype): Autocast's type where it is on, else the type of the embeddings.
    """
    device = words.device.type
    precision = words.dtype
    if torch.is_autocast_enabled(device):
        precision = torch.get_autocast_dtype(device)
    with torch.autocast(device, enabled=False):
        yield precision
