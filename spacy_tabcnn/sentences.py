"""Which words of a document share a table.

A sentence is one table, as in the paper. But a table grows with the square of its words, so a sentence of more than
`max_length` words is cut into windows of that many, a new one every `max_length // 2` words, and each is a table. Then
several tables hold the same word or the same cell (i, j), and one rule, in training as in prediction, says which of
them counts, the owner: the one in which the cell is furthest from a cut (the word i is the cell (i, i)).

Hence any entity can be found, and any relation between entities that share a window: from the first word of the one to
the last of the other, `max_length - max_length // 2` words always share one, and more than `max_length` never do.
"""

import numpy as np
from spacy.tokens import Doc

from .arrays import Ints1d, Ints2d

# Sentences stay whole: the longest that CoNLL04 has for training and development are of 114 words.
DEFAULT_MAX_LENGTH = 256


def sentence_bounds(doc: Doc) -> list[tuple[int, int]]:
    """Cut a document into sentences.

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
    """Count the words of each sentence of a batch.

    docs (list[Doc]): The documents.
    RETURNS (Ints1d): Words of each sentence of each document, int64 (sentences,).
    """
    return np.array(
        [end - start for doc in docs for start, end in sentence_bounds(doc)], dtype=np.int64
    )


class Windows:
    """The tables of a batch: each sentence is a window, or a long one several; see above.

    sentence_lengths (Ints1d): Words of each sentence, int64 (sentences,).
    max_length (int): Most words of a window, at least 2.

    Attributes, int64, one item a window, the windows of a sentence in text order:

    lengths (Ints1d): Its words.
    starts (Ints1d): Position of its first word in its sentence.
    sentences (Ints1d): Index of its sentence.
    """

    def __init__(self, sentence_lengths: Ints1d, max_length: int):
        self.sentence_lengths = sentence_lengths
        self.max_length = max_length
        self.stride = max_length // 2
        beyond_first = np.maximum(sentence_lengths - max_length, 0)
        self._counts = 1 + -(-beyond_first // self.stride)  # windows of each sentence
        self._first = np.cumsum(self._counts) - self._counts  # first window of each sentence
        self.sentences = np.repeat(np.arange(len(sentence_lengths)), self._counts)
        self.starts = (np.arange(len(self.sentences)) - self._first[self.sentences]) * self.stride
        self.lengths = np.minimum(sentence_lengths[self.sentences] - self.starts, max_length)
        self._first_row = np.cumsum(self.lengths) - self.lengths
        self._first_cell = np.cumsum(count_cells(self.lengths)) - count_cells(self.lengths)

    @property
    def overlap(self) -> bool:
        """RETURNS (bool): Whether any sentence has several windows."""
        return len(self.lengths) > len(self.sentence_lengths)

    def words(self) -> Ints1d:
        """RETURNS (Ints1d): The word in each row of the windows end to end, counted over the batch, int64
        (sum of `lengths`,)."""
        first_word = np.cumsum(self.sentence_lengths) - self.sentence_lengths
        shift = first_word[self.sentences] + self.starts - self._first_row
        return np.arange(int(self.lengths.sum())) + np.repeat(shift, self.lengths)

    def rows(self) -> Ints1d:
        """RETURNS (Ints1d): The row that counts for each word of the batch, int64 (words,)."""
        sentence = np.repeat(np.arange(len(self.sentence_lengths)), self.sentence_lengths)
        first_word = np.cumsum(self.sentence_lengths) - self.sentence_lengths
        position = np.arange(len(sentence)) - first_word[sentence]
        window = self.owner(sentence, position, position)
        return self._first_row[window] + position - self.starts[window]

    def cells(self, sentence: Ints1d | int, row: Ints1d, col: Ints1d) -> Ints1d:
        """Find cells that a window holds, in the windows where they count.

        sentence (Ints1d | int): Index of each cell's sentence.
        row (Ints1d): Each cell's row i, a position in its sentence.
        col (Ints1d): Each cell's column j > i.
        RETURNS (Ints1d): Index of each cell among the cells of all windows.
        """
        window = self.owner(sentence, row, col)
        start = self.starts[window]
        return self._first_cell[window] + cell_index(row - start, col - start, self.lengths[window])

    def blocks(self, sentence: Ints1d, left: Ints2d, right: Ints2d) -> tuple[Ints1d, Ints1d]:
        """Find the cells of pairs of spans, all words of the left one by all words of the right one.

        sentence (Ints1d): Index of each pair's sentence, (pairs,).
        left (Ints2d): Start and end (exclusive) of each left span in its sentence, (pairs, 2).
        right (Ints2d): Those of each right span, (pairs, 2). A window has to hold both.
        RETURNS (tuple[Ints1d, Ints1d]): Index of each cell as `cells` gives it, pair by pair, and of its pair.
        """
        n_rows, n_cols = left[:, 1] - left[:, 0], right[:, 1] - right[:, 0]
        n_cells = n_rows * n_cols
        pair = np.repeat(np.arange(len(sentence)), n_cells)
        down, along = np.divmod(
            np.arange(len(pair)) - (np.cumsum(n_cells) - n_cells)[pair], n_cols[pair]
        )
        return self.cells(sentence[pair], left[pair, 0] + down, right[pair, 0] + along), pair

    def reach(self, sentence: Ints1d | int, position: Ints1d | int) -> Ints1d:
        """Tell how far the last window that holds a word goes.

        sentence (Ints1d | int): Index of the word's sentence.
        position (Ints1d | int): The word's position in the sentence.
        RETURNS (Ints1d): Position of that window's end (exclusive) in the sentence.
        """
        window = self._first[sentence] + np.minimum(
            position // self.stride, self._counts[sentence] - 1
        )
        return self.starts[window] + self.lengths[window]

    def owner(self, sentence: Ints1d | int, row: Ints1d, col: Ints1d) -> Ints1d:
        """Find the window in which a cell counts: the one whose centre is nearest to the cell's, which is also the one
        in which it is furthest from a cut.

        sentence (Ints1d | int): Index of each cell's sentence.
        row (Ints1d): Each cell's row i, a position in its sentence.
        col (Ints1d): Each cell's column j >= i.
        RETURNS (Ints1d): Index of the window. Where no window holds the cell, that of some window.
        """
        nearest = (row + col - (self.max_length - 1) + self.stride) // (2 * self.stride)
        return self._first[sentence] + np.maximum(
            np.minimum(nearest, self._counts[sentence] - 1), 0
        )


def count_cells(lengths: Ints1d) -> Ints1d:
    """Count the cells above the diagonal.

    lengths (Ints1d): Words of each window.
    RETURNS (Ints1d): Cells i < j of each window's table.
    """
    return lengths * (lengths - 1) // 2


def cell_index(row: Ints1d, col: Ints1d, length: Ints1d | int) -> Ints1d:
    """Find a cell above the diagonal in its window's flat list of cells.

    row (Ints1d): The cell's row i.
    col (Ints1d): The cell's column j > i.
    length (Ints1d | int): Words of the window.
    RETURNS (Ints1d): Index of the cell, counted row by row.
    """
    return row * (2 * length - row - 1) // 2 + col - row - 1
