"""Checks of options and inputs that several heads have."""

from numbers import Integral, Real

from torch import Tensor

from .dropout import round_share


def check_sizes(name: str, *, minimum: int = 1, **sizes: int) -> None:
    """Check sizes of a head.

    name (str): Name of the head.
    minimum (int): The minimum of all sizes.
    sizes (int): The sizes, by the names of their options.
    RAISES (ValueError): If one is not a whole number, or below the minimum.
    """
    for option, size in sizes.items():
        is_whole = isinstance(size, Integral) and not isinstance(size, bool)
        if not is_whole or size < minimum:
            raise ValueError(
                f"{name}: {option} is {size!r}; expected a whole number from {minimum} on"
            )


def check_dropout(name: str, dropout: float, *, option: str = "dropout") -> None:
    """Check a head's dropout.

    name (str): Name of the head.
    dropout (float): Share of elements that training drops.
    option (str): Name of the head's option.
    RAISES (ValueError): If it is not a share, or if it is 1, also as `dropout.drop` rounds it.
    """
    is_share = isinstance(dropout, Real) and 0.0 <= dropout < 1.0
    if not is_share or round_share(dropout) == 1.0:
        raise ValueError(
            f"{name}: {option} is {dropout!r}; expected a share from 0 up to, but not including, 1"
        )


def check_lengths(name: str, words: Tensor, lengths: Tensor) -> None:
    """Check that lengths divide words into sentences.

    name (str): Name of the head.
    words (Tensor): Word embeddings, (words, width).
    lengths (Tensor): Words of each sentence, int64 (sentences,), on the CPU.
    RAISES (ValueError): If the lengths do not add up to the number of words.
    """
    n_words = int(lengths.sum())
    if n_words != len(words):
        raise ValueError(
            f"{name}: the lengths add up to {n_words} words, but {len(words)} embeddings came"
        )
