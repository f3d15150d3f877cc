"""Scores and the share of right predictions."""

import json

import numpy as np
import pytest
from spacy.tokens import Span
from spacy.training import Example

from spacy_tabcnn.evaluation.calibration import (
    calibrate,
    collect_scores,
    fit_temperature,
    read_calibration,
    save_calibration,
)
from spacy_tabcnn.relations import set_entity_scores, set_relations

WORDS = "Ann lives in Rome , Bob in Oslo"
PEOPLE = [(0, 1, "PER"), (3, 4, "LOC"), (5, 6, "PER"), (7, 8, "LOC")]


@pytest.fixture
def make_example(make_doc):
    """Make an example with the gold entities of PEOPLE, and predicted ones `(start, end, type,
    score)`. Relations name entities by position; predicted ones have a score."""

    def make(*, entities=(), relations=(), gold_relations=()):
        gold = make_doc(WORDS, PEOPLE, list(gold_relations))
        predicted = make_doc(WORDS)
        spans = [Span(predicted, start, end, label=label) for start, end, label, _ in entities]
        predicted.set_ents(spans)
        set_entity_scores(predicted, spans, [score for *_, score in entities])
        set_relations(
            predicted,
            [(spans[head], spans[tail], label, score) for head, tail, label, score in relations],
        )
        return Example(predicted, gold)

    return make


def scored(entities, scores):
    return [(*entity, score) for entity, score in zip(entities, scores, strict=True)]


def test_entities_are_right_with_their_boundaries_and_type(make_example):
    eg = make_example(entities=[(0, 1, "PER", 0.9), (2, 4, "LOC", 0.6), (5, 6, "LOC", 0.75)])
    assert sorted(collect_scores([eg])["ents"]) == [(0.6, False), (0.75, False), (0.9, True)]


def test_relations_are_right_with_the_types_of_their_entities(make_example):
    entities = scored([(0, 1, "PER"), (3, 4, "LOC"), (5, 6, "LOC"), (7, 8, "LOC")], [1.0] * 4)
    relations = [(0, 1, "LiveIn", 0.9), (2, 3, "LiveIn", 0.8), (0, 3, "LiveIn", 0.7)]
    eg = make_example(
        entities=entities, relations=relations, gold_relations=[(0, 1, "LiveIn"), (2, 3, "LiveIn")]
    )
    found = collect_scores([eg])
    assert sorted(found["rels_strict"]) == [(0.7, False), (0.8, False), (0.9, True)]
    # The one in the middle has an entity of a wrong type, so it is not between gold entities.
    assert sorted(found["rels_between_gold"]) == [(0.7, False), (0.9, True)]


def test_what_is_not_predicted_or_has_no_score_is_left_out(make_example):
    eg = make_example(gold_relations=[(0, 1, "LiveIn")])
    eg.predicted.set_ents([Span(eg.predicted, 0, 1, label="PER")])  # by a rule, say
    assert collect_scores([eg]) == {"ents": [], "rels_strict": [], "rels_between_gold": []}


def test_bins_compare_the_mean_score_with_the_share_that_is_right():
    found = calibrate([(0.5, True), (0.55, False), (0.95, True), (0.97, True), (1.0, True)])
    assert [(bin_.low, bin_.high, bin_.n) for bin_ in found.bins] == [(0.5, 0.6, 2), (0.9, 1.0, 3)]
    assert [bin_.score for bin_ in found.bins] == pytest.approx([0.525, 2.92 / 3])
    assert [bin_.accuracy for bin_ in found.bins] == [0.5, 1.0]
    assert (found.n, found.score, found.accuracy) == (5, pytest.approx(0.794), 0.8)


def test_the_error_is_the_mean_difference_over_the_predictions():
    found = calibrate([(0.9, True), (0.9, False), (0.9, True), (0.9, True), (0.2, False)])
    assert found.error == pytest.approx((4 * (0.9 - 0.75) + 0.2) / 5)


def test_scores_that_come_true_as_often_as_they_say_have_no_error():
    scores = [(0.75, True)] * 3 + [(0.75, False)] + [(0.25, True)] + [(0.25, False)] * 3
    assert calibrate(scores).error == 0.0


def test_the_number_of_bins_is_an_option():
    scores = [(0.2, False), (0.7, True)]
    # One bin has the mean score 0.45, with half of it right.
    assert calibrate(scores, n_bins=1).error == pytest.approx(0.05)
    assert calibrate(scores, n_bins=2).error == pytest.approx(0.25)
    with pytest.raises(ValueError, match="the number of bins is 0"):
        calibrate(scores, n_bins=0)


def test_intervals_shrink_with_the_number_of_predictions():
    (few,), (many,) = calibrate([(1.0, True)] * 5).bins, calibrate([(1.0, True)] * 500).bins
    # Wilson's interval of 5 of 5: 1 / (1 + 1.96 ** 2 / 5) to 1.
    assert few.interval == pytest.approx((0.5655, 1.0), abs=1e-4)
    assert many.interval[0] > 0.99


@pytest.mark.parametrize("is_right", [True, False])
def test_intervals_hold_the_share_of_right_predictions(is_right):
    for n in range(1, 50):
        (found,) = calibrate([(0.9, is_right)] * n).bins
        assert found.interval[0] <= found.accuracy <= found.interval[1]


def test_nothing_predicted_is_no_error():
    found = calibrate([])
    assert found == (0, 0.0, 0.0, 0.0, [])


@pytest.fixture
def groups():
    scores = [(0.1 * i + 0.05, i % 3 > 0) for i in range(5, 10)]
    return {
        name: calibrate(scores[k:])
        for k, name in enumerate(("ents", "rels_strict", "rels_between_gold"))
    }


def test_a_file_is_read_as_it_was_written(groups, tmp_path):
    save_calibration(tmp_path / "new" / "scores.json", groups, title="minilm, dev")
    assert read_calibration(tmp_path / "new" / "scores.json") == ("minilm, dev", groups)


@pytest.mark.parametrize("text", ["no JSON", "[]", '{"title": "a", "groups": {}}'])
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "scores.json").write_text(text)
    with pytest.raises(ValueError, match=r"scores\.json: expected the JSON file"):
        read_calibration(tmp_path / "scores.json")


@pytest.mark.parametrize(
    "name,value", [("n", "many"), ("score", None), ("interval", [0.5]), ("interval", ["a", "b"])]
)
def test_figures_that_are_no_numbers_are_refused(groups, tmp_path, name, value):
    path = tmp_path / "scores.json"
    save_calibration(path, groups, title="minilm")
    data = json.loads(path.read_text())
    data["groups"]["ents"]["bins"][0][name] = value
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=r"scores\.json: expected the JSON file"):
        read_calibration(path)


# The best temperature of these is within the range.
MIXED = [(0.9, True), (0.9, True), (0.8, False), (0.7, True), (0.9, False)]


def draw_scores(temperature, seed, n=20_000):
    """Scores whose predictions are right as often as the softened scores say."""
    random = np.random.default_rng(seed)
    scores = random.uniform(0.3, 1.0, n)
    odds = (scores / (1.0 - scores)) ** (1.0 / temperature)
    are_right = random.uniform(size=n) < odds / (1.0 + odds)
    return list(zip(scores.tolist(), are_right.tolist(), strict=True))


def test_the_temperatures_of_scores_are_found():
    groups = {"ents": draw_scores(2.5, 0), "rels_strict": draw_scores(0.6, 1)}
    assert fit_temperature(groups) == pytest.approx((2.5, 0.6), rel=0.05)


def test_scores_that_come_true_keep_their_temperature():
    groups = {"ents": draw_scores(1.0, 2), "rels_strict": draw_scores(1.0, 3)}
    assert fit_temperature(groups) == pytest.approx((1.0, 1.0), rel=0.05)


@pytest.mark.parametrize(
    "group,title",
    [("ents", "Entities"), ("rels_strict", "Relations, strict")],
)
@pytest.mark.parametrize("scores", [[(0.9, True)] * 3, [(0.9, False)]])
def test_a_temperature_needs_right_and_wrong_predictions(group, title, scores):
    groups = dict.fromkeys(("ents", "rels_strict"), MIXED)
    with pytest.raises(ValueError, match=rf"{title}.*\d of {len(scores)} predictions are right"):
        fit_temperature(groups | {group: scores})


def test_entities_without_scores_keep_them():
    # So are entities that were given to the component.
    found = fit_temperature({"ents": [], "rels_strict": draw_scores(2.5, 0)})
    assert found == pytest.approx((1.0, 2.5), rel=0.05)
    with pytest.raises(ValueError, match="No prediction has a score"):
        fit_temperature({"ents": [], "rels_strict": []})


@pytest.mark.parametrize(
    "scores, advice",
    [
        ([(0.9, True), (0.2, False)], "Take a larger corpus"),
        ([(0.9, True), (1.0, False)], "Raise the threshold"),
        ([(0.5, True), (0.9, False)], "Raise the threshold"),
        # As of a component with the threshold 0.5, where most predictions are wrong.
        ([(0.7, True), (0.6, False), (0.7, False)] * 20, "stays on its side of 0.5"),
    ],
)
def test_a_temperature_at_an_end_of_the_range_is_no_fit(scores, advice):
    message = rf"Entities: no temperature from 0.1 to 100 fits {len(scores)} predic.*{advice}"
    with pytest.raises(ValueError, match=message):
        fit_temperature({"ents": scores, "rels_strict": MIXED})
