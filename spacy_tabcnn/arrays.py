"""Types of arrays, softmax and cross-entropy: what tables and spans share."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from thinc.util import get_array_module

from .labels import MISSING

# Floats of a numpy or a cupy array, (rows, columns). thinc's own Floats2d knows too few of their methods.
Floats2d: TypeAlias = Any
Ints1d: TypeAlias = NDArray[np.int64]
Ints2d: TypeAlias = NDArray[np.int64]


def cross_entropy(logits: Floats2d, labels: Ints1d) -> tuple[float, Floats2d]:
    """Sum the cross-entropy of a softmax over labels, and find its gradient.

    logits (Floats2d): (items, labels), numpy or cupy.
    labels (Ints1d): Gold label of each item, int64 (items,); `MISSING` items have neither loss nor gradient.
    RETURNS (tuple[float, Floats2d]): The loss in nats and the gradient (items, labels).
    RAISES (ValueError): If there are not as many labels as items.
    """
    if len(logits) != len(labels):
        raise ValueError(f"cross_entropy: {len(logits)} items, but {len(labels)} gold labels")
    xp = get_array_module(logits)
    items = xp.arange(len(labels))
    labels = xp.asarray(labels)
    known = labels != MISSING
    labels = xp.where(known, labels, 0)
    log_probs = log_softmax(logits)
    loss = -(log_probs[items, labels] * known).sum()
    gradient = xp.exp(log_probs)
    gradient[items, labels] -= 1
    gradient *= known[:, None]
    return float(loss), gradient


def log_softmax(logits: Floats2d) -> Floats2d:
    """Turn logits into log-probabilities.

    logits (Floats2d): (items, labels), numpy or cupy.
    RETURNS (Floats2d): Log-probabilities in nats, (items, labels).
    """
    xp = get_array_module(logits)
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - xp.log(xp.exp(shifted).sum(axis=1, keepdims=True))
