"""Problems of a corpus that impair training, found in its statistics."""

from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple, TypeAlias

from .statistics import (
    NO_ENTITIES,
    NO_RELATIONS,
    NO_WORDS,
    UNBOUNDED,
    CorpusCase,
    CorpusStatistics,
    RelationKind,
    Tally,
)
from .typos import find_typos

DEFAULT_MIN_COUNT = 10

_NOTHING_ANNOTATED = (
    "Check that annotations were converted with `spacy tabcnn convert`, or set in Python, and "
    "saved with DocBin(store_user_data=True)"
)
_INCOMPLETE_ADVICE = {
    NO_WORDS: (
        "They teach nothing, and the corpus reader skips them. Check the source of the documents"
    ),
    NO_ENTITIES: (
        "Nothing is learned about their entities. Annotate them; doc.ents = [] says that a "
        "document holds none"
    ),
    NO_RELATIONS: (
        "Nothing is learned about their relations. Annotate them; doc._.relations = [] says that "
        "a document holds none. Save with DocBin(store_user_data=True)"
    ),
}
_UNBOUNDED_ADVICE = (
    "Each document is one table, and `senter` of the shipped configs would learn that a document "
    "is one sentence. If no relation joins different sentences, set the boundaries before you save "
    "the corpus, for example with a pipeline of spaCy. Otherwise remove `senter` from the config. "
    'See "Running text" in docs/training.md'
)
# By the beginning of a reason of `gold_tables`.
_UNLEARNABLE_ADVICE = {
    "relations beyond the first of a pair": (
        "In the table of `tabcnn` a pair of entities has one relation, in one direction: the first "
        "is kept. Keep the label that matters, give both together one label, or train `spert` or "
        "`pfn`, which learn all of them"
    ),
    "relations across windows": (
        "Their entities are too far apart for one table. Raise max_length of the component, or "
        "accept that such relations are not found"
    ),
    "relations across sentences": (
        "A table holds one sentence. Train on whole documents, or accept that such relations are "
        "not found"
    ),
    "entities across sentences": "Correct the sentence boundaries or the entities",
    "relations of a span": (
        "Heads and tails have to be in doc.ents, with the same boundaries. Add the entities, or "
        "leave out the relations; if two entities overlap, doc.ents holds one of them"
    ),
    "relations of an entity with itself": "Leave them out, or choose other entities",
}

Level: TypeAlias = Literal["error", "warning", "hint"]


class CorpusProblem(NamedTuple):
    """A problem of a corpus.

    level (str): "error" if it makes training impossible, "warning", or "hint" if it may be
        intended.
    corpus (str): "train" or "dev".
    what (str): The problem, as a heading of the cases.
    cases (list[CorpusCase]): The cases; empty if the problem has no place.
    advice (str): The fix.
    """

    level: Level
    corpus: str
    what: str
    cases: list[CorpusCase]
    advice: str


def find_problems(
    train: CorpusStatistics,
    dev: CorpusStatistics | None = None,
    *,
    min_count: int = DEFAULT_MIN_COUNT,
) -> list[CorpusProblem]:
    """Find the problems of a corpus, and parts of it that are only suspect.

    train (CorpusStatistics): The training data.
    dev (CorpusStatistics | None): The development data.
    min_count (int): A label with fewer examples in the training data is too rare.
    RETURNS (list[CorpusProblem]): The problems of the training data, then of the development data.
    """
    found = [
        *_find_empty("train", train, "error"),
        *_find_incomplete("train", train),
        *_find_unlearnable("train", train),
        *_find_unbounded_texts("train", train),
        *_find_repeated_texts(train),
        *_find_rare_labels(train, min_count),
        *_find_typos(train),
        *_find_both_directions(train),
    ]
    if dev is not None:
        found += [
            *_find_empty("dev", dev, "warning"),
            *_find_incomplete("dev", dev),
            *_find_unlearnable("dev", dev),
            *_find_unbounded_texts("dev", dev),
            *_find_unseen_labels(train, dev),
            *_find_typos_of_dev(train, dev),
            *_find_unseen_kinds(train, dev),
            *_find_shared_texts(train, dev),
        ]
    return found


def _find_empty(corpus: str, stats: CorpusStatistics, level: Level) -> Iterator[CorpusProblem]:
    for name, tally in (("entity", stats.entities), ("relation", stats.relations)):
        if not tally.counts:
            yield CorpusProblem(level, corpus, f"no {name}", [], _NOTHING_ANNOTATED)


def _find_incomplete(corpus: str, stats: CorpusStatistics) -> Iterator[CorpusProblem]:
    for case in stats.incomplete.cases(stats.incomplete.counts):
        advice = _INCOMPLETE_ADVICE[case.name]
        yield CorpusProblem("warning", corpus, "not all annotated", [case], advice)


def _find_unlearnable(corpus: str, stats: CorpusStatistics) -> Iterator[CorpusProblem]:
    what = "cannot be learned"
    for case in stats.unlearnable.cases(stats.unlearnable.counts):
        yield CorpusProblem("warning", corpus, what, [case], _advise(case.name))
    what = "cannot be learned if documents are split into their sentences"
    for case in stats.unlearnable_split.cases(stats.unlearnable_split.counts):
        yield CorpusProblem("warning", corpus, what, [case], _advise(case.name))


def _find_unbounded_texts(corpus: str, stats: CorpusStatistics) -> Iterator[CorpusProblem]:
    if stats.text_counts.mix_sentences:
        cases = stats.sentences.cases([UNBOUNDED])
        yield CorpusProblem("warning", corpus, "running text", cases, _UNBOUNDED_ADVICE)


def _advise(reason: str) -> str:
    for beginning, advice in _UNLEARNABLE_ADVICE.items():
        if reason.startswith(beginning):
            return advice
    return ""


def _find_rare_labels(train: CorpusStatistics, min_count: int) -> Iterator[CorpusProblem]:
    for name, tally in (("entity", train.entities), ("relation", train.relations)):
        rare = [label for label, count in tally.counts.items() if count < min_count]
        yield from _report(
            "train",
            f"{name} labels with fewer than {min_count} examples",
            tally.cases(rare),
            "Too few to learn from. Annotate more, join them with other labels, or leave them out",
        )


def _find_unseen_labels(train: CorpusStatistics, dev: CorpusStatistics) -> Iterator[CorpusProblem]:
    for name, seen, tally in (
        ("entity", train.entities, dev.entities),
        ("relation", train.relations, dev.relations),
    ):
        yield from _report(
            "dev",
            f"{name} labels that train lacks",
            tally.cases(tally.counts.keys() - seen.counts.keys()),
            "They are never predicted. Check their spelling, or divide the corpus again",
        )


def _find_typos(train: CorpusStatistics) -> Iterator[CorpusProblem]:
    for name, tally in _get_label_tallies(train):
        yield from _report_typos("train", name, tally, find_typos(tally.counts, tally.counts))


def _find_typos_of_dev(train: CorpusStatistics, dev: CorpusStatistics) -> Iterator[CorpusProblem]:
    """Find labels that train lacks and that look like one of its labels."""
    for (name, seen), (_, tally) in zip(
        _get_label_tallies(train), _get_label_tallies(dev), strict=True
    ):
        unseen = tally.counts.keys() - seen.counts.keys()
        typos = find_typos(dict.fromkeys(unseen, 0), seen.counts)
        yield from _report_typos("dev", name, tally, typos)


def _report_typos(
    corpus: str, name: str, tally: Tally[str], typos: Mapping[str, str]
) -> Iterator[CorpusProblem]:
    cases = []
    for label, other in sorted(typos.items()):
        times, document = tally.counts[label], tally.documents[label]
        cases.append(CorpusCase(f"{label!r}, like {other!r}", times, document))
    return _report(
        corpus,
        f"{name} labels that look like typing errors of other labels",
        cases,
        "Each spelling is learned as a label of its own. Correct the annotation; if the two "
        "labels differ in meaning, leave them",
    )


def _get_label_tallies(stats: CorpusStatistics) -> list[tuple[str, Tally[str]]]:
    return [("entity", stats.entities), ("relation", stats.relations)]


def _find_unseen_kinds(train: CorpusStatistics, dev: CorpusStatistics) -> Iterator[CorpusProblem]:
    """Find relations between types that their label never joins in train.

    A label that train lacks is a problem of its own, so its relations are left out here.
    """
    unseen = []
    for kind in dev.kinds.counts.keys() - train.kinds.counts.keys():
        if kind.label in train.relations.counts:
            unseen.append(kind)
    return _report(
        "dev",
        "relations between types that their label never joins in train",
        dev.kinds.cases(unseen),
        "They are never predicted with type_constraints = true. Correct the annotation, have such "
        "relations in train, or set type_constraints = false",
    )


def _find_repeated_texts(train: CorpusStatistics) -> Iterator[CorpusProblem]:
    cases = []
    for first, *others in train.texts.values():
        if others:
            cases.append(_make_text_case(first, others))
    return _report(
        "train",
        "repeated texts",
        cases,
        "Repeated texts count more in training. Leave them out unless that is intended",
    )


def _find_shared_texts(train: CorpusStatistics, dev: CorpusStatistics) -> Iterator[CorpusProblem]:
    cases = []
    for key, documents in dev.texts.items():
        if key in train.texts:
            cases.append(_make_text_case(train.texts[key][0], documents))
    return _report(
        "dev",
        "texts that train has too",
        cases,
        "Scores are too high on texts that were learned. Leave them out of one of the two",
    )


def _make_text_case(first: int, documents: list[int]) -> CorpusCase:
    """Return the case of documents with the words of an earlier document of train."""
    return CorpusCase(f"same words as document {first} of train", len(documents), documents[0])


def _find_both_directions(train: CorpusStatistics) -> Iterator[CorpusProblem]:
    """Find labels that join the same types in both directions.

    If both types are one, the directions are from left to right and from right to left.
    """
    cases = []
    for kind in sorted(train.kinds.counts):
        if kind.head == kind.tail:
            cases += _find_both_orders(train, kind)
        elif RelationKind(kind.label, kind.tail, kind.head) in train.kinds.counts:
            cases += train.kinds.cases([kind])
    return _report(
        "train",
        "relations in both directions between the same types",
        cases,
        "If a relation is symmetric, annotate it in one direction, as from left to right: the "
        "direction has to be learned. If it is not, look for swapped heads and tails in the rarer "
        "direction",
        level="hint",
    )


def _find_both_orders(train: CorpusStatistics, kind: RelationKind) -> list[CorpusCase]:
    counts, documents = train.orders.counts, train.orders.documents
    right, left = (kind, True), (kind, False)
    if right not in counts or left not in counts:
        return []
    return [
        CorpusCase(f"{kind}, head first", counts[right], documents[right]),
        CorpusCase(f"{kind}, tail first", counts[left], documents[left]),
    ]


def _report(
    corpus: str, what: str, cases: list[CorpusCase], advice: str, *, level: Level = "warning"
) -> Iterator[CorpusProblem]:
    """Return a problem, or nothing if it has no cases."""
    if cases:
        yield CorpusProblem(level, corpus, what, cases, advice)
