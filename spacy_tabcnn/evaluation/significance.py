"""Whether two systems differ by more than the choice of sentences explains."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

# Hits, misses and spurious items, (seeds, sentences, 3); see `spacy_tabcnn.pipeline.scoring.count_items`.
Counts = NDArray[np.float64]

# Resamples drawn at a time, to bound the memory.
_CHUNK = 1000


class Comparison(NamedTuple):
    """The outcome of `paired_bootstrap`, all as shares of 1.

    difference (float): Micro F1 of the first system minus that of the second, each the mean over its seeds.
    low, high (float): The confidence interval of the difference.
    p_value (float): How often a difference at least so large, in either direction, would be seen if there was none.
    """

    difference: float
    low: float
    high: float
    p_value: float


def micro_f1(counts: Any) -> NDArray[np.float64]:
    """Compute the micro F1 of summed counts.

    counts (Array): Hits, misses and spurious items in the last dimension.
    RETURNS (NDArray[np.float64]): F1 as a share of 1, without the last dimension; 0 where there is nothing to count.
    """
    counts = np.asarray(counts, dtype=np.float64)
    hits = 2 * counts[..., 0]
    return np.asarray(hits / np.maximum(hits + counts[..., 1] + counts[..., 2], 1))


def paired_bootstrap(
    counts: Any, other: Any, *, n_resamples: int = 10_000, confidence: float = 0.95, seed: int = 0
) -> Comparison:
    """Compare the micro F1 of two systems on the same sentences.

    Sentences are drawn with replacement, the same ones for both systems and all seeds; the statistic is the difference
    of the systems' mean F1 over their seeds. The interval is that of the percentiles. The p-value is two-sided, from
    the resampled differences shifted to have no difference.

    counts (Array): Hits, misses and spurious items of the first system, (seeds, sentences, 3).
    other (Array): Those of the second, (any number of seeds, the same sentences in the same order, 3).
    n_resamples (int): How many times sentences are drawn.
    confidence (float): The share of the interval, between 0 and 1.
    seed (int): Determines what is drawn.
    RETURNS (Comparison): The difference.
    RAISES (ValueError): If the shapes do not fit.
    Source: Berg-Kirkpatrick, Burkett and Klein (2012), An empirical investigation of statistical significance in NLP;
        Efron and Tibshirani (1993), An introduction to the bootstrap, chapters 13 and 16.
    """
    pair = [np.asarray(array, dtype=np.float64) for array in (counts, other)]
    if any(array.ndim != 3 or array.shape[2] != 3 or not array.size for array in pair):
        raise ValueError(
            f"the counts have the shapes {[a.shape for a in pair]}; expected (seeds, sentences, 3)"
        )
    n_sentences = pair[0].shape[1]
    if pair[1].shape[1] != n_sentences:
        raise ValueError(
            f"the systems were scored on {n_sentences} and {pair[1].shape[1]} sentences; expected the same ones"
        )
    observed = float(micro_f1(pair[0].sum(1)).mean() - micro_f1(pair[1].sum(1)).mean())
    random = np.random.default_rng(seed)
    differences = np.empty(n_resamples)
    for start in range(0, n_resamples, _CHUNK):
        size = min(_CHUNK, n_resamples - start)
        # How often each sentence is drawn, (resamples, sentences).
        drawn = random.multinomial(
            n_sentences, np.full(n_sentences, 1 / n_sentences), size=size
        ).astype(np.float64)
        scores = [
            micro_f1(np.einsum("rs,kst->rkt", drawn, array, optimize=True)).mean(1)
            for array in pair
        ]
        differences[start : start + size] = scores[0] - scores[1]
    low, high = np.quantile(differences, [(1 - confidence) / 2, (1 + confidence) / 2])
    # Sums of floats differ in the last digits, and a tie counts as extreme.
    n_extreme = np.count_nonzero(np.abs(differences - observed) >= abs(observed) - 1e-12)
    return Comparison(observed, float(low), float(high), float((1 + n_extreme) / (1 + n_resamples)))
