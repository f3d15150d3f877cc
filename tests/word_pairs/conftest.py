"""Windows of sentences, and the cells of their tables counted one by one."""

import pytest

from spacy_tabcnn.sentences import Sentences, Windows


@pytest.fixture
def cut():
    """Cut sentences of given lengths."""

    def cut(lengths, max_length=256):
        return Windows(Sentences.of_lengths(lengths), max_length)

    return cut


@pytest.fixture
def count_cells():
    """List the cells of windows: window, and positions i and j in the sentence."""

    def count(windows, is_cell):
        found = []
        for window, (start, length) in enumerate(
            zip(windows.starts.tolist(), windows.lengths.tolist(), strict=True)
        ):
            words = range(start, start + length)
            found += [(window, i, j) for i in words for j in words if is_cell(i, j)]
        return found

    return count
