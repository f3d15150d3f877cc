"""Examples -> gold tables: the labels of all words and cells of a batch."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from spacy.training import Example

from ..alignment import AlignedGold, align_gold
from ..arrays import Bools1d, Ints1d
from ..labels import MISSING, NO_RELATION, OUTSIDE, LabelScheme
from ..relations import has_relations
from ..sentences import Bounds, Windows, count_cells

# Sentence, left and right entity. Sentences are counted over the batch, words over the document.
_Pair = tuple[int, Bounds, Bounds]


class GoldTables(NamedTuple):
    """The gold labels of a batch of tables.

    word_tags (Ints1d): Tag of each word of the batch, int64 (words,); `MISSING` where entities are
        not annotated.
    tags (Ints1d): Tag of each row of the windows, int64 (rows,); `MISSING` also where the word
        counts in another window.
    relations (Ints1d): Relation label of each cell i < j of the windows, row by row, window by
        window, int64 (cells,); `MISSING` where relations are not annotated, where a relation cannot
        be represented, or where the cell counts in another window.
    """

    word_tags: Ints1d
    tags: Ints1d
    relations: Ints1d


def gold_tables(
    examples: Sequence[Example], windows: Windows, scheme: LabelScheme
) -> tuple[GoldTables, Counter[str]]:
    """Fill the tables of a batch (paper, section 2.1, figure 1).

    Tags are on the diagonal. A relation is in each cell of the words of its two entities.

    examples (Sequence[Example]): The tables are laid out over the words of their predicted
        documents; entities and relations come from their references. `doc.ents` or
        `doc._.relations` that were never set are missing, and so are the tags of an entity that
        does not match the tokens, and the cells of a relation with such an argument.
    windows (Windows): The cut of the predicted documents. Only the owner of a word or a cell has
        its label. So training and prediction read the same windows, and each cell of a sentence
        counts once.
    scheme (LabelScheme): The labels.
    RETURNS (tuple[GoldTables, Counter[str]]): The gold, and the number of entities and relations
        that cannot be represented, by reason.
    """
    sentences = windows.sentences
    skipped: Counter[str] = Counter()
    tags: list[Ints1d] = [np.zeros(0, dtype=np.int64)]
    labels: dict[_Pair, int] = {}
    open_pairs: list[_Pair] = []
    is_annotated: list[bool] = []
    for eg, bounds in zip(examples, sentences.by_doc, strict=True):
        aligned, eg_skipped = align_gold(eg, bounds, scheme)
        skipped += eg_skipped
        tags.append(_tag_words(aligned, scheme))
        n_lost = _label_pairs(labels, aligned, scheme, len(is_annotated), bounds)
        skipped["relations beyond the first of a pair of entities"] += n_lost
        for sentence, left, right in aligned.open_pairs:
            open_pairs.append(_place_pair(len(is_annotated), sentence, left, right, bounds))
        is_annotated.extend([has_relations(eg.reference)] * len(bounds))

    word_tags = np.concatenate(tags)
    relations = _empty_cells(windows, np.array(is_annotated, dtype=bool))
    n_lost = _fill_cells(relations, windows, labels)
    skipped[f"relations across windows (max_length is {windows.max_length})"] += n_lost
    _leave_open(relations, windows, open_pairs)
    gold = GoldTables(word_tags, _tag_rows(word_tags, windows), relations)
    return gold, +skipped  # without the reasons that count nothing


def _tag_words(aligned: AlignedGold, scheme: LabelScheme) -> Ints1d:
    """Return the tag of each word of a document."""
    tags = np.where(aligned.is_missing, MISSING, OUTSIDE)
    for (start, end), (label, _) in aligned.entities.items():
        tags[start:end] = scheme.span_tags(label, end - start)
    return tags


def _label_pairs(
    labels: dict[_Pair, int],
    aligned: AlignedGold,
    scheme: LabelScheme,
    n_sentences: int,
    bounds: Sequence[Bounds],
) -> int:
    """Add the relation labels of the pairs of entities of a document.

    n_sentences (int): Number of sentences of the batch before the document.
    RETURNS (int): Number of relations left out, since their pair already has another label.
    """
    n_lost = 0
    for head, tail, name in aligned.relations:
        _, sentence = aligned.entities[head]
        left, right = sorted([head, tail])
        pair = _place_pair(n_sentences, sentence, left, right, bounds)
        index = scheme.relation_index(name, head_first=head < tail)
        n_lost += labels.setdefault(pair, index) != index
    return n_lost


def _place_pair(
    n_sentences: int, sentence: int, left: Bounds, right: Bounds, bounds: Sequence[Bounds]
) -> _Pair:
    """Count the sentence of a pair over the batch, and its words over the sentence."""
    first, _ = bounds[sentence]
    return n_sentences + sentence, _shift(left, -first), _shift(right, -first)


def _shift(span: Bounds, offset: int) -> Bounds:
    return span[0] + offset, span[1] + offset


def _tag_rows(word_tags: Ints1d, windows: Windows) -> Ints1d:
    if not windows.overlap:
        return word_tags
    return np.where(windows.owns_row(), word_tags[windows.words()], MISSING)


def _empty_cells(windows: Windows, is_annotated: Bools1d) -> Ints1d:
    """Return the labels of all cells as if there was no relation.

    is_annotated (Bools1d): Whether relations are annotated in each sentence.
    """
    by_sentence = np.where(is_annotated, NO_RELATION, MISSING)
    if windows.overlap:
        relations = np.full(windows.n_cells, MISSING)
        sentence, _, _, index = windows.owned_cells()
        relations[index] = by_sentence[sentence]
        return relations
    return np.repeat(by_sentence, count_cells(windows.lengths))


def _fill_cells(relations: Ints1d, windows: Windows, labels: dict[_Pair, int]) -> int:
    """Write the labels of pairs of entities into their cells.

    RETURNS (int): Number of pairs left out, since no window holds both entities.
    """
    cells, pair_of_cell, fits = _find_cells(windows, labels)
    relations[cells] = np.fromiter(labels.values(), dtype=np.int64)[fits][pair_of_cell]
    return int((~fits).sum())


def _leave_open(relations: Ints1d, windows: Windows, pairs: Iterable[_Pair]) -> None:
    """Mark the cells of pairs as missing where they have no label."""
    cells, _, _ = _find_cells(windows, pairs)
    relations[cells[relations[cells] == NO_RELATION]] = MISSING


def _find_cells(windows: Windows, pairs: Iterable[_Pair]) -> tuple[Ints1d, Ints1d, Bools1d]:
    """Find the cells of pairs.

    RETURNS (tuple[Ints1d, Ints1d, Bools1d]): Index of each cell; its pair, among those that a
        window holds; and whether a window holds each pair.
    """
    rows = [(sentence, *left, *right) for sentence, left, right in pairs]
    table = np.array(rows, dtype=np.int64).reshape(-1, 5)
    sentence, left, right = table[:, 0], table[:, 1:3], table[:, 3:5]
    fits = windows.reach(sentence, left[:, 0]) >= right[:, 1]
    cells, pair_of_cell = windows.blocks(sentence[fits], left[fits], right[fits])
    return cells, pair_of_cell, fits
