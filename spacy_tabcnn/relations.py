"""Relations between entities and the extension attributes that hold them.

`doc._.relations` reads and writes a list of `Relation`. What is stored is plain data in `doc.user_data`, so that
relations survive `Doc.to_bytes`, `DocBin(store_user_data=True)`, `Doc.copy`, pickle and worker processes.

It names words by their index. So what makes a document of other words does not carry relations along: set them again
after `Doc.retokenize`, `Span.as_doc` (also with `copy_user_data=True`) and `Doc.from_docs`. `Doc.to_json` leaves them
out, and `to_json(underscore=["relations"])` refuses them unless the list is empty, since spans are no JSON.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from spacy.tokens import Doc, Span

# Keys of doc.user_data. The values are lists of plain lists: see `_pack` and `set_entity_scores`.
RELATIONS_KEY = "spacy_tabcnn.relations"
ENTITY_SCORES_KEY = "spacy_tabcnn.entity_scores"


class Relation(NamedTuple):
    """A directed, typed relation between two entities of one document.

    head (Span): The argument the relation starts from; its `label_` is the entity's type.
    tail (Span): The argument the relation points to.
    label (str): The relation's type.
    score (float): Probability between 0 and 1; 1.0 for an annotated relation.
    """

    head: Span
    tail: Span
    label: str
    score: float = 1.0


def has_relations(doc: Doc) -> bool:
    """Tell whether relations were annotated or predicted on a document. An empty list counts: it says that the
    document holds no relation.

    doc (Doc): The document.
    RETURNS (bool): True if `doc._.relations` was ever set.
    """
    return RELATIONS_KEY in doc.user_data


def get_relations(doc: Doc) -> list[Relation]:
    """Read the relations of a document; the getter of `doc._.relations`.

    doc (Doc): The document.
    RETURNS (list[Relation]): Its relations, in the order they were set; empty if none were set. A span that was given
        without a label has that of the entity with its boundaries.
    """
    stored = doc.user_data.get(RELATIONS_KEY, ())
    types = {(ent.start, ent.end): ent.label_ for ent in doc.ents} if stored else {}

    def make_span(start: int, end: int, label: str) -> Span:
        return Span(doc, start, end, label=label or types.get((start, end), ""))

    return [
        Relation(make_span(*head), make_span(*tail), label, score)
        for head, tail, label, score in ((item[:3], item[3:6], *item[6:]) for item in stored)
    ]


def set_relations(doc: Doc, relations: Iterable[Relation | Sequence[Any]]) -> None:
    """Replace the relations of a document; the setter of `doc._.relations`.

    doc (Doc): The document.
    relations (Iterable): `Relation` objects, or tuples `(head, tail, label)` or `(head, tail, label, score)` of two
        spans of this document, a string and a probability.
    RAISES (ValueError): If an item has another form, a span is empty or belongs to another document, or a score is no
        probability.
    """
    if not isinstance(relations, Iterable):
        raise ValueError(
            f"doc._.relations: {relations!r} is no list of relations; set [] to say that there are none"
        )
    doc.user_data[RELATIONS_KEY] = [
        _pack(doc, index, relation) for index, relation in enumerate(relations)
    ]


def set_entity_scores(doc: Doc, entities: Iterable[Span], scores: Iterable[float]) -> None:
    """Store a score for each entity, to be read as `span._.entity_score`.

    doc (Doc): The document.
    entities (Iterable[Span]): Entities of the document.
    scores (Iterable[float]): A probability for each of them.
    """
    doc.user_data[ENTITY_SCORES_KEY] = [
        [ent.start, ent.end, ent.label_, float(score)]
        for ent, score in zip(entities, scores, strict=True)
    ]


def get_entity_score(span: Span) -> float | None:
    """Read the score of a predicted entity; the getter of `span._.entity_score`.

    span (Span): A span with the boundaries and the label of a predicted entity.
    RETURNS (float | None): Its probability, or None if no such entity was predicted.
    """
    for start, end, label, score in span.doc.user_data.get(ENTITY_SCORES_KEY, ()):
        if (start, end, label) == (span.start, span.end, span.label_):
            return score
    return None


def register_extensions() -> None:
    """Register `doc._.relations` and `span._.entity_score` where they are missing. Spawned worker processes start
    without them, so the components call this before they annotate."""
    if not Doc.has_extension("relations"):
        Doc.set_extension("relations", getter=get_relations, setter=set_relations)
    if not Span.has_extension("entity_score"):
        Span.set_extension("entity_score", getter=get_entity_score)


def _pack(doc: Doc, index: int, relation: Relation | Sequence[Any]) -> list[Any]:
    if not isinstance(relation, Sequence) or len(relation) not in (3, 4):
        raise ValueError(
            f"doc._.relations: item {index} is {relation!r}; expected a Relation or a tuple "
            "(head_span, tail_span, label) or (head_span, tail_span, label, score)"
        )
    head, tail, label, *rest = relation
    for role, span in (("head", head), ("tail", tail)):
        if not isinstance(span, Span) or span.doc is not doc or not len(span):
            raise ValueError(
                f"doc._.relations: the {role} of item {index} is {span!r}; expected a Span of words of this "
                "document, for example doc[2:4] or an item of doc.ents"
            )
    if not isinstance(label, str) or not label:
        raise ValueError(
            f"doc._.relations: the label of item {index} is {label!r}; expected a non-empty string"
        )
    try:
        score = float(rest[0]) if rest else 1.0
    except (TypeError, ValueError):
        score = math.nan
    if not 0.0 <= score <= 1.0:
        raise ValueError(
            f"doc._.relations: the score of item {index} is {rest[0]!r}; expected a probability between 0 and 1"
        )
    return [head.start, head.end, head.label_, tail.start, tail.end, tail.label_, label, score]
