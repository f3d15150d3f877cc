"""Fixtures for the benchmarks' commands."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import srsly
import typer
from typer.testing import CliRunner, Result

from ..conftest import ROOT


class Clock:
    """Shows a time that tests set, in seconds."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def run_command() -> Callable[..., Result]:
    """Run a benchmark's command with arguments."""

    def run(command: Callable[..., None], *arguments: object) -> Result:
        app = typer.Typer()
        app.command()(command)
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run


@pytest.fixture
def run_benchmark(
    run_command: Callable[..., Result], tmp_path: Path
) -> Callable[..., dict[str, Any]]:
    """Run a benchmark that must succeed, once, and return what it saved."""

    def run(command: Callable[..., None], *arguments: object) -> dict[str, Any]:
        output = tmp_path / "metrics" / "benchmark.json"
        result = run_command(command, *arguments, "--repeats", 1, "--output", output)
        assert result.exit_code == 0, result.output
        return srsly.read_json(output)

    return run


@pytest.fixture
def _any_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let devices without fast bfloat16 compute in slow bfloat16."""
    for module in ("benchmarks.pipelines", "spacy_tabcnn.runtime.precision"):
        monkeypatch.setattr(f"{module}.has_bfloat16", lambda device: True)


@pytest.fixture(scope="session")
def tiny_options(tiny_config: Path, tiny_corpus: Path) -> tuple[object, ...]:
    """Options for a pipeline without a transformer."""
    return ("--config", tiny_config, "--train", tiny_corpus)


@pytest.fixture(scope="session", params=["conll04", "conll04_uncased"])
def transformer_options(
    request: pytest.FixtureRequest, tiny_corpus: Path, tiny_encoder: Path
) -> tuple[object, ...]:
    """Options for the pipeline of one of the project's configs with a tiny encoder."""
    config = ROOT / "configs" / f"{request.param}.cfg"
    return ("--config", config, "--train", tiny_corpus, "--encoder", tiny_encoder)
