"""The choice of documents to annotate next: uncertain ones, far apart, with quotas of labels."""

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence, Set
from itertools import chain
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from spacy.tokens import Doc

from ..arrays import Floats1d, Ints1d, NumpyFloats2d
from .decisions import Decisions
from .items import Item, entity_items, relation_items

Measure: TypeAlias = Literal["margin", "entropy"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
# The candidates for one place: so many times the wanted number of documents are uncertain enough.
DIVERSITY = 2.0
# Scores that differ less are a tie. The order of additions changes the last digits.
_DIGITS = 6


class Uncertainty(NamedTuple):
    """The uncertainty about a document, divided by the square root of its number of words.

    entities (float): The uncertainty about its entities.
    relations (float): The uncertainty about its relations.
    """

    entities: float
    relations: float

    @property
    def score(self) -> float:
        """Return the sum, rounded so that ties are ties on every machine."""
        return round(self.entities + self.relations, _DIGITS)


def measure_uncertainty(decisions: Decisions, measure: Measure = "margin") -> Uncertainty:
    """Measure how uncertain a model is about a document.

    The uncertainties of all decisions are added up and divided by the square root of the number of
    words. The sum alone prefers long documents, and the mean of each word short ones, of a few
    words, that teach little. With "margin", a decision counts 1 minus the difference of its two
    highest probabilities. With "entropy", it counts its entropy in bits. A decision about a
    relation is between the relation and no relation.

    decisions (Decisions): The annotation of the document, with its probabilities.
    measure (str): "margin" or "entropy".
    RETURNS (Uncertainty): The uncertainty; 0 for a document without words.
    Source: Scheffer, Decomain and Wrobel (2001) for the margin; Settles and Craven (2008), An
        analysis of active learning strategies for sequence labeling tasks.
    """
    size = _measure_size(decisions.doc)
    relations = _make_binary(np.array(list(decisions.relations.values()), dtype=np.float64))
    return Uncertainty(
        _add_up(decisions.entities.decisions, measure) / size,
        _add_up(relations, measure) / size,
    )


def measure_disagreement(docs: Sequence[Doc], measure: Measure = "margin") -> Uncertainty:
    """Measure how much models disagree about a document.

    Each entity and each relation that any model predicts is put to the vote. Its share of the votes
    counts as a probability, as in `measure_uncertainty`.

    docs (Sequence[Doc]): The document as each model annotates it, at least one. Tokens may differ.
    measure (str): "margin" or "entropy".
    RETURNS (Uncertainty): The disagreement, for the words of the first document.
    Source: Dagan and Engelson (1995), Committee-based sampling for training probabilistic
        classifiers.
    """
    size = _measure_size(docs[0])
    entities = _count_votes(list(map(entity_items, docs)))
    relations = _count_votes(list(map(relation_items, docs)))
    return Uncertainty(
        _add_up(_make_binary(entities), measure) / size,
        _add_up(_make_binary(relations), measure) / size,
    )


def list_labels(doc: Doc) -> Set[str]:
    """List the labels of the entities and relations of a document.

    doc (Doc): The document.
    RETURNS (Set[str]): The labels.
    """
    items: chain[Item] = chain(entity_items(doc), relation_items(doc))
    return {item.label for item in items}


class Choice(NamedTuple):
    """Chosen documents.

    positions (list[int]): Their positions among all documents, the highest score first; of equal
        scores the first document first.
    lacking (dict[str, int]): For each label that too few documents have, the number of documents
        that its quota lacks.
    """

    positions: list[int]
    lacking: dict[str, int]


def choose_documents(
    scores: Sequence[float],
    vectors: Sequence[Floats1d],
    n: int,
    *,
    diversity: float = DIVERSITY,
    labels: Sequence[Set[str]] = (),
    quotas: Mapping[str, int] | None = None,
) -> Choice:
    """Choose documents with high scores that are far apart.

    First, each quota takes the documents with its label and the highest scores. Then the
    `diversity * n` documents with the highest scores are candidates, and the candidate that is
    furthest from all chosen documents is chosen, again and again (greedy k-center). Of candidates
    that are equally far, the one with the higher score is chosen, then the first one.

    scores (Sequence[float]): The score of each document.
    vectors (Sequence[Floats1d]): The vector of each document, of length 1.
    n (int): Number of documents to choose. If there are fewer, all are chosen.
    diversity (float): Candidates for each chosen document, at least 1. With 1, the scores alone
        decide.
    labels (Sequence[Set[str]]): The labels of each document, for the quotas.
    quotas (Mapping[str, int] | None): Minimum number of chosen documents with a label.
    RETURNS (Choice): The documents.
    RAISES (ValueError): If `diversity` is below 1 or not finite.
    Source: Sener and Savarese (2018), Active learning for convolutional neural networks: a core-set
        approach.
    """
    check_diversity(diversity)
    ranked = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable").tolist()
    chosen, lacking = _fill_quotas(ranked, n, labels, quotas or {})
    taken = set(chosen)
    others = [position for position in ranked if position not in taken]
    n_left = min(n - len(chosen), len(others))
    candidates = others[: max(n_left, int(diversity * n_left))]
    chosen += _spread_out(chosen, candidates, n_left, vectors)
    rank_of = {position: rank for rank, position in enumerate(ranked)}
    return Choice(sorted(chosen, key=rank_of.__getitem__), lacking)


def check_diversity(diversity: float) -> None:
    """Check a number of candidates for each chosen document.

    diversity (float): The number.
    RAISES (ValueError): If it is below 1 or not finite.
    """
    if not 1 <= diversity < math.inf:
        raise ValueError(f"the diversity is {diversity}; expected at least 1 candidate a document")


def _fill_quotas(
    ranked: Sequence[int], n: int, labels: Sequence[Set[str]], quotas: Mapping[str, int]
) -> tuple[list[int], dict[str, int]]:
    """Choose documents for the quotas, at most `n`. A document counts for all of its labels."""
    chosen: dict[int, None] = {}
    held: Counter[str] = Counter()
    for label, quota in quotas.items():
        for position in ranked:
            if held[label] >= quota or len(chosen) >= n:
                break
            if position not in chosen and label in labels[position]:
                chosen[position] = None
                held.update(labels[position])
    lacking = {}
    for label, quota in quotas.items():
        if held[label] < quota:
            lacking[label] = quota - held[label]
    return list(chosen), lacking


def _spread_out(
    chosen: Sequence[int], candidates: Sequence[int], n: int, vectors: Sequence[Floats1d]
) -> list[int]:
    """Choose candidates, each as far as possible from all that are chosen."""
    if len(candidates) <= n:
        return list(candidates)
    matrix = np.array([vectors[position] for position in candidates], dtype=np.float64)
    distances = np.full(len(candidates), np.inf)
    for position in chosen:
        distances = np.minimum(distances, _measure_distances(matrix, vectors[position]))
    picked: list[int] = []
    while len(picked) < n:
        best = int(distances.argmax())
        picked.append(candidates[best])
        distances = np.minimum(distances, _measure_distances(matrix, matrix[best]))
        distances[best] = -np.inf
    return picked


def _measure_distances(matrix: NumpyFloats2d, vector: Floats1d) -> NDArray[np.float64]:
    """Measure the distance of each row from a vector, from 0 to 2, rounded so that ties stay."""
    distances: NDArray[np.float64] = 1.0 - matrix @ vector
    return distances.round(_DIGITS)


def _measure_size(doc: Doc) -> float:
    """Return the square root of the number of words, at least 1."""
    return math.sqrt(max(len(doc), 1))


def _count_votes(votes: Sequence[Iterable[Hashable]]) -> NDArray[np.float64]:
    """Return the share of the models that predict each item, for all items of any model."""
    counts: Counter[Hashable] = Counter(chain.from_iterable(votes))
    return np.array(list(counts.values()), dtype=np.float64) / len(votes)


def _make_binary(probabilities: NDArray[np.float64]) -> NumpyFloats2d:
    """Return the probabilities of yes and of no, (decisions, 2)."""
    return np.stack([probabilities, 1.0 - probabilities], axis=1)


def _add_up(probabilities: NumpyFloats2d, measure: Measure) -> float:
    """Add up the uncertainty of decisions, from the probabilities of their labels."""
    if not probabilities.size or probabilities.shape[1] < 2:
        return 0.0
    if measure == "entropy":
        logs = np.log2(np.maximum(probabilities, 1e-12))
        return float(np.maximum(-(probabilities * logs).sum(), 0.0))
    columns: Ints1d = np.array([-2, -1])
    second, first = np.partition(probabilities, columns, axis=1)[:, columns].T
    return float((1.0 - (first - second)).sum())
