"""Learning rate schedules, as the generators that thinc's and this library's optimisers take."""

from collections.abc import Iterator
from itertools import repeat

# The share of its maximum at which a rate stays while the end of the training is unknown. At the
# full rate, the first steps of a new optimizer, whose moments are empty, damage a trained pipeline.
CONTINUED_SHARE = 0.1


def warmup_linear(
    rate: float, *, warmup: float = 0.2, total_steps: int | str | None = None
) -> Iterator[float]:
    """Raise a learning rate linearly from zero, then lower it linearly back to zero.

    Without `total_steps` the end of the training is unknown, and the rate is a constant tenth of
    its maximum, for a trained pipeline that learns on. In a config, `spacy-tabcnn.count_steps.v1`
    replaces null by the number of steps of the training.

    rate (float): The maximum rate.
    warmup (float): The share of the steps, between 0 and 1, over which the rate rises.
    total_steps (int | str | None): The number of updates after which the rate is zero; `max_steps`
        of the training. None: it is unknown. So is `${training.max_steps}`, which
        `nlp.create_optimizer` hands on as text.
    RETURNS (Iterator[float]): The rate of the first update, of the second, and so on without end.
    RAISES (ValueError): If an argument is out of its range.
    Source: the paper's appendix B.
    """
    where = "spacy-tabcnn.warmup_linear.v1"
    if not rate >= 0.0:
        raise ValueError(f"{where}: rate is {rate!r}; expected a number of at least 0")
    if not 0.0 <= warmup <= 1.0:
        raise ValueError(
            f"{where}: warmup is {warmup!r}; expected a share of the steps, between 0 and 1"
        )
    if total_steps is None or _is_variable(total_steps):
        return repeat(CONTINUED_SHARE * rate)
    if isinstance(total_steps, str):
        raise ValueError(f"{where}: total_steps is {total_steps!r}; expected a whole number")
    if total_steps < 1:
        raise ValueError(f"{where}: total_steps is {total_steps!r}; expected the number of updates")
    return _warmup_linear(rate, round(warmup * total_steps), total_steps)


def _is_variable(value: int | str) -> bool:
    return isinstance(value, str) and value.startswith("${")


def _warmup_linear(rate: float, warmup_steps: int, total_steps: int) -> Iterator[float]:
    # Counted from one on the way up: an update with a rate of zero would be lost.
    for step in range(1, warmup_steps + 1):
        yield rate * (step / warmup_steps)
    for step in range(warmup_steps, total_steps):
        yield rate * ((total_steps - step) / (total_steps - warmup_steps))
    while True:
        yield 0.0
