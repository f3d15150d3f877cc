"""Groups of documents to join: running text from a corpus of single sentences."""

import random
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def group_items(
    items: Iterable[T], rng: random.Random, *, joined: float, min_size: int, max_size: int
) -> Iterator[list[T]]:
    """Divide a stream of documents into groups to join: neighbours, in order.

    items (Iterable): The documents, or examples of them.
    rng (random.Random): Draws the groups.
    joined (float): Expected share of the documents that are in a group of several.
    min_size (int): Minimum number of documents of a group of several.
    max_size (int): Maximum number of documents of a group of several. All sizes are equally likely.
    YIELDS (list): The groups.
    """
    mean_size = (min_size + max_size) / 2
    # A group of several takes more documents than a group of one. So it is drawn less often.
    chance = joined / (joined + (1 - joined) * mean_size)
    stream = iter(items)
    while True:
        size = 1
        if rng.random() < chance:
            size = rng.randint(min_size, max_size)
        group = list(islice(stream, size))
        if not group:
            return
        yield group
