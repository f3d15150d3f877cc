"""Statistics of a corpus: sizes, lengths, labels, and annotation that cannot be learned."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from spacy.tokens import Doc
from spacy.training import Example

from ..documents import copy_words
from ..labels import LabelScheme
from ..pipeline.training_texts import TextCounts
from ..relations import get_relations, has_relations
from ..sentences import (
    DEFAULT_MAX_LENGTH,
    Sentences,
    Windows,
    count_apparent_sentences,
    sentence_lengths,
)
from ..table.gold import gold_tables
from .files import JsonObject

NO_WORDS = "documents without words"
NO_ENTITIES = "documents whose doc.ents were never set"
PARTIAL_ENTITIES = "documents with words whose entities are not annotated"
NO_RELATIONS = "documents whose doc._.relations was never set"
BOUNDED = "documents with sentence boundaries"
UNBOUNDED = "documents of several sentences, without sentence boundaries"

KeyT = TypeVar("KeyT")


class CorpusCase(NamedTuple):
    """A counted thing, with its first place.

    name (str): The thing.
    times (int): Its number.
    document (int): The first document that has it, counted from 0.
    """

    name: str
    times: int
    document: int


class LengthSummary(NamedTuple):
    """A summary of lengths in words.

    Each value is a length that occurs; without any lengths all values are 0.

    median (int): The length that half of them do not exceed.
    p95 (int): The length that 95 % of them do not exceed.
    max (int): The maximum.
    """

    median: int
    p95: int
    max: int


class RelationKind(NamedTuple):
    """A relation label with the types of its arguments, as in the type constraints of a component.

    label (str): The relation's label.
    head (str): Type of its head.
    tail (str): Type of its tail.
    """

    label: str
    head: str
    tail: str

    def __str__(self) -> str:
        return f"{self.label} ({self.head} -> {self.tail})"


@dataclass
class Tally(Generic[KeyT]):
    """Numbers of things, each with the first document that has it.

    counts (Counter): The number of each thing.
    documents (dict): The first document that has the thing, counted from 0.
    """

    counts: Counter[KeyT] = field(default_factory=Counter)
    documents: dict[KeyT, int] = field(default_factory=dict)

    def add(self, key: KeyT, document: int, count: int = 1) -> None:
        """Count a thing.

        key (KeyT): The thing.
        document (int): The document that has it. Documents come in order.
        count (int): How many times the document has it.
        """
        self.counts[key] += count
        self.documents.setdefault(key, document)

    def cases(self, keys: Iterable[KeyT]) -> list[CorpusCase]:
        """Return counted things with their numbers and places.

        keys (Iterable[KeyT]): The things to return.
        RETURNS (list[CorpusCase]): One case for each thing, the most frequent thing first.
        """
        cases = [CorpusCase(str(key), self.counts[key], self.documents[key]) for key in keys]
        return sorted(cases, key=_by_frequency)


@dataclass
class CorpusStatistics:
    """Statistics of one corpus; see `count_corpus`. Lengths are in words; each length is counted.

    n_docs (int): Number of documents, those without words included.
    entities (Tally[str]): Entities by label.
    relations (Tally[str]): Relations by label.
    kinds (Tally[RelationKind]): Relations by label and types.
    orders (Tally[tuple[RelationKind, bool]]): Relations by label, types, and whether the head
        precedes the tail.
    sentence_lengths (Counter[int]): Lengths of sentences. A document without sentence boundaries
        counts as one sentence.
    entity_lengths (Counter[int]): Lengths of entities.
    relation_lengths (Counter[int]): Lengths from the first word of one entity to the last word of
        the other.
    incomplete (Tally[str]): Documents without words, or without annotation of entities or
        relations.
    sentences (Tally[str]): Documents with sentence boundaries, and documents without boundaries
        that hold several sentences, judged by their punctuation.
    unlearnable (Tally[str]): Annotation that the component cannot learn, by its reasons.
    unlearnable_split (Tally[str]): Annotation that it additionally cannot learn if documents are
        split at their sentences.
    texts (dict[bytes, list[int]]): The documents with the same words, by a key for these words.
    """

    n_docs: int = 0
    entities: Tally[str] = field(default_factory=Tally)
    relations: Tally[str] = field(default_factory=Tally)
    kinds: Tally[RelationKind] = field(default_factory=Tally)
    orders: Tally[tuple[RelationKind, bool]] = field(default_factory=Tally)
    sentence_lengths: Counter[int] = field(default_factory=Counter)
    entity_lengths: Counter[int] = field(default_factory=Counter)
    relation_lengths: Counter[int] = field(default_factory=Counter)
    incomplete: Tally[str] = field(default_factory=Tally)
    sentences: Tally[str] = field(default_factory=Tally)
    unlearnable: Tally[str] = field(default_factory=Tally)
    unlearnable_split: Tally[str] = field(default_factory=Tally)
    texts: dict[bytes, list[int]] = field(default_factory=dict)

    @property
    def sizes(self) -> dict[str, int]:
        """Return the numbers of documents, sentences, words, entities and relations.

        RETURNS (dict[str, int]): The numbers by name.
        """
        n_words = 0
        for length, count in self.sentence_lengths.items():
            n_words += length * count
        return {
            "documents": self.n_docs,
            NO_WORDS: self.incomplete.counts[NO_WORDS],
            NO_ENTITIES: self.incomplete.counts[NO_ENTITIES],
            NO_RELATIONS: self.incomplete.counts[NO_RELATIONS],
            BOUNDED: self.sentences.counts[BOUNDED],
            UNBOUNDED: self.sentences.counts[UNBOUNDED],
            "sentences": self.sentence_lengths.total(),
            "words": n_words,
            "entities": self.entities.counts.total(),
            "relations": self.relations.counts.total(),
        }

    @property
    def has_running_text(self) -> bool:
        """Return whether documents hold several sentences, by boundaries or by punctuation."""
        n_docs = self.n_docs - self.incomplete.counts[NO_WORDS]
        return self.sentence_lengths.total() > n_docs or self.text_counts.mix_sentences

    @property
    def text_counts(self) -> TextCounts:
        """Return the numbers of documents by their sentences, as a component counts them.

        RETURNS (TextCounts): The numbers, without the documents that have no words.
        """
        return TextCounts(
            documents=self.n_docs - self.incomplete.counts[NO_WORDS],
            bounded=self.sentences.counts[BOUNDED],
            several=self.sentences.counts[UNBOUNDED],
        )

    @property
    def lengths(self) -> dict[str, LengthSummary]:
        """Return the lengths of sentences, entities and relations.

        RETURNS (dict[str, LengthSummary]): Summaries of lengths in words, by name.
        """
        return {
            "sentence": summarize(self.sentence_lengths),
            "entity": summarize(self.entity_lengths),
            "relation, first word to last": summarize(self.relation_lengths),
        }

    def to_dict(self) -> JsonObject:
        """Return the statistics as plain data for JSON.

        RETURNS (JsonObject): The statistics by name.
        """
        lengths = {}
        for name, summary in self.lengths.items():
            lengths[name] = summary._asdict()
        relation_types = []
        for kind, count in sorted(self.kinds.counts.items()):
            relation_types.append({**kind._asdict(), "count": count})
        return {
            "sizes": self.sizes,
            "lengths": lengths,
            "entities": dict(self.entities.counts),
            "relations": dict(self.relations.counts),
            "relation_types": relation_types,
            "unlearnable": dict(self.unlearnable.counts),
            "unlearnable_split": dict(self.unlearnable_split.counts),
        }


def count_corpus(docs: Iterable[Doc], *, max_length: int = DEFAULT_MAX_LENGTH) -> CorpusStatistics:
    """Compute the statistics of a corpus.

    docs (Iterable[Doc]): Its documents, annotated. They are read once and not kept.
    max_length (int): Maximum number of words of a table, as in the component; at least 2.
    RETURNS (CorpusStatistics): The statistics.
    """
    stats = CorpusStatistics()
    for index, doc in enumerate(docs):
        stats.n_docs += 1
        if not len(doc):
            stats.incomplete.add(NO_WORDS, index)
            continue
        if not doc.has_annotation("ENT_IOB"):
            stats.incomplete.add(NO_ENTITIES, index)
        elif not doc.has_annotation("ENT_IOB", require_complete=True):
            stats.incomplete.add(PARTIAL_ENTITIES, index)
        if not has_relations(doc):
            stats.incomplete.add(NO_RELATIONS, index)
        _count_texts(stats, doc, index)
        stats.texts.setdefault(doc.to_array("ORTH").tobytes(), []).append(index)
        stats.sentence_lengths.update(sentence_lengths([doc]).tolist())
        _count_entities(stats, doc, index)
        _count_relations(stats, doc, index)
        _count_unlearnable(stats, doc, index, max_length)
    return stats


def summarize(lengths: Counter[int]) -> LengthSummary:
    """Return a summary of lengths.

    lengths (Counter[int]): The number of each length.
    RETURNS (LengthSummary): Their median, 95 % quantile and maximum.
    """
    if not lengths:
        return LengthSummary(0, 0, 0)
    values = np.repeat(list(lengths), list(lengths.values()))
    median, p95, maximum = np.percentile(values, [50, 95, 100], method="inverted_cdf")
    return LengthSummary(int(median), int(p95), int(maximum))


def _by_frequency(case: CorpusCase) -> tuple[int, str]:
    return -case.times, case.name


def _count_texts(stats: CorpusStatistics, doc: Doc, index: int) -> None:
    if doc.has_annotation("SENT_START"):
        stats.sentences.add(BOUNDED, index)
    elif count_apparent_sentences(doc) > 1:
        stats.sentences.add(UNBOUNDED, index)


def _count_entities(stats: CorpusStatistics, doc: Doc, index: int) -> None:
    for ent in doc.ents:
        stats.entities.add(ent.label_, index)
        stats.entity_lengths[len(ent)] += 1


def _count_relations(stats: CorpusStatistics, doc: Doc, index: int) -> None:
    for head, tail, label, _ in get_relations(doc):
        kind = RelationKind(label, head.label_, tail.label_)
        stats.relations.add(label, index)
        stats.kinds.add(kind, index)
        stats.orders.add((kind, head.start < tail.start), index)
        stats.relation_lengths[max(head.end, tail.end) - min(head.start, tail.start)] += 1


def _count_unlearnable(stats: CorpusStatistics, doc: Doc, index: int, max_length: int) -> None:
    scheme = _make_scheme(doc)
    whole = _count_skipped(copy_words(doc, doc.vocab), doc, scheme, max_length)
    for reason, count in whole.items():
        stats.unlearnable.add(reason, index, count)
    if doc.has_annotation("SENT_START"):
        split = copy_words(doc, doc.vocab, sentences=True)
        by_sentence = _count_skipped(split, doc, scheme, max_length)
        for reason, count in (by_sentence - whole).items():
            stats.unlearnable_split.add(reason, index, count)


def _count_skipped(
    predicted: Doc, reference: Doc, scheme: LabelScheme, max_length: int
) -> Counter[str]:
    """Return the numbers of entities and relations that tables cannot hold, by reason."""
    windows = Windows(Sentences.of_docs([predicted]), max_length)
    _, skipped = gold_tables([Example(predicted, reference)], windows, scheme)
    return skipped


def _make_scheme(doc: Doc) -> LabelScheme:
    """Return a label scheme with the labels of a document, so that none is unknown.

    The types of the arguments do not matter here.
    """
    types = {ent.label_ for ent in doc.ents}
    labels = {relation.label for relation in get_relations(doc)}
    return LabelScheme(sorted(types), {label: [] for label in sorted(labels)})
