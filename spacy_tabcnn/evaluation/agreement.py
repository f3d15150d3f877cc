"""Agreement of two annotations of the same documents."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import NamedTuple, TypedDict

from spacy.scorer import PRFScore
from spacy.tokens import Doc
from spacy.training import Example

from ..documents import ORIG_ID
from ..relations import has_relations
from .errors import ErrorCounts, Kind, Unit, count_errors, find_errors
from .items import EntityItem, entity_items
from .scoring import Scores, score_relations


class Matching(NamedTuple):
    """The documents of two annotations.

    pairs (list[tuple[Doc, Doc]]): The documents that both have, in the order of the first one.
    only_first (list[Doc]): The documents that only the first annotation has.
    only_second (list[Doc]): The documents that only the second annotation has.
    other_texts (list[str]): The ids that one document of each has, with different texts.
    """

    pairs: list[tuple[Doc, Doc]]
    only_first: list[Doc]
    only_second: list[Doc]
    other_texts: list[str]


class Figures(TypedDict):
    """Precision, recall and F1 of the second annotation, if the first one were the gold one.

    p, r, f (float | None): The micro averages, between 0 and 1; None if neither annotation has an
        item. F1 is the same in both directions.
    per_type (dict[str, dict[str, float]]): p, r and f of each label; empty if labels do not count.
    """

    p: float | None
    r: float | None
    f: float | None
    per_type: dict[str, dict[str, float]]


class UnitAgreement(TypedDict):
    """The agreement about entities, or about relations.

    documents (int): Number of documents that both annotated with them.
    strict (Figures): Boundaries and types are the same; of relations, also the types of the
        arguments.
    boundaries (Figures): Boundaries are the same; of relations, also the label.
    types (float | None): Share of the same type where only types can differ; None if there is no
        such item.
    directions (float | None): Share of relations with the same direction where only directions can
        differ; None for entities, and if there is no such relation.
    kinds (dict[str, int]): Numbers of agreements and disagreements by kind: "missed" items are in
        the first annotation only, "spurious" ones in the second only.
    """

    documents: int
    strict: Figures
    boundaries: Figures
    types: float | None
    directions: float | None
    kinds: dict[str, int]


class Agreement(TypedDict):
    """The agreement of two annotations.

    entities (UnitAgreement): About entities.
    relations (UnitAgreement): About relations.
    kappa (float | None): Cohen's kappa of the tokens' entity types; see `measure_kappa`.
    tokens (int): Number of tokens of the kappa.
    """

    entities: UnitAgreement
    relations: UnitAgreement
    kappa: float | None
    tokens: int


def match_documents(first: Sequence[Doc], second: Sequence[Doc]) -> Matching:
    """Find the documents that two annotations have in common.

    Documents match if their characters other than white space are the same. Of documents with the
    same text, those with the same id match first, then those in the same order.

    first (Sequence[Doc]): The documents of the first annotation.
    second (Sequence[Doc]): The documents of the second annotation.
    RETURNS (Matching): The pairs, and all other documents.
    """
    groups: dict[str, list[Doc]] = {}
    for doc in second:
        groups.setdefault(_make_key(doc), []).append(doc)
    partners: dict[int, Doc] = {}
    for has_same_id in (True, False):
        for position, doc in enumerate(first):
            group = groups.get(_make_key(doc), [])
            if position not in partners:
                place = _find_partner(doc, group, has_same_id)
                if place is not None:
                    partners[position] = group.pop(place)
    pairs, only_first = [], []
    for position, doc in enumerate(first):
        if position in partners:
            pairs.append((doc, partners[position]))
        else:
            only_first.append(doc)
    left = set(map(id, chain.from_iterable(groups.values())))
    only_second = [doc for doc in second if id(doc) in left]
    return Matching(pairs, only_first, only_second, _find_other_texts(only_first, only_second))


def make_examples(pairs: Iterable[tuple[Doc, Doc]]) -> list[Example]:
    """Return pairs as examples: the first annotation as the reference, the second as predicted.

    pairs (Iterable[tuple[Doc, Doc]]): The pairs.
    RETURNS (list[Example]): The examples.
    """
    return [Example(second, first) for first, second in pairs]


def measure_agreement(pairs: Sequence[tuple[Doc, Doc]]) -> Agreement:
    """Measure the agreement of two annotations of the same documents.

    A document counts for entities if both annotations have entities set, empty or not, and for
    relations if both have relations set.

    pairs (Sequence[tuple[Doc, Doc]]): The documents as the first and the second annotation have
        them.
    RETURNS (Agreement): The figures.
    """
    with_entities, with_relations = [], []
    for pair in pairs:
        if all(doc.has_annotation("ENT_IOB") for doc in pair):
            with_entities.append(pair)
        if all(map(has_relations, pair)):
            with_relations.append(pair)
    kappa, n_tokens = measure_kappa(with_entities)
    return {
        "entities": _measure_entities(with_entities),
        "relations": _measure_relations(with_relations),
        "kappa": kappa,
        "tokens": n_tokens,
    }


def measure_kappa(pairs: Iterable[tuple[Doc, Doc]]) -> tuple[float | None, int]:
    """Compute Cohen's kappa of the entity types of tokens, "O" included.

    The tokens are the tokens of the first annotation. A token has the type of the entity that holds
    its first character. Kappa does not see where one of two neighbouring entities of the same type
    ends. It is not defined for relations: it would depend on the number of pairs without a
    relation, and that number depends on the choice of pairs.

    pairs (Iterable[tuple[Doc, Doc]]): The documents as the two annotations have them.
    RETURNS (tuple[float | None, int]): Kappa, at most 1, and the number of tokens. Kappa is None if
        all tokens have one and the same type in both annotations, since the agreement by chance is
        perfect then, and for no tokens.
    Source: Cohen (1960), A coefficient of agreement for nominal scales.
    """
    both: Counter[tuple[str | None, str | None]] = Counter()
    for first, second in pairs:
        both.update(zip(_label_tokens(first, first), _label_tokens(first, second), strict=True))
    n_tokens = both.total()
    if not n_tokens:
        return None, 0
    one: Counter[str | None] = Counter()
    other: Counter[str | None] = Counter()
    observed = 0
    for (label, second_label), count in both.items():
        one[label] += count
        other[second_label] += count
        if label == second_label:
            observed += count
    by_chance = 0.0
    for label, count in one.items():
        by_chance += count * other[label] / n_tokens
    if by_chance >= n_tokens:
        return None, n_tokens
    return (observed - by_chance) / (n_tokens - by_chance), n_tokens


def name_document(doc: Doc) -> str:
    """Return the id of a document, or the beginning of its text if it has none.

    doc (Doc): The document.
    RETURNS (str): The name.
    """
    orig_id = doc.user_data.get(ORIG_ID)
    if orig_id is None:
        return repr(doc.text[:60])
    return str(orig_id)


def _make_key(doc: Doc) -> str:
    return "".join(doc.text.split())


def _find_partner(doc: Doc, group: Sequence[Doc], has_same_id: bool) -> int | None:
    """Find the first document of a group, or the first one with the same id."""
    for place, other in enumerate(group):
        if not has_same_id or _has_id_of(doc, other):
            return place
    return None


def _has_id_of(doc: Doc, other: Doc) -> bool:
    orig_id = doc.user_data.get(ORIG_ID)
    return orig_id is not None and str(orig_id) == str(other.user_data.get(ORIG_ID))


def _find_other_texts(first: Iterable[Doc], second: Iterable[Doc]) -> list[str]:
    """List the ids that documents of both have, whose texts differ."""
    ids = [str(doc.user_data[ORIG_ID]) for doc in first if ORIG_ID in doc.user_data]
    others = set()
    for doc in second:
        if ORIG_ID in doc.user_data:
            others.add(str(doc.user_data[ORIG_ID]))
    return list(dict.fromkeys(filter(others.__contains__, ids)))


def _measure_entities(pairs: Sequence[tuple[Doc, Doc]]) -> UnitAgreement:
    examples = make_examples(pairs)
    boundaries = PRFScore()
    for first, second in pairs:
        gold = set(map(_get_boundaries, entity_items(first)))
        boundaries.score_set(set(map(_get_boundaries, entity_items(second))), gold)
    strict = _get_figures(score_relations(examples), "ents")
    by_boundaries: Figures = {"p": None, "r": None, "f": None, "per_type": {}}
    if strict["f"] is not None:
        by_boundaries["p"] = boundaries.precision
        by_boundaries["r"] = boundaries.recall
        by_boundaries["f"] = boundaries.fscore
    return {**_summarise("entity", examples), "strict": strict, "boundaries": by_boundaries}


def _measure_relations(pairs: Sequence[tuple[Doc, Doc]]) -> UnitAgreement:
    examples = make_examples(pairs)
    scores = score_relations(examples)
    return {
        **_summarise("relation", examples),
        "strict": _get_figures(scores, "rels_strict"),
        "boundaries": _get_figures(scores, "rels_boundaries"),
    }


class _Summary(TypedDict):
    """The figures that findings have; see `UnitAgreement`."""

    documents: int
    types: float | None
    directions: float | None
    kinds: dict[str, int]


def _summarise(unit: Unit, examples: Sequence[Example]) -> _Summary:
    counts = count_errors(chain.from_iterable(map(find_errors, examples)))
    kinds: dict[str, int] = {}
    for (found, kind), count in sorted(counts.items()):
        if found == unit:
            kinds[kind] = count
    return {
        "documents": len(examples),
        "types": _share(counts, unit, "wrong type"),
        "directions": _share(counts, unit, "wrong direction"),
        "kinds": kinds,
    }


def _share(counts: ErrorCounts, unit: Unit, kind: Kind) -> float | None:
    """Return the share of agreements among agreements and disagreements of one kind."""
    correct, wrong = counts[unit, "correct"], counts[unit, kind]
    if not correct + wrong or (unit == "entity" and kind == "wrong direction"):
        return None
    return correct / (correct + wrong)


def _get_figures(scores: Scores, prefix: str) -> Figures:
    per_type = scores[f"{prefix}_per_type"] or {}
    if not per_type:  # neither annotation has an item
        return {"p": None, "r": None, "f": None, "per_type": {}}
    return {
        "p": scores[f"{prefix}_p"] or 0.0,
        "r": scores[f"{prefix}_r"] or 0.0,
        "f": scores[f"{prefix}_f"] or 0.0,
        "per_type": per_type,
    }


def _get_boundaries(item: EntityItem) -> tuple[int, int]:
    return item.start, item.end


def _label_tokens(tokens: Doc, annotated: Doc) -> list[str | None]:
    """Return the entity type of each token of a document, in an annotation of the same text.

    A token that no entity holds has None.
    """
    label_of: dict[int, str] = {}
    for start, end, label in entity_items(annotated):
        label_of.update(dict.fromkeys(range(start, end), label))
    labels: list[str | None] = []
    position = 0  # the number of characters other than white space so far
    for token in tokens:
        length = len("".join(token.text.split()))
        if length:
            labels.append(label_of.get(position))
        position += length
    return labels
