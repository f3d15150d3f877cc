"""Which words of a document share a table."""

import numpy as np
from spacy.tokens import Doc

from .types import Ints1d


def sentence_bounds(doc: Doc) -> list[tuple[int, int]]:
    """Cut a document into the sentences that each get a table.

    doc (Doc): The document. Where a component has set sentence boundaries they are used, else the document counts as
        one sentence.
    RETURNS (list[tuple[int, int]]): First word and end (exclusive) of each sentence; together they cover the
        document. Empty for an empty document.
    """
    if not len(doc):
        return []
    if not doc.has_annotation("SENT_START"):
        return [(0, len(doc))]
    return [(sent.start, sent.end) for sent in doc.sents]


def sentence_lengths(docs: list[Doc]) -> Ints1d:
    """Count the words of each table of a batch.

    docs (list[Doc]): The documents.
    RETURNS (Ints1d): Words of each sentence of each document, int64 (sentences,).
    """
    return np.array([end - start for doc in docs for start, end in sentence_bounds(doc)], dtype=np.int64)
