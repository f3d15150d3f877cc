"""Temperatures of scores."""

import numpy as np
import pytest

from spacy_tabcnn.predictions import UNSOFTENED, Temperature, soften

SCORES = np.array([0.0, 1e-9, 0.2, 0.5, 0.7, 0.99, 1.0])


@pytest.mark.parametrize("temperature", [1.5, 4.0, 100.0])
def test_a_temperature_brings_scores_nearer_to_one_half_and_keeps_their_order(temperature):
    softened = soften(SCORES, temperature)
    assert (np.abs(softened - 0.5) <= np.abs(SCORES - 0.5)).all()
    assert (np.diff(softened) > 0).all()
    assert softened[3] == 0.5


def test_the_logit_is_divided():
    assert soften(np.array([0.8]), 2.0) == pytest.approx(2 / 3)  # odds of 4, whose root is 2
    assert soften(np.array([0.8]), 0.5) == pytest.approx(16 / 17)


def test_one_leaves_scores_as_they_are():
    scores = SCORES.astype("float32")
    assert soften(scores, 1.0) is scores


def test_a_score_of_one_is_softened_too():
    assert soften(np.array([1.0], dtype="float32"), 4.0) == pytest.approx(0.9846, abs=1e-4)


@pytest.mark.parametrize("temperature", [0.1, 100.0])
def test_softened_scores_are_finite(temperature):
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        softened = soften(np.array([0.0, 1e-300, 0.5, 1.0]), temperature)
    assert ((softened >= 0.0) & (softened <= 1.0)).all()


def test_temperatures_multiply():
    first, second = Temperature(2.0, 3.0), Temperature(1.5, 0.5)
    both = first.times(second)
    assert both == (3.0, 1.5)
    twice = soften(soften(SCORES, first.relations), second.relations)
    assert twice == pytest.approx(soften(SCORES, both.relations), abs=1e-7)


def test_a_setting_names_the_temperatures():
    assert Temperature.of({}) == UNSOFTENED
    assert Temperature.of({"relations": 2}) == (1.0, 2.0)


@pytest.mark.parametrize(
    "setting,message",
    [
        ({"entity": 2.0}, "'entity'; expected entities and relations"),
        ({"entities": 0.0}, "temperature.entities is 0.0; expected a number above 0"),
        ({"relations": -1}, "temperature.relations is -1"),
        ({"relations": "2"}, "temperature.relations is '2'"),
        ({"relations": float("inf")}, "temperature.relations is inf"),
        ({"relations": float("nan")}, "temperature.relations is nan"),
    ],
)
def test_other_settings_are_refused(setting, message):
    with pytest.raises(ValueError, match=message):
        Temperature.of(setting)


@pytest.mark.parametrize("temperature", [1e-6, 0.001, 0.02])
def test_small_temperatures_do_not_overflow(temperature):
    softened = soften(np.array([0.0, 0.4, 0.5, 0.9999, 1.0]), temperature)
    assert softened == pytest.approx([0.0, 0.0, 0.5, 1.0, 1.0], abs=1e-6)


def test_an_inverse_takes_softening_back():
    temperature = Temperature(3.0, 0.5)
    assert temperature.times(temperature.inverse()) == pytest.approx(UNSOFTENED)
    softened = soften(SCORES, temperature.entities)
    assert soften(softened, temperature.inverse().entities) == pytest.approx(SCORES, abs=1e-6)
