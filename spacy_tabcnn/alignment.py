"""Example -> the gold entities and relations, in terms of the words of its predicted document."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Span
from spacy.training import Example

from .labels import LabelScheme
from .relations import get_relations
from .sentences import sentence_bounds

Bounds: TypeAlias = tuple[int, int]  # first word and end (exclusive) of a span


class AlignedGold(NamedTuple):
    """What the reference of an example says of the words of its predicted document.

    entities (dict[Bounds, tuple[str, int]]): Type and index of the sentence of each entity.
    relations (list[tuple[Bounds, Bounds, str]]): Head, tail and label: two different entities of one sentence.
    is_missing (NDArray[np.bool_]): Of each word, whether nothing is known of the entity that may hold it, (words,).
    """

    entities: dict[Bounds, tuple[str, int]]
    relations: list[tuple[Bounds, Bounds, str]]
    is_missing: NDArray[np.bool_]


def align_gold(
    example: Example, scheme: LabelScheme, *, max_width: int | None = None
) -> tuple[AlignedGold, Counter[str]]:
    """Find the entities and relations that can be represented in the predicted document of an example.

    example (Example): Sentences are those of its predicted document; entities and relations come from its reference.
        `doc.ents` that were never set are missing, and so are the words of an entity that cannot be represented.
    scheme (LabelScheme): The labels.
    max_width (int | None): Most words of an entity.
    RETURNS (tuple[AlignedGold, Counter[str]]): The gold, and how many entities and relations could not be represented,
        by reason.
    """
    reference = example.reference
    bounds = sentence_bounds(example.predicted)
    starts = [start for start, _ in bounds]
    skipped: Counter[str] = Counter()
    spans = _Aligner(example)

    def sentence_of(span: Bounds) -> int | None:
        """The sentence that holds a span, if one does."""
        sentence = bisect_right(starts, span[0]) - 1
        return sentence if span[1] <= bounds[sentence][1] else None

    is_missing = np.ones(len(example.predicted), dtype=bool)
    entities: dict[Bounds, tuple[str, int]] = {}
    if reference.has_annotation("ENT_IOB"):
        is_missing[:] = False
        is_missing[spans.words_of(np.flatnonzero(reference.to_array("ENT_IOB") == 0).tolist())] = (
            True
        )
        for ent in reference.ents:
            span = spans.align(ent)
            if ent.label_ not in scheme.entities:
                skipped[f"entities of the unknown type {ent.label_!r}"] += 1
            elif span is None:
                skipped["entities that do not match the tokens"] += 1
                is_missing[spans.words_of(range(ent.start, ent.end))] = True
            elif (sentence := sentence_of(span)) is None:
                skipped["entities across sentences"] += 1
                is_missing[spans.words_of(range(ent.start, ent.end))] = True
            elif max_width is not None and span[1] - span[0] > max_width:
                skipped[f"entities of more than {max_width} words"] += 1
            else:
                entities[span] = ent.label_, sentence
                is_missing[span[0] : span[1]] = False

    relations: list[tuple[Bounds, Bounds, str]] = []
    for relation in get_relations(reference):
        head, tail = spans.align(relation.head), spans.align(relation.tail)
        if relation.label not in scheme.relations:
            skipped[f"relations of the unknown type {relation.label!r}"] += 1
        elif head is None or tail is None or head not in entities or tail not in entities:
            skipped["relations of a span that is not a usable entity"] += 1
        elif head == tail:
            skipped["relations of an entity with itself"] += 1
        elif entities[head][1] != entities[tail][1]:
            skipped["relations across sentences"] += 1
        else:
            relations.append((head, tail, relation.label))
    return AlignedGold(entities, relations, is_missing), skipped


class _Aligner:
    """Maps spans and words of an example's reference to its predicted document."""

    def __init__(self, example: Example):
        self.predicted = example.predicted
        same_words = np.array_equal(
            example.predicted.to_array("ORTH"), example.reference.to_array("ORTH")
        )
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
