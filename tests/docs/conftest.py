"""The hooks of the documentation, which are not part of the package."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def load_hook(name):
    spec = importlib.util.spec_from_file_location(
        f"docs_hooks_{name}", ROOT / "docs" / "hooks" / f"{name}.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def docstrings():
    pytest.importorskip("griffe", reason="needs the extra docs")
    return load_hook("docstrings")


@pytest.fixture(scope="session")
def pages():
    return load_hook("pages")
