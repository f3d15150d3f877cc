"""The trainable component `word_pair_relations`, also registered as `pfn`."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Model

from ..arrays import Scalar
from ..labels import LabelScheme
from ..models.table_model import TableInput
from ..predictions import (
    UNSOFTENED,
    EntityPrediction,
    EntityProbabilities,
    RelationPrediction,
)
from ..relations import Relation, set_entity_scores, set_relations
from ..sentences import DEFAULT_MAX_LENGTH, Bounds, Sentences, Windows
from ..word_pairs.decode import choose_best, decode_entities, decode_relations, rate_spans
from ..word_pairs.gold import GoldTable, GoldWordPairs, gold_word_pairs
from ..word_pairs.logits import WordPairLogits
from ..word_pairs.loss import word_pair_loss
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

DEFAULT_PFN_MODEL = {
    "@architectures": "spacy-tabcnn.PFN.v1",
    "tok2vec": DEFAULT_TOK2VEC,
    "hidden": 300,
    "dropout": None,
    "dropconnect": 0.1,
    "nested": False,
}
SPANS_KEY = "pfn"  # of doc.spans
MAX_LOGITS = 2**26  # of the tables that `pipe` scores at once; 256 MiB


def make_word_pair_relations(
    nlp: Language,
    name: str,
    model: Model[TableInput, WordPairLogits],
    entity_threshold: float,
    min_score: float,
    type_constraints: bool,
    max_length: int,
    temperature: dict[str, float],
    entities: Entities,
    scorer: Callable | None,
) -> "WordPairRelations":
    """Make a PFN component.

    A config names it by `factory = "word_pair_relations"` or `factory = "pfn"` in
    `[components.NAME]`.

    model (Model[TableInput, WordPairLogits]): Scores spans and ordered pairs of words.
    entity_threshold (float): Minimum score of an entity.
    min_score (float): Minimum score of a relation.
    type_constraints (bool): Whether a relation may only join pairs of entity types that it joins in
        the training data.
    max_length (int): Maximum number of words of a table, at least 2. Longer sentences are cut into
        windows, as for `tabcnn`. The cell begins anew with each window.
    temperature (dict[str, float]): The temperatures of the scores of "entities" and "relations", as
        for `tabcnn`.
    entities (str): "predict", "given" or "merge", as for `tabcnn`. Training is the same, so one
        model serves all three.
    scorer (Callable | None): The scoring method.
    """
    return WordPairRelations(
        nlp.vocab,
        model,
        name,
        entity_threshold=entity_threshold,
        min_score=min_score,
        type_constraints=type_constraints,
        max_length=max_length,
        temperature=temperature,
        entities=entities,
        scorer=scorer,
    )


for _name in ("word_pair_relations", "pfn"):
    Language.factory(
        _name,
        func=make_word_pair_relations,
        assigns=[*ASSIGNS, "doc.spans"],
        default_config={
            "model": DEFAULT_PFN_MODEL,
            "entity_threshold": 0.5,
            "min_score": 0.5,
            "type_constraints": False,
            "max_length": DEFAULT_MAX_LENGTH,
            "temperature": UNSOFTENED._asdict(),
            "entities": "predict",
            "scorer": {"@scorers": "spacy-tabcnn.relation_scorer.v1"},
        },
        default_score_weights=SCORE_WEIGHTS,
    )


class _Prediction(NamedTuple):
    """The prediction for a sentence.

    found (list[EntityPrediction]): All predicted entities, which may overlap; empty if entities are
        given.
    entities (list[EntityPrediction]): Entities that do not overlap, given ones among them.
    relations (list[RelationPrediction]): The relations between `entities`.
    """

    found: list[EntityPrediction]
    entities: list[EntityPrediction]
    relations: list[RelationPrediction]


class WordPairRelations(RelationPipe[TableInput, WordPairLogits, GoldWordPairs]):
    """Predicts entities and relations by classifying pairs of words.

    This is PFN (Yan et al., 2021), a system that the paper compares its own with. It classifies
    every span by its first and its last word, and every ordered pair of first words.

    PFN may predict entities that overlap. With entities = "predict", all of them are in
    `doc.spans["pfn"]`. `doc.ents` gets the best entities that do not overlap; of entities that
    overlap, the more probable one is among them. A relation joins two entities of `doc.ents`.
    Where sentence boundaries are set, entities and relations stay within a sentence; else a
    document is one sentence. A sentence of more than `max_length` words is cut into windows.
    """

    how_to_keep_entities = HOW_TO_KEEP
    entity_thresholds = ("entity_threshold",)

    def __init__(
        self,
        vocab: Vocab,
        model: Model[TableInput, WordPairLogits],
        name: str = "word_pair_relations",
        *,
        entity_threshold: float = 0.5,
        min_score: float = 0.5,
        type_constraints: bool = False,
        max_length: int = DEFAULT_MAX_LENGTH,
        temperature: Mapping[str, float] = UNSOFTENED._asdict(),
        entities: Entities = "predict",
        scorer: Callable | None = None,
    ):
        """Initialise a PFN component; see `make_word_pair_relations`.

        RAISES (ValueError): If an option has a value it cannot have.
        """
        for option, value in (("entity_threshold", entity_threshold), ("min_score", min_score)):
            if not 0.0 <= value <= 1.0:
                raise ValueError(
                    f"Component '{name}': {option} is {value!r}; expected a probability"
                )
        check_option(name, entities)
        if max_length < 2:
            raise ValueError(
                f"Component '{name}': max_length is {max_length!r}; expected at least 2 words"
            )
        super().__init__(
            vocab,
            model,
            name,
            scorer=scorer,
            entity_threshold=entity_threshold,
            min_score=min_score,
            type_constraints=type_constraints,
            max_length=max_length,
            temperature=temperature,
            entities=entities,
        )

    def set_annotations(self, docs: Iterable[Doc], logits: WordPairLogits) -> None:
        """Set entities, unless they are given, and relations, with their scores.

        docs (Iterable[Doc]): The documents.
        logits (WordPairLogits): The output of `predict` for them.
        """
        docs = list(docs)
        found, entities = self._choose_entities(docs, logits)
        relations = decode_relations(
            logits,
            self.label_scheme,
            entities,
            min_score=self.cfg["min_score"],
            type_constraints=self.cfg["type_constraints"],
            temperature=self.temperature.relations,
        )
        predictions = map(_Prediction, found, entities, relations)
        for doc, bounds in zip(docs, logits.windows.sentences.by_doc, strict=True):
            self._annotate(doc, bounds, predictions)

    def rate_entities(
        self, docs: Sequence[Doc], logits: WordPairLogits
    ) -> list[EntityProbabilities]:
        """Return the probabilities of all spans; see `RelationPipe.rate_entities`."""
        if self.cfg["entities"] != "predict":
            return super().rate_entities(docs, logits)
        return [*rate_spans(logits, self.label_scheme)]

    def _choose_entities(
        self, docs: list[Doc], logits: WordPairLogits
    ) -> tuple[list[list[EntityPrediction]], list[list[EntityPrediction]]]:
        """Return all predicted entities of each sentence, and the entities that count."""
        sentences = logits.windows.sentences
        if self.cfg["entities"] == "given":
            given = find_given(self.name, docs, sentences.by_doc)
            return [[] for _ in given], given
        found = decode_entities(
            logits,
            self.label_scheme,
            threshold=self.cfg["entity_threshold"],
            temperature=self.temperature.entities,
        )
        if self.cfg["entities"] == "predict":
            self._warn_of_replaced(docs)
            return found, [*map(choose_best, found)]
        entities = find_given(self.name, docs, sentences.by_doc)
        add_entities(entities, [*map(choose_best, keep_free(found, docs, sentences))])
        return found, entities

    def _annotate(
        self, doc: Doc, sentences: list[Bounds], predictions: Iterator[_Prediction]
    ) -> None:
        """Set the entities and relations of a document.

        predictions (Iterator[_Prediction]): Each sentence takes the next one.
        """
        found, ents = _Spans(doc), _Spans(doc)
        relations: list[Relation] = []
        for (first, _), prediction in zip(sentences, predictions, strict=False):
            n_before = len(ents.spans)
            found.add(prediction.found, first)
            ents.add(prediction.entities, first)
            for edge in prediction.relations:
                head, tail = ents.spans[n_before + edge.head], ents.spans[n_before + edge.tail]
                relations.append(Relation(head, tail, edge.label, edge.score))
        if self.cfg["entities"] == "merge":
            add_to_doc(doc, ents.spans, ents.scores)
        elif self.cfg["entities"] == "predict":
            doc.spans[SPANS_KEY] = found.spans
            doc.set_ents(ents.spans)
            set_entity_scores(doc, found.spans, found.scores)
        set_relations(doc, relations)

    def _cut_batch(self, docs: list[Doc]) -> TableInput:
        return TableInput(docs, Windows(Sentences.of_docs(docs), self.cfg["max_length"]))

    def _make_gold(
        self, examples: Sequence[Example], inputs: TableInput, scheme: LabelScheme
    ) -> tuple[GoldWordPairs, Counter[str]]:
        nested = self.model.attrs["nested"]
        return gold_word_pairs(examples, inputs.windows, scheme, nested=nested)

    def _add_gold(self, inputs: TableInput, gold: GoldWordPairs) -> TableInput:
        return inputs  # all cells are learned from

    def _compute_loss(
        self, logits: WordPairLogits, gold: GoldWordPairs
    ) -> tuple[Scalar, WordPairLogits]:
        return word_pair_loss(logits, gold)

    def _count_labels(self, gold: GoldWordPairs) -> int:
        scheme = self.label_scheme
        n_labels = gold.entities.weights.sum() * len(scheme.entities)
        for table in self._relation_tables(gold):
            n_labels += table.weights.sum() * len(scheme.relations)
        return math.ceil(n_labels)

    def _relation_tables(self, gold: GoldWordPairs) -> list[GoldTable]:
        """Return the gold of the tables of relations that the model scores."""
        if self.model.attrs["nested"]:
            return [gold.relations, gold.last_words]
        return [gold.relations]

    def _split_batch(self, docs: list[Doc]) -> Iterator[list[Doc]]:
        """Divide a batch into parts whose logits fit in memory; see `split_by_logits`."""
        scheme, max_length = self.label_scheme, self.cfg["max_length"]
        n_labels = len(scheme.entities) + 2 * len(scheme.relations)  # of a cell, at most
        return split_by_logits(docs, n_labels, max_length=max_length, max_logits=MAX_LOGITS)

    def _count_outputs(self, scheme: LabelScheme) -> dict[str, int]:
        return {"n_types": len(scheme.entities), "n_relations": len(scheme.relations)}

    def _empty_logits(self, scheme: LabelScheme, inputs: TableInput) -> WordPairLogits:
        ops = self.model.ops
        n_types, n_relations = len(scheme.entities), len(scheme.relations)
        logits = WordPairLogits(
            ops.alloc2f(0, n_types), ops.alloc2f(0, n_relations), inputs.windows
        )
        if self.model.attrs["nested"]:
            return logits._replace(last_words=ops.alloc2f(0, n_relations))
        return logits


class _Spans:
    """Spans of a document with their scores."""

    def __init__(self, doc: Doc):
        self.doc = doc
        self.spans: list[Span] = []
        self.scores: list[float] = []

    def add(self, entities: Sequence[EntityPrediction], first: int) -> None:
        """Add the entities of a sentence.

        entities (Sequence[EntityPrediction]): The entities, counted from its first word.
        first (int): The first word of the sentence.
        """
        for ent in entities:
            span = Span(self.doc, first + ent.start, first + ent.end, label=ent.label)
            self.spans.append(span)
            self.scores.append(ent.score)
