"""Joint entity and relation extraction in spaCy: a CNN over the table of word pairs."""

from .about import __version__
from .relations import Relation, doc_to_annotation, register_extensions

register_extensions()

__all__ = ["Relation", "__version__", "doc_to_annotation"]
