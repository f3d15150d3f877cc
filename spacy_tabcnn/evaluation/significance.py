"""Whether the difference of two systems exceeds the variation over sentences, and over seeds."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Hits, misses and spurious items, (seeds, sentences, 3); see `evaluation.scoring.count_items`.
SentenceCounts = NDArray[np.float64]

# Resamples drawn at a time, to bound the memory.
_CHUNK = 1000


class Comparison(NamedTuple):
    """The outcome of `paired_bootstrap`, all as shares of 1.

    difference (float): Micro F1 of the first system minus the micro F1 of the second, each the mean
        over the seeds of the system.
    low, high (float): The confidence interval of the difference.
    p_value (float): The probability of a difference at least as large, in either direction, if the
        systems do not differ.
    """

    difference: float
    low: float
    high: float
    p_value: float


def micro_f1(counts: ArrayLike) -> NDArray[np.float64]:
    """Compute the micro F1 of summed counts.

    counts (ArrayLike): Hits, misses and spurious items in the last dimension.
    RETURNS (NDArray[np.float64]): F1 as a share of 1, without the last dimension; 0 where there is
        nothing to count.
    """
    array = np.asarray(counts, dtype=np.float64)
    hits = 2 * array[..., 0]
    return np.asarray(hits / np.maximum(hits + array[..., 1] + array[..., 2], 1))


def paired_bootstrap(
    counts: ArrayLike,
    other: ArrayLike,
    *,
    n_resamples: int = 10_000,
    confidence: float = 0.95,
    over_seeds: bool = False,
    seed: int = 0,
) -> Comparison:
    """Compare the micro F1 of two systems on the same sentences.

    Sentences are drawn with replacement, the same ones for both systems and all seeds. Without
    `over_seeds` the result is about these models, with it about models of further seeds. The
    statistic is the difference of the systems' mean F1 over their seeds. The interval is the
    percentile interval. The p-value is two-sided, from the resampled differences shifted by the
    observed one.

    counts (ArrayLike): Hits, misses and spurious items of the first system, (seeds, sentences, 3).
    other (ArrayLike): The counts of the second system, (any number of seeds, the same sentences in
        the same order, 3).
    n_resamples (int): Number of times that sentences are drawn.
    confidence (float): The level of the interval, between 0 and 1.
    over_seeds (bool): Whether the seeds of each system are drawn with replacement, too.
    seed (int): Seed of the random draws.
    RETURNS (Comparison): The difference.
    RAISES (ValueError): If the shapes do not fit.
    Source: Berg-Kirkpatrick, Burkett and Klein (2012), An empirical investigation of statistical
        significance in NLP; Efron and Tibshirani (1993), An introduction to the bootstrap, chapters
        13 and 16.
    """
    first, second = (np.asarray(array, dtype=np.float64) for array in (counts, other))
    _check_shapes(first, second)
    observed = float(micro_f1(first.sum(1)).mean() - micro_f1(second.sum(1)).mean())
    differences = _resample(
        first, second, n_resamples, np.random.default_rng(seed), over_seeds=over_seeds
    )
    low, high = np.quantile(differences, [(1 - confidence) / 2, (1 + confidence) / 2])
    # Sums of floats differ in the last digits, and a tie counts as extreme.
    n_extreme = np.count_nonzero(np.abs(differences - observed) >= abs(observed) - 1e-12)
    return Comparison(observed, float(low), float(high), float((1 + n_extreme) / (1 + n_resamples)))


def _check_shapes(first: SentenceCounts, second: SentenceCounts) -> None:
    for array in (first, second):
        if array.ndim != 3 or array.shape[2] != 3 or not array.size:
            raise ValueError(
                f"the counts have the shapes {[first.shape, second.shape]}; "
                "expected (seeds, sentences, 3)"
            )
    if first.shape[1] != second.shape[1]:
        raise ValueError(
            f"the systems were scored on {first.shape[1]} and {second.shape[1]} sentences; "
            "expected the same ones"
        )


def _resample(
    first: SentenceCounts,
    second: SentenceCounts,
    n_resamples: int,
    random: np.random.Generator,
    *,
    over_seeds: bool,
) -> NDArray[np.float64]:
    """Draw sentences again and again, and compute the difference in F1 of each draw."""
    n_sentences = first.shape[1]
    differences = np.empty(n_resamples)
    for start in range(0, n_resamples, _CHUNK):
        size = min(_CHUNK, n_resamples - start)
        # How often each sentence is drawn, (resamples, sentences).
        drawn = _draw(n_sentences, size, random)
        means = []
        for counts in (first, second):
            scores = _score(counts, drawn)  # (resamples, seeds)
            if over_seeds:
                scores = scores * _draw(len(counts), size, random)
            means.append(scores.mean(axis=1))
        differences[start : start + size] = means[0] - means[1]
    return differences


def _draw(n_items: int, size: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Draw as many items as there are, with replacement: how often each is drawn, (size, items)."""
    uniform = np.full(n_items, 1 / n_items)
    return random.multinomial(n_items, uniform, size=size).astype(np.float64)


def _score(counts: SentenceCounts, drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the F1 of each seed on each resample, (resamples, seeds)."""
    return micro_f1(np.einsum("rs,kst->rkt", drawn, counts, optimize=True))
