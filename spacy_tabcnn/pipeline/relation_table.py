"""The trainable component `relation_table`, also registered as `tabcnn`."""

import warnings
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Literal, TypeAlias, get_args

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Model

from ..arrays import Bools1d, Ints1d, Scalar, take_rows
from ..labels import MISSING, OUTSIDE, LabelScheme
from ..models.table_model import TableInput
from ..predictions import EntityPrediction, EntityProbabilities
from ..relations import Relation, get_entity_score, set_entity_scores, set_relations
from ..sentences import DEFAULT_MAX_LENGTH, Bounds, Sentences, Windows
from ..table.decode import (
    Aggregation,
    TablePrediction,
    TagProbabilities,
    decode_entities,
    decode_tables,
)
from ..table.gold import GoldTables, gold_tables
from ..table.logits import TableLogits
from ..table.loss import table_loss
from .base import ASSIGNS, DEFAULT_TOK2VEC, SCORE_WEIGHTS, RelationPipe

DEFAULT_TABLE_MODEL = {
    "@architectures": "spacy-tabcnn.TableModel.v1",
    "tok2vec": DEFAULT_TOK2VEC,
    "head": {
        "@architectures": "spacy-tabcnn.TableCNN.v1",
        "kernel_size": 3,
        "hidden": [512],
        "dropout": None,
    },
}
Entities: TypeAlias = Literal["predict", "given", "merge"]
MAX_LOGITS = 2**26  # of the tables that `pipe` scores at once; 256 MiB


def make_relation_table(
    nlp: Language,
    name: str,
    model: Model[TableInput, TableLogits],
    aggregation: Aggregation,
    min_score: float | None,
    type_constraints: bool,
    max_length: int,
    entities: Entities,
    scorer: Callable | None,
) -> "RelationTable":
    """Make a relation table component.

    A config names it by `factory = "relation_table"` or `factory = "tabcnn"` in
    `[components.NAME]`.

    model (Model[TableInput, TableLogits]): Scores the tables of a batch of documents.
    aggregation (str): The rule that makes one relation of the cells of a pair of entities: "mean"
        (the normalised geometric mean of their probabilities) or "any" (one cell is enough, the
        paper's rule).
    min_score (float | None): Minimum probability of a relation. None: the relation must beat
        "none".
    type_constraints (bool): Whether a relation may only join pairs of entity types that it joins in
        the training data.
    max_length (int): Maximum number of words of a table, at least 2. A longer sentence, or a longer
        document without sentence boundaries, is cut into windows of this length, a new one every
        `max_length // 2` words. No window cuts hide an entity, or a relation over up to half of
        `max_length` words. A relation over more than `max_length` words cannot be found. Time and
        memory grow with `max_length` times the number of words. The default leaves ordinary
        sentences whole.
    entities (str): "predict": replace `doc.ents`, with a warning if earlier components set
        entities. "given": keep `doc.ents`, and predict the relations between these entities.
        "merge": keep `doc.ents`, add the predicted entities that do not overlap them, and predict
        the relations between all. Training is the same, so one model serves all three.
    scorer (Callable | None): The scoring method.
    """
    return RelationTable(
        nlp.vocab,
        model,
        name,
        aggregation=aggregation,
        min_score=min_score,
        type_constraints=type_constraints,
        max_length=max_length,
        entities=entities,
        scorer=scorer,
    )


for _name in ("relation_table", "tabcnn"):
    Language.factory(
        _name,
        func=make_relation_table,
        assigns=ASSIGNS,
        default_config={
            "model": DEFAULT_TABLE_MODEL,
            "aggregation": "mean",
            "min_score": None,
            "type_constraints": True,
            "max_length": DEFAULT_MAX_LENGTH,
            "entities": "predict",
            "scorer": {"@scorers": "spacy-tabcnn.relation_scorer.v1"},
        },
        default_score_weights=SCORE_WEIGHTS,
    )


class RelationTable(RelationPipe[TableInput, TableLogits, GoldTables]):
    """Predicts entities and the relations between them jointly (paper, section 2).

    It fills a table over the words of each sentence: the diagonal holds BILOU tags, cell (i, j) the
    directed relation between the words i and j.

    Replaces `doc._.relations`, and `doc.ents` unless `entities` says otherwise. Where sentence
    boundaries are set, each sentence gets its own table; else a document is one table. A sentence
    of more than `max_length` words is cut into several tables.
    """

    how_to_keep_entities = (
        'Set entities = "given" or "merge" in its config to keep them: see "Given entities" in '
        "docs/predict.md"
    )

    def __init__(
        self,
        vocab: Vocab,
        model: Model[TableInput, TableLogits],
        name: str = "relation_table",
        *,
        aggregation: Aggregation = "mean",
        min_score: float | None = None,
        type_constraints: bool = True,
        max_length: int = DEFAULT_MAX_LENGTH,
        entities: Entities = "predict",
        scorer: Callable | None = None,
    ):
        """Initialise a relation table component; see `make_relation_table`.

        RAISES (ValueError): If an option has a value it cannot have.
        """
        if aggregation not in ("mean", "any"):
            raise ValueError(
                f"Component '{name}': aggregation is {aggregation!r}; expected 'mean' or 'any'"
            )
        if min_score is not None and not 0.0 <= min_score <= 1.0:
            raise ValueError(
                f"Component '{name}': min_score is {min_score!r}; expected a probability or null"
            )
        if entities not in get_args(Entities):
            raise ValueError(
                f"Component '{name}': entities is {entities!r}; expected 'predict', 'given' or "
                "'merge'"
            )
        if max_length < 2:
            raise ValueError(
                f"Component '{name}': max_length is {max_length!r}; expected at least 2 words"
            )
        super().__init__(
            vocab,
            model,
            name,
            scorer=scorer,
            aggregation=aggregation,
            min_score=min_score,
            type_constraints=type_constraints,
            max_length=max_length,
            entities=entities,
        )

    def set_annotations(self, docs: Iterable[Doc], logits: TableLogits) -> None:
        """Set entities, unless they are given, and relations, with their scores.

        docs (Iterable[Doc]): The documents.
        logits (TableLogits): The output of `predict` for them.
        """
        docs = list(docs)
        by_doc = logits.windows.sentences.by_doc
        predictions = iter(
            decode_tables(
                logits,
                self.label_scheme,
                aggregation=self.cfg["aggregation"],
                min_score=self.cfg["min_score"],
                type_constraints=self.cfg["type_constraints"],
                entities=self._choose_entities(docs, logits),
            )
        )
        for doc, bounds in zip(docs, by_doc, strict=True):
            self._annotate(doc, bounds, predictions)

    def rate_entities(self, docs: Sequence[Doc], logits: TableLogits) -> list[EntityProbabilities]:
        """Return the probabilities of entities, from the tags; see `RelationPipe.rate_entities`."""
        if self.cfg["entities"] != "predict":
            return super().rate_entities(docs, logits)
        tags = take_rows(logits.tags, logits.windows.rows())
        rated: list[EntityProbabilities] = []
        first = 0
        for doc in docs:
            rated.append(TagProbabilities(tags[first : first + len(doc)], self.label_scheme))
            first += len(doc)
        return rated

    def _annotate(
        self, doc: Doc, sentences: list[Bounds], predictions: Iterator[TablePrediction]
    ) -> None:
        """Set the entities and relations of a document.

        predictions (Iterator[TablePrediction]): Each sentence takes the next one.
        """
        ents: list[Span] = []
        scores: list[float] = []
        relations: list[Relation] = []
        for (first, _), (entities, edges) in zip(sentences, predictions, strict=False):
            n_before = len(ents)
            for ent in entities:
                ents.append(Span(doc, first + ent.start, first + ent.end, label=ent.label))
                scores.append(ent.score)
            for edge in edges:
                head, tail = ents[n_before + edge.head], ents[n_before + edge.tail]
                relations.append(Relation(head, tail, edge.label, edge.score))
        if self.cfg["entities"] == "merge":
            _add_entities(doc, ents, scores)
        elif self.cfg["entities"] == "predict":
            doc.set_ents(ents)
            set_entity_scores(doc, ents, scores)
        set_relations(doc, relations)

    def _choose_entities(
        self, docs: list[Doc], logits: TableLogits
    ) -> list[list[EntityPrediction]] | None:
        """Return the entities of each sentence, or None if the tags decide on all of them."""
        if self.cfg["entities"] == "predict":
            self._warn_of_replaced(docs)
            return None
        sentences = logits.windows.sentences
        entities = self._find_given(docs, sentences.by_doc)
        if self.cfg["entities"] == "merge":
            tags = take_rows(logits.tags, logits.windows.rows())
            predicted = decode_entities(tags, sentences, self.label_scheme)
            _add_between(entities, predicted, _mark_entities(docs), sentences)
        return entities

    def _cut_batch(self, docs: list[Doc]) -> TableInput:
        windows = Windows(Sentences.of_docs(docs), self.cfg["max_length"])
        if self.cfg["entities"] == "predict":
            return TableInput(docs, windows)
        return TableInput(docs, windows, self._tag_given(docs))

    def _tag_given(self, docs: list[Doc]) -> Ints1d:
        """Return the tags of all words.

        The tags of entities of an unknown type are missing, and so are the tags of other words if
        they may be predicted.
        """
        scheme = self.label_scheme
        others = OUTSIDE
        if self.cfg["entities"] == "merge":
            others = MISSING
        tags = np.full(sum(map(len, docs)), others)
        first = 0
        for doc in docs:
            for ent in doc.ents:
                span = slice(first + ent.start, first + ent.end)
                tags[span] = MISSING
                if ent.label_ in scheme.entities:
                    tags[span] = scheme.span_tags(ent.label_, len(ent))
            first += len(doc)
        return tags

    def _find_given(
        self, docs: list[Doc], by_doc: Sequence[list[Bounds]]
    ) -> list[list[EntityPrediction]]:
        """Return the given entities of each sentence, counted from its first word."""
        by_sentence: list[list[EntityPrediction]] = []
        for doc, sentences in zip(docs, by_doc, strict=True):
            n_before = len(by_sentence)
            by_sentence.extend([] for _ in sentences)
            starts = [start for start, _ in sentences]
            for ent in doc.ents:
                sentence = bisect_right(starts, ent.start) - 1
                first, end = sentences[sentence]
                if ent.end > end:
                    self._warn_of_crossing(ent)
                    continue
                entity = EntityPrediction(ent.start - first, ent.end - first, ent.label_)
                by_sentence[n_before + sentence].append(entity)
        return by_sentence

    def _warn_of_crossing(self, ent: Span) -> None:
        warnings.warn(
            f"Component '{self.name}': a given entity, {ent.text!r}, crosses a sentence boundary "
            "and gets no relations. Set the boundaries, or the entities, by other means",
            stacklevel=2,
        )

    def _make_gold(
        self, examples: Sequence[Example], inputs: TableInput, scheme: LabelScheme
    ) -> tuple[GoldTables, Counter[str]]:
        return gold_tables(examples, inputs.windows, scheme)

    def _add_gold(self, inputs: TableInput, gold: GoldTables) -> TableInput:
        # A head whose scores depend on tags learns from the gold tags.
        return inputs._replace(known_tags=gold.word_tags)

    def _compute_loss(self, logits: TableLogits, gold: GoldTables) -> tuple[Scalar, TableLogits]:
        return table_loss(logits, gold)

    def _count_labels(self, gold: GoldTables) -> int:
        return len(gold.tags) + len(gold.relations)

    def _split_batch(self, docs: list[Doc]) -> Iterator[list[Doc]]:
        """Divide a batch into parts whose logits fit in memory.

        A part of several documents has at most `MAX_LOGITS` logits.
        """
        part: list[Doc] = []
        size = 0
        for doc in docs:
            # The maximum number of cells, wherever the sentences begin.
            n_cells = len(doc) * min(len(doc), self.cfg["max_length"])
            n_logits = n_cells * self.label_scheme.n_relations
            if part and size + n_logits > MAX_LOGITS:
                yield part
                part, size = [], 0
            part.append(doc)
            size += n_logits
        yield part

    def _count_outputs(self, scheme: LabelScheme) -> dict[str, int]:
        return {"n_tags": scheme.n_tags, "n_relations": scheme.n_relations}

    def _empty_logits(self, scheme: LabelScheme, inputs: TableInput) -> TableLogits:
        ops = self.model.ops
        tags, relations = ops.alloc2f(0, scheme.n_tags), ops.alloc2f(0, scheme.n_relations)
        return TableLogits(tags, relations, inputs.windows)


def _mark_entities(docs: list[Doc]) -> Bools1d:
    """Return whether each word of a batch is in an entity, bool (words,)."""
    marks = np.zeros(sum(map(len, docs)), dtype=bool)
    first = 0
    for doc in docs:
        for ent in doc.ents:
            marks[first + ent.start : first + ent.end] = True
        first += len(doc)
    return marks


def _add_between(
    entities: list[list[EntityPrediction]],
    predicted: list[list[EntityPrediction]],
    is_taken: Bools1d,
    sentences: Sentences,
) -> None:
    """Add the predicted entities of each sentence that contain no word that is taken."""
    for first, known, found in zip(sentences.starts(), entities, predicted, strict=True):
        for ent in found:
            if not is_taken[first + ent.start : first + ent.end].any():
                known.append(ent)
        known.sort()


def _add_entities(doc: Doc, ents: Sequence[Span], scores: Sequence[float]) -> None:
    """Set the entities that a document does not have, with their scores.

    The others stay as they are; they keep the scores of an earlier component of this package.
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
