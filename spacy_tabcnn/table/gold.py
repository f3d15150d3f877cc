"""Example -> gold tables."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc, Span, Token
from spacy.training import Example

from ..labels import NO_RELATION, OUTSIDE, LabelScheme
from ..relations import get_relations, has_relations
from .types import Ints1d, count_cells
from .windows import DEFAULT_MAX_LENGTH, Windows, sentence_bounds

MISSING = -1  # label of a cell whose annotation is missing


class GoldTable(NamedTuple):
    """The gold labels of a table.

    tags (Ints1d): Tag of each word, int64 (n,); `MISSING` where entities are not annotated, or where the word counts
        in another window.
    relations (Ints1d): Relation label of each cell i < j, row by row, int64 (n(n-1)/2,); `MISSING` where relations
        are not annotated, or where the cell counts in another window.
    """

    tags: Ints1d
    relations: Ints1d


def gold_tables(
    example: Example, scheme: LabelScheme, *, max_length: int = DEFAULT_MAX_LENGTH
) -> tuple[list[GoldTable], Counter[str]]:
    """Fill the tables of an example: tags on the diagonal, a relation in every cell of its two entities' words (paper,
    section 2.1, figure 1).

    example (Example): The tables are laid out over the words and sentences of its predicted document; entities and
        relations come from its reference. `doc.ents` or `doc._.relations` that were never set are missing, and so are
        the tags of an entity that cannot be represented.
    scheme (LabelScheme): The labels.
    max_length (int): Most words of a window; see `Windows`. Of several windows that hold a word or a cell, only its
        owner has its label: what is learned is what is read, and each cell of a sentence once.
    RETURNS (tuple[list[GoldTable], Counter[str]]): A table per window, and how many entities and relations could
        not be represented, by reason.
    """
    reference = example.reference
    bounds = sentence_bounds(example.predicted)
    starts = [start for start, _ in bounds]
    skipped: Counter[str] = Counter()
    spans = _Aligner(example)

    def sentence_of(span: tuple[int, int]) -> int | None:
        """The sentence that holds a span, if one does."""
        sentence = bisect_right(starts, span[0]) - 1
        return sentence if span[1] <= bounds[sentence][1] else None

    tags = np.full(len(example.predicted), MISSING, dtype=np.int64)
    placed: dict[tuple[int, int], int] = {}  # spans of the predicted document that are tagged, and their sentences
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
            elif (sentence := sentence_of(span)) is None:
                skipped["entities across sentences"] += 1
                tags[spans.words_of(ent)] = MISSING
            else:
                tags[span[0] : span[1]] = scheme.span_tags(ent.label_, span[1] - span[0])
                placed[span] = sentence

    windows = Windows(np.array([end - start for start, end in bounds], dtype=np.int64), max_length)
    unlabelled = NO_RELATION if has_relations(reference) else MISSING
    labels = np.where(_counting_cells(windows), unlabelled, MISSING)
    for relation in get_relations(reference):
        head, tail = spans.align(relation.head), spans.align(relation.tail)
        if relation.label not in scheme.relations:
            skipped[f"relations of the unknown type {relation.label!r}"] += 1
        elif head not in placed or tail not in placed:
            skipped["relations of a span that is not an entity in the table"] += 1
        elif head == tail:
            skipped["relations of an entity with itself"] += 1
        elif (sentence := placed[head]) != placed[tail]:
            skipped["relations across sentences"] += 1
        elif (cells := _pair_cells(min(head, tail), max(head, tail), windows, sentence, starts[sentence])) is None:
            skipped[f"relations across windows (max_length is {max_length})"] += 1
        else:
            label = scheme.relation_index(relation.label, head_first=head < tail)
            if labels[cells[0]] not in (NO_RELATION, label):
                skipped["relations beyond the first of a pair of entities"] += 1
            else:
                labels[cells] = label

    counts = np.zeros(len(windows.words()), dtype=bool)
    counts[windows.rows()] = True
    tags_of_rows = np.where(counts, tags[windows.words()], MISSING)
    tables = zip(_split(tags_of_rows, windows.lengths), _split(labels, count_cells(windows.lengths)), strict=True)
    return [GoldTable(*table) for table in tables], skipped


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


def _pair_cells(
    left: tuple[int, int], right: tuple[int, int], windows: Windows, sentence: int, offset: int
) -> Ints1d | None:
    """The cells of two spans of a sentence that starts at the offset; None if no window holds both."""
    if windows.reach(sentence, left[0] - offset) < right[1] - offset:
        return None
    rows, cols = np.arange(*left) - offset, np.arange(*right) - offset
    return windows.cells(sentence, rows[:, None], cols).ravel()


def _counting_cells(windows: Windows) -> NDArray[np.bool_]:
    """Tell which of the windows' cells count: bool (cells,)."""
    counts = np.ones(int(count_cells(windows.lengths).sum()), dtype=bool)
    if windows.overlap:
        ends = np.cumsum(count_cells(windows.lengths))
        for window, (start, length, end) in enumerate(zip(windows.starts, windows.lengths, ends, strict=True)):
            row, col = np.triu_indices(length, 1)
            owner = windows.owner(windows.sentences[window], start + row, start + col)
            counts[end - len(row) : end] = owner == window
    return counts


def _split(labels: Ints1d, lengths: Ints1d) -> list[Ints1d]:
    ends = np.cumsum(lengths)
    return [labels[start:end] for start, end in zip((ends - lengths).tolist(), ends.tolist(), strict=True)]
