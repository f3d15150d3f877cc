"""SpERT: one linear layer classifies spans, a second one ordered pairs of spans.

Both read max-pooled word embeddings. Nothing is padded: the spans and the ranges between them are
positions in the words of a batch, all sentences end to end; see `RangeMaxima`.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .checks import check_dropout, check_sizes
from .growth import NEW_LABEL_MARGIN, check_kind, share_weights, start_labels
from .range_maxima import RangeMaxima
from .transfers import to_device

# Elements of the features that are held at a time, 16 MiB in float32, but at least those of one
# item.
MAX_FEATURES = 2**22
INIT_STD = 0.02  # as in BERT's own layers
NO_ENTITY = 0  # index of the entity type "none"


class SpERT(nn.Module):
    """The span classifier and the relation classifier.

    The features of a span are the embedding of its sentence, the maximum over its words, and an
    embedding of its width. The features of a pair are the maximum over the words strictly between
    head and tail (zeros if there are none), the maximum over the head's words, the maximum over the
    tail's words, and embeddings of the two widths.

    width (int): Width d of a word embedding.
    n_types (int): Number of entity types, "none" (index 0) included.
    n_relations (int): Number of relation types; may be 0.
    max_width (int): Maximum number of words of a span.
    width_embedding (int): Width of the embedding of a span's number of words.
    dropout (float): Share of the features' elements that training drops.
    RAISES (ValueError): If a size cannot be built.
    Source: Eberts and Ulges (2020), Span-based Joint Entity and Relation Extraction.
    """

    def __init__(
        self,
        width: int,
        n_types: int,
        n_relations: int,
        *,
        max_width: int = 10,
        width_embedding: int = 25,
        dropout: float = 0.1,
    ):
        super().__init__()
        check_sizes("SpERT", width=width, n_types=n_types)
        check_sizes("SpERT", max_width=max_width, width_embedding=width_embedding)
        check_sizes("SpERT", minimum=0, n_relations=n_relations)
        check_dropout("SpERT", dropout)
        self.max_width = max_width
        self.n_relations = n_relations
        self.dropout = dropout
        self.widths = nn.Embedding(max_width, width_embedding)
        self.entity_classifier = nn.Linear(2 * width + width_embedding, n_types)
        # torch warns of a layer without outputs, so there is always one; `forward` cuts it off.
        self.relation_classifier = nn.Linear(3 * width + 2 * width_embedding, max(n_relations, 1))
        nn.init.normal_(self.widths.weight, std=INIT_STD)
        for classifier in (self.entity_classifier, self.relation_classifier):
            nn.init.normal_(classifier.weight, std=INIT_STD)
            nn.init.zeros_(classifier.bias)

    def forward(
        self, words: Tensor, context: Tensor, spans: Tensor, pairs: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Score spans and pairs of spans.

        words (Tensor): Word embeddings, float (words, width), the sentences of a batch end to end.
        context (Tensor): An embedding of each sentence, float (sentences, width).
        spans (Tensor): First word, end (exclusive) and sentence of each span, int64 (spans, 3);
            words are counted over the batch. Keep it on the CPU: sizes are read from it.
        pairs (Tensor): Head and tail of each pair, int64 (pairs, 2), as indices of spans of one
            sentence. On the CPU.
        RETURNS (tuple[Tensor, Tensor]): Logits of the types of each span, for a softmax,
            (spans, n_types). Logits of the relation types of each pair, each for a sigmoid,
            (pairs, n_relations).
        RAISES (ValueError): If a span has no words or more than `max_width`.
        """
        span_widths = spans[:, 1] - spans[:, 0]
        if ((span_widths < 1) | (span_widths > self.max_width)).any():
            raise ValueError(f"SpERT: a span has no words or more than {self.max_width}")
        features = SpanFeatures(words, context, spans, pairs, self.widths)
        entities = self._classify(self.entity_classifier, features.of_spans, len(spans))
        relations = self._classify(self.relation_classifier, features.of_pairs, len(pairs))
        return entities.to(words.dtype), relations[:, : self.n_relations].to(words.dtype)

    @torch.no_grad()
    def take_over(self, old: nn.Module) -> None:
        """Take over the weights of a head with fewer labels; see `heads.growth.GrowingHead`.

        No logit of the labels of the old head changes. New relations begin as improbable.
        """
        old = check_kind(self, old)
        n_types, n_relations = old.entity_classifier.out_features, old.n_relations
        share_weights(self, old)
        entities, relations = self.entity_classifier, self.relation_classifier
        start_labels(entities.weight, entities.bias, first=n_types, none=NO_ENTITY)
        nn.init.normal_(relations.weight[n_relations:], std=INIT_STD)
        relations.bias[n_relations:] = -NEW_LABEL_MARGIN

    def _classify(
        self, classifier: nn.Linear, features: Callable[[slice], Tensor], n_items: int
    ) -> Tensor:
        """Compute the logits of items chunk by chunk.

        Their features are far larger than the logits, and are never held all at once.
        """
        size = max(1, MAX_FEATURES // classifier.in_features)
        logits = []
        # Without items there is one chunk, an empty one: autograd needs an output that depends on
        # the weights.
        for first in range(0, max(n_items, 1), size):
            inputs = features(slice(first, min(first + size, n_items)))
            logits.append(classifier(F.dropout(inputs, self.dropout, self.training)))
        return torch.cat(logits)


class SpanFeatures:
    """The inputs of the two classifiers.

    words (Tensor): Word embeddings, float (words, width).
    context (Tensor): Embeddings of the sentences, float (sentences, width).
    spans (Tensor): First word, end and sentence of each span, int64 (spans, 3), on the CPU.
    pairs (Tensor): Head and tail of each pair, int64 (pairs, 2), on the CPU.
    widths (nn.Embedding): Embeddings of the spans' widths.
    """

    def __init__(
        self, words: Tensor, context: Tensor, spans: Tensor, pairs: Tensor, widths: nn.Embedding
    ):
        self.context = context
        self.widths = widths
        self.start, self.end, sentence = spans.unbind(1)
        self.head, self.tail = pairs.unbind(1)
        self.gap_start = torch.minimum(self.end[self.head], self.end[self.tail])
        self.gap_end = torch.maximum(self.start[self.head], self.start[self.tail])
        span_widths = self.end - self.start
        self.maxima = RangeMaxima(words, torch.cat([span_widths, self.gap_end - self.gap_start]))
        self.sentence = to_device(sentence, words.device)
        self.width_index = to_device(span_widths - 1, words.device)

    def of_spans(self, rows: slice) -> Tensor:
        """Compute the features of some spans: float (spans, features)."""
        parts = [
            self.context[self.sentence[rows]],
            self.maxima.over(self.start[rows], self.end[rows]),
            self.widths(self.width_index[rows]),
        ]
        return torch.cat(parts, dim=1)

    def of_pairs(self, rows: slice) -> Tensor:
        """Compute the features of some pairs: float (pairs, features)."""
        between = self.maxima.over(self.gap_start[rows], self.gap_end[rows])
        maxima, widths = [], []
        device = self.width_index.device
        for span in (self.head[rows], self.tail[rows]):
            maxima.append(self.maxima.over(self.start[span], self.end[span]))
            widths.append(self.widths(self.width_index[to_device(span, device)]))
        return torch.cat([between, *maxima, *widths], dim=1)
