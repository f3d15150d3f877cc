"""The extension attributes of this package, and attributes of other packages with the same names.

`doc._.relations`, `span._.relations` and `span._.entity_score` are for programs.
`doc._.relations_json` and `doc._.entity_scores_json` are the same as plain data, for
`Doc.to_json(underscore=[...])` and `Doc.from_json`.
"""

import warnings
from collections.abc import Callable
from typing import NamedTuple

from spacy.tokens import Doc, Span

from .json_data import (
    get_entity_scores_json,
    get_relations_json,
    set_entity_scores_json,
    set_relations_json,
)
from .relations import get_entity_score, get_relations, get_span_relations, set_relations


class _Extension(NamedTuple):
    owner: type[Doc] | type[Span]
    name: str
    getter: Callable
    setter: Callable

    def __str__(self) -> str:
        return f"{self.owner.__name__.lower()}._.{self.name}"

    def is_registered(self) -> bool:
        """Check whether the attribute with this name is this one."""
        _, _, getter, _ = self.owner.get_extension(self.name)
        return getter is self.getter or _name_function(getter) == _name_function(self.getter)

    def describe_other(self) -> str:
        """Describe the attribute of another package, as far as spaCy knows it."""
        default, *functions = self.owner.get_extension(self.name)
        names = [_name_function(function) for function in functions if function is not None]
        if names:
            return f"{self} calls {' and '.join(names)}"
        return f"{self} is a plain attribute with the default value {default!r}"


def register_extensions() -> None:
    """Register the attributes that are missing.

    An attribute of the same name that another package registered stays, and a warning names it.
    """
    problem = _find_clash()
    if problem is not None:
        warnings.warn(problem, stacklevel=2)


def require_extensions() -> None:
    """Check that the attributes are those of this package, and register the missing ones.

    Spawned worker processes start without them, and another package may replace them at any time,
    so the components call this function before they annotate.

    RAISES (ValueError): If another package registered an attribute of the same name.
    """
    problem = _find_clash()
    if problem is not None:
        raise ValueError(problem)


def _find_clash() -> str | None:
    """Register the missing attributes, and describe those of other packages."""
    others = []
    for extension in _EXTENSIONS:
        if not extension.owner.has_extension(extension.name):
            extension.owner.set_extension(
                extension.name, getter=extension.getter, setter=extension.setter
            )
        elif not extension.is_registered():
            others.append(extension)
    if not others:
        return None
    removals = []
    for extension in others:
        removals.append(f"{extension.owner.__name__}.remove_extension({extension.name!r})")
    return (
        f"Another package uses the name of an extension attribute of spacy_tabcnn: "
        f"{'; '.join(map(_Extension.describe_other, others))}. Use the two packages in separate "
        f"processes. If the other attribute is not needed, run {'; '.join(removals)}; "
        "spacy_tabcnn.register_extensions()"
    )


def _name_function(function: Callable | None) -> str:
    module = getattr(function, "__module__", None)
    name = getattr(function, "__qualname__", repr(function))
    return f"{module}.{name}"


def _refuse_span_relations(span: Span, relations: object) -> None:
    # Without a setter, spaCy would store the value where no getter looks for it.
    raise ValueError(
        "span._.relations can only be read. Set the relations of the whole document with "
        "doc._.relations"
    )


def _refuse_entity_score(span: Span, score: object) -> None:
    raise ValueError(
        "span._.entity_score can only be read. It is the probability of a predicted entity"
    )


_EXTENSIONS = (
    _Extension(Doc, "relations", get_relations, set_relations),
    _Extension(Span, "relations", get_span_relations, _refuse_span_relations),
    _Extension(Span, "entity_score", get_entity_score, _refuse_entity_score),
    _Extension(Doc, "relations_json", get_relations_json, set_relations_json),
    _Extension(Doc, "entity_scores_json", get_entity_scores_json, set_entity_scores_json),
)
