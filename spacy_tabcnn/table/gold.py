"""Example -> gold tables."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Span
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
        tags[spans.words_of(np.flatnonzero(reference.to_array("ENT_IOB") == 0).tolist())] = MISSING
        for ent in reference.ents:
            span = spans.align(ent)
            if ent.label_ not in scheme.entities:
                skipped[f"entities of the unknown type {ent.label_!r}"] += 1
            elif span is None:
                skipped["entities that do not match the tokens"] += 1
                tags[spans.words_of(range(ent.start, ent.end))] = MISSING
            elif (sentence := sentence_of(span)) is None:
                skipped["entities across sentences"] += 1
                tags[spans.words_of(range(ent.start, ent.end))] = MISSING
            else:
                tags[span[0] : span[1]] = scheme.span_tags(ent.label_, span[1] - span[0])
                placed[span] = sentence

    pairs: dict[tuple[int, tuple[int, int], tuple[int, int]], int] = {}  # sentence, left and right entity: label
    for relation in get_relations(reference):
        head, tail = spans.align(relation.head), spans.align(relation.tail)
        if relation.label not in scheme.relations:
            skipped[f"relations of the unknown type {relation.label!r}"] += 1
        elif head not in placed or tail not in placed:
            skipped["relations of a span that is not an entity in the table"] += 1
        elif head == tail:
            skipped["relations of an entity with itself"] += 1
        elif placed[head] != placed[tail]:
            skipped["relations across sentences"] += 1
        else:
            label = scheme.relation_index(relation.label, head_first=head < tail)
            if pairs.setdefault((placed[head], min(head, tail), max(head, tail)), label) != label:
                skipped["relations beyond the first of a pair of entities"] += 1

    windows = Windows(np.array([end - start for start, end in bounds], dtype=np.int64), max_length)
    relations = np.full(
        int(count_cells(windows.lengths).sum()), NO_RELATION if has_relations(reference) else MISSING, dtype=np.int64
    )
    if windows.overlap:
        tags = np.where(_owned_rows(windows), tags[windows.words()], MISSING)
        relations[~_owned_cells(windows)] = MISSING
    if pairs:
        sentences = np.array([sentence for sentence, _, _ in pairs])
        ends = np.array([pair for _, *pair in pairs]) - np.array(starts)[sentences, None, None]  # (pairs, 2, 2)
        fits = windows.reach(sentences, ends[:, 0, 0]) >= ends[:, 1, 1]
        if not fits.all():
            skipped[f"relations across windows (max_length is {max_length})"] += int((~fits).sum())
        cells, pair_of_cell = windows.blocks(sentences[fits], ends[fits, 0], ends[fits, 1])
        relations[cells] = np.array(list(pairs.values()))[fits][pair_of_cell]
    tables = zip(_split(tags, windows.lengths), _split(relations, count_cells(windows.lengths)), strict=True)
    return [GoldTable(*table) for table in tables], skipped


class _Aligner:
    """Maps spans and words of an example's reference to its predicted document."""

    def __init__(self, example: Example):
        self.predicted = example.predicted
        same_words = np.array_equal(example.predicted.to_array("ORTH"), example.reference.to_array("ORTH"))
        # The example checks the documents for changes whenever it is asked, which takes longer the longer they are.
        self.alignment = None if same_words else example.alignment.y2x

    def align(self, span: Span) -> tuple[int, int] | None:
        """The predicted document's span of the same text, by the rule of `Example.get_aligned_spans_y2x`."""
        if self.alignment is None:
            return span.start, span.end
        words = self.alignment[span.start : span.end].tolist()
        if not words or _letters(self.predicted[words[0] : words[-1] + 1]) != _letters(span):
            return None
        return words[0], words[-1] + 1

    def words_of(self, words: Iterable[int]) -> list[int]:
        """The predicted document's words that hold any part of the reference's words."""
        if self.alignment is None:
            return list(words)
        return [int(i) for word in words for i in self.alignment[word]]


def _letters(span: Span) -> str:
    return span.text.lower().strip().replace(" ", "")


def _owned_rows(windows: Windows) -> NDArray[np.bool_]:
    """Tell of which words the windows are the owners: bool (sum of their lengths,)."""
    owned = np.zeros(int(windows.lengths.sum()), dtype=bool)
    owned[windows.rows()] = True
    return owned


def _owned_cells(windows: Windows) -> NDArray[np.bool_]:
    """Tell of which cells the windows are the owners: bool (cells,)."""
    owned = []
    columns = (windows.sentences.tolist(), windows.starts.tolist(), windows.lengths.tolist())
    for window, (sentence, start, length) in enumerate(zip(*columns, strict=True)):
        row, col = np.triu_indices(length, 1)
        owned.append(windows.owner(sentence, start + row, start + col) == window)
    return np.concatenate(owned)


def _split(labels: Ints1d, lengths: Ints1d) -> list[Ints1d]:
    ends = np.cumsum(lengths)
    return [labels[start:end] for start, end in zip((ends - lengths).tolist(), ends.tolist(), strict=True)]
