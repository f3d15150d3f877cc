"""Differences between systems, and in words."""

import pytest

from experiments.differences import compare_systems, describe_order
from experiments.grid import Run
from experiments.results import MEASURES, RunResult, Study
from experiments.tables import make_difference_table

from .fakes import make_counts

# F1 on each of a hundred sentences, by system and layer.
SCORES = {"TabERT-CNN": (0.9, 0.9, 0.5), "TabERT": (0.6, 0.9, 0.7), "SpERT": (0.2, 0.3, 0.4)}


@pytest.fixture
def make_study():
    def make(scores=SCORES, *, frozen=True, seeds=(1,)):
        results = []
        for system, row in scores.items():
            for layer, score in enumerate(row):
                counts = dict.fromkeys(MEASURES.values(), make_counts(score, 100))
                found = {f"{measure}_f": score for measure in counts}
                results += [
                    RunResult(
                        Run(system, seed, frozen=frozen, layer=layer), "complete", found, counts
                    )
                    for seed in seeds
                ]
        return Study("layers", {"encoder": "minilm", "corpus": {"name": "CoNLL04"}}, results)

    return make


def test_each_two_systems_are_compared_at_each_layer_that_both_have(make_study):
    study = make_study({**SCORES, "SpERT": (0.2,)})
    found = [(d.first, d.second, d.layer) for d in compare_systems(study) if d.measure == "RE"]
    assert found == [
        ("TabERT-CNN", "TabERT", 0),
        ("TabERT-CNN", "TabERT", 1),
        ("TabERT-CNN", "TabERT", 2),
        ("TabERT-CNN", "SpERT", 0),
        ("TabERT", "SpERT", 0),
    ]


def test_a_difference_is_told_by_its_interval(make_study):
    differences = [
        d for d in compare_systems(make_study()) if (d.second, d.measure) == ("TabERT", "NER")
    ]
    assert [d.sign for d in differences] == [1, 0, -1]
    assert [round(d.comparison.difference, 6) for d in differences] == [0.3, 0.0, -0.2]


def test_seeds_that_have_not_finished_are_left_out(make_study):
    study = make_study(seeds=(1, 2))
    waiting = [
        r._replace(state="waiting", scores={}, counts={}) if r.run.seed == 2 else r
        for r in study.results
    ]
    assert compare_systems(study._replace(results=waiting)) == compare_systems(make_study())


def test_the_order_in_words(make_study):
    lines = describe_order(compare_systems(make_study()))
    assert lines[0] == (
        "Encoder frozen: TabERT-CNN > TabERT > SpERT, by 95 % intervals, at 1 of 3 layers in NER, "
        "1 of 3 layers in RE, 1 of 3 layers in RE+"
    )
    assert lines[1] == (
        "Encoder frozen, NER, TabERT-CNN against TabERT: ahead at layer 0 by 30.0 points; "
        "behind at layer 2 by 20.0 points; not told apart at layer 1"
    )
    assert (
        "Encoder frozen, RE+, TabERT against SpERT: ahead at all 3 layers by 30.0 to 60.0 points"
        in lines
    )
    assert len(lines) == 1 + 3 * len(MEASURES)


def test_layers_are_named_where_they_differ(make_study):
    study = make_study({"TabERT-CNN": (0.9, 0.8, 0.5), "TabERT": (0.5, 0.5, 0.5)})
    line = describe_order(compare_systems(study))[0]
    assert line.endswith("ahead at layers 0, 1 by 30.0 to 40.0 points; not told apart at layer 2")


def test_only_layers_of_all_systems_count_for_their_order(make_study):
    study = make_study({**SCORES, "SpERT": (0.2,)}, frozen=False)
    line = describe_order(compare_systems(study))[0]
    assert line.startswith(
        "Encoder updated: TabERT-CNN > TabERT > SpERT, by 95 % intervals, at 1 of 1 layers in NER"
    )


def test_the_claim_is_about_the_three_systems_of_the_paper(make_study):
    """Another system does not hide it."""
    lines = describe_order(compare_systems(make_study({**SCORES, "PFN": (0.3,)})))
    assert lines[0] == describe_order(compare_systems(make_study()))[0]
    assert any(line.startswith("Encoder frozen, NER, SpERT against PFN") for line in lines)


def test_one_system_has_no_order(make_study):
    assert describe_order(compare_systems(make_study({"TabERT": (0.5,)}))) == []


def test_equal_systems_in_the_table(make_study):
    study = make_study({"TabERT": (0.5,), "TabERT-CNN": (0.5,)})
    [row] = make_difference_table(study, compare_systems(study)).rows
    assert row == ["TabERT-CNN − TabERT", "frozen", "0", *(["+0.0 [+0.0, +0.0]", "1.000"] * 3)]


def test_a_large_difference_has_a_small_p_value(make_study):
    study = make_study({"TabERT": (0.05,), "TabERT-CNN": (0.9,)}, frozen=False)
    [row] = make_difference_table(study, compare_systems(study)).rows
    assert row[1] == "updated" and row[3].startswith("+85.0 [") and row[4] == "< 0.001"
