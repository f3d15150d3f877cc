"""Example -> gold tables."""

from collections import Counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from spacy.training import Example

from ..alignment import Bounds, align_gold
from ..arrays import Ints1d
from ..labels import MISSING, NO_RELATION, OUTSIDE, LabelScheme
from ..relations import has_relations
from ..sentences import DEFAULT_MAX_LENGTH, Windows, count_cells, sentence_bounds


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
    aligned, skipped = align_gold(example, scheme)
    bounds = sentence_bounds(example.predicted)
    starts = [start for start, _ in bounds]

    tags = np.where(aligned.is_missing, MISSING, OUTSIDE)
    for (start, end), (label, _) in aligned.entities.items():
        tags[start:end] = scheme.span_tags(label, end - start)

    pairs: dict[tuple[int, Bounds, Bounds], int] = {}  # sentence, left and right entity: label
    for head, tail, name in aligned.relations:
        label_index = scheme.relation_index(name, head_first=head < tail)
        sentence = aligned.entities[head][1]
        if (
            pairs.setdefault((sentence, min(head, tail), max(head, tail)), label_index)
            != label_index
        ):
            skipped["relations beyond the first of a pair of entities"] += 1

    windows = Windows(np.array([end - start for start, end in bounds], dtype=np.int64), max_length)
    relations = np.full(
        int(count_cells(windows.lengths).sum()),
        NO_RELATION if has_relations(example.reference) else MISSING,
        dtype=np.int64,
    )
    if windows.overlap:
        tags = np.where(_owned_rows(windows), tags[windows.words()], MISSING)
        relations[~_owned_cells(windows)] = MISSING
    if pairs:
        sentences = np.array([sentence for sentence, _, _ in pairs])
        ends = (
            np.array([pair for _, *pair in pairs]) - np.array(starts)[sentences, None, None]
        )  # (pairs, 2, 2)
        fits = windows.reach(sentences, ends[:, 0, 0]) >= ends[:, 1, 1]
        if not fits.all():
            skipped[f"relations across windows (max_length is {max_length})"] += int((~fits).sum())
        cells, pair_of_cell = windows.blocks(sentences[fits], ends[fits, 0], ends[fits, 1])
        relations[cells] = np.array(list(pairs.values()))[fits][pair_of_cell]
    tables = zip(
        _split(tags, windows.lengths), _split(relations, count_cells(windows.lengths)), strict=True
    )
    return [GoldTable(*table) for table in tables], skipped


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
    return [
        labels[start:end]
        for start, end in zip((ends - lengths).tolist(), ends.tolist(), strict=True)
    ]
