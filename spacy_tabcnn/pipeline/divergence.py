"""A training that has diverged: how it is recognised, and the error that stops it."""

import math
from collections.abc import Sequence

from thinc.optimizers import KeyT

# Nats per label. At this loss, the probability of the right labels is below the smallest number
# above zero in float32, 2 ** -149. A model that knows nothing loses the logarithm of the number of
# labels, about 2 nats, and a model that is wrong and sure of it loses about 20.
LOSS_LIMIT = 149 * math.log(2)
WHAT_TO_CHANGE = (
    "Lower the learning rates ([training.optimizer]), or raise their warm-up. If "
    "mixed_precision is true, try it with false"
)


class DivergenceError(ValueError):
    """A loss, a gradient or a weight that is not finite, or a loss that is out of all proportion.

    message (str): The finding, without advice.
    keys (Sequence[KeyT]): The optimiser's keys of the parameters with such a gradient.
    """

    def __init__(self, message: str, *, keys: Sequence[KeyT] = ()) -> None:
        super().__init__(f"{message}. {WHAT_TO_CHANGE}")
        self.keys = tuple(keys)


def check_loss(name: str, loss: float, n_labels: int) -> None:
    """Check the loss of a batch. It is a number on the host, so this waits for no device.

    name (str): Name of the component.
    loss (float): The loss in nats.
    n_labels (int): Number of labels over which it is a sum; 1 for a mean.
    RAISES (DivergenceError): If the loss is not finite or above `LOSS_LIMIT` per label.
    """
    if not math.isfinite(loss):
        raise DivergenceError(f"Component '{name}': the loss is {loss}")
    mean = loss / max(n_labels, 1)
    if mean > LOSS_LIMIT:
        raise DivergenceError(
            f"Component '{name}': the loss has grown to {mean:.3g} nats per label, so the right "
            f"labels have the probability 0 in float32 (limit: {LOSS_LIMIT:.0f} nats)"
        )
