"""Example -> the gold entities and relations, in the words of its predicted document."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from spacy.tokens import Span
from spacy.training import Example

from .arrays import Bools1d
from .labels import LabelScheme
from .relations import Relation, get_relations
from .sentences import Bounds

# Part of the reason why an entity or a relation is left out whose label the scheme lacks.
UNKNOWN_TYPE = "of the unknown type"


class AlignedGold(NamedTuple):
    """The annotation of a reference, in the words of the predicted document.

    entities (dict[Bounds, tuple[str, int]]): Type and index of the sentence of each entity.
    relations (list[tuple[Bounds, Bounds, str]]): Head, tail and label: two different entities of
        one sentence.
    is_missing (Bools1d): Whether the entity of each word is unknown, bool (words,).
    open_pairs (list[tuple[int, Bounds, Bounds]]): Index of the sentence, left and right span of
        relations that are left out since an argument is no usable entity. So it is unknown which
        words of the two spans are related.
    """

    entities: dict[Bounds, tuple[str, int]]
    relations: list[tuple[Bounds, Bounds, str]]
    is_missing: Bools1d
    open_pairs: list[tuple[int, Bounds, Bounds]]


def align_gold(
    example: Example,
    sentences: Sequence[Bounds],
    scheme: LabelScheme,
    *,
    max_width: int | None = None,
) -> tuple[AlignedGold, Counter[str]]:
    """Find the entities and relations that can be represented in the predicted document.

    example (Example): Entities and relations come from its reference. `doc.ents` that were never
        set are missing, and so are the words of an entity that does not match the tokens or
        crosses sentences. An entity of an unknown type is none.
    sentences (Sequence[tuple[int, int]]): The sentences of the predicted document, as
        `sentence_bounds` returns them.
    scheme (LabelScheme): The labels.
    max_width (int | None): Maximum number of words of an entity.
    RETURNS (tuple[AlignedGold, Counter[str]]): The gold, and the number of entities and relations
        that cannot be represented, by reason.
    """
    aligner = _Aligner(example, sentences)
    skipped: Counter[str] = Counter()
    gold = AlignedGold({}, [], np.ones(len(example.predicted), dtype=bool), [])
    if example.reference.has_annotation("ENT_IOB"):
        _mark_unannotated(gold.is_missing, aligner, example)
        for ent in example.reference.ents:
            reason = _add_entity(gold, ent, aligner, scheme, max_width)
            if reason is not None:
                skipped[reason] += 1
    for relation in get_relations(example.reference):
        reason = _add_relation(gold, relation, aligner, scheme)
        if reason is not None:
            skipped[reason] += 1
    return gold, skipped


def _mark_unannotated(is_missing: Bools1d, aligner: "_Aligner", example: Example) -> None:
    """Mark the words whose entity the reference leaves open."""
    is_missing[:] = False
    unannotated = np.flatnonzero(example.reference.to_array("ENT_IOB") == 0)
    is_missing[aligner.words_of(unannotated.tolist())] = True


def _add_entity(
    gold: AlignedGold,
    ent: Span,
    aligner: "_Aligner",
    scheme: LabelScheme,
    max_width: int | None,
) -> str | None:
    """Add an entity of the reference to the gold, or return the reason why it cannot be added."""
    span = aligner.align(ent)
    if ent.label_ not in scheme.entities:
        return f"entities {UNKNOWN_TYPE} {ent.label_!r}"
    if span is None:
        gold.is_missing[aligner.words_of(range(ent.start, ent.end))] = True
        return "entities that do not match the tokens"
    sentence = aligner.sentence_of(span)
    if sentence is None:
        gold.is_missing[aligner.words_of(range(ent.start, ent.end))] = True
        return "entities across sentences"
    if max_width is not None and span[1] - span[0] > max_width:
        return f"entities of more than {max_width} words"
    gold.entities[span] = ent.label_, sentence
    gold.is_missing[span[0] : span[1]] = False
    return None


def _add_relation(
    gold: AlignedGold, relation: Relation, aligner: "_Aligner", scheme: LabelScheme
) -> str | None:
    """Add a relation of the reference to the gold, or return the reason why it cannot be added."""
    if relation.label not in scheme.relations:
        return f"relations {UNKNOWN_TYPE} {relation.label!r}"
    head, tail = aligner.align(relation.head), aligner.align(relation.tail)
    if head is None or tail is None or not {head, tail} <= gold.entities.keys():
        _leave_open(gold, relation, aligner)
        return "relations of a span that is not a usable entity"
    if head == tail:
        return "relations of an entity with itself"
    if gold.entities[head][1] != gold.entities[tail][1]:
        return "relations across sentences"
    gold.relations.append((head, tail, relation.label))
    return None


def _leave_open(gold: AlignedGold, relation: Relation, aligner: "_Aligner") -> None:
    """Note the words of a relation that is left out, if they lie apart and in one sentence."""
    spans = []
    for argument in (relation.head, relation.tail):
        words = aligner.words_of(range(argument.start, argument.end))
        if not words:
            return
        spans.append((min(words), max(words) + 1))
    left, right = sorted(spans)
    if left[1] > right[0]:
        return
    sentence = aligner.sentence_of((left[0], right[1]))
    if sentence is not None:
        gold.open_pairs.append((sentence, left, right))


class _Aligner:
    """Maps spans and words of the reference of an example to its predicted document."""

    def __init__(self, example: Example, sentences: Sequence[Bounds]):
        self.predicted = example.predicted
        self.sentences = sentences
        self.starts = [start for start, _ in sentences]
        predicted, reference = example.predicted, example.reference
        same_words = np.array_equal(predicted.to_array("ORTH"), reference.to_array("ORTH"))
        # The example compares the documents with its copies at each access of `alignment`, which
        # takes the longer the longer they are.
        self.alignment = None if same_words else example.alignment.y2x

    def align(self, span: Span) -> Bounds | None:
        """Return the predicted document's span of the same text.

        The rule is the rule of `Example.get_aligned_spans_y2x`.
        """
        if self.alignment is None:
            return span.start, span.end
        words = self.alignment[span.start : span.end].tolist()
        if not words or _letters(self.predicted[words[0] : words[-1] + 1]) != _letters(span):
            return None
        return words[0], words[-1] + 1

    def words_of(self, words: Iterable[int]) -> list[int]:
        """Return the predicted document's words that hold any part of words of the reference."""
        if self.alignment is None:
            return list(words)
        predicted: list[int] = []
        for word in words:
            predicted.extend(self.alignment[word].tolist())
        return predicted

    def sentence_of(self, span: Bounds) -> int | None:
        """Return the sentence that holds a span, or None if the span crosses a boundary."""
        sentence = bisect_right(self.starts, span[0]) - 1
        _, end = self.sentences[sentence]
        if span[1] > end:
            return None
        return sentence


def _letters(span: Span) -> str:
    return span.text.lower().strip().replace(" ", "")
