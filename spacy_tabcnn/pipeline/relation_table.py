"""The trainable component `relation_table`, also registered as `tabcnn`."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Model

from ..arrays import Ints1d, Scalar, take_rows
from ..labels import MISSING, OUTSIDE, LabelScheme
from ..models.table_heads import MAX_WORDS
from ..models.table_model import TableInput, find_heads
from ..predictions import UNSOFTENED, EntityPrediction, EntityProbabilities
from ..relations import Relation, set_entity_scores, set_relations
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
from .base import ASSIGNS, DEFAULT_TOK2VEC, SCORE_WEIGHTS, RelationPipe, split_by_logits
from .given_entities import (
    HOW_TO_KEEP,
    Entities,
    add_entities,
    add_to_doc,
    check_option,
    find_given,
    keep_free,
)

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
MAX_LOGITS = 2**26  # of the tables that `pipe` scores at once; 256 MiB


def make_relation_table(
    nlp: Language,
    name: str,
    model: Model[TableInput, TableLogits],
    aggregation: Aggregation,
    min_score: float | None,
    type_constraints: bool,
    max_length: int,
    relation_weight: float,
    temperature: dict[str, float],
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
        sentences whole. A head can state a maximum, as `spacy-tabcnn.TableSequence.v1` does.
    relation_weight (float): Weight of the cross-entropy of each cell in the loss, above 0. The
        weight of each tag is 1.
    temperature (dict[str, float]): The temperatures of the scores of "entities" and "relations",
        which `spacy tabcnn calibration --fit` finds. 1: the scores are the model's probabilities.
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
        relation_weight=relation_weight,
        temperature=temperature,
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
            "relation_weight": 1.0,
            "temperature": UNSOFTENED._asdict(),
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

    how_to_keep_entities = HOW_TO_KEEP

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
        relation_weight: float = 1.0,
        temperature: Mapping[str, float] = UNSOFTENED._asdict(),
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
        check_option(name, entities)
        if not 0.0 < relation_weight < math.inf:
            raise ValueError(
                f"Component '{name}': relation_weight is {relation_weight!r}; expected a number "
                "above 0"
            )
        _check_max_length(name, max_length, model)
        super().__init__(
            vocab,
            model,
            name,
            scorer=scorer,
            aggregation=aggregation,
            min_score=min_score,
            type_constraints=type_constraints,
            max_length=max_length,
            relation_weight=relation_weight,
            temperature=temperature,
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
                temperature=self.temperature,
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
            add_to_doc(doc, ents, scores)
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
        entities = find_given(self.name, docs, sentences.by_doc)
        if self.cfg["entities"] == "merge":
            tags = take_rows(logits.tags, logits.windows.rows())
            predicted = decode_entities(
                tags, sentences, self.label_scheme, temperature=self.temperature.entities
            )
            add_entities(entities, keep_free(predicted, docs, sentences))
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

    def _make_gold(
        self, examples: Sequence[Example], inputs: TableInput, scheme: LabelScheme
    ) -> tuple[GoldTables, Counter[str]]:
        return gold_tables(examples, inputs.windows, scheme)

    def _add_gold(self, inputs: TableInput, gold: GoldTables) -> TableInput:
        # A head whose scores depend on tags learns from the gold tags.
        return inputs._replace(known_tags=gold.word_tags)

    def _compute_loss(self, logits: TableLogits, gold: GoldTables) -> tuple[Scalar, TableLogits]:
        return table_loss(logits, gold, relation_weight=self.cfg["relation_weight"])

    def _count_labels(self, gold: GoldTables) -> int:
        return len(gold.tags) + math.ceil(self.cfg["relation_weight"] * len(gold.relations))

    def _split_batch(self, docs: list[Doc]) -> Iterator[list[Doc]]:
        """Divide a batch into parts whose logits fit in memory; see `split_by_logits`."""
        n_labels, max_length = self.label_scheme.n_relations, self.cfg["max_length"]
        return split_by_logits(docs, n_labels, max_length=max_length, max_logits=MAX_LOGITS)

    def _count_outputs(self, scheme: LabelScheme) -> dict[str, int]:
        return {"n_tags": scheme.n_tags, "n_relations": scheme.n_relations}

    def _empty_logits(self, scheme: LabelScheme, inputs: TableInput) -> TableLogits:
        ops = self.model.ops
        tags, relations = ops.alloc2f(0, scheme.n_tags), ops.alloc2f(0, scheme.n_relations)
        return TableLogits(tags, relations, inputs.windows)


def _check_max_length(name: str, max_length: int, model: Model[TableInput, TableLogits]) -> None:
    """Check the maximum length of a table, also against the maximum that its head states."""
    if max_length < 2:
        raise ValueError(
            f"Component '{name}': max_length is {max_length!r}; expected at least 2 words"
        )
    for head in find_heads(model):
        limit = head.attrs.get(MAX_WORDS, max_length)
        if max_length > limit:
            raise ValueError(
                f"Component '{name}': max_length is {max_length!r}, but its head, {head.name}, "
                f"takes tables of at most {limit} words, since its memory grows with the number of "
                "cells. Lower max_length, or raise max_words of the head"
            )
