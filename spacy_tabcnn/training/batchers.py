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
    """Make a batcher that puts examples of similar length together, so that the encoder computes
    little padding.

    It sorts `buffer` batches' worth of examples by length, cuts them into batches and yields these
    in random order, then goes on to the next. Every example comes exactly once. The batches are as
    many and as large as those of `spacy.batch_by_sequence.v1`, so a number of steps means the same
    number of epochs, but a batch beyond a bound is halved until its parts keep to it. An example
    that is beyond a bound by itself makes a batch of its own.

    Lengths are those of the predicted documents, as the reader hands them over. A document without
    sentence boundaries counts as one table, also where a component will set some during the update:
    `max_cells` then errs on the safe side.

    size (int | Generator): Examples in a batch, or a schedule of them without end.
    max_words (int): The most words of a batch with its padding: its examples times the words of the
        longest. 0 means no limit.
    max_cells (int): The most cells of a batch's tables, n * (n + 1) / 2 for a sentence of n words.
        0 means no limit; the largest batch then has more cells than any in random order, since the
        longest examples meet in it.
    buffer (int): Batches that are cut from one sorted stretch of the stream, which is what is held
        in memory. More save more padding, but the same examples meet more often.
    seed (int): Determines the batches: those of the first pass, of the second, and so on.
    RETURNS (Batcher): Turns a stream of examples into batches.
    RAISES (ValueError): If an argument is out of its range, or, while batching, a value of the
        schedule.
    """
    if not isinstance(size, int) and not hasattr(size, "__next__"):
        raise ValueError(
            f"{NAME}: size is {size!r}; expected a whole number of examples or a schedule of them"
        )
    for name, value, least, meaning in (
        ("size", size, 1, "examples in a batch"),
        ("buffer", buffer, 1, "batches to sort at a time"),
        ("max_words", max_words, 0, "words in a batch, or 0 for no limit"),
        ("max_cells", max_cells, 0, "table cells in a batch, or 0 for no limit"),
    ):
        if isinstance(value, int) and value < least:
            raise ValueError(f"{NAME}: {name} is {value}; expected at least {least} ({meaning})")
    return partial(
        _iter_batches,
        sizes=repeat(size) if isinstance(size, int) else _check_sizes(size),
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
        by_length = sorted(
            chain.from_iterable(stretch),
            key=lambda eg: len(eg) * rng.uniform(1.0 - PADDING_NOISE, 1.0 + PADDING_NOISE),
        )
        # Shuffled, lest the short batch at the end of the stream, or the largest of a schedule that
        # grows, always hold the longest examples.
        stretch_sizes = [len(batch) for batch in stretch]
        rng.shuffle(stretch_sizes)
        rest = iter(by_length)
        batches = [
            part
            for n in stretch_sizes
            for part in _halve(list(islice(rest, n)), max_words, max_cells)
        ]
        rng.shuffle(batches)
        yield from batches


def _halve(batch: list[Example], max_words: int, max_cells: int) -> list[list[Example]]:
    """Halve a batch again and again, until each part keeps to the bounds or is one example."""
    n_words = len(batch) * max(len(eg) for eg in batch)
    n_cells = sum(_count_cells(eg) for eg in batch)
    if len(batch) == 1 or not (0 < max_words < n_words or 0 < max_cells < n_cells):
        return [batch]
    middle = len(batch) // 2
    return _halve(batch[:middle], max_words, max_cells) + _halve(
        batch[middle:], max_words, max_cells
    )


def _count_cells(eg: Example) -> int:
    """Count the cells i <= j of an example's tables."""
    lengths = sentence_lengths([eg.predicted])
    return int((lengths * (lengths + 1) // 2).sum())


def _check_sizes(schedule: Iterator[float]) -> Iterator[int]:
    for size in schedule:
        if not size >= 1:
            raise ValueError(
                f"{NAME}: the schedule of size has come to {size!r}; expected at least 1 example"
            )
        yield int(size)
    raise ValueError(
        f"{NAME}: the schedule of size has ended; expected one without end, such as constant.v1"
    )
