"""Hostile model directories run no code, write nothing outside, and are refused or harmless.

Here a part of them. `python -m tests.hostile` tries all, and prints what becomes of each.
"""

import sys

import pytest

from .bases import save_bases
from .cases import CASES, LOADED
from .runner import run_cases

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="needs a limit on memory, and /proc"
)

# Every fifth case, and the first ones of an encoder, which are code and paths.
SOME = list(CASES)[::5]
ENCODER = [name for name in CASES if name.startswith("encoder: ")][:12]


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    return save_bases(tmp_path_factory.mktemp("bases"))


def test_commands_are_safe(bases, tmp_path):
    """`load_pipeline` refuses each with a message that names the file, or loads what was saved."""
    assert len(SOME) > 70
    found = {name: faults for name, faults, _ in run_cases(SOME, bases, tmp_path) if faults}
    assert found == {}


def test_plain_loading_is_safe_from_hostile_encoders(bases, tmp_path):
    """`spacy.load` refuses code and paths in an encoder of this package, too."""
    for name, faults, outcome in run_cases(ENCODER, bases, tmp_path, load="spacy"):
        assert (name, faults) == (name, [])
        assert outcome["outcome"] != LOADED
