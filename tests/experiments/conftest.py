"""Fixtures for the tests of the experiments."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner, Result

from experiments.grid import Run, SearchSpace, make_grid
from spacy_tabcnn.evaluation.calibration import Calibration, calibrate

from .fakes import FakeTrain

if TYPE_CHECKING:
    from optuna import Study

    from experiments.study import Train


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


@pytest.fixture
def url(tmp_path: Path) -> Path:
    """The path of a storage that does not exist yet."""
    return tmp_path / "folder" / "study.db"


@pytest.fixture
def train(tmp_path: Path) -> FakeTrain:
    """Training that takes no time."""
    return FakeTrain(tmp_path / "journal.txt")


@pytest.fixture
def runs() -> list[Run]:
    """The runs of a small grid."""
    return make_grid(["A", "B"], layers=[0, 1], states=[True], seeds=[1])


@pytest.fixture
def queue(url: Path) -> Callable[[Sequence[Run]], "Study"]:
    """Queue runs, as `run_study` does it, and return the study."""
    from experiments.storage import get_run_trials, open_storage, open_study
    from experiments.study import _enqueue

    def fill(runs: Sequence[Run]) -> "Study":
        study = open_study(open_storage(url, heartbeat=1), "layers", settings={})
        _enqueue(study, runs, get_run_trials(study), with_errors=True)
        return study

    return fill


@pytest.fixture
def compute(url: Path, train: FakeTrain) -> Callable[..., None]:
    """Compute what is waiting within this process, as the worker of a command with these runs does
    it; without runs, of a command with all of them."""
    from experiments.storage import get_run_trials, open_storage, open_study
    from experiments.study import work

    def run(
        runs: Sequence[Run] | None = None,
        *,
        train: "Train" = train,
        space: SearchSpace | None = None,
        sampler: str = "tpe",
    ) -> None:
        if runs is None:
            runs = list(get_run_trials(open_study(open_storage(url, heartbeat=1), "layers")))
        work(url, "layers", runs, train, space or {}, sampler, 1)

    return run
