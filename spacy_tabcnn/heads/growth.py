"""More labels for a trained head, whose weights for the labels that it has stay as they are."""

from typing import Protocol, TypeVar, runtime_checkable

import torch
from torch import Tensor, nn

# The logit of a new label begins this far below the logit of "none", so no prediction changes
# before the head has learned the label. The label begins with 0.7 % of the probability of "none".
NEW_LABEL_MARGIN = 5.0

HeadT = TypeVar("HeadT", bound=nn.Module)


@runtime_checkable
class GrowingHead(Protocol):
    """A head that can take over the weights of a head of its kind with fewer labels."""

    def take_over(self, old: nn.Module) -> None:
        """Take over the weights of a head with fewer labels, which come first in both heads.

        old (Module): The head with fewer labels. Do not use it afterwards: weights are shared.
        """


def check_kind(head: HeadT, old: nn.Module) -> HeadT:
    """Return a head of the same class as another one.

    head (Module): The one head.
    old (Module): The other head.
    RETURNS (Module): The other head.
    RAISES (TypeError): If it is of another class.
    """
    if not isinstance(old, type(head)):
        name = type(head).__name__
        raise TypeError(f"{name}: cannot take over the weights of a {type(old).__name__}")
    return old


@torch.no_grad()
def share_weights(head: nn.Module, old: nn.Module) -> None:
    """Put the weights of a head with fewer labels into another head.

    Weights of the same shape are shared with the old head, so an update that an optimiser has
    collected for them is not lost. A larger array gets the old one at the start of its axes. The
    rest of the array stays as it was initialised.

    head (Module): The head with more labels.
    old (Module): The head with fewer labels.
    """
    weights = dict(old.named_parameters())
    for name, parameter in head.named_parameters():
        weight = weights[name]
        if parameter.shape == weight.shape:
            parameter.data = weight.data
        else:
            parameter[tuple(map(slice, weight.shape))] = weight


@torch.no_grad()
def start_labels(weight: Tensor, bias: Tensor, *, first: int, none: int) -> None:
    """Start the rows of new labels as copies of the row of "none", with a smaller bias.

    weight (Tensor): The weights of the layer that computes the logits, (labels, ...).
    bias (Tensor): Its bias, (labels,).
    first (int): Index of the first new label.
    none (int): Index of "none".
    """
    weight[first:] = weight[none].clone()
    bias[first:] = bias[none] - NEW_LABEL_MARGIN
