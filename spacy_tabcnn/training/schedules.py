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
    _check_rate(where, rate)
    if not 0.0 <= warmup <= 1.0:
        raise ValueError(
            f"{where}: warmup is {warmup!r}; expected a share of the steps, between 0 and 1"
        )
    n_steps = _read_total_steps(where, total_steps)
    if n_steps is None:
        return repeat(CONTINUED_SHARE * rate)
    return _warmup_linear(rate, round(warmup * n_steps), n_steps)


def warmup_decaying(
    rate: float,
    *,
    warmup_steps: int = 1000,
    decay: float = 0.05,
    period: int = 1000,
    total_steps: int | str | None = None,
) -> Iterator[float]:
    """Raise a learning rate linearly from zero, then lower it in steps, more and more slowly.

    After the warm-up, the rate of step t is rate / (1 + decay * (t // period)). Without
    `total_steps`, it is a constant tenth of its maximum; see `spacy-tabcnn.warmup_linear.v1`.

    rate (float): The maximum rate.
    warmup_steps (int): The number of updates over which the rate rises.
    decay (float): The share of the maximum rate that each period adds to the divisor.
    period (int): The number of updates of a period.
    total_steps (int | str | None): The number of updates after which the rate is zero; see
        `spacy-tabcnn.warmup_linear.v1`.
    RETURNS (Iterator[float]): The rate of the first update, of the second, and so on without end.
    RAISES (ValueError): If an argument is out of its range.
    Source: the schedule of Wang and Lu (2020), "Two are better than one", EMNLP.
    """
    where = "spacy-tabcnn.warmup_decaying.v1"
    _check_rate(where, rate)
    if warmup_steps < 0:
        raise ValueError(f"{where}: warmup_steps is {warmup_steps!r}; expected at least 0")
    if not decay >= 0.0:
        raise ValueError(f"{where}: decay is {decay!r}; expected a number of at least 0")
    if period < 1:
        raise ValueError(f"{where}: period is {period!r}; expected the number of updates")
    n_steps = _read_total_steps(where, total_steps)
    if n_steps is None:
        return repeat(CONTINUED_SHARE * rate)
    return _warmup_decaying(rate, warmup_steps, decay, period, n_steps)


def _check_rate(where: str, rate: float) -> None:
    if not rate >= 0.0:
        raise ValueError(f"{where}: rate is {rate!r}; expected a number of at least 0")


def _read_total_steps(where: str, total_steps: int | str | None) -> int | None:
    """Check the number of steps of a training; None if it is unknown."""
    if total_steps is None or _is_variable(total_steps):
        return None
    if isinstance(total_steps, str):
        raise ValueError(f"{where}: total_steps is {total_steps!r}; expected a whole number")
    if total_steps < 1:
        raise ValueError(f"{where}: total_steps is {total_steps!r}; expected the number of updates")
    return total_steps


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


def _warmup_decaying(
    rate: float, warmup_steps: int, decay: float, period: int, total_steps: int
) -> Iterator[float]:
    for step in range(1, total_steps + 1):
        if step <= warmup_steps:
            yield rate * (step / warmup_steps)
        else:
            yield rate / (1.0 + decay * (step // period))
    while True:
        yield 0.0
