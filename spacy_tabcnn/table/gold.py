"""Example -> gold tables."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from spacy.tokens import Doc, Span, Token
from spacy.training import Example

from ..labels import NO_RELATION, OUTSIDE, LabelScheme
from ..relations import get_relations, has_relations
from .types import Ints1d, cell_index
from .windows import sentence_bounds

MISSING = -1  # label of a cell whose annotation is missing


class GoldTable(NamedTuple):
    """The gold labels of a sentence's table.

    tags (Ints1d): Tag of each word, int64 (n,); `MISSING` where entities are not annotated.
    relations (Ints1d): Relation label of each cell i < j, row by row, int64 (n(n-1)/2,); `MISSING` where relations
        are not annotated.
    """

    tags: Ints1d
    relations: Ints1d


def gold_tables(example: Example, scheme: LabelScheme) -> tuple[list[GoldTable], Counter[str]]:
    """Fill the tables of an example: tags on the diagonal, a relation in every cell of its two entities' words (paper,
    section 2.1, figure 1).

    example (Example): The tables are laid out over the words and sentences of its predicted document; entities and
        relations come from its reference. `doc.ents` or `doc._.relations` that were never set are missing, and so are
        the tags of an entity that cannot be represented.
    scheme (LabelScheme): The labels.
    RETURNS (tuple[list[GoldTable], Counter[str]]): A table per sentence, and how many entities and relations could
        not be represented, by reason.
    """
    reference = example.reference
    bounds = sentence_bounds(example.predicted)
    skipped: Counter[str] = Counter()
    spans = _Aligner(example)

    tags = np.full(len(example.predicted), MISSING, dtype=np.int64)
    placed: set[tuple[int, int]] = set()  # spans of the predicted document that are tagged
    if reference.has_annotation("ENT_IOB"):
        tags[:] = OUTSIDE
        tags[spans.words_of(token for token in reference if token.ent_iob == 0)] = MISSING
        for ent in reference.ents:
            span = spans.align(ent)
            if ent.label_ not in scheme.entities:
                skipped[f"entities of the unknown type {ent.label_!r}"] += 1
            elif span is None:
                skipped["entities that do not match the tokens"] += 1
                tags[spans.words_of(ent)] = MISSING
            elif _sentence_of(span, bounds) is None:
                skipped["entities across sentences"] += 1
                tags[spans.words_of(ent)] = MISSING
            else:
                tags[span[0] : span[1]] = scheme.span_tags(ent.label_, span[1] - span[0])
                placed.add(span)

    unlabelled = NO_RELATION if has_relations(reference) else MISSING
    tables = [
        GoldTable(tags[start:end], np.full((end - start) * (end - start - 1) // 2, unlabelled, dtype=np.int64))
        for start, end in bounds
    ]
    for relation in get_relations(reference):
        head, tail = spans.align(relation.head), spans.align(relation.tail)
        if relation.label not in scheme.relations:
            skipped[f"relations of the unknown type {relation.label!r}"] += 1
        elif head not in placed or tail not in placed:
            skipped["relations of a span that is not an entity in the table"] += 1
        elif head == tail:
            skipped["relations of an entity with itself"] += 1
        elif (sentence := _sentence_of(head, bounds)) != _sentence_of(tail, bounds) or sentence is None:
            skipped["relations across sentences"] += 1
        else:
            label = scheme.relation_index(relation.label, head_first=head < tail)
            cells = _pair_cells(min(head, tail), max(head, tail), bounds[sentence])
            labels = tables[sentence].relations
            if labels[cells[0]] not in (NO_RELATION, label):
                skipped["relations beyond the first of a pair of entities"] += 1
            else:
                labels[cells] = label
    return tables, skipped


class _Aligner:
    """Maps spans of an example's reference to (start, end) in its predicted document."""

    def __init__(self, example: Example):
        self.example = example
        self.same_words = _words(example.predicted) == _words(example.reference)

    def align(self, span: Span) -> tuple[int, int] | None:
        if self.same_words:
            return span.start, span.end
        aligned = self.example.get_aligned_spans_y2x([span], allow_overlap=True)
        return (aligned[0].start, aligned[0].end) if aligned else None

    def words_of(self, tokens: Iterable[Token]) -> list[int]:
        """The predicted document's words that hold any part of the reference's tokens."""
        if self.same_words:
            return [token.i for token in tokens]
        return [int(i) for token in tokens for i in self.example.alignment.y2x[token.i]]


def _words(doc: Doc) -> list[str]:
    return [token.text for token in doc]


def _sentence_of(span: tuple[int, int], bounds: list[tuple[int, int]]) -> int | None:
    for index, (start, end) in enumerate(bounds):
        if start <= span[0] and span[1] <= end:
            return index
    return None


def _pair_cells(left: tuple[int, int], right: tuple[int, int], bounds: tuple[int, int]) -> Ints1d:
    start, end = bounds
    rows, cols = np.arange(*left) - start, np.arange(*right) - start
    return np.ravel(cell_index(rows[:, None], cols[None, :], end - start))
