"""The training objective over sampled candidates."""

from thinc.util import get_array_module

from ..arrays import Floats2d, Ints1d, Ints2d, Scalar, cross_entropy
from ..labels import MISSING
from .gold import GoldSpans
from .logits import SpanLogits


def gold_loss(logits: SpanLogits, gold: GoldSpans) -> tuple[Scalar, SpanLogits]:
    """Compute the loss of scored candidates against the gold of their batch; see `span_loss`.

    logits (SpanLogits): Logits of the candidates of a batch.
    gold (GoldSpans): The gold of the batch.
    RETURNS (tuple[Scalar, SpanLogits]): The loss in nats, still on the device, and its gradient
        with respect to the logits.
    """
    types = gold.span_types(logits.spans)
    return span_loss(logits, types, gold.labels(logits.spans, logits.pairs))


def span_loss(logits: SpanLogits, types: Ints1d, labels: Ints2d) -> tuple[Scalar, SpanLogits]:
    """Compute the loss of candidates, and its gradient.

    The loss is the mean cross-entropy of the types of the spans plus the mean binary cross-entropy
    of the labels of the pairs.

    logits (SpanLogits): Logits of the candidates of a batch.
    types (Ints1d): Gold type of each span, int64 (spans,); `MISSING` types have no loss.
    labels (Ints2d): Gold labels of each pair, 0 or 1, int64 (pairs, relation types); `MISSING`
        labels have no loss.
    RETURNS (tuple[Scalar, SpanLogits]): The loss in nats, still on the device, and its gradient
        with respect to the logits.
    Source: Eberts and Ulges (2020), section 3.4.
    """
    entity_loss, d_entities = cross_entropy(logits.entities, types)
    n_spans = max(int((types != MISSING).sum()), 1)
    relation_loss, d_relations = binary_cross_entropy(logits.relations, labels)
    n_labels = max(int((labels != MISSING).sum()), 1)
    d_logits = logits._replace(entities=d_entities / n_spans, relations=d_relations / n_labels)
    return entity_loss / n_spans + relation_loss / n_labels, d_logits


def binary_cross_entropy(logits: Floats2d, labels: Ints2d) -> tuple[Scalar, Floats2d]:
    """Compute the summed cross-entropy of a sigmoid for each label, and its gradient.

    logits (Floats2d): (items, labels), numpy or cupy.
    labels (Ints2d): 0 or 1, int64 (items, labels); `MISSING` labels have neither loss nor gradient.
    RETURNS (tuple[Scalar, Floats2d]): The loss in nats, still on the device, and the gradient
        (items, labels).
    """
    xp = get_array_module(logits)
    gold = xp.asarray(labels)
    known = gold != MISSING
    softplus = xp.logaddexp(0.0, logits)  # -log(1 - p)
    loss = ((softplus - gold * logits) * known).sum()
    gradient = (xp.exp(logits - softplus) - gold) * known
    return loss, gradient.astype(softplus.dtype)
