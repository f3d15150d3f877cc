"""Types of arrays, softmax and cross-entropy: shared by tables and spans."""

import functools
import math
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from thinc.util import get_array_module, to_numpy

from .labels import MISSING

Ints1d: TypeAlias = NDArray[np.int64]
Ints2d: TypeAlias = NDArray[np.int64]
Bools1d: TypeAlias = NDArray[np.bool_]
Floats1d: TypeAlias = NDArray[np.floating]
# Log-probabilities and the like, (rows, columns), once they have left the device.
NumpyFloats2d: TypeAlias = NDArray[np.floating]
# A numpy or a cupy array with any number of axes, and thinc's operations on such arrays: thinc's
# annotations know its own types of arrays only.
DeviceArray: TypeAlias = Any
DeviceOps: TypeAlias = Any


# The config library of thinc 8.3.4 checks default values against the types of arguments.
@runtime_checkable
class Floats2d(Protocol):
    """A matrix of floats on the device, (rows, columns): a numpy or a cupy array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the numbers of rows and columns."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any: ...

    def __truediv__(self, other: Any, /) -> Any: ...

    def __mul__(self, other: Any, /) -> Any: ...

    def __add__(self, other: Any, /) -> Any: ...


@runtime_checkable
class Scalar(Protocol):
    """A number on the device: a numpy or a cupy array without axes, or a number of Python's."""

    def __float__(self) -> float: ...

    def __mul__(self, other: Any, /) -> Any: ...

    def __add__(self, other: Any, /) -> Any: ...

    def __truediv__(self, other: Any, /) -> Any: ...


def take_rows(matrix: Floats2d, rows: Ints1d) -> NumpyFloats2d:
    """Return rows of a matrix on the device as a numpy array.

    matrix (Floats2d): (rows, columns), numpy or cupy.
    rows (Ints1d): Indices of rows, (n,).
    RETURNS (NumpyFloats2d): (n, columns).
    """
    return to_numpy(matrix[get_array_module(matrix).asarray(rows)])


def sigmoid(logits: NumpyFloats2d) -> NumpyFloats2d:
    """Compute the probabilities of logits, without an overflow.

    logits (NumpyFloats2d): Logits of any shape, numpy.
    RETURNS (NumpyFloats2d): Probabilities between 0 and 1, of the same shape.
    """
    return np.exp(-np.logaddexp(0.0, -logits))


def log_softmax(logits: Floats2d) -> NumpyFloats2d:
    """Compute log-probabilities.

    logits (Floats2d): (items, labels), numpy or cupy.
    RETURNS (NumpyFloats2d): Log-probabilities in nats, (items, labels), on the same device.
    """
    xp = get_array_module(logits)
    shifted = logits - xp.max(logits, axis=1, keepdims=True)
    return shifted - xp.log(xp.exp(shifted).sum(axis=1, keepdims=True))


def average_logits(logits: Sequence[Floats2d]) -> Floats2d:
    """Compute the logarithms of mean probabilities.

    logits (Sequence[Floats2d]): Several logits of the same items, (items, labels) each, numpy or
        cupy.
    RETURNS (Floats2d): Log-probabilities in nats, (items, labels), on the same device.
    """
    xp = get_array_module(logits[0])
    total = functools.reduce(xp.logaddexp, map(log_softmax, logits))
    mean: Floats2d = total - math.log(len(logits))
    return mean


def cross_entropy(logits: Floats2d, labels: Ints1d) -> tuple[Scalar, Floats2d]:
    """Compute the sum of the cross-entropies of a softmax over labels, and its gradient.

    logits (Floats2d): (items, labels), numpy or cupy.
    labels (Ints1d): Gold label of each item, int64 (items,); `MISSING` items have neither loss nor
        gradient.
    RETURNS (tuple[Scalar, Floats2d]): The loss in nats, still on the device, and the gradient
        (items, labels).
    RAISES (ValueError): If there are not as many labels as items.
    """
    if len(logits) != len(labels):
        raise ValueError(f"cross_entropy: {len(logits)} items, but {len(labels)} gold labels")
    xp = get_array_module(logits)
    items = xp.arange(len(labels))
    given = xp.asarray(labels)
    known = given != MISSING
    gold = xp.where(known, given, 0)
    log_probs = log_softmax(logits)
    loss = -(log_probs[items, gold] * known).sum()
    gradient = xp.exp(log_probs)
    gradient[items, gold] -= 1
    gradient *= known[:, None]
    return loss, gradient
