"""The cut of a document into the passages of its pictures."""

from itertools import pairwise

from spacy.tokens import Doc, Span

from ..relations import Relation, get_relations
from ..sentences import sentence_bounds


def passages(doc: Doc) -> list[Span]:
    """Cut a document into passages: sentences, or several that a relation joins.

    doc (Doc): The document. Without sentence boundaries it is one passage.
    RETURNS (list[Span]): The passages, in text order; together they cover the document.
    """
    relations = get_relations(doc)
    starts = []
    for start, _ in sentence_bounds(doc):
        if not any(_is_cut(relation, start) for relation in relations):
            starts.append(start)
    return [doc[start:end] for start, end in pairwise([*starts, len(doc)])]


def _is_cut(relation: Relation, position: int) -> bool:
    """Check whether a cut in front of a token separates the words of a relation."""
    first = min(relation.head.start, relation.tail.start)
    end = max(relation.head.end, relation.tail.end)
    return first < position < end
