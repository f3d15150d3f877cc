"""The training corpus of a config, for callbacks of `[initialize]`."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias, cast

from spacy.language import Language
from spacy.training import Example
from spacy.util import dot_to_object, registry, resolve_dot_names
from thinc.api import Config

PipelineCallback: TypeAlias = Callable[[Language], Language]
Reader: TypeAlias = Callable[[Language], Iterable[Example]]


def find_reader(config: Config) -> Reader:
    """Make a new reader of the training corpus.

    config (Config): An interpolated config.
    RETURNS (Callable[[Language], Iterable[Example]]): The reader.
    """
    name = config["training"]["train_corpus"]
    section = _find_section(config, name)
    if section is None:
        (reader,) = resolve_dot_names(config, [name])
    else:
        reader = registry.resolve({"reader": section})["reader"]
    return cast(Reader, reader)


def has_training_corpus(config: Config) -> bool:
    """Check whether the training corpus can be read: whether its path is set and there.

    config (Config): An interpolated config.
    RETURNS (bool): Whether it is; True for a corpus without a path.
    """
    section = _find_section(config, config["training"]["train_corpus"])
    if section is None or "path" not in section:
        return True
    path = section["path"]
    return isinstance(path, str | Path) and Path(path).exists()


def _find_section(config: Config, name: str) -> dict[str, object] | None:
    """Return the block of a reader, or None if a function makes all readers together."""
    try:
        section = dot_to_object(config, name)
    except KeyError:
        return None
    if not isinstance(section, dict):
        return None
    return section
