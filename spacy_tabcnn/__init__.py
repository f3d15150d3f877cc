"""Joint entity and relation extraction in spaCy: a CNN over the table of word pairs."""

from .about import __version__

try:
    from .documents import join_docs, span_to_doc
    from .extensions import register_extensions
    from .relations import Relation, doc_to_annotation
except ModuleNotFoundError as error:
    # `spacy_tabcnn.heads` needs torch only, and can be imported where spaCy is not installed.
    if error.name not in ("spacy", "thinc"):
        raise
else:
    register_extensions()

__all__ = [
    "Relation",
    "__version__",
    "doc_to_annotation",
    "join_docs",
    "register_extensions",
    "span_to_doc",
]
