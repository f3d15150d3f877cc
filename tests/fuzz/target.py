"""Targets of fuzzing: a way to make inputs, and a judgement of what the program does with one."""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, TypeAlias

from hypothesis.strategies import SearchStrategy

from . import targets

# An input: file names, or other names that a target gives to parts of an input, with contents.
Files: TypeAlias = Mapping[str, bytes]

# What became of an input that is no finding.
READ = "read"
REFUSED = "refused"


class Target(NamedTuple):
    """One part of the program that reads files from others.

    inputs (SearchStrategy): Makes inputs.
    check (Callable): Gives an input to the program, with an empty folder for its files, and
        returns READ or REFUSED. It raises a Finding for a wrong answer. Any other exception that
        gets through is a finding, too.
    seconds (float): The time limit of one input.
    megabytes (int): The limit to which one input may raise the memory in use.
    n_short (int): The number of inputs in the test run.
    """

    inputs: SearchStrategy[Files]
    check: Callable[[Files, Path], str]
    seconds: float = 10.0
    megabytes: int = 500
    n_short: int = 100


class Finding(AssertionError):
    """A wrong answer of the program: a message that does not help, or something lost in silence.

    kind (str): The kind of fault, the same for all inputs that show it.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind


def list_targets() -> list[str]:
    """Return the names of all targets."""
    return sorted(module.name for module in pkgutil.iter_modules(targets.__path__))


def load_target(name: str) -> Target:
    """Return the target of a name."""
    if name not in list_targets():
        raise ValueError(f"no target {name!r}; expected one of {', '.join(list_targets())}")
    return importlib.import_module(f"{targets.__name__}.{name}").TARGET


def write_files(files: Files, folder: Path) -> None:
    """Write an input whose names are harmless to a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
