"""Documents joined to longer ones: running text from a corpus of single sentences."""

import random
from collections.abc import Iterable, Iterator
from itertools import islice

from spacy.tokens import Doc, Span

from ..relations import Relation, get_relations, has_relations, set_relations


def group_docs(
    docs: Iterable[Doc], rng: random.Random, *, joined: float, min_size: int, max_size: int
) -> Iterator[list[Doc]]:
    """Divide a stream of documents into groups to join: neighbours, in order.

    docs (Iterable[Doc]): The documents.
    rng (random.Random): Draws the groups.
    joined (float): Expected share of the documents that are in a group of several.
    min_size (int): Minimum number of documents of a group of several.
    max_size (int): Maximum number of documents of a group of several. All sizes are equally likely.
    YIELDS (list[Doc]): The groups.
    """
    mean_size = (min_size + max_size) / 2
    # A group of several takes more documents than a group of one. So it is drawn less often.
    chance = joined / (joined + (1 - joined) * mean_size)
    stream = iter(docs)
    while True:
        size = 1
        if rng.random() < chance:
            size = rng.randint(min_size, max_size)
        group = list(islice(stream, size))
        if not group:
            return
        yield group


def join_docs(docs: list[Doc]) -> Doc:
    """Join documents to one: their words, entities, relations and sentence boundaries.

    A sentence starts at each document. Within a document without sentence boundaries, no sentence
    starts. Relations are missing if they are missing in any of the documents.

    docs (list[Doc]): The documents, at least one, of one vocabulary.
    RETURNS (Doc): A new document; of a single document, the document itself.
    """
    if len(docs) == 1:
        return docs[0]
    # spaCy's stub lacks `exclude`.
    whole = Doc.from_docs(docs, exclude=["user_data"])  # type: ignore[call-arg]
    assert whole is not None  # since there are documents
    relations: list[Relation] = []
    first = 0
    for doc in docs:
        _mark_sentences(whole, doc, first)
        for relation in get_relations(doc):
            head, tail = _move(relation.head, whole, first), _move(relation.tail, whole, first)
            relations.append(relation._replace(head=head, tail=tail))
        first += len(doc)
    if all(map(has_relations, docs)):
        set_relations(whole, relations)
    return whole


def _mark_sentences(whole: Doc, doc: Doc, first: int) -> None:
    """Set the sentence boundaries of a part of a joined document."""
    is_annotated = doc.has_annotation("SENT_START")
    for token in doc:
        is_start = token.i == 0 or (is_annotated and bool(token.is_sent_start))
        whole[first + token.i].is_sent_start = is_start


def _move(span: Span, whole: Doc, first: int) -> Span:
    return Span(whole, first + span.start, first + span.end, label=span.label_)
