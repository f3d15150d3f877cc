"""The setting `entities`: entities that are given, and predicted ones between them."""

import warnings
from bisect import bisect_right
from collections.abc import Sequence
from operator import itemgetter
from typing import Literal, TypeAlias, get_args

import numpy as np
from spacy.tokens import Doc, Span

from ..arrays import Bools1d
from ..predictions import EntityPrediction
from ..relations import get_entity_score, set_entity_scores
from ..sentences import Bounds, Sentences

Entities: TypeAlias = Literal["predict", "given", "merge"]
# The end of the warning about replaced entities.
HOW_TO_KEEP = (
    'Set entities = "given" or "merge" in its config to keep them: see "Given entities" in '
    "docs/predict.md"
)


def check_option(name: str, entities: str) -> None:
    """Check the setting `entities` of a component.

    name (str): Name of the component.
    entities (str): The setting.
    RAISES (ValueError): If it has another value.
    """
    if entities not in get_args(Entities):
        raise ValueError(
            f"Component '{name}': entities is {entities!r}; expected 'predict', 'given' or 'merge'"
        )


def find_given(
    name: str, docs: Sequence[Doc], by_doc: Sequence[list[Bounds]]
) -> list[list[EntityPrediction]]:
    """Return the given entities of each sentence, counted from its first word.

    name (str): Name of the component, for a warning about entities that cross a sentence boundary.
    docs (Sequence[Doc]): The documents, with the given entities.
    by_doc (Sequence[list[Bounds]]): The sentences of each document.
    RETURNS (list[list[EntityPrediction]]): The entities of each sentence of the batch.
    """
    by_sentence: list[list[EntityPrediction]] = []
    for doc, sentences in zip(docs, by_doc, strict=True):
        n_before = len(by_sentence)
        by_sentence.extend([] for _ in sentences)
        starts = [start for start, _ in sentences]
        for ent in doc.ents:
            sentence = bisect_right(starts, ent.start) - 1
            first, end = sentences[sentence]
            if ent.end > end:
                _warn_of_crossing(name, ent)
                continue
            entity = EntityPrediction(ent.start - first, ent.end - first, ent.label_)
            by_sentence[n_before + sentence].append(entity)
    return by_sentence


def _warn_of_crossing(name: str, ent: Span) -> None:
    warnings.warn(
        f"Component '{name}': a given entity, {ent.text!r}, crosses a sentence boundary and gets "
        "no relations. Set the boundaries, or the entities, by other means",
        stacklevel=2,
    )


def keep_free(
    predicted: Sequence[Sequence[EntityPrediction]], docs: Sequence[Doc], sentences: Sentences
) -> list[list[EntityPrediction]]:
    """Return the predicted entities that contain no word of a given one.

    predicted (Sequence[Sequence[EntityPrediction]]): The predicted entities of each sentence.
    docs (Sequence[Doc]): The documents, with the given entities.
    sentences (Sentences): The sentences of the documents.
    RETURNS (list[list[EntityPrediction]]): The entities that are left, of each sentence.
    """
    is_taken = _mark_entities(docs)
    free: list[list[EntityPrediction]] = []
    for first, found in zip(sentences.starts(), predicted, strict=True):
        left = []
        for ent in found:
            if not is_taken[first + ent.start : first + ent.end].any():
                left.append(ent)
        free.append(left)
    return free


def add_entities(
    entities: Sequence[list[EntityPrediction]], others: Sequence[Sequence[EntityPrediction]]
) -> None:
    """Add entities to the entities of each sentence, in text order.

    entities (Sequence[list[EntityPrediction]]): The entities of each sentence, to add to.
    others (Sequence[Sequence[EntityPrediction]]): The entities to add, which overlap none of them.
    """
    for known, found in zip(entities, others, strict=True):
        known.extend(found)
        known.sort()


def _mark_entities(docs: Sequence[Doc]) -> Bools1d:
    """Return whether each word of a batch is in an entity, bool (words,)."""
    marks = np.zeros(sum(map(len, docs)), dtype=bool)
    first = 0
    for doc in docs:
        for ent in doc.ents:
            marks[first + ent.start : first + ent.end] = True
        first += len(doc)
    return marks


def add_to_doc(doc: Doc, ents: Sequence[Span], scores: Sequence[float]) -> None:
    """Set the entities that a document does not have, with their scores.

    The others stay as they are; they keep the scores of an earlier component of this package.

    doc (Doc): The document.
    ents (Sequence[Span]): The entities, among them the entities of the document.
    scores (Sequence[float]): A probability for each of them.
    """
    given = doc.ents
    bounds = {(ent.start, ent.end) for ent in given}
    new: list[Span] = []
    scored: list[tuple[Span, float]] = []
    for ent in given:
        score = get_entity_score(ent)
        if score is not None:
            scored.append((ent, score))
    for ent, score in zip(ents, scores, strict=True):
        if (ent.start, ent.end) not in bounds:
            new.append(ent)
            scored.append((ent, score))
    doc.set_ents([*given, *new])
    set_entity_scores(doc, map(itemgetter(0), scored), map(itemgetter(1), scored))
