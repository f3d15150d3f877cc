"""The trainable component `relation_table`, also registered as `tabcnn`."""

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Model

from ..arrays import Ints1d
from ..labels import MISSING, OUTSIDE, LabelScheme
from ..models.table_model import TaggedDocs
from ..predictions import EntityPrediction
from ..relations import Relation, set_entity_scores
from ..sentences import DEFAULT_MAX_LENGTH, Windows, sentence_bounds, sentence_lengths
from ..table.decode import Aggregation, decode_tables
from ..table.gold import GoldTable, gold_tables
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
MAX_LOGITS = 2**26  # of the tables that `pipe` scores at once; 256 MiB


def make_relation_table(
    nlp: Language,
    name: str,
    model: Model[list[Doc] | TaggedDocs, TableLogits],
    aggregation: Aggregation,
    min_score: float | None,
    type_constraints: bool,
    max_length: int,
    entities: Literal["predict", "given"],
    scorer: Callable | None,
) -> "RelationTable":
    """Make a relation table component; `[components.NAME] factory = "relation_table"` or `"tabcnn"` in a config.

    model (Model[list[Doc] | TaggedDocs, TableLogits]): Scores the tables of a batch of documents.
    aggregation (str): How the cells of a pair of entities make one relation: "mean" (the normalised geometric mean of
        their probabilities) or "any" (one cell is enough, the paper's rule).
    min_score (float | None): Least probability of a relation. None: it must beat "none".
    type_constraints (bool): Whether a relation may only join pairs of entity types that it joins in the training
        data.
    max_length (int): Most words of a table, at least 2. A longer sentence, or a document without sentence boundaries,
        is cut into windows of so many words, a new one every `max_length // 2` words. This hides no entity and no
        relation over up to half of `max_length` words; one over more than `max_length` words cannot be found. Time and
        memory grow with `max_length` times the words. The default leaves ordinary sentences whole.
    entities (str): "predict", or "given": leave `doc.ents` as earlier components set it, and predict the relations
        between these entities. It makes no difference to training, so one model serves both.
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


class RelationTable(RelationPipe):
    """Predicts entities and the relations between them jointly, by filling a table over the words of each sentence:
    the diagonal holds BILOU tags, cell (i, j) the directed relation between words i and j (paper, section 2).

    Sets `doc.ents`, replacing what was there, unless entities are given, and `doc._.relations`. Where sentence
    boundaries are set, each sentence gets its own table; else a document is one table. What is longer than `max_length`
    words is cut into several tables.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model[list[Doc] | TaggedDocs, TableLogits],
        name: str = "relation_table",
        *,
        aggregation: Aggregation = "mean",
        min_score: float | None = None,
        type_constraints: bool = True,
        max_length: int = DEFAULT_MAX_LENGTH,
        entities: Literal["predict", "given"] = "predict",
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
        if entities not in ("predict", "given"):
            raise ValueError(
                f"Component '{name}': entities is {entities!r}; expected 'predict' or 'given'"
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
        logits (TableLogits): What `predict` returned for them.
        """
        docs = list(docs)
        given = [self._given_entities(doc) for doc in docs] if self._are_given else None
        predictions = iter(
            decode_tables(
                logits,
                Windows(sentence_lengths(docs), self.cfg["max_length"]),
                self.label_scheme,
                aggregation=self.cfg["aggregation"],
                min_score=self.cfg["min_score"],
                type_constraints=self.cfg["type_constraints"],
                entities=None
                if given is None
                else [entities for of_doc in given for entities in of_doc],
            )
        )
        for doc in docs:
            ents: list[Span] = []
            scores: list[float] = []
            relations: list[Relation] = []
            for offset, _ in sentence_bounds(doc):
                entities, edges = next(predictions)
                spans = [
                    Span(doc, offset + ent.start, offset + ent.end, label=ent.label)
                    for ent in entities
                ]
                ents.extend(spans)
                scores.extend(ent.score for ent in entities)
                relations.extend(
                    Relation(spans[edge.head], spans[edge.tail], edge.label, edge.score)
                    for edge in edges
                )
            if given is None:
                doc.set_ents(ents)
                set_entity_scores(doc, ents, scores)
            doc._.relations = relations

    @property
    def _are_given(self) -> bool:
        return bool(self.cfg["entities"] == "given")

    def _model_input(self, docs: list[Doc]) -> list[Doc] | TaggedDocs:
        return TaggedDocs(docs, self._given_tags(docs)) if self._are_given else docs

    def _given_tags(self, docs: list[Doc]) -> Ints1d:
        """The tags of all words; those of entities whose type is unknown are missing."""
        scheme = self.label_scheme
        tags = np.full(sum(map(len, docs)), OUTSIDE)
        first = 0
        for doc in docs:
            for ent in doc.ents:
                known = ent.label_ in scheme.entities
                span = slice(first + ent.start, first + ent.end)
                tags[span] = scheme.span_tags(ent.label_, len(ent)) if known else MISSING
            first += len(doc)
        return tags

    def _given_entities(self, doc: Doc) -> list[list[EntityPrediction]]:
        """The entities of each sentence of a document, counted from its first word."""
        bounds = sentence_bounds(doc)
        sentence_of = np.repeat(np.arange(len(bounds)), [stop - start for start, stop in bounds])
        entities: list[list[EntityPrediction]] = [[] for _ in bounds]
        for ent in doc.ents:
            sentence = sentence_of[ent.start]
            if sentence == sentence_of[ent.end - 1]:
                first, _ = bounds[sentence]
                entities[sentence].append(
                    EntityPrediction(ent.start - first, ent.end - first, ent.label_)
                )
            else:
                warnings.warn(
                    f"Component '{self.name}': a given entity, {ent.text!r}, crosses a sentence boundary and gets no "
                    "relations. Set the boundaries, or the entities, by other means",
                    stacklevel=2,
                )
        return entities

    def _learn(self, examples: list[Example], docs: list[Doc]) -> float:
        self.model.attrs["max_length"] = self.cfg["max_length"]
        gold = self._gold_tables(examples)
        windows = Windows(sentence_lengths(docs), self.cfg["max_length"])
        known_tags = np.concatenate([table.tags for table in gold])[windows.rows()]
        logits, backprop = self.model.begin_update(TaggedDocs(docs, known_tags))
        loss, d_logits = table_loss(logits, gold)
        backprop(d_logits)
        return loss

    def get_loss(
        self, examples: Iterable[Example], scores: TableLogits
    ) -> tuple[float, TableLogits]:
        """Find the loss of predicted tables and its gradient.

        examples (Iterable[Example]): The examples. What is not annotated in a reference has no loss.
        scores (TableLogits): The logits of their predicted documents' tables.
        RETURNS (tuple[float, TableLogits]): The loss, summed over cells, and its gradient.
        """
        return table_loss(scores, self._gold_tables(examples))

    def _unlearnable(self, example: Example, scheme: LabelScheme) -> Counter[str]:
        return gold_tables(example, scheme, max_length=self.cfg["max_length"])[1]

    def _gold_tables(self, examples: Iterable[Example]) -> list[GoldTable]:
        """Fill the tables of the windows of a batch, and warn of what they cannot hold."""
        scheme = self.label_scheme
        gold, skipped = [], Counter[str]()
        for eg in examples:
            tables, eg_skipped = gold_tables(eg, scheme, max_length=self.cfg["max_length"])
            gold.extend(tables)
            skipped += eg_skipped
        self._report(skipped)
        return gold

    def _parts(self, docs: list[Doc]) -> Iterator[list[Doc]]:
        """Divide a batch, so that the logits of each part, if it has several documents, stay below a bound."""
        part: list[Doc] = []
        size = 0
        for doc in docs:
            # No more cells than this, wherever the sentences begin.
            n_logits = (
                len(doc) * min(len(doc), self.cfg["max_length"]) * self.label_scheme.n_relations
            )
            if part and size + n_logits > MAX_LOGITS:
                yield part
                part, size = [], 0
            part.append(doc)
            size += n_logits
        yield part

    def _empty_logits(self, scheme: LabelScheme) -> TableLogits:
        ops = self.model.ops
        return TableLogits(
            ops.alloc2f(0, scheme.n_tags), ops.alloc2f(0, scheme.n_relations), np.zeros(0, np.int64)
        )
