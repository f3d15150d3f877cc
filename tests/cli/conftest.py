import importlib

import pytest
from spacy.cli._util import app
from typer.testing import CliRunner


@pytest.fixture
def run_spacy():
    """Run a command of spaCy's command line and return the result."""
    importlib.import_module("spacy_tabcnn.cli")

    def run(*arguments):
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run
