"""Precision, recall and F-score of predicted entities and relations."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any

from spacy.language import Language
from spacy.scorer import PRFScore
from spacy.training import Example

from ..relations import has_relations
from .items import EntityItem, RelationItem, entity_items, relation_items

# What is scored, predicted and gold, by the prefix of the scores.
Items = Mapping[str, tuple[Set[EntityItem | RelationItem], Set[EntityItem | RelationItem]]]

PREFIXES = ("ents", "rels_boundaries", "rels_strict")


def predict_examples(nlp: Language, examples: Sequence[Example]) -> list[Example]:
    """Let a pipeline annotate examples. `nlp.evaluate` does so on copies, which nobody can look into afterwards.

    nlp (Language): The pipeline.
    examples (Sequence[Example]): The examples; their predicted documents are annotated.
    RETURNS (list[Example]): The annotated documents with the references.
    """
    docs = nlp.pipe(eg.predicted for eg in examples)
    return [Example(doc, eg.reference) for doc, eg in zip(docs, examples, strict=True)]


def make_relation_scorer() -> Callable[..., dict[str, Any]]:
    """Create the scorer `spacy-tabcnn.relation_scorer.v1`.

    RETURNS (Callable): `score_relations`, which spaCy calls with the examples and the component's settings.
    """
    return score_relations


def score_relations(examples: Iterable[Example], **kwargs: Any) -> dict[str, Any]:
    """Score predicted entities and relations against the gold ones.

    Three things are scored, under these prefixes:

    - `ents`: entities. Both boundaries and the type have to be right.
    - `rels_boundaries` ("RE"): relations. The boundaries of head and tail and the label have to be right; the
      types of the two entities do not count.
    - `rels_strict` ("RE+"): relations. The types of the two entities have to be right as well.

    A gold item that was not predicted counts as missed, whether or not its entities were found; a predicted
    item that is not gold counts as spurious. An item predicted twice counts once. A relation with head and
    tail swapped is another relation.

    - `*_p`, `*_r`, `*_f` are micro averages: hits, misses and spurious items are summed over all types, and
      precision, recall and F-score computed from the sums.
    - `*_per_type` holds p, r and f of each type that occurs in the gold or the predicted annotation.
    - `*_macro_p`, `*_macro_r`, `*_macro_f` are macro averages: the means over those types of their p, their r
      and their f.

    Where there is nothing to divide by, the figure is 0. Boundaries are counted in characters other than
    whitespace, so the two documents may differ in tokens and in whitespace; a predicted span that fits no
    gold tokens is spurious. Documents whose reference is not annotated with entities are left out of `ents`,
    those whose reference is not annotated with relations out of the other two.

    examples (Iterable[Example]): The predicted and the reference documents.
    kwargs: Ignored: spaCy passes on the component's settings.
    RETURNS (dict[str, Any]): Figures between 0 and 1, and a dictionary for each `*_per_type`; None for
        whatever no reference is annotated with.
    Source: the paper's section 3.1, as in SpERT's strict evaluation (Eberts and Ulges, 2020).
    """
    tallies = {prefix: _Tally() for prefix in PREFIXES}
    for eg in examples:
        for prefix, (predicted, gold) in _get_items(eg).items():
            tallies[prefix].add(predicted, gold)
    scores: dict[str, Any] = {}
    for prefix, tally in tallies.items():
        scores |= tally.scores(prefix)
    return scores


def count_items(eg: Example) -> dict[str, tuple[int, int, int]]:
    """Count what `score_relations` counts in one example, over all types.

    eg (Example): The predicted and the reference document.
    RETURNS (dict[str, tuple[int, int, int]]): Hits, misses and spurious items, by the prefix of their scores. Their
        sums over examples give the micro averages. Zeros for whatever the reference is not annotated with.
    """
    counts = dict.fromkeys(PREFIXES, (0, 0, 0))
    for prefix, (predicted, gold) in _get_items(eg).items():
        counts[prefix] = (len(predicted & gold), len(gold - predicted), len(predicted - gold))
    return counts


def _get_items(eg: Example) -> Items:
    """Collect what is compared. There is nothing under the prefix of what the reference is not annotated with."""
    items: dict[str, Any] = {}
    if eg.reference.has_annotation("ENT_IOB"):
        items["ents"] = (entity_items(eg.predicted).keys(), entity_items(eg.reference).keys())
    if has_relations(eg.reference):
        strict = (relation_items(eg.predicted).keys(), relation_items(eg.reference).keys())
        items["rels_boundaries"] = tuple(
            {_without_types(item) for item in found} for found in strict
        )
        items["rels_strict"] = strict
    return items


def _without_types(item: RelationItem) -> RelationItem:
    return item._replace(head=item.head._replace(label=""), tail=item.tail._replace(label=""))


class _Tally:
    """Counts by type, over documents."""

    def __init__(self) -> None:
        self.by_type: dict[str, PRFScore] = defaultdict(PRFScore)
        self.is_annotated = False

    def add(
        self, predicted: Set[EntityItem | RelationItem], gold: Set[EntityItem | RelationItem]
    ) -> None:
        self.is_annotated = True
        for label in {item.label for item in predicted | gold}:
            self.by_type[label].score_set(
                {item for item in predicted if item.label == label},
                {item for item in gold if item.label == label},
            )

    def scores(self, prefix: str) -> dict[str, Any]:
        micro = sum(self.by_type.values(), PRFScore()).to_dict()
        per_type = {label: score.to_dict() for label, score in sorted(self.by_type.items())}
        scores: dict[str, Any] = {}
        for figure in "prf":
            scores[f"{prefix}_{figure}"] = micro[figure]
            values = [score[figure] for score in per_type.values()]
            scores[f"{prefix}_macro_{figure}"] = sum(values) / max(len(values), 1)
        scores[f"{prefix}_per_type"] = per_type
        return scores if self.is_annotated else dict.fromkeys(scores)
