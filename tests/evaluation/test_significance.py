"""The paired bootstrap, against cases whose answer is known."""

import numpy as np
import pytest

from spacy_tabcnn.evaluation.significance import micro_f1, paired_bootstrap


def one_item_each(n_right):
    """A hundred sentences with one gold and one predicted item: F1 is the share of right ones."""
    counts = np.zeros((1, 100, 3))
    counts[0, :, 1:] = 1
    counts[0, n_right] = [1, 0, 0]
    return counts


def test_micro_f1_sums_before_it_divides():
    assert micro_f1([3, 1, 2]) == pytest.approx(2 * 3 / (2 * 3 + 1 + 2))
    assert micro_f1([[0, 0, 0], [1, 0, 0]]).tolist() == [0, 1]


def test_a_difference_of_means_has_the_interval_and_p_value_of_its_normal_distribution():
    # 20 sentences right by the first only, 10 by the second only: mean 0.1, variance 0.3 - 0.01 a
    # sentence.
    first, second = one_item_each(range(60)), one_item_each(range(20, 70))
    result = paired_bootstrap(first, second, n_resamples=20_000)
    error = np.sqrt(0.29 / 100)
    assert result.difference == pytest.approx(0.1)
    assert result.low == pytest.approx(0.1 - 1.96 * error, abs=0.01)
    assert result.high == pytest.approx(0.1 + 1.96 * error, abs=0.01)
    assert result.p_value == pytest.approx(0.0633, abs=0.015)  # of z = 1.857


def test_the_direction_does_not_change_the_p_value():
    first, second = one_item_each(range(60)), one_item_each(range(20, 70))
    there, back = paired_bootstrap(first, second), paired_bootstrap(second, first)
    assert back.difference == -there.difference
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low))
    assert back.p_value == there.p_value


def test_equal_systems_do_not_differ():
    counts = one_item_each(range(50))
    assert paired_bootstrap(counts, counts) == (0, 0, 0, 1)


def test_a_large_difference_is_significant():
    assert paired_bootstrap(one_item_each(range(90)), one_item_each(range(30))).p_value < 0.001


def test_true_null_hypotheses_are_rejected_as_often_as_the_level_says():
    random = np.random.default_rng(0)
    rejected = 0
    for _ in range(200):
        first, second = (one_item_each(np.flatnonzero(random.random(100) < 0.5)) for _ in range(2))
        rejected += paired_bootstrap(first, second, n_resamples=400).p_value <= 0.05
    assert 2 <= rejected <= 20


def test_scores_are_means_over_seeds_of_which_systems_may_have_different_numbers():
    first = np.concatenate([one_item_each(range(60)), one_item_each(range(70))])
    assert paired_bootstrap(first, one_item_each(range(60))).difference == pytest.approx(0.05)


def test_seeds_that_differ_widen_the_interval():
    """Two seeds at 0.6 and 0.8: the mean of two drawn ones has the variance 0.01 / 2."""
    first = np.concatenate([one_item_each(range(60)), one_item_each(range(80))])
    second = np.zeros_like(first[:1])
    second[..., 1:] = 1  # F1 is 0, with any sentences
    narrow, wide = (paired_bootstrap(first, second, over_seeds=over) for over in (False, True))
    assert narrow.difference == wide.difference == pytest.approx(0.7)
    variance = ((narrow.high - narrow.low) / 3.92) ** 2 + 0.01 / 2
    assert wide.high - wide.low == pytest.approx(3.92 * np.sqrt(variance), abs=0.04)


def test_equal_seeds_do_not_change_the_interval():
    first = np.repeat(one_item_each(range(60)), 3, axis=0)
    second = one_item_each(range(20, 70))
    without, with_seeds = (
        paired_bootstrap(first, second, over_seeds=over) for over in (False, True)
    )
    assert with_seeds.low == pytest.approx(without.low, abs=0.01)
    assert with_seeds.high == pytest.approx(without.high, abs=0.01)


def test_one_seed_of_the_generator_gives_one_result():
    first, second = one_item_each(range(60)), one_item_each(range(20, 70))
    assert paired_bootstrap(first, second, seed=3) == paired_bootstrap(first, second, seed=3)
    assert paired_bootstrap(first, second, seed=3) != paired_bootstrap(first, second, seed=4)


def test_a_wider_confidence_gives_a_wider_interval():
    first, second = one_item_each(range(60)), one_item_each(range(20, 70))
    wide, narrow = (paired_bootstrap(first, second, confidence=share) for share in (0.99, 0.5))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_systems_must_have_been_scored_on_the_same_sentences():
    with pytest.raises(ValueError, match="100 and 99 sentences"):
        paired_bootstrap(one_item_each(range(60)), one_item_each(range(60))[:, :99])
    with pytest.raises(ValueError, match=r"expected \(seeds, sentences, 3\)"):
        paired_bootstrap(one_item_each(range(60))[0], one_item_each(range(60)))
