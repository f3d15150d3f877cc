"""Fixtures for the tests of the experiments."""

from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from spacy_tabcnn.evaluation.calibration import Calibration, calibrate


@pytest.fixture(scope="session")
def run_experiments() -> Callable[..., Result]:
    """Run a command of `python -m experiments` and return the result."""
    from experiments.__main__ import app

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(app, list(map(str, arguments)))

    return run


@pytest.fixture
def groups() -> dict[str, Calibration]:
    """The calibration of a model."""
    scores = [(0.1 * i + 0.05, i % 3 > 0) for i in range(5, 10)]
    names = ("ents", "rels_strict", "rels_between_gold")
    return {name: calibrate(scores[k:]) for k, name in enumerate(names)}
