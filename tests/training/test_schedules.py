from itertools import islice

import pytest
from spacy import registry

from spacy_tabcnn.training.schedules import warmup_decaying, warmup_linear


def test_rate_rises_to_its_peak_and_falls_to_zero():
    rates = list(islice(warmup_linear(0.1, warmup=0.2, total_steps=10), 10))
    assert rates == pytest.approx(
        [0.05, 0.1, 0.1, 0.0875, 0.075, 0.0625, 0.05, 0.0375, 0.025, 0.0125]
    )


def test_every_update_up_to_total_steps_has_a_rate_and_none_after():
    rates = list(islice(warmup_linear(0.1, warmup=0.25, total_steps=7), 12))
    assert all(rate > 0.0 for rate in rates[:7])
    assert rates[7:] == [0.0] * 5


def test_warmup_covers_a_fifth_of_the_steps_by_default():
    default = islice(warmup_linear(0.1, total_steps=50), 60)
    assert list(default) == list(islice(warmup_linear(0.1, warmup=0.2, total_steps=50), 60))


def test_no_warmup_starts_at_the_peak():
    assert list(islice(warmup_linear(0.8, warmup=0.0, total_steps=4), 5)) == pytest.approx(
        [0.8, 0.6, 0.4, 0.2, 0.0]
    )


def test_all_warmup_ends_at_the_peak():
    assert list(islice(warmup_linear(0.8, warmup=1.0, total_steps=4), 5)) == pytest.approx(
        [0.2, 0.4, 0.6, 0.8, 0.0]
    )


@pytest.mark.parametrize(
    "arguments",
    [
        {"rate": -0.1, "total_steps": 10},
        {"rate": float("nan"), "total_steps": 10},
        {"rate": 0.1, "total_steps": 0},
        {"rate": 0.1, "warmup": 20, "total_steps": 10},
        {"rate": 0.1, "warmup": -0.2, "total_steps": 10},
    ],
)
def test_bad_argument_is_named_before_the_first_rate(arguments):
    bad = {"rate", "total_steps", "warmup"} - {
        name for name in arguments if arguments[name] in (0.1, 10)
    }
    with pytest.raises(ValueError, match=f"{' or '.join(bad & arguments.keys())} is"):
        warmup_linear(**arguments)


def test_registered():
    build = registry.schedules.get("spacy-tabcnn.warmup_linear.v1")
    assert next(build(0.1, warmup=0.5, total_steps=4)) == pytest.approx(0.05)
    build = registry.schedules.get("spacy-tabcnn.warmup_decaying.v1")
    assert next(build(0.1, warmup_steps=2, total_steps=4)) == pytest.approx(0.05)


# With decay


def test_rate_rises_and_decays_in_steps():
    rates = warmup_decaying(0.1, warmup_steps=2, decay=0.5, period=3, total_steps=8)
    assert list(islice(rates, 10)) == pytest.approx(
        [0.05, 0.1, 0.1 / 1.5, 0.1 / 1.5, 0.1 / 1.5, 0.05, 0.05, 0.05, 0.0, 0.0]
    )


def test_by_default_the_rate_decays_as_published():
    rates = list(islice(warmup_decaying(1e-3, total_steps=20000), 20000))
    assert rates[499] == pytest.approx(5e-4)
    assert rates[999] == pytest.approx(1e-3)
    assert rates[9999] == pytest.approx(1e-3 / 1.5)
    assert rates[19999] == pytest.approx(5e-4)


def test_decaying_is_constant_while_the_number_of_steps_is_unknown():
    assert list(islice(warmup_decaying(0.1), 3)) == pytest.approx([0.01] * 3)


@pytest.mark.parametrize(
    "name, value",
    [("rate", -0.1), ("warmup_steps", -1), ("decay", -0.5), ("period", 0), ("total_steps", 0)],
)
def test_a_bad_argument_of_the_decay_is_named(name, value):
    with pytest.raises(ValueError, match=f"warmup_decaying.v1: {name} is"):
        warmup_decaying(**{"rate": 0.1, "total_steps": 10, name: value})
