"""Examples -> gold tables: the cells that hold, and the weight of each cell in the loss."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from spacy.training import Example

from ..alignment import AlignedGold, align_gold
from ..arrays import Bools1d, Floats1d, Ints1d, Ints2d
from ..labels import LabelScheme
from ..relations import has_relations
from ..sentences import Bounds, Windows
from .cells import CellFinder, Cells, list_pairs, list_spans


class GoldTable(NamedTuple):
    """The gold of the cells of a kind.

    weights (Floats1d): Weight of each cell in the loss, float32 (cells,): the inverse of the number
        of words of its sentence, or 0 where the annotation is missing, or where the cell counts in
        another window.
    cells (Ints1d): Index of each cell that holds a label, int64 (labels that hold,).
    labels (Ints1d): Index of the label, likewise. Each pair of cell and label is there once.
    """

    weights: Floats1d
    cells: Ints1d
    labels: Ints1d


class GoldWordPairs(NamedTuple):
    """The gold of a batch.

    entities (GoldTable): Of the entity types of the spans.
    relations (GoldTable): Of the relation types of the ordered pairs of first words.
    last_words (GoldTable): Of the relation types of the ordered pairs of last words.
    """

    entities: GoldTable
    relations: GoldTable
    last_words: GoldTable


def gold_word_pairs(
    examples: Sequence[Example],
    windows: Windows,
    scheme: LabelScheme,
    *,
    nested: bool = False,
) -> tuple[GoldWordPairs, Counter[str]]:
    """Fill the tables of a batch.

    examples (Sequence[Example]): The tables are laid out over the words of their predicted
        documents; entities and relations come from their references. `doc.ents` or
        `doc._.relations` that were never set are missing, and so are the spans that contain a word
        of an entity that cannot be represented.
    windows (Windows): The cut of the predicted documents. Only the owner of a cell has its label.
    scheme (LabelScheme): The labels.
    nested (bool): Whether a relation also needs a window with the last words of both entities.
    RETURNS (tuple[GoldWordPairs, Counter[str]]): The gold, and the number of entities and relations
        that cannot be represented, by reason.
    """
    skipped: Counter[str] = Counter()
    batch = _GoldBatch(scheme)
    for eg, bounds in zip(examples, windows.sentences.by_doc, strict=True):
        aligned, eg_skipped = align_gold(eg, bounds, scheme)
        skipped += eg_skipped
        batch.add(aligned, bounds, is_annotated=has_relations(eg.reference))
    gold, lost = batch.to_gold(windows, nested=nested)
    return gold, +(skipped + lost)  # without the reasons that count nothing


class _GoldBatch:
    """The gold of a batch while its documents are added.

    Sentences are counted over the batch, words over their sentence.
    """

    def __init__(self, scheme: LabelScheme):
        self.types = {label: i for i, label in enumerate(scheme.entities)}
        self.relation_types = {label: i for i, label in enumerate(scheme.relations)}
        # Sentence, first word, last word and label of each entity.
        self.entities: list[tuple[int, int, int, int]] = []
        # Sentence, first words of head and tail, their last words, and label of each relation.
        self.relations: list[tuple[int, int, int, int, int, int]] = []
        self.is_missing: list[Bools1d] = [np.zeros(0, dtype=bool)]
        self.has_relations: list[bool] = []
        # Sentence, and the words of two spans of which it is unknown whether they are related.
        self.open_pairs: list[tuple[int, Bounds, Bounds]] = []

    def add(self, aligned: AlignedGold, bounds: Sequence[Bounds], *, is_annotated: bool) -> None:
        """Add the gold of a document.

        aligned (AlignedGold): Its entities and relations.
        bounds (Sequence[Bounds]): Its sentences.
        is_annotated (bool): Whether its relations are annotated.
        """
        n_before = len(self.has_relations)
        for (start, end), (label, sentence) in aligned.entities.items():
            first = bounds[sentence][0]
            span = start - first, end - 1 - first
            self.entities.append((n_before + sentence, *span, self.types[label]))
        for head, tail, label in aligned.relations:
            _, sentence = aligned.entities[head]
            first = bounds[sentence][0]
            first_words = head[0] - first, tail[0] - first
            last_words = head[1] - 1 - first, tail[1] - 1 - first
            index = self.relation_types[label]
            self.relations.append((n_before + sentence, *first_words, *last_words, index))
        for sentence, left, right in aligned.open_pairs:
            first = bounds[sentence][0]
            left = left[0] - first, left[1] - first
            right = right[0] - first, right[1] - first
            self.open_pairs.append((n_before + sentence, left, right))
        self.is_missing.append(aligned.is_missing)
        self.has_relations.extend([is_annotated] * len(bounds))

    def to_gold(self, windows: Windows, *, nested: bool) -> tuple[GoldWordPairs, Counter[str]]:
        """Return the gold, and the number of entities and relations that no window holds."""
        finder = CellFinder(windows)
        across = f"across windows (max_length is {windows.max_length})"
        lost: Counter[str] = Counter()

        sentence, first, last, label = _columns(self.entities, 4)
        fits = finder.share_window(sentence, first, last)
        lost[f"entities {across}"] = int((~fits).sum())
        spans = finder.find_spans(sentence[fits], first[fits], last[fits])
        entities = GoldTable(self._span_weights(windows), *_drop_repeated(spans, label[fits]))

        sentence, head, tail, head_end, tail_end, label = _columns(self.relations, 6)
        fits = finder.share_window(sentence, head, tail)
        fits_by_ends = fits & finder.share_window(sentence, head_end, tail_end)
        if nested:
            fits = fits_by_ends
        lost[f"relations {across}"] = int((~fits).sum())
        weights, is_open = self._pair_weights(windows)
        pairs = finder.find_pairs(sentence[fits], head[fits], tail[fits])
        relations = _fill_pairs(weights, is_open, pairs, label[fits])
        fits = fits_by_ends
        pairs = finder.find_pairs(sentence[fits], head_end[fits], tail_end[fits])
        last_words = _fill_pairs(weights, is_open, pairs, label[fits])
        return GoldWordPairs(entities, relations, last_words), lost

    def _span_weights(self, windows: Windows) -> Floats1d:
        spans = list_spans(windows)
        weights = _weigh(spans, windows)
        is_missing = np.concatenate(self.is_missing)
        if is_missing.any():
            n_before = np.append(0, is_missing.cumsum())
            start = windows.sentences.starts()[windows.sentence_of[spans.window]]
            weights[n_before[start + spans.col + 1] > n_before[start + spans.row]] = 0.0
        return weights

    def _pair_weights(self, windows: Windows) -> tuple[Floats1d, Bools1d]:
        """Return the weights of the pairs, and which may hold a relation that is left out."""
        pairs = list_pairs(windows)
        weights = _weigh(pairs, windows)
        is_annotated = np.array(self.has_relations, dtype=bool)
        sentence_of = windows.sentence_of[pairs.window]
        weights[~is_annotated[sentence_of]] = 0.0
        is_open = np.zeros(len(weights), dtype=bool)
        for sentence, left, right in self.open_pairs:
            for rows, cols in ((left, right), (right, left)):
                is_within = _are_within(pairs.row, rows) & _are_within(pairs.col, cols)
                is_open |= is_within & (sentence_of == sentence)
        return weights, is_open


def _fill_pairs(weights: Floats1d, is_open: Bools1d, cells: Ints1d, labels: Ints1d) -> GoldTable:
    """Make a table of pairs; its open pairs that hold no label weigh nothing."""
    is_missing = is_open.copy()
    is_missing[cells] = False
    return GoldTable(np.where(is_missing, np.float32(0.0), weights), *_drop_repeated(cells, labels))


def _are_within(words: Ints1d, span: Bounds) -> Bools1d:
    return (words >= span[0]) & (words < span[1])


def _columns(rows: Sequence[tuple[int, ...]], n_columns: int) -> Ints2d:
    return np.array(rows, dtype=np.int64).reshape(-1, n_columns).T


def _weigh(cells: Cells, windows: Windows) -> Floats1d:
    """Return the weights of cells as if all annotation was there."""
    by_sentence = np.float32(1.0) / windows.sentences.lengths.astype(np.float32)
    weights = by_sentence[windows.sentence_of[cells.window]]
    if windows.overlap:
        weights[~cells.are_owned(windows)] = 0.0
    return weights


def _drop_repeated(cells: Ints1d, labels: Ints1d) -> tuple[Ints1d, Ints1d]:
    """Return each pair of cell and label once."""
    once = np.unique(np.stack([cells, labels], axis=1), axis=0)
    return once[:, 0], once[:, 1]
