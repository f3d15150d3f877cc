"""Dropout of arrays with many elements.

On a CPU, torch draws a random number for each element by itself. For the cells of a sentence that
takes longer than a head. Here 64 random bits are four numbers, which is ten times faster.
"""

import torch
from torch import Tensor

_N_VALUES = 2**16  # of a number of 16 bits


def round_share(dropout: float) -> float:
    """Round a share of elements to a multiple of 2 ** -16, as `draw_mask` does.

    dropout (float): The share of elements to drop.
    RETURNS (float): The share of the elements that are dropped on average.
    """
    return round(dropout * _N_VALUES) / _N_VALUES


def draw_mask(like: Tensor, dropout: float, generator: torch.Generator | None = None) -> Tensor:
    """Draw the elements to keep.

    like (Tensor): An array, for its shape, type and device.
    dropout (float): Share of elements to drop.
    generator (Generator | None): Generator of the array's device; torch's own by default.
    RETURNS (Tensor): 1 for an element to keep, else 0. Of the shape, type and device of the array.
    """
    mask = torch.empty_like(like, memory_format=torch.contiguous_format)
    share = round_share(dropout)
    if like.device.type != "cpu":
        return mask.bernoulli_(1.0 - share, generator=generator)
    bits = torch.empty(-(-like.numel() // 4), dtype=torch.int64)
    bits.random_(-(2**63), None, generator=generator)
    numbers = bits.view(torch.int16)[: like.numel()].view(like.shape)
    first_kept = int(share * _N_VALUES) - _N_VALUES // 2
    return torch.ge(numbers, first_kept, out=mask)


def drop(array: Tensor, dropout: float) -> Tensor:
    """Drop elements of an array at random, and enlarge the others so that the mean stays.

    array (Tensor): The array.
    dropout (float): Share of elements to drop; rounded to a multiple of 2 ** -16.
    RETURNS (Tensor): The array with zeros; the same array if nothing is dropped.
    """
    if not dropout:
        return array
    return array * draw_mask(array, dropout).div_(1.0 - round_share(dropout))
