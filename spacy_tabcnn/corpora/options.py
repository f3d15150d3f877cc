"""The options of reading annotation files."""

from dataclasses import dataclass

from .conversion import Alignment


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """The choices that a reader of annotation files leaves to its user.

    Each format uses the options that apply to it.

    align (Alignment): The rule for entities that begin or end inside a token. White space at the
        edges of an entity is trimmed, except in strict mode together with the strict rule.
    """

    align: Alignment = Alignment.STRICT


DEFAULT_OPTIONS = ReadingOptions()
