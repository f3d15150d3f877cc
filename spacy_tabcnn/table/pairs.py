"""The pairs of entities of a batch of tables, as positions in their rows and cells."""

from typing import NamedTuple

import numpy as np
from thinc.util import to_numpy

from ..arrays import Floats2d, Ints1d, Ints2d, log_softmax
from ..labels import MISSING, find_spans
from ..sentences import Sentences, Windows
from .decode import viterbi


class EntityPairs(NamedTuple):
    """The entities of each table, and all pairs of entities of one table.

    entities (Ints2d): First row, end (exclusive) and index of the type of each entity, int64
        (entities, 3). Rows are counted over all windows.
    pairs (Ints2d): Left and right entity of each pair, int64 (pairs, 2).
    cells (Ints1d): The cells of the pairs, pair by pair: all words of the one entity by all words
        of the other, int64 (cells,).
    pair_of_cell (Ints1d): The pair of each of these cells, int64 (cells,).
    """

    entities: Ints2d
    pairs: Ints2d
    cells: Ints1d
    pair_of_cell: Ints1d

    def first_cells(self) -> Ints1d:
        """Return the first cell of each pair.

        RETURNS (Ints1d): Index of the cell of the first words of both entities, int64 (pairs,).
        """
        return self.cells[np.diff(self.pair_of_cell, prepend=-1) > 0]


def decode_tags(logits: Floats2d, windows: Windows, known_tags: Ints1d | None) -> Ints1d:
    """Decode the tags of each table by itself.

    logits (Floats2d): Logits of the tags, (rows, tags), numpy or cupy.
    windows (Windows): The tables.
    known_tags (Ints1d | None): Tags that are known, int64 (rows,), negative where they are not.
    RETURNS (Ints1d): The known tag of each row, or the tag in the most probable valid BILOU
        sequence of its table, int64 (rows,).
    """
    tags = viterbi(to_numpy(log_softmax(logits)), windows.lengths)
    if known_tags is None:
        return tags
    return np.where(known_tags == MISSING, tags, known_tags)


def pair_entities(tags: Ints1d, windows: Windows) -> EntityPairs:
    """Find the entities of each table, and pair them.

    tags (Ints1d): Tag of each row, int64 (rows,), negative where it is missing. Tags that do not
        make a whole entity are left out, such as the tags of an entity that a window cuts.
    windows (Windows): The tables.
    RETURNS (EntityPairs): Entities and pairs, table by table.
    """
    # Each window is a sentence here: what lies in two windows counts twice.
    tables = windows
    if windows.overlap:
        tables = Windows(Sentences.of_lengths(windows.lengths), windows.max_length)
    table_of_row = tables.sentences.of_words()
    starts, ends, types = find_spans(tags, table_of_row)
    table = table_of_row[starts]
    spans = np.stack([starts, ends], axis=1)
    in_table = spans - tables.sentences.starts()[table][:, None]
    left, right = tables.pairs_within_reach(table, in_table[:, 0], in_table[:, 1])
    cells, pair_of_cell = tables.blocks(table[left], in_table[left], in_table[right])
    entities = np.concatenate([spans, types[:, None]], axis=1)
    return EntityPairs(entities, np.stack([left, right], axis=1), cells, pair_of_cell)
