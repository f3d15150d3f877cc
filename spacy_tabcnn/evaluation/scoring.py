"""Precision, recall and F-score of predicted entities and relations."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence, Set
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

from spacy.language import Language
from spacy.scorer import PRFScore
from spacy.training import Example

from ..relations import has_relations
from .items import Item, RelationItem, entity_items, relation_items

# Scores as spaCy handles them: by name, a figure or a dictionary of figures for each type.
Scores = dict[str, Any]

# The titles of the groups of scores, by the prefix of their names.
TITLES = {
    "ents": "Entities (NER)",
    "rels_boundaries": "Relations, boundaries (RE)",
    "rels_strict": "Relations, strict (RE+)",
}
PREFIXES = tuple(TITLES)


class ItemSets(NamedTuple):
    """The predicted and the gold items of a document, under one of the `PREFIXES`."""

    predicted: Set[Item]
    gold: Set[Item]


def format_percent(share: float) -> str:
    """Return a share in percent with one decimal.

    share (float): The share, of 1.
    RETURNS (str): For example "83.7".
    """
    return f"{100 * share:.1f}"


def predict_examples(nlp: Language, examples: Sequence[Example]) -> list[Example]:
    """Annotate the predicted documents of examples with a pipeline. `nlp.evaluate` annotates
    copies and does not return them.

    nlp (Language): The pipeline.
    examples (Sequence[Example]): The examples; their predicted documents are annotated.
    RETURNS (list[Example]): The annotated documents with the references.
    """
    docs = nlp.pipe(map(attrgetter("predicted"), examples))
    return [Example(doc, eg.reference) for doc, eg in zip(docs, examples, strict=True)]


def make_relation_scorer() -> Callable[..., Scores]:
    """Create the scorer `spacy-tabcnn.relation_scorer.v1`.

    RETURNS (Callable): `score_relations`, which spaCy calls with the examples and the component's
        settings.
    """
    return score_relations


def score_relations(examples: Iterable[Example], **kwargs: object) -> Scores:
    """Score predicted entities and relations against the gold ones.

    The scores have three prefixes:

    - `ents`: entities. Both boundaries and the type have to be right.
    - `rels_boundaries` ("RE"): relations. The boundaries of head and tail and the label have to be
      right; the types of the two entities do not count.
    - `rels_strict` ("RE+"): relations. The types of the two entities have to be right as well.

    A gold item that was not predicted counts as missed, whether or not its entities were found. A
    predicted item that is not gold counts as spurious. An item predicted twice counts once. A
    relation with head and tail swapped is another relation.

    - `*_p`, `*_r`, `*_f` are micro averages: hits, misses and spurious items are summed over all
      types, and precision, recall and F-score are computed from the sums.
    - `*_per_type` holds p, r and f of each type in the gold or the predicted annotation.
    - `*_macro_p`, `*_macro_r`, `*_macro_f` are macro averages: the mean p, the mean r and the mean
      f over those types.

    A figure is 0 if its denominator is 0. Boundaries are counted in characters other than
    whitespace, so the two documents may differ in tokens and in whitespace. A predicted span that
    fits no gold tokens is spurious. `ents` leaves out documents whose reference has no entity
    annotation. The other two leave out documents whose reference has no relation annotation.

    examples (Iterable[Example]): The predicted and the reference documents.
    kwargs: Ignored: spaCy passes on the component's settings.
    RETURNS (dict[str, Any]): Figures between 0 and 1, and a dictionary for each `*_per_type`. The
        scores of a prefix are None if no reference is annotated with its items.
    Source: the paper's section 3.1, as in SpERT's strict evaluation (Eberts and Ulges, 2020).
    """
    tallies = {prefix: _Tally() for prefix in PREFIXES}
    for eg in examples:
        for prefix, items in _collect_items(eg).items():
            tallies[prefix].add(items)
    scores: Scores = {}
    for prefix, tally in tallies.items():
        scores |= tally.scores(prefix)
    return scores


def count_items(eg: Example) -> dict[str, tuple[int, int, int]]:
    """Count the hits, misses and spurious items of one example, over all types.

    eg (Example): The predicted and the reference document.
    RETURNS (dict[str, tuple[int, int, int]]): Hits, misses and spurious items, by the prefix of
        their scores. Their sums over examples give the micro averages of `score_relations`. Zeros
        for items that the reference is not annotated with.
    """
    counts = dict.fromkeys(PREFIXES, (0, 0, 0))
    for prefix, (predicted, gold) in _collect_items(eg).items():
        counts[prefix] = (len(predicted & gold), len(gold - predicted), len(predicted - gold))
    return counts


def _collect_items(eg: Example) -> dict[str, ItemSets]:
    """Collect the items to compare. A prefix is missing if the reference has no such annotation."""
    items: dict[str, ItemSets] = {}
    if eg.reference.has_annotation("ENT_IOB"):
        items["ents"] = ItemSets(
            entity_items(eg.predicted).keys(), entity_items(eg.reference).keys()
        )
    if has_relations(eg.reference):
        predicted = relation_items(eg.predicted).keys()
        gold = relation_items(eg.reference).keys()
        items["rels_boundaries"] = ItemSets(
            set(map(_remove_types, predicted)), set(map(_remove_types, gold))
        )
        items["rels_strict"] = ItemSets(predicted, gold)
    return items


def _remove_types(item: RelationItem) -> RelationItem:
    return item._replace(head=item.head._replace(label=""), tail=item.tail._replace(label=""))


class _Tally:
    """Counts by type, over documents."""

    def __init__(self) -> None:
        self.by_type: dict[str, PRFScore] = defaultdict(PRFScore)
        self.is_annotated = False

    def add(self, items: ItemSets) -> None:
        self.is_annotated = True
        predicted, gold = _group_by_type(items.predicted), _group_by_type(items.gold)
        for label in predicted.keys() | gold.keys():
            self.by_type[label].score_set(predicted.get(label, set()), gold.get(label, set()))

    def scores(self, prefix: str) -> Scores:
        micro = sum(self.by_type.values(), PRFScore()).to_dict()
        per_type: dict[str, dict[str, float]] = {}
        for label in sorted(self.by_type):
            per_type[label] = self.by_type[label].to_dict()
        scores: Scores = {}
        for figure in "prf":
            total = sum(map(itemgetter(figure), per_type.values()))
            scores[f"{prefix}_{figure}"] = micro[figure]
            scores[f"{prefix}_macro_{figure}"] = total / max(len(per_type), 1)
        scores[f"{prefix}_per_type"] = per_type
        if not self.is_annotated:
            return dict.fromkeys(scores)
        return scores


def _group_by_type(items: Set[Item]) -> dict[str, set[Item]]:
    groups: dict[str, set[Item]] = {}
    for item in items:
        groups.setdefault(item.label, set()).add(item)
    return groups
