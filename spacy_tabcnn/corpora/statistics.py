"""Figures of a corpus, and what there is in it that stands in the way of training."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, NamedTuple, TypeAlias, TypeVar

import numpy as np
from spacy.tokens import Doc
from spacy.training import Example

from ..labels import LabelScheme
from ..relations import get_relations, has_relations
from ..sentences import DEFAULT_MAX_LENGTH, Sentences, Windows, sentence_lengths
from ..table.gold import gold_tables

DEFAULT_MIN_COUNT = 10
NO_WORDS = "documents without words"
NO_ENTITIES = "documents whose doc.ents were never set"
NO_RELATIONS = "documents whose doc._.relations was never set"
_ADVICE = {
    NO_WORDS: "They teach nothing, and the corpus reader skips them. Check what they come from",
    NO_ENTITIES: "Nothing is learned of their entities. Annotate them; doc.ents = [] says that a document holds none",
    NO_RELATIONS: "Nothing is learned of their relations. Annotate them; doc._.relations = [] says that a document "
    "holds none. Save with DocBin(store_user_data=True)",
}
# What to do about the reasons of `gold_tables`, which begin so.
_REASON_ADVICE = {
    "relations beyond the first of a pair": "A pair of entities has one relation, in one direction: the first is kept. "
    "Keep the label that matters, or give both together one label",
    "relations across windows": "Their entities are too far apart for one table. Raise max_length of the component, "
    "or accept that such relations are not found",
    "relations across sentences": "A table holds one sentence. Train on whole documents, or accept that such "
    "relations are not found",
    "entities across sentences": "Correct the sentence boundaries or the entities",
    "relations of a span": "Heads and tails have to be in doc.ents, with the same boundaries. Add the entities, "
    "or leave out the relations; of two that overlap, doc.ents holds one",
    "relations of an entity with itself": "Leave them out, or choose other entities",
}

KeyT = TypeVar("KeyT")
Level: TypeAlias = Literal["error", "warning", "hint"]


class Case(NamedTuple):
    """One thing that was found.

    name (str): What it is.
    times (int): How often it was found.
    document (int): The first document that has it, counted from 0.
    """

    name: str
    times: int
    document: int


class Finding(NamedTuple):
    """Something about a corpus that its owner should know.

    level (str): "error" if it cannot be trained on, "warning", or "hint" if it may well be meant.
    corpus (str): "train" or "dev".
    what (str): What was found, to be read before the cases.
    cases (list[Case]): Where; empty if there is no place to show.
    advice (str): What to do.
    """

    level: Level
    corpus: str
    what: str
    cases: list[Case]
    advice: str


class Summary(NamedTuple):
    """What lengths are like: in words, values that do occur; all 0 where there is nothing to measure.

    median (int): Half of them are not longer.
    p95 (int): 95 % of them are not longer.
    max (int): The greatest.
    """

    median: int
    p95: int
    max: int


class RelationKind(NamedTuple):
    """What the type constraints of a component are made of.

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
    """Counts that remember where.

    counts (Counter): How often each thing was found.
    documents (dict): The first document that has it, counted from 0.
    """

    counts: Counter[KeyT] = field(default_factory=Counter)
    documents: dict[KeyT, int] = field(default_factory=dict)

    def add(self, key: KeyT, document: int, count: int = 1) -> None:
        """Count something.

        key (KeyT): What.
        document (int): Where. Documents come in order.
        count (int): How often.
        """
        self.counts[key] += count
        self.documents.setdefault(key, document)

    def cases(self, keys: Iterable[KeyT]) -> list[Case]:
        """Show things that were counted.

        keys (Iterable[KeyT]): Which.
        RETURNS (list[Case]): A case for each, the most frequent first.
        """
        cases = [Case(str(key), self.counts[key], self.documents[key]) for key in keys]
        return sorted(cases, key=lambda case: (-case.times, case.name))


@dataclass
class CorpusStatistics:
    """Figures of one corpus; see `count_corpus`. Lengths are in words, each with its number.

    n_docs (int): Documents, those without words included.
    entities (Tally[str]): Entities by label.
    relations (Tally[str]): Relations by label.
    kinds (Tally[RelationKind]): Relations by label and types.
    orders (Tally[tuple[RelationKind, bool]]): The same, and whether the head precedes the tail.
    sentence_lengths (Counter[int]): A document without sentence boundaries counts as one sentence.
    entity_lengths (Counter[int]): Lengths of entities.
    relation_lengths (Counter[int]): From the first word of the one entity to the last of the other.
    incomplete (Tally[str]): Documents that lack words, or annotation of entities or relations.
    unlearnable (Tally[str]): What the component counts as not to be learned, by its reasons.
    unlearnable_split (Tally[str]): What it counts besides, or more of, where documents are cut at their sentences.
    texts (dict[bytes, list[int]]): The documents that have the same words, by a key that stands for these.
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
    unlearnable: Tally[str] = field(default_factory=Tally)
    unlearnable_split: Tally[str] = field(default_factory=Tally)
    texts: dict[bytes, list[int]] = field(default_factory=dict)

    @property
    def sizes(self) -> dict[str, int]:
        """RETURNS (dict[str, int]): How many there are of everything, by name."""
        return {
            "documents": self.n_docs,
            **{
                what: self.incomplete.counts[what] for what in (NO_WORDS, NO_ENTITIES, NO_RELATIONS)
            },
            "sentences": self.sentence_lengths.total(),
            "words": sum(length * count for length, count in self.sentence_lengths.items()),
            "entities": self.entities.counts.total(),
            "relations": self.relations.counts.total(),
        }

    @property
    def lengths(self) -> dict[str, Summary]:
        """RETURNS (dict[str, Summary]): Lengths in words, by name."""
        return {
            "sentence": summarize(self.sentence_lengths),
            "entity": summarize(self.entity_lengths),
            "relation, first word to last": summarize(self.relation_lengths),
        }

    def to_dict(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The figures as plain data for JSON."""
        return {
            "sizes": self.sizes,
            "lengths": {name: summary._asdict() for name, summary in self.lengths.items()},
            "entities": dict(self.entities.counts),
            "relations": dict(self.relations.counts),
            "relation_types": [
                {**kind._asdict(), "count": n} for kind, n in sorted(self.kinds.counts.items())
            ],
            "unlearnable": dict(self.unlearnable.counts),
            "unlearnable_split": dict(self.unlearnable_split.counts),
        }


def count_corpus(docs: Iterable[Doc], *, max_length: int = DEFAULT_MAX_LENGTH) -> CorpusStatistics:
    """Find the figures of a corpus.

    docs (Iterable[Doc]): Its documents, annotated. They are read once and not kept.
    max_length (int): Most words of a table, as of the component; at least 2.
    RETURNS (CorpusStatistics): The figures.
    """
    stats = CorpusStatistics()
    for index, doc in enumerate(docs):
        stats.n_docs += 1
        if not len(doc):
            stats.incomplete.add(NO_WORDS, index)
            continue
        if not doc.has_annotation("ENT_IOB"):
            stats.incomplete.add(NO_ENTITIES, index)
        if not has_relations(doc):
            stats.incomplete.add(NO_RELATIONS, index)
        stats.texts.setdefault(doc.to_array("ORTH").tobytes(), []).append(index)
        stats.sentence_lengths.update(sentence_lengths([doc]).tolist())
        for ent in doc.ents:
            stats.entities.add(ent.label_, index)
            stats.entity_lengths[len(ent)] += 1
        for head, tail, label, _ in get_relations(doc):
            kind = RelationKind(label, head.label_, tail.label_)
            stats.relations.add(label, index)
            stats.kinds.add(kind, index)
            stats.orders.add((kind, head.start < tail.start), index)
            stats.relation_lengths[max(head.end, tail.end) - min(head.start, tail.start)] += 1
        _count_unlearnable(stats, doc, index, max_length)
    return stats


def summarize(lengths: Counter[int]) -> Summary:
    """Describe lengths.

    lengths (Counter[int]): How often each of them occurs.
    RETURNS (Summary): What they are like.
    """
    values = np.repeat(list(lengths), list(lengths.values())) if lengths else np.zeros(1)
    return Summary(*map(int, np.percentile(values, [50, 95, 100], method="inverted_cdf")))


def find_problems(
    train: CorpusStatistics,
    dev: CorpusStatistics | None = None,
    *,
    min_count: int = DEFAULT_MIN_COUNT,
) -> list[Finding]:
    """Tell what is wrong with a corpus, and what looks as if it were.

    train (CorpusStatistics): The training data.
    dev (CorpusStatistics | None): The development data.
    min_count (int): A label with fewer examples in the training data is too rare.
    RETURNS (list[Finding]): The findings, those of train first.
    """
    found = [
        *_find_unusable("train", train),
        *_find_repeated("train", train, train),
        *_find_rare(train, min_count),
        *_find_both_directions(train),
    ]
    if dev is not None:
        found += [
            *_find_unusable("dev", dev),
            *_find_unseen(train, dev),
            *_find_repeated("dev", dev, train),
        ]
    return found


def _count_unlearnable(stats: CorpusStatistics, doc: Doc, index: int, max_length: int) -> None:
    # The labels of the document itself, so that none is unknown; types do not matter here.
    relations = sorted({relation.label for relation in get_relations(doc)})
    scheme = LabelScheme(
        sorted({ent.label_ for ent in doc.ents}), {label: [] for label in relations}
    )

    def count(sent_starts: list[bool | int | None] | None) -> Counter[str]:
        words, spaces = [token.text for token in doc], [bool(token.whitespace_) for token in doc]
        predicted = Doc(doc.vocab, words=words, spaces=spaces, sent_starts=sent_starts)
        return gold_tables(
            [Example(predicted, doc)], Windows(Sentences.of_docs([predicted]), max_length), scheme
        )[1]

    whole = count(None)
    for reason, n in whole.items():
        stats.unlearnable.add(reason, index, n)
    if doc.has_annotation("SENT_START"):
        for reason, n in (count([bool(token.is_sent_start) for token in doc]) - whole).items():
            stats.unlearnable_split.add(reason, index, n)


def _find_unusable(corpus: str, stats: CorpusStatistics) -> Iterator[Finding]:
    """Find what is not annotated, or not so that it can be learned."""
    for name, tally in (("entity", stats.entities), ("relation", stats.relations)):
        if not tally.counts:
            yield Finding(
                "error" if corpus == "train" else "warning",
                corpus,
                f"no {name}",
                [],
                "Check that annotations were converted with `spacy tabcnn convert`, or set in Python, and saved with "
                "DocBin(store_user_data=True)",
            )
    for case in stats.incomplete.cases(stats.incomplete.counts):
        yield Finding("warning", corpus, "not all annotated", [case], _ADVICE[case.name])
    for what, tally in (
        ("cannot be learned", stats.unlearnable),
        ("cannot be learned if documents are split into their sentences", stats.unlearnable_split),
    ):
        for case in tally.cases(tally.counts):
            advice = next(
                (text for start, text in _REASON_ADVICE.items() if case.name.startswith(start)), ""
            )
            yield Finding("warning", corpus, what, [case], advice)


def _find_rare(train: CorpusStatistics, min_count: int) -> Iterator[Finding]:
    for name, tally in (("entity", train.entities), ("relation", train.relations)):
        if cases := tally.cases(
            label for label, count in tally.counts.items() if count < min_count
        ):
            yield Finding(
                "warning",
                "train",
                f"{name} labels with fewer than {min_count} examples",
                cases,
                "Too few to learn from. Annotate more, join them with other labels, or leave them out",
            )


def _find_unseen(train: CorpusStatistics, dev: CorpusStatistics) -> Iterator[Finding]:
    """Find what dev has that cannot be predicted after training."""
    for name, seen, tally in (
        ("entity", train.entities, dev.entities),
        ("relation", train.relations, dev.relations),
    ):
        if cases := tally.cases(label for label in tally.counts if label not in seen.counts):
            yield Finding(
                "warning",
                "dev",
                f"{name} labels that train lacks",
                cases,
                "They are never predicted. Check their spelling, or divide the corpus anew",
            )
    unseen = (
        k
        for k in dev.kinds.counts
        if k not in train.kinds.counts and k.label in train.relations.counts
    )
    if cases := dev.kinds.cases(unseen):
        yield Finding(
            "warning",
            "dev",
            "relations between types that their label never joins in train",
            cases,
            "They are never predicted with type_constraints = true. Correct the annotation, have such relations in "
            "train, or set type_constraints = false",
        )


def _find_repeated(
    corpus: str, stats: CorpusStatistics, train: CorpusStatistics
) -> Iterator[Finding]:
    """Find the texts of a corpus that train has too, or of train itself, those that it has again."""
    cases = []
    for key, documents in stats.texts.items():
        others = documents[1:] if stats is train else documents
        if others and key in train.texts:
            cases.append(
                Case(
                    f"same words as document {train.texts[key][0]} of train", len(others), others[0]
                )
            )
    if cases:
        what, advice = (
            (
                "repeated texts",
                "What is repeated counts more in training. Leave it out unless that is meant",
            )
            if stats is train
            else (
                "texts that train has too",
                "Scores on texts that were learned say too much. Leave them out of one of the two",
            )
        )
        yield Finding("warning", corpus, what, cases, advice)


def _find_both_directions(train: CorpusStatistics) -> Iterator[Finding]:
    """Find labels that join two types both ways, or entities of one type both from left to right and back."""
    cases = []
    for kind in sorted(train.kinds.counts):
        if (
            kind.head != kind.tail
            and RelationKind(kind.label, kind.tail, kind.head) in train.kinds.counts
        ):
            cases += train.kinds.cases([kind])
        elif kind.head == kind.tail and {(kind, True), (kind, False)} <= train.orders.counts.keys():
            for head_first, name in ((True, "head first"), (False, "tail first")):
                order = kind, head_first
                cases.append(
                    Case(
                        f"{kind}, {name}", train.orders.counts[order], train.orders.documents[order]
                    )
                )
    if cases:
        yield Finding(
            "hint",
            "train",
            "relations in both directions between the same types",
            cases,
            "If a relation is symmetric, annotate it in one direction, as from left to right: which one it is has to "
            "be learned. If it is not, look for swapped heads and tails in the rarer direction",
        )
