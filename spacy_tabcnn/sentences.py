"""The cut of a batch into sentences and windows.

A sentence is one table, as in the paper. A table grows with the square of its words, so a sentence
of more than `max_length` words is cut into windows of that length, a new one every
`max_length // 2` words, and each window is a table. Several tables then hold the same word or the
same cell (i, j). One rule decides which of them counts, in training and in prediction: the owner
is the window in which the cell is furthest from a cut. The word i is the cell (i, i).

Hence any entity can be found, and any relation between entities that share a window. Count the
words from the first word of the one entity to the last word of the other. Up to
`max_length - max_length // 2` words always share a window, and more than `max_length` words never
do.

    max_length = 4, a sentence of 7 words:   0 1 2 3 4 5 6
    window 0                                 0 1 2 3
    window 1                                     2 3 4 5
    window 2                                         4 5 6
    owner of the word                        0 0 0 1 1 2 2
"""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
from spacy.strings import get_string_id
from spacy.tokens import Doc

from .arrays import Bools1d, Ints1d, Ints2d

# Sentences stay whole: the longest sentence of CoNLL04's training and development splits has 114
# words.
DEFAULT_MAX_LENGTH = 256

# Words that end a sentence, where a text is judged by its punctuation.
SENTENCE_ENDS = (".", "!", "?", "\u2026", "\u3002", "\uff01", "\uff1f")
OPENING_QUOTES = "\"'`\u201c\u2018\u00ab("
MIN_SENTENCE = 4  # words
_END_KEYS = frozenset(map(get_string_id, SENTENCE_ENDS))

Bounds: TypeAlias = tuple[int, int]  # first word and end (exclusive)


def sentence_bounds(doc: Doc) -> list[Bounds]:
    """Return the sentences of a document.

    doc (Doc): The document. Where a component has set sentence boundaries they are used, else the
        document counts as one sentence.
    RETURNS (list[tuple[int, int]]): First word and end (exclusive) of each sentence; together they
        cover the document. Empty for an empty document.
    """
    if not len(doc):
        return []
    if not doc.has_annotation("SENT_START"):
        return [(0, len(doc))]
    return [(sent.start, sent.end) for sent in doc.sents]


def count_apparent_sentences(doc: Doc) -> int:
    """Count the sentences of a text by its punctuation, whether or not boundaries are set.

    A sentence ends at a word of `SENTENCE_ENDS`, unless that follows a single letter (an initial),
    before a word that begins with a capital letter or a quotation mark. Each sentence has at least
    `MIN_SENTENCE` words. The count is low for headlines and texts without punctuation.

    doc (Doc): The document.
    RETURNS (int): The number of sentences, 0 for an empty document.
    """
    if not len(doc):
        return 0
    n_sentences, first = 1, 0
    words = doc.to_array("ORTH").tolist()
    for start, previous in enumerate(words[:-MIN_SENTENCE], start=1):
        is_end = previous in _END_KEYS and start - first >= MIN_SENTENCE
        if is_end and _looks_like_start(doc[start].text) and not _is_initial(doc[start - 2].text):
            n_sentences, first = n_sentences + 1, start
    return n_sentences


def _is_initial(word: str) -> bool:
    return len(word) == 1 and word.isupper()


def _looks_like_start(word: str) -> bool:
    return word[0].isupper() or word[0] in OPENING_QUOTES


class Sentences:
    """The sentences of a batch of documents.

    by_doc (Sequence[list[tuple[int, int]]]): First word and end (exclusive) of the sentences of
        each document, counted over the document.

    Attributes:

    lengths (Ints1d): Number of words of each sentence, int64 (sentences,).
    """

    def __init__(self, by_doc: Sequence[list[Bounds]]):
        self.by_doc = by_doc
        self.lengths: Ints1d = np.array(_count_words(by_doc), dtype=np.int64)

    @classmethod
    def of_docs(cls, docs: Iterable[Doc]) -> "Sentences":
        """Return the sentences of documents; see `sentence_bounds`.

        docs (Iterable[Doc]): The documents.
        RETURNS (Sentences): Their sentences.
        """
        return cls([*map(sentence_bounds, docs)])

    @classmethod
    def of_lengths(cls, lengths: Iterable[int]) -> "Sentences":
        """Return the sentences of documents of one sentence each.

        lengths (Iterable[int]): Number of words of each document, at least 1.
        RETURNS (Sentences): Their sentences.
        """
        return cls([[(0, int(length))] for length in lengths])

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def n_words(self) -> int:
        """Return the number of words of the batch."""
        return int(self.lengths.sum())

    def starts(self) -> Ints1d:
        """Return the first word of each sentence, counted over the batch.

        RETURNS (Ints1d): int64 (sentences,).
        """
        return self.lengths.cumsum() - self.lengths

    def of_words(self) -> Ints1d:
        """Return the sentence of each word of the batch.

        RETURNS (Ints1d): int64 (words,).
        """
        return np.repeat(np.arange(len(self.lengths)), self.lengths)


def _count_words(by_doc: Sequence[list[Bounds]]) -> list[int]:
    lengths = []
    for bounds in by_doc:
        for start, end in bounds:
            lengths.append(end - start)
    return lengths


class Windows:
    """The tables of a batch: a window for each sentence, or several for a long one.

    sentences (Sentences): The sentences of the batch.
    max_length (int): Maximum number of words of a window, at least 2.

    Attributes:

    overlap (bool): Whether any sentence has several windows.
    n_rows (int): Number of words of all windows.
    n_cells (int): Number of cells i < j of all windows.

    Attributes, int64, one item a window, the windows of a sentence in text order:

    lengths (Ints1d): Its number of words.
    starts (Ints1d): Position of its first word in its sentence.
    sentence_of (Ints1d): Index of its sentence.
    """

    def __init__(self, sentences: Sentences, max_length: int):
        self.sentences = sentences
        self.max_length = max_length
        self.stride = max_length // 2
        n_words = sentences.lengths
        beyond_first = np.maximum(n_words - max_length, 0)
        self._counts = 1 + -(-beyond_first // self.stride)  # windows of each sentence
        self._first = self._counts.cumsum() - self._counts  # first window of each sentence
        self.sentence_of = np.repeat(np.arange(len(n_words)), self._counts)
        n_before = np.arange(len(self.sentence_of)) - self._first[self.sentence_of]
        self.starts = n_before * self.stride
        self.lengths = np.minimum(n_words[self.sentence_of] - self.starts, max_length)
        n_cells = count_cells(self.lengths)
        self._first_row = self.lengths.cumsum() - self.lengths
        self._first_cell = n_cells.cumsum() - n_cells
        self.n_rows = int(self.lengths.sum())
        self.n_cells = int(n_cells.sum())
        self.overlap = len(self.lengths) > len(n_words)

    def words(self) -> Ints1d:
        """Return the word of each row.

        RETURNS (Ints1d): Index in the batch of the word of each row of the windows end to end,
            int64 (rows,).
        """
        if not self.overlap:
            return np.arange(self.n_rows)
        shift = self.sentences.starts()[self.sentence_of] + self.starts - self._first_row
        return np.arange(self.n_rows) + np.repeat(shift, self.lengths)

    def rows(self) -> Ints1d:
        """Return the row that counts for each word.

        RETURNS (Ints1d): Index of a row for each word of the batch, int64 (words,).
        """
        if not self.overlap:
            return np.arange(self.n_rows)
        sentence = self.sentences.of_words()
        position = np.arange(len(sentence)) - self.sentences.starts()[sentence]
        window = self.owner(sentence, position, position)
        return self._first_row[window] + position - self.starts[window]

    def owns_row(self) -> Bools1d:
        """Return which rows count for their word.

        RETURNS (Bools1d): bool (rows,).
        """
        owned = np.zeros(self.n_rows, dtype=bool)
        owned[self.rows()] = True
        return owned

    def owned_cells(self) -> tuple[Ints1d, Ints1d, Ints1d, Ints1d]:
        """Return the cells i < j that count: each cell of a sentence at most once.

        RETURNS (tuple[Ints1d, Ints1d, Ints1d, Ints1d]): Sentence, row i and column j (positions
            in the sentence) of each cell, and its index among the cells of all windows, int64
            (cells that count,).
        """
        window_of = np.repeat(np.arange(len(self.lengths)), count_cells(self.lengths))
        row, col = _triangles(self.lengths)
        row, col = row + self.starts[window_of], col + self.starts[window_of]
        sentence = self.sentence_of[window_of]
        index = np.flatnonzero(self.owner(sentence, row, col) == window_of)
        return sentence[index], row[index], col[index], index

    def cells(self, sentence: Ints1d | int, row: Ints1d, col: Ints1d) -> Ints1d:
        """Find cells that a window holds, in the windows where they count.

        sentence (Ints1d | int): Index of the sentence of each cell.
        row (Ints1d): The row i of each cell, a position in its sentence.
        col (Ints1d): The column j > i of each cell.
        RETURNS (Ints1d): Index of each cell among the cells of all windows.
        """
        window = self.owner(sentence, row, col)
        start = self.starts[window]
        in_window = cell_index(row - start, col - start, self.lengths[window])
        return self._first_cell[window] + in_window

    def blocks(self, sentence: Ints1d, left: Ints2d, right: Ints2d) -> tuple[Ints1d, Ints1d]:
        """Find the cells of pairs of spans, all words of the left by all words of the right span.

        sentence (Ints1d): Index of the sentence of each pair, (pairs,).
        left (Ints2d): Start and end (exclusive) of each left span in its sentence, (pairs, 2).
        right (Ints2d): Start and end of each right span. A window has to hold both.
        RETURNS (tuple[Ints1d, Ints1d]): Index of each cell as `cells` returns it, pair by pair,
            and the pair of each cell.
        """
        n_rows, n_cols = left[:, 1] - left[:, 0], right[:, 1] - right[:, 0]
        n_cells = n_rows * n_cols
        pair = np.repeat(np.arange(len(sentence)), n_cells)
        in_pair = np.arange(len(pair)) - (n_cells.cumsum() - n_cells)[pair]
        down, along = np.divmod(in_pair, n_cols[pair])
        return self.cells(sentence[pair], left[pair, 0] + down, right[pair, 0] + along), pair

    def reach(self, sentence: Ints1d | int, position: Ints1d | int) -> Ints1d:
        """Return the end of the last window that holds a word.

        sentence (Ints1d | int): Index of the sentence of each word.
        position (Ints1d | int): The position of each word in its sentence.
        RETURNS (Ints1d): Position of the window's end (exclusive) in the sentence.
        """
        n_before = np.minimum(position // self.stride, self._counts[sentence] - 1)
        window = self._first[sentence] + n_before
        return self.starts[window] + self.lengths[window]

    def pairs_within_reach(
        self, sentence: Ints1d, start: Ints1d, end: Ints1d
    ) -> tuple[Ints1d, Ints1d]:
        """List the pairs of spans that share a window.

        sentence (Ints1d): Index of the sentence of each span, not decreasing, (spans,).
        start (Ints1d): First word of each span in its sentence. The spans of a sentence are in text
            order and do not overlap.
        end (Ints1d): End (exclusive) of each span in its sentence.
        RETURNS (tuple[Ints1d, Ints1d]): Index of the left and of the right span of each pair,
            (pairs,), by the left span, then by the right one.
        """
        offset = self.sentences.starts()[sentence]
        reach = offset + self.reach(sentence, start)
        n_within = np.searchsorted(offset + end, reach, side="right")
        n_right = np.maximum(n_within - np.arange(len(start)) - 1, 0)
        left = np.repeat(np.arange(len(start)), n_right)
        in_group = np.arange(len(left)) - (n_right.cumsum() - n_right)[left]
        return left, left + 1 + in_group

    def owner(self, sentence: Ints1d | int, row: Ints1d, col: Ints1d) -> Ints1d:
        """Find the window in which a cell counts.

        Its centre is nearest to the cell, and in it the cell is furthest from a cut.

        sentence (Ints1d | int): Index of the sentence of each cell.
        row (Ints1d): The row i of each cell, a position in its sentence.
        col (Ints1d): The column j >= i of each cell.
        RETURNS (Ints1d): Index of the window. Where no window holds the cell, some window.
        """
        centre = row + col - (self.max_length - 1)
        nearest = (centre + self.stride) // (2 * self.stride)
        n_before = np.maximum(np.minimum(nearest, self._counts[sentence] - 1), 0)
        return self._first[sentence] + n_before


def count_cells(lengths: Ints1d) -> Ints1d:
    """Count the cells above the diagonal.

    lengths (Ints1d): Number of words of each window.
    RETURNS (Ints1d): Number of cells i < j of the table of each window.
    """
    return lengths * (lengths - 1) // 2


def cell_index(row: Ints1d, col: Ints1d, length: Ints1d | int) -> Ints1d:
    """Return the index of a cell above the diagonal in the list of cells of its window.

    row (Ints1d): The cell's row i.
    col (Ints1d): The cell's column j > i.
    length (Ints1d | int): Number of words of the window.
    RETURNS (Ints1d): Index of the cell, counted row by row.
    """
    return row * (2 * length - row - 1) // 2 + col - row - 1


def _triangles(lengths: Ints1d) -> tuple[Ints1d, Ints1d]:
    """Return row and column of the cells i < j of tables, row by row, table by table."""
    rows, cols = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for length in lengths.tolist():
        row, col = np.triu_indices(length, 1)
        rows.append(row)
        cols.append(col)
    return np.concatenate(rows), np.concatenate(cols)


def sentence_lengths(docs: Iterable[Doc]) -> Ints1d:
    """Return the number of words of each sentence of a batch.

    docs (Iterable[Doc]): The documents.
    RETURNS (Ints1d): int64 (sentences,).
    """
    return Sentences.of_docs(docs).lengths
