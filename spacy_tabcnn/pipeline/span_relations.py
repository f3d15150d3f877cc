"""The trainable component `span_relations`, also registered as `spert`."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Model

from ..arrays import Scalar
from ..labels import LabelScheme
from ..models.span_model import Candidates, SpanInput
from ..predictions import UNSOFTENED, EntityProbabilities
from ..relations import Relation, set_entity_scores, set_relations
from ..sentences import DEFAULT_MAX_LENGTH, Sentences
from ..spans.candidates import sample_candidates
from ..spans.decode import decode_spans, rate_spans
from ..spans.gold import GoldSpans, gold_spans
from ..spans.logits import SpanLogits
from ..spans.loss import gold_loss
from .base import ASSIGNS, DEFAULT_TOK2VEC, SCORE_WEIGHTS, RelationPipe

DEFAULT_SPERT_MODEL = {
    "@architectures": "spacy-tabcnn.SpERT.v1",
    "tok2vec": DEFAULT_TOK2VEC,
    "sentence_embedding": "max",
    "max_width": 10,
    "width_embedding": 25,
    "dropout": None,
}
SPANS_KEY = "spert"  # of doc.spans


def make_span_relations(
    nlp: Language,
    name: str,
    model: Model[SpanInput, SpanLogits],
    min_score: float,
    max_length: int,
    negative_entities: int,
    negative_relations: int,
    temperature: dict[str, float],
    scorer: Callable | None,
) -> "SpanRelations":
    """Make a SpERT component.

    A config names it by `factory = "span_relations"` or `factory = "spert"` in `[components.NAME]`.

    model (Model[SpanInput, SpanLogits]): Scores spans and pairs of spans.
    min_score (float): Minimum score of a relation.
    max_length (int): Maximum number of words from the first word of the one argument of a relation
        to the last word of the other, at least 2.
    negative_entities (int): Maximum number of random spans of a sentence that are no entity to
        learn from, at each update.
    negative_relations (int): Maximum number of random pairs of entities of a sentence without a
        relation to learn from.
    temperature (dict[str, float]): The temperatures of the scores of "entities" and "relations", as
        for `tabcnn`.
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
        temperature=temperature,
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
            "temperature": UNSOFTENED._asdict(),
            "scorer": {"@scorers": "spacy-tabcnn.relation_scorer.v1"},
        },
        default_score_weights=SCORE_WEIGHTS,
    )


class SpanRelations(RelationPipe[SpanInput, SpanLogits, GoldSpans]):
    """Predicts entities and relations by classifying spans and pairs of spans.

    This is SpERT (Eberts and Ulges, 2020), a baseline of the paper. It classifies every span of up
    to `max_width` words of a sentence, then every ordered pair of entities.

    SpERT may predict entities that overlap. All of them are in `doc.spans["spert"]`. `doc.ents` is
    replaced by the best entities that do not overlap; of entities that overlap, the more probable
    one is among them. A relation joins two entities of `doc.ents`: the score of a pair depends on
    no other pair, so no other pairs are scored. Where sentence boundaries are set, entities and
    relations stay within a sentence; else a document is one sentence.
    """

    how_to_keep_entities = (
        "This component always predicts its own. To keep them, use a component `tabcnn` with "
        'entities = "given" or "merge"'
    )

    def __init__(
        self,
        vocab: Vocab,
        model: Model[SpanInput, SpanLogits],
        name: str = "span_relations",
        *,
        min_score: float = 0.4,
        max_length: int = DEFAULT_MAX_LENGTH,
        negative_entities: int = 100,
        negative_relations: int = 100,
        temperature: Mapping[str, float] = UNSOFTENED._asdict(),
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
            temperature=temperature,
        )

    def set_annotations(self, docs: Iterable[Doc], logits: SpanLogits) -> None:
        """Set entities, relations and their scores.

        docs (Iterable[Doc]): The documents.
        logits (SpanLogits): The output of `predict` for them.
        """
        docs = list(docs)
        self._warn_of_replaced(docs)
        predictions = decode_spans(
            logits,
            self.label_scheme,
            min_score=self.cfg["min_score"],
            temperature=self.temperature,
        )
        for doc, (entities, best, relations) in zip(docs, predictions, strict=True):
            spans = [Span(doc, ent.start, ent.end, label=ent.label) for ent in entities]
            doc.spans[SPANS_KEY] = spans
            doc.set_ents([spans[i] for i in best])
            set_entity_scores(doc, spans, [ent.score for ent in entities])
            found = []
            for head, tail, label, score in relations:
                found.append(Relation(spans[head], spans[tail], label, score))
            set_relations(doc, found)

    def rate_entities(self, docs: Sequence[Doc], logits: SpanLogits) -> list[EntityProbabilities]:
        """Return the probabilities of all spans; see `RelationPipe.rate_entities`."""
        return [*rate_spans(logits, self.label_scheme)]

    def _cut_batch(self, docs: list[Doc]) -> SpanInput:
        return SpanInput(docs, Sentences.of_docs(docs), self.cfg["max_length"])

    def _make_gold(
        self, examples: Sequence[Example], inputs: SpanInput, scheme: LabelScheme
    ) -> tuple[GoldSpans, Counter[str]]:
        return gold_spans(
            examples,
            inputs.sentences,
            scheme,
            max_width=self.model.attrs["max_width"],
            max_length=inputs.max_length,
        )

    def _add_gold(self, inputs: SpanInput, gold: GoldSpans) -> SpanInput:
        spans, pairs = sample_candidates(
            gold,
            inputs.sentences.lengths,
            max_width=self.model.attrs["max_width"],
            max_length=inputs.max_length,
            negative_entities=self.cfg["negative_entities"],
            negative_relations=self.cfg["negative_relations"],
        )
        return inputs._replace(candidates=Candidates(spans, pairs))

    def _compute_loss(self, logits: SpanLogits, gold: GoldSpans) -> tuple[Scalar, SpanLogits]:
        return gold_loss(logits, gold)

    def _count_labels(self, gold: GoldSpans) -> int:
        return 1  # a mean

    def _count_outputs(self, scheme: LabelScheme) -> dict[str, int]:
        return {"n_types": 1 + len(scheme.entities), "n_relations": len(scheme.relations)}

    def _empty_logits(self, scheme: LabelScheme, inputs: SpanInput) -> SpanLogits:
        ops = self.model.ops
        return SpanLogits(
            np.zeros((0, 3), np.int64),
            ops.alloc2f(0, 1 + len(scheme.entities)),
            np.zeros((0, 2), np.int64),
            ops.alloc2f(0, len(scheme.relations)),
            inputs.sentences,
        )
