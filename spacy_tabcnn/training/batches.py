"""The batches of a training, which can be drawn again as they were."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from spacy.training import Example

from .random_states import HostStates

EpochBatch: TypeAlias = tuple[int, list[Example]]


class RepeatableBatches:
    """The batches of a training. A later process can skip those that are used up.

    The order of the corpus and the state of readers and batchers of any kind follow from drawing
    the batches again, without training. Orders come from the generators of random numbers that the
    training draws from, too. So the states of these generators are kept for every batch that draws
    from them, such as the first one of each epoch.

    batches (Iterable[EpochBatch]): The batches of all epochs, each with its epoch.
    drawn (dict[int, HostStates]): The states before each batch that drew random numbers, by its
        number, from 0. More are added.
    """

    def __init__(self, batches: Iterable[EpochBatch], drawn: dict[int, HostStates]) -> None:
        self._batches = iter(batches)
        self.drawn = drawn
        self._number = 0

    def skip(self, n: int) -> Iterator[EpochBatch]:
        """Draw batches again.

        n (int): The number of batches.
        YIELDS (EpochBatch): Their epochs, each with a batch without examples.
        RAISES (ValueError): If there are fewer, as with another corpus.
        """
        for _ in range(n):
            if self._number in self.drawn:
                self.drawn[self._number].set()
            self._number += 1
            batch = next(self._batches, None)
            if batch is None:
                raise ValueError(
                    f"the training corpus has only {self._number - 1} batches; the checkpoint is "
                    f"from a training that used {n}. Train anew, without --resume"
                )
            yield batch[0], []

    def draw(self, before: Callable[[], None]) -> Iterator[EpochBatch]:
        """Draw new batches.

        before (Callable): Called once, before the first one.
        YIELDS (EpochBatch): The batches.
        """
        before()
        while True:
            states = HostStates.get()
            batch = next(self._batches, None)
            if HostStates.get() != states:
                self.drawn[self._number] = states
            if batch is None:
                return
            self._number += 1
            yield batch
