"""The trainable component `span_relations`, also registered as `spert`."""

from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Model

from ..labels import LabelScheme
from ..models.span_model import SpanInput
from ..relations import Relation, set_entity_scores
from ..sentences import DEFAULT_MAX_LENGTH, sentence_lengths
from ..spans.candidates import sample_candidates
from ..spans.decode import decode_spans
from ..spans.gold import GoldSpans, gold_spans
from ..spans.logits import SpanLogits
from ..spans.loss import span_loss
from .base import ASSIGNS, DEFAULT_TOK2VEC, SCORE_WEIGHTS, RelationPipe

DEFAULT_SPERT_MODEL = {
    "@architectures": "spacy-tabcnn.SpERT.v1",
    "tok2vec": DEFAULT_TOK2VEC,
    "max_width": 10,
    "width_embedding": 25,
    "dropout": None,
}
SPANS_KEY = "spert"  # of doc.spans


def make_span_relations(
    nlp: Language,
    name: str,
    model: Model[list[Doc] | SpanInput, SpanLogits],
    min_score: float,
    max_length: int,
    negative_entities: int,
    negative_relations: int,
    scorer: Callable | None,
) -> "SpanRelations":
    """Make a SpERT component; `[components.NAME] factory = "span_relations"` or `"spert"` in a config.

    model (Model[list[Doc] | SpanInput, SpanLogits]): Scores spans and pairs of spans.
    min_score (float): Least probability of a relation.
    max_length (int): Most words from the first of the one argument of a relation to the last of the other, at least 2.
    negative_entities (int): Most random spans that are no entity to learn from in a sentence, at each update.
    negative_relations (int): Most random pairs of entities without a relation to learn from in a sentence.
    scorer (Callable | None): The scoring method.
    """
    return SpanRelations(
        nlp.vocab,
        model,
        name,
        min_score=min_score,
        max_length=max_length,
        negative_entities=negative_entities,
        negative_relations=negative_relations,
        scorer=scorer,
    )


for _name in ("span_relations", "spert"):
    Language.factory(
        _name,
        func=make_span_relations,
        assigns=[*ASSIGNS, "doc.spans"],
        default_config={
            "model": DEFAULT_SPERT_MODEL,
            "min_score": 0.4,
            "max_length": DEFAULT_MAX_LENGTH,
            "negative_entities": 100,
            "negative_relations": 100,
            "scorer": {"@scorers": "spacy-tabcnn.relation_scorer.v1"},
        },
        default_score_weights=SCORE_WEIGHTS,
    )


class SpanRelations(RelationPipe):
    """Predicts entities and relations by classifying every span of up to `max_width` words of a sentence, then every
    ordered pair of entities: SpERT (Eberts and Ulges, 2020), with which the paper compares its own model.

    SpERT may predict entities that overlap. All of them are in `doc.spans["spert"]`, and `doc.ents`, which is replaced,
    gets those that the more probable ones leave room for. A relation joins two entities of `doc.ents`; since the score
    of a pair depends on no other pair, no others are scored. Where sentence boundaries are set, entities and relations
    stay within a sentence; else a document is one sentence.
    """

    def __init__(
        self,
        vocab: Vocab,
        model: Model[list[Doc] | SpanInput, SpanLogits],
        name: str = "span_relations",
        *,
        min_score: float = 0.4,
        max_length: int = DEFAULT_MAX_LENGTH,
        negative_entities: int = 100,
        negative_relations: int = 100,
        scorer: Callable | None = None,
    ):
        """Initialise a SpERT component; see `make_span_relations`.

        RAISES (ValueError): If an option has a value it cannot have.
        """
        if not 0.0 <= min_score <= 1.0:
            raise ValueError(
                f"Component '{name}': min_score is {min_score!r}; expected a probability"
            )
        if max_length < 2:
            raise ValueError(
                f"Component '{name}': max_length is {max_length!r}; expected at least 2 words"
            )
        for option, value in (
            ("negative_entities", negative_entities),
            ("negative_relations", negative_relations),
        ):
            if value < 0:
                raise ValueError(f"Component '{name}': {option} is {value!r}; expected 0 or more")
        super().__init__(
            vocab,
            model,
            name,
            scorer=scorer,
            min_score=min_score,
            max_length=max_length,
            negative_entities=negative_entities,
            negative_relations=negative_relations,
        )

    def set_annotations(self, docs: Iterable[Doc], logits: SpanLogits) -> None:
        """Set entities, relations and their scores.

        docs (Iterable[Doc]): The documents.
        logits (SpanLogits): What `predict` returned for them.
        """
        docs = list(docs)
        lengths = [len(doc) for doc in docs]
        predictions = decode_spans(
            logits, lengths, self.label_scheme, min_score=self.cfg["min_score"]
        )
        for doc, (entities, best, relations) in zip(docs, predictions, strict=True):
            spans = [Span(doc, ent.start, ent.end, label=ent.label) for ent in entities]
            doc.spans[SPANS_KEY] = spans
            doc.set_ents([spans[i] for i in best])
            set_entity_scores(doc, spans, [ent.score for ent in entities])
            doc._.relations = [
                Relation(spans[rel.head], spans[rel.tail], rel.label, rel.score)
                for rel in relations
            ]

    def get_loss(self, examples: Iterable[Example], scores: SpanLogits) -> tuple[float, SpanLogits]:
        """Find the loss of scored candidates and its gradient.

        examples (Iterable[Example]): The examples. What is not annotated in a reference has no loss.
        scores (SpanLogits): The logits of candidates of their predicted documents.
        RETURNS (tuple[float, SpanLogits]): The loss, a mean over the spans plus one over the pairs, and its gradient.
        """
        return self._loss(self._gold(examples), scores)

    def _learn(self, examples: list[Example], docs: list[Doc]) -> float:
        gold = self._gold(examples)
        spans, pairs = sample_candidates(
            gold,
            sentence_lengths(docs),
            max_width=self.model.attrs["max_width"],
            max_length=self.cfg["max_length"],
            negative_entities=self.cfg["negative_entities"],
            negative_relations=self.cfg["negative_relations"],
        )
        logits, backprop = self.model.begin_update(SpanInput(docs, spans, pairs))
        loss, d_logits = self._loss(gold, logits)
        backprop(d_logits)
        return loss

    def _loss(self, gold: GoldSpans, logits: SpanLogits) -> tuple[float, SpanLogits]:
        return span_loss(
            logits, gold.span_types(logits.spans), gold.labels(logits.spans, logits.pairs)
        )

    def _gold(self, examples: Iterable[Example]) -> GoldSpans:
        gold, skipped = self._gold_and_skipped(list(examples), self.label_scheme)
        self._report(skipped)
        return gold

    def _gold_and_skipped(
        self, examples: list[Example], scheme: LabelScheme
    ) -> tuple[GoldSpans, Counter[str]]:
        return gold_spans(
            examples,
            scheme,
            max_width=self.model.attrs["max_width"],
            max_length=self.cfg["max_length"],
        )

    def _unlearnable(self, example: Example, scheme: LabelScheme) -> Counter[str]:
        return self._gold_and_skipped([example], scheme)[1]

    def _empty_logits(self, scheme: LabelScheme) -> SpanLogits:
        ops = self.model.ops
        return SpanLogits(
            np.zeros((0, 3), np.int64),
            ops.alloc2f(0, 1 + len(scheme.entities)),
            np.zeros((0, 2), np.int64),
            ops.alloc2f(0, len(scheme.relations)),
        )
