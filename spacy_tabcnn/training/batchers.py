"""Batches of examples of similar length."""

import random
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice, repeat
from typing import TypeAlias

from spacy.training import Example
from spacy.util import minibatch
from thinc.types import Generator

from ..sentences import sentence_lengths

Batcher: TypeAlias = Callable[[Iterable[Example]], Iterator[list[Example]]]

NAME = "spacy-tabcnn.batch_by_length.v1"
# The share of its length by which an example is sorted too high or too low, so that an order of the
# stream that never changes gives other batches at every pass. Source: AllenNLP's
# BucketBatchSampler.
PADDING_NOISE = 0.1


def batch_by_length(
    *,
    size: int | Generator,
    max_words: int = 0,
    max_cells: int = 0,
    buffer: int = 16,
    seed: int = 0,
) -> Batcher:
    """Make a batcher that puts examples of similar length together, with little padding.

    It sorts `buffer` batches' worth of examples by length, cuts them into batches and yields these
    in random order, then goes on to the next. Every example comes exactly once. The batches are as
    many and as large as the batches of `spacy.batch_by_sequence.v1`, so a number of steps means the
    same number of epochs. But a batch beyond a bound is halved until its parts keep to the bound.
    An example that is beyond a bound by itself makes a batch of its own.

    Lengths are the lengths of the predicted documents, as the reader returns them. A document
    without sentence boundaries counts as one table, also if a component sets boundaries during the
    update. In this case the tables are smaller than `max_cells` allows.

    size (int | Generator): Examples in a batch, or a schedule of them without end.
    max_words (int): Maximum number of words of a batch with its padding: its examples times the
        words of the longest example. 0 means no limit.
    max_cells (int): Maximum number of cells of a batch's tables, n * (n + 1) / 2 for a sentence of
        n words. 0 means no limit. Without a limit, the largest batch has more cells than any batch
        in random order, since the longest examples meet in it.
    buffer (int): Batches that are cut from one sorted stretch of the stream, which is held in
        memory. A longer stretch saves more padding, but the same examples meet more often.
    seed (int): Determines the batches of the first pass, of the second pass, and so on.
    RETURNS (Batcher): Turns a stream of examples into batches.
    RAISES (ValueError): If an argument is out of its range, or, while batching, a value of the
        schedule.
    """
    if not isinstance(size, int) and not hasattr(size, "__next__"):
        raise ValueError(
            f"{NAME}: size is {size!r}; expected a whole number of examples or a schedule of them"
        )
    for name, value, minimum, meaning in (
        ("size", size, 1, "examples in a batch"),
        ("buffer", buffer, 1, "batches to sort at a time"),
        ("max_words", max_words, 0, "words in a batch, or 0 for no limit"),
        ("max_cells", max_cells, 0, "table cells in a batch, or 0 for no limit"),
    ):
        if isinstance(value, int) and value < minimum:
            raise ValueError(f"{NAME}: {name} is {value}; expected at least {minimum} ({meaning})")
    sizes: Iterator[int]
    if isinstance(size, int):
        sizes = repeat(size)
    else:
        sizes = _check_sizes(size)
    return partial(
        _iter_batches,
        sizes=sizes,
        max_words=max_words,
        max_cells=max_cells,
        buffer=buffer,
        rng=random.Random(seed),
    )


def _iter_batches(
    examples: Iterable[Example],
    *,
    sizes: Iterator[int],
    max_words: int,
    max_cells: int,
    buffer: int,
    rng: random.Random,
) -> Iterator[list[Example]]:
    """Batch the examples of one pass; the state of `sizes` and `rng` goes on to the next."""
    for stretch in minibatch(minibatch(examples, sizes), buffer):
        by_length = iter(
            sorted(
                chain.from_iterable(stretch),
                key=lambda eg: len(eg) * rng.uniform(1.0 - PADDING_NOISE, 1.0 + PADDING_NOISE),
            )
        )
        # Shuffled, since otherwise the short batch at the end of the stream, or the largest batch
        # of a schedule that grows, would always hold the longest examples.
        stretch_sizes = list(map(len, stretch))
        rng.shuffle(stretch_sizes)
        batches: list[list[Example]] = []
        for n in stretch_sizes:
            batches.extend(_halve(list(islice(by_length, n)), max_words, max_cells))
        rng.shuffle(batches)
        yield from batches


def _halve(batch: list[Example], max_words: int, max_cells: int) -> list[list[Example]]:
    """Halve a batch again and again, until each part keeps to the bounds or is one example."""
    n_words = len(batch) * max(map(len, batch))
    n_cells = sum(map(_count_cells, batch))
    is_too_large = 0 < max_words < n_words or 0 < max_cells < n_cells
    if len(batch) == 1 or not is_too_large:
        return [batch]
    middle = len(batch) // 2
    halves = batch[:middle], batch[middle:]
    return [part for half in halves for part in _halve(half, max_words, max_cells)]


def _count_cells(eg: Example) -> int:
    """Count the cells i <= j of an example's tables."""
    lengths = sentence_lengths([eg.predicted])
    return int((lengths * (lengths + 1) // 2).sum())


def _check_sizes(schedule: Iterator[float]) -> Iterator[int]:
    """Iterate over the whole numbers of a schedule of batch sizes."""
    for size in schedule:
        if not size >= 1:
            raise ValueError(
                f"{NAME}: the schedule of size has come to {size!r}; expected at least 1 example"
            )
        yield int(size)
    raise ValueError(
        f"{NAME}: the schedule of size has ended; expected one without end, such as constant.v1"
    )
