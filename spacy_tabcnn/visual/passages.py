"""Which words of a document share a picture."""

from spacy.tokens import Doc, Span

from ..relations import get_relations
from ..sentences import sentence_bounds


def passages(doc: Doc) -> list[Span]:
    """Cut a document into sentences; those that a relation joins stay together, with all between them.

    doc (Doc): The document. Without sentence boundaries it is one passage.
    RETURNS (list[Span]): The passages, in text order; together they cover the document.
    """
    bounds = sentence_bounds(doc)
    arguments = [(relation.head, relation.tail) for relation in get_relations(doc)]
    reaches = [(min(head.start, tail.start), max(head.end, tail.end)) for head, tail in arguments]
    starts = [
        start for start, _ in bounds if not any(first < start < end for first, end in reaches)
    ]
    return [doc[start:end] for start, end in zip(starts, [*starts[1:], len(doc)], strict=False)]
