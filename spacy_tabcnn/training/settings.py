"""Everything on which the result of a training depends, to compare it before going on with one."""

import hashlib
import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypedDict

import torch
from spacy.language import Language
from thinc.api import Config, get_current_ops

# Settings of a config that may name files or folders, besides the section [paths].
PATHS = ("path", "source", "name", "vectors", "init_tok2vec", "vocab_data", "lookups")
PACKAGES = (
    "spacy",
    "spacy-tabcnn",
    "spacy-transformers",
    "transformers",
    "thinc",
    "torch",
    "numpy",
)
# Number of differences that a message names.
MAX_NAMED = 5

Settings = dict[str, object]


class TrainingSettings(TypedDict):
    """The settings of a training.

    config (Settings): The values of the config by dotted name, with all variables filled in.
    files (dict[str, str]): Checksums of the files and folders that the config names.
    code (str): Checksum of the Python file with additional code; empty without one.
    """

    config: Settings
    files: dict[str, str]
    code: str


def describe_training(config: Config, code: Path | None = None) -> TrainingSettings:
    """Describe a training.

    config (Config): The config, with overrides.
    code (Path | None): A Python file with additional code.
    RETURNS (TrainingSettings): The settings.
    """
    config = config.interpolate()
    values = dict(_flatten(config))
    files: dict[str, str] = {}
    for name, value in values.items():
        section, _, last = name.rpartition(".")
        if isinstance(value, str) and (section == "paths" or last in PATHS):
            path = Path(value)
            if value and path.exists():
                files[value] = _hash_path(path)
    checksum = ""
    if code is not None:
        checksum = _hash_path(code)
    return TrainingSettings(config=values, files=files, code=checksum)


def check_names(config: Config) -> None:
    """Check that spaCy has the settings of the sections that it does not check itself.

    Without this check, a training with `training.droput = 0.5` has the default dropout.

    config (Config): The config, with overrides.
    RAISES (ValueError): If [nlp], [training] or [initialize] has a setting that does not exist.
    """
    for section in ("nlp", "training", "initialize"):
        expected = Language.default_config[section]
        if unknown := sorted(set(config.get(section, {})) - set(expected)):
            raise ValueError(
                f"[{section}] has no setting {' or '.join(map(repr, unknown))}; expected "
                f"{', '.join(sorted(expected))}"
            )


def describe_environment() -> dict[str, str]:
    """Describe the software and the device on which the last digits of a result depend.

    RETURNS (dict[str, str]): Versions, the device, and the number of threads.
    """
    found = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "device": get_current_ops().name,
        "threads": str(torch.get_num_threads()),
    }
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    return found


def list_differences(old: TrainingSettings, new: TrainingSettings) -> list[str]:
    """List the differences between the settings of two trainings.

    old (TrainingSettings): The settings of the earlier training.
    new (TrainingSettings): The settings of the later one.
    RETURNS (list[str]): A text for each difference; the differences of the config first.
    """
    found = []
    for name, before, now in compare(old["config"], new["config"]):
        found.append(f"{name} was {_shorten(before)}, now {_shorten(now)}")
    for name, before, now in compare(old["files"], new["files"]):
        if before is not None and now is not None:
            found.append(f"{name} has other content")
    if old["code"] != new["code"]:
        found.append("the file of --code has other content")
    return found


def compare(
    old: Mapping[str, object], new: Mapping[str, object]
) -> Iterator[tuple[str, object, object]]:
    """Compare two dicts.

    old (Mapping[str, object]): The earlier one.
    new (Mapping[str, object]): The later one.
    YIELDS (tuple): Name, earlier and later value where they differ; None for no value.
    """
    for name in {**old, **new}:
        before, now = old.get(name), new.get(name)
        if before != now:
            yield name, before, now


def join_differences(differences: list[str]) -> str:
    """Join the texts of differences for a message.

    differences (list[str]): The texts.
    RETURNS (str): The first ones, and the number of the others.
    """
    text = "; ".join(differences[:MAX_NAMED])
    n_more = len(differences) - MAX_NAMED
    if n_more > 0:
        text += f"; and {n_more} more"
    return text


def _flatten(block: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in block.items():
        if isinstance(value, dict) and value:
            yield from _flatten(value, f"{prefix}{name}.")
        elif isinstance(value, tuple):
            yield f"{prefix}{name}", list(value)
        else:
            yield f"{prefix}{name}", value


def _shorten(value: object) -> str:
    text = repr(value)
    if len(text) > 80:
        text = f"{text[:77]}..."
    return text


def _hash_path(path: Path) -> str:
    """Compute a checksum of a file, or of the names and contents of the files in a folder."""
    digest = hashlib.sha256()
    if path.is_file():
        _hash_file(path, digest)
        return digest.hexdigest()
    for found in sorted(path.rglob("*")):
        if found.is_file():
            digest.update(str(found.relative_to(path)).encode("utf-8", "surrogateescape"))
            _hash_file(found, digest)
    return digest.hexdigest()


def _hash_file(path: Path, digest: "hashlib._Hash") -> None:
    with path.open("rb") as file_:
        while chunk := file_.read(2**20):
            digest.update(chunk)
