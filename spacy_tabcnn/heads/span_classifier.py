"""SpERT: classify spans, then ordered pairs of spans, each by one linear layer over max-pooled word
embeddings.

Nothing is padded: spans and ranges between them are given by positions in the words of a batch, all
sentences end to end. The maximum over any range comes from two rows of a table of the maxima over
1, 2, 4, ... words; see `_RangeMax`.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MAX_FEATURES = (
    2**22
)  # elements of the features that are held at once, but at least one item; 16 MiB in float32
INIT_STD = 0.02  # as BERT's own layers


class SpERT(nn.Module):
    """The span classifier and the relation classifier.

    An entity's features are [its sentence's embedding ; the maximum over its words ; an embedding
    of its width]; those of a relation are [the maximum over the words strictly between head and
    tail, zeros if there are none ; the maximum over the head's words ; over the tail's ; embeddings
    of the two widths].

    width (int): Width d of a word embedding.
    n_types (int): Number of entity types, "none" (index 0) included.
    n_relations (int): Number of relation types; may be 0.
    max_width (int): Most words of a span.
    width_embedding (int): Width of the embedding of a span's number of words.
    dropout (float): Share of the features' elements that training drops.
    RAISES (ValueError): If a size cannot be built.
    Source: Eberts and Ulges (2020), Span-based Joint Entity and Relation Extraction with
        Transformer Pre-training.
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
        if min(width, n_types, max_width, width_embedding) < 1 or n_relations < 0:
            raise ValueError(
                f"SpERT: width={width}, n_types={n_types}, n_relations={n_relations}, max_width={max_width}, "
                f"width_embedding={width_embedding}; expected positive sizes"
            )
        if not 0.0 <= dropout < 1.0:
            raise ValueError(
                f"SpERT: dropout is {dropout}; expected a share from 0 up to, but not including, 1"
            )
        self.max_width = max_width
        self.n_relations = n_relations
        self.dropout = dropout
        self.widths = nn.Embedding(max_width, width_embedding)
        self.entity_classifier = nn.Linear(2 * width + width_embedding, n_types)
        # torch warns of a layer without outputs, so there is always one; `forward` cuts it off.
        self.relation_classifier = nn.Linear(3 * width + 2 * width_embedding, max(n_relations, 1))
        for layer in (self.widths, self.entity_classifier, self.relation_classifier):
            nn.init.normal_(layer.weight, std=INIT_STD)
        for classifier in (self.entity_classifier, self.relation_classifier):
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
        RETURNS (tuple[Tensor, Tensor]): Logits of the types of each span, for a softmax, (spans,
            n_types), and of the relation types of each pair, each for a sigmoid, (pairs,
            n_relations).
        RAISES (ValueError): If a span has no words or more than `max_width`.
        """
        start, end = spans[:, 0], spans[:, 1]
        span_widths = end - start
        if ((span_widths < 1) | (span_widths > self.max_width)).any():
            raise ValueError(f"SpERT: a span has no words or more than {self.max_width}")
        head, tail = pairs.unbind(1)
        gap_start = torch.minimum(end[head], end[tail])
        gap_end = torch.maximum(start[head], start[tail])
        maxima = _RangeMax(words, torch.cat([span_widths, gap_end - gap_start]))
        sentence, width_index = (
            column.to(words.device) for column in (spans[:, 2], span_widths - 1)
        )

        def entity_features(rows: slice) -> Tensor:
            return torch.cat(
                [
                    context[sentence[rows]],
                    maxima(start[rows], end[rows]),
                    self.widths(width_index[rows]),
                ],
                dim=1,
            )

        def relation_features(rows: slice) -> Tensor:
            arguments = (head[rows], tail[rows])
            return torch.cat(
                [
                    maxima(gap_start[rows], gap_end[rows]),
                    *(maxima(start[span], end[span]) for span in arguments),
                    *(self.widths(width_index[span.to(words.device)]) for span in arguments),
                ],
                dim=1,
            )

        entities = self._classify(self.entity_classifier, entity_features, len(spans))
        relations = self._classify(self.relation_classifier, relation_features, len(pairs))
        return entities.to(words.dtype), relations[:, : self.n_relations].to(words.dtype)

    def _classify(
        self, classifier: nn.Linear, features: Callable[[slice], Tensor], n_items: int
    ) -> Tensor:
        """Logits of items, chunk by chunk, so that their features, far larger, are never held all
        at once."""
        size = max(1, MAX_FEATURES // classifier.in_features)
        # Without items there still is a chunk, an empty one: autograd wants an output that depends
        # on the weights.
        chunks = (
            slice(first, min(first + size, n_items)) for first in range(0, max(n_items, 1), size)
        )
        return torch.cat(
            [classifier(F.dropout(features(rows), self.dropout, self.training)) for rows in chunks]
        )


class _RangeMax:
    """Maxima over ranges of rows.

    Level k of the table holds the maxima over 2^k rows from each row on, made of two rows of the
    level below. The two rows of a level that cover a range of other length overlap, which a maximum
    does not mind, nor does its gradient: equal maxima share it.

    rows (Tensor): float (rows, width).
    lengths (Tensor): Lengths of the ranges that will be asked for, int64, on the CPU.
    """

    def __init__(self, rows: Tensor, lengths: Tensor):
        longest = int(lengths.max()) if len(lengths) else 0
        levels, n_covered, first_row = [rows], [1], [0]
        while 2 * n_covered[-1] <= longest:
            below, step = levels[-1], n_covered[-1]
            first_row.append(first_row[-1] + len(below))
            levels.append(torch.maximum(below[:-step], below[step:]))
            n_covered.append(2 * step)
        self.table = torch.cat(levels)
        self.n_covered, self.first_row = torch.tensor(n_covered), torch.tensor(first_row)

    def __call__(self, start: Tensor, end: Tensor) -> Tensor:
        """Pool ranges.

        start (Tensor): First row of each range, int64 (ranges,), on the CPU.
        end (Tensor): Its end (exclusive).
        RETURNS (Tensor): Its maxima, float (ranges, width); zeros if it is empty.
        """
        device = self.table.device
        is_empty = end <= start
        start = torch.where(is_empty, 0, start)
        end = torch.where(is_empty, 1, end)
        level = torch.bucketize(end - start, self.n_covered, right=True) - 1
        left = (self.first_row[level] + start).to(device)
        right = (self.first_row[level] + end - self.n_covered[level]).to(device)
        maxima = torch.maximum(self.table.index_select(0, left), self.table.index_select(0, right))
        return maxima.masked_fill(is_empty.to(device)[:, None], 0.0)
