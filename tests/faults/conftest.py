"""The number of kills: few in a run of all tests, more with `pytest tests/faults --kills 20`."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=1, help="Kills of each kind")


@pytest.fixture
def n_kills(request: pytest.FixtureRequest) -> int:
    """The number of kills of each kind."""
    return int(request.config.getoption("--kills", default=1))
