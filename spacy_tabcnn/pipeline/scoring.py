"""Precision, recall and F-score of predicted entities and relations."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from itertools import accumulate
from typing import Any

from spacy.scorer import PRFScore
from spacy.tokens import Doc, Span
from spacy.training import Example

from ..relations import get_relations, has_relations

# A predicted or gold thing in a form that two documents share, and the type it is counted under.
Item = tuple[Hashable, str]


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
    entities, boundaries, strict = _Tally(), _Tally(), _Tally()
    for eg in examples:
        if eg.reference.has_annotation("ENT_IOB"):
            entities.add(_entities(eg.predicted), _entities(eg.reference))
        if has_relations(eg.reference):
            for tally, typed in ((boundaries, False), (strict, True)):
                tally.add(_relations(eg.predicted, typed=typed), _relations(eg.reference, typed=typed))
    return entities.scores("ents") | boundaries.scores("rels_boundaries") | strict.scores("rels_strict")


def count_items(eg: Example) -> dict[str, tuple[int, int, int]]:
    """Count what `score_relations` counts in one example, over all types.

    eg (Example): The predicted and the reference document.
    RETURNS (dict[str, tuple[int, int, int]]): Hits, misses and spurious items, by the prefix of their scores. Their
        sums over examples give the micro averages. Zeros for whatever the reference is not annotated with.
    """
    counts = dict.fromkeys(("ents", "rels_boundaries", "rels_strict"), (0, 0, 0))
    if eg.reference.has_annotation("ENT_IOB"):
        counts["ents"] = _compare(_entities(eg.predicted), _entities(eg.reference))
    if has_relations(eg.reference):
        for prefix, typed in (("rels_boundaries", False), ("rels_strict", True)):
            counts[prefix] = _compare(_relations(eg.predicted, typed=typed), _relations(eg.reference, typed=typed))
    return counts


def _compare(predicted: set[Item], gold: set[Item]) -> tuple[int, int, int]:
    return len(predicted & gold), len(gold - predicted), len(predicted - gold)


class _Tally:
    """Counts by type, over documents."""

    def __init__(self) -> None:
        self.by_type: dict[str, PRFScore] = defaultdict(PRFScore)
        self.is_annotated = False

    def add(self, predicted: set[Item], gold: set[Item]) -> None:
        self.is_annotated = True
        for label in {label for _, label in predicted | gold}:
            self.by_type[label].score_set(
                {item for item in predicted if item[1] == label}, {item for item in gold if item[1] == label}
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


def _entities(doc: Doc) -> set[Item]:
    offsets = _offsets(doc)
    return {((offsets[ent.start], offsets[ent.end]), ent.label_) for ent in doc.ents}


def _relations(doc: Doc, *, typed: bool) -> set[Item]:
    offsets = _offsets(doc)

    def argument(span: Span) -> Hashable:
        return (offsets[span.start], offsets[span.end], span.label_ if typed else None)

    return {((argument(head), argument(tail)), label) for head, tail, label, _ in get_relations(doc)}


def _offsets(doc: Doc) -> list[int]:
    """Count the characters, without whitespace, before each token and before the end."""
    return [0, *accumulate(len("".join(token.text.split())) for token in doc)]
