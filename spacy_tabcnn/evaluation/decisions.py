"""The probabilities behind the annotation of documents, for every component of this package.

A component predicts only the relations above its threshold, and may soften its scores. Here, the
threshold is lifted for a moment, so that every candidate has its probability as the model computes
it.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, cast
from zlib import crc32

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.util import minibatch
from thinc.util import to_numpy

from ..arrays import Floats1d
from ..documents import copy_words
from ..pipeline.base import RelationPipe
from ..predictions import EntityProbabilities
from .items import EntityItem, RelationItem, entity_items, relation_items

BATCH_SIZE = 32  # documents
# Width of the vectors of texts where a component has no embeddings of words.
N_HASHES = 256
# The setting of a component with the minimum score of a relation.
_THRESHOLD = "min_score"
_EMBEDDINGS = "tok2vec"


class Decisions(NamedTuple):
    """The annotation of a document and the probabilities behind it.

    doc (Doc): The annotated document.
    entities (EntityProbabilities): The probabilities of entities.
    scores (dict[EntityItem, float | None]): The score of each predicted entity; None for a given
        one.
    relations (dict[RelationItem, float]): The probability of each candidate relation between
        predicted entities, also below the threshold. A component may list the most probable label
        of a pair only.
    vector (Floats1d): The mean of the embeddings of the words, of length 1; zeros for a document
        without words.
    """

    doc: Doc
    entities: EntityProbabilities
    scores: dict[EntityItem, float | None]
    relations: dict[RelationItem, float]
    vector: Floats1d


def decide(
    nlp: Language, docs: Iterable[Doc], *, batch_size: int = BATCH_SIZE
) -> Iterator[Decisions]:
    """Annotate documents with a pipeline, and keep the probabilities behind the annotation.

    nlp (Language): The pipeline. The last component that predicts relations counts.
    docs (Iterable[Doc]): Documents with words and without annotation. They are annotated.
    batch_size (int): Number of documents to annotate at once.
    YIELDS (Decisions): The annotation of each document.
    RAISES (ValueError): If the pipeline has no component that predicts relations.
    """
    component = find_component(nlp)
    for batch in minibatch(docs, batch_size):
        yield from _decide_batch(nlp, component, list(batch))


def find_component(nlp: Language) -> RelationPipe:
    """Find the last component of a pipeline that predicts relations.

    nlp (Language): The pipeline.
    RETURNS (RelationPipe): The component.
    RAISES (ValueError): If there is none.
    """
    for _, pipe in reversed(nlp.pipeline):
        if isinstance(pipe, RelationPipe):
            return pipe
    raise ValueError(
        f"the pipeline has no component that predicts relations (its components: {nlp.pipe_names})"
    )


def _decide_batch(nlp: Language, component: RelationPipe, docs: list[Doc]) -> Iterator[Decisions]:
    found: list[Decisions] = []
    for _, pipe in nlp.pipeline:
        if pipe is component:
            found = _apply(component, docs)
        elif hasattr(pipe, "pipe"):
            docs = list(pipe.pipe(docs, batch_size=len(docs)))
        else:
            docs = list(map(pipe, docs))
    for doc, decisions in zip(docs, found, strict=True):
        yield decisions._replace(doc=doc)


def _apply(component: RelationPipe, docs: list[Doc]) -> list[Decisions]:
    """Annotate documents with the component itself."""
    logits = component.predict(docs)
    drafts = list(map(_copy_given, docs))
    with _open(component):
        component.set_annotations(drafts, logits)
        entities = component.rate_entities(drafts, logits)
    component.set_annotations(docs, logits)
    scores = map(entity_items, drafts)
    candidates = map(relation_items, drafts)
    return list(map(Decisions, docs, entities, scores, candidates, _embed(component, docs)))


def _copy_given(doc: Doc) -> Doc:
    """Return the words of a document and the entities that it has before it is annotated."""
    copy = copy_words(doc, doc.vocab, sentences=True)
    copy.set_ents([Span(copy, ent.start, ent.end, label=ent.label_) for ent in doc.ents])
    return copy


@contextmanager
def _open(component: RelationPipe) -> Iterator[None]:
    """Have a component keep every candidate relation, with its probability."""
    before = dict(component.cfg)
    component.soften_scores(component.temperature.inverse())
    component.cfg[_THRESHOLD] = 0.0
    try:
        yield
    finally:
        component.cfg.update(before)


def _embed(component: RelationPipe, docs: Sequence[Doc]) -> list[Floats1d]:
    """Return the mean embedding of the words of each document."""
    if not component.model.has_ref(_EMBEDDINGS):
        return list(map(_hash_words, docs))
    model = component.model.get_ref(_EMBEDDINGS)
    filled = [doc for doc in docs if len(doc)]
    arrays: list[object] = []
    if filled:
        arrays = model.predict(filled)
    means = iter(map(_average, arrays))
    vectors: list[Floats1d] = []
    for doc in docs:
        if len(doc):
            vectors.append(next(means))
        else:
            vectors.append(np.zeros(0, dtype=np.float32))
    return _pad(vectors)


def _average(array: object) -> Floats1d:
    return _normalise(np.asarray(to_numpy(cast(np.ndarray, array))).mean(axis=0))


def _hash_words(doc: Doc) -> Floats1d:
    """Count the words of a document in `N_HASHES` boxes, chosen by a checksum of the word."""
    counts = np.zeros(N_HASHES, dtype=np.float32)
    for token in doc:
        counts[crc32(token.text.lower().encode()) % N_HASHES] += 1
    return _normalise(counts)


def _normalise(vector: Floats1d) -> Floats1d:
    return vector / max(float(np.linalg.norm(vector)), 1e-12)


def _pad(vectors: Sequence[Floats1d]) -> list[Floats1d]:
    """Extend the vectors of documents without words to the width of the others."""
    width = max(map(len, vectors), default=0)
    padded = []
    for vector in vectors:
        if not len(vector):
            vector = np.zeros(width, dtype=np.float32)
        padded.append(vector)
    return padded
