"""Some inputs of every target, and all inputs that ever led to a finding.

`python -m tests.fuzz` runs longer.
"""

import pytest

from .campaign import Campaign, run_inputs, try_input
from .store import list_stored, load_input
from .target import READ, REFUSED, Finding, Target, list_targets, load_target

STORED = [(name, path) for name in list_targets() for path in list_stored(name)]


@pytest.mark.parametrize("name,path", STORED, ids=[f"{name}-{path.stem}" for name, path in STORED])
def test_no_past_finding_returns(name, path):
    verdict = try_input(load_target(name), load_input(path))
    assert verdict.outcome in (READ, REFUSED), verdict.detail


@pytest.mark.parametrize("name", list_targets())
def test_no_finding_among_a_few_inputs(name):
    target = load_target(name)
    campaign = Campaign()
    run_inputs(target, target.n_short, 0, campaign)
    assert {place: found.detail for place, found in campaign.found.items()} == {}
    assert min(campaign.outcomes[READ], campaign.outcomes[REFUSED]) > 0


def test_a_wrong_answer_is_a_finding():
    def lose(files, folder):
        raise Finding("lost", "one entity")

    verdict = try_input(Target(None, lose), {})
    assert (verdict.outcome, verdict.place) == ("finding", "lost")


def test_a_traceback_is_a_finding():
    verdict = try_input(Target(None, lambda files, folder: 1 / 0), {})
    assert verdict.place.endswith("ZeroDivisionError")


def test_a_hang_is_a_finding():
    def hang(files, folder):
        while True:
            pass

    assert try_input(Target(None, hang, seconds=0.05), {}).place.startswith("hang")
