"""The training objective: cross-entropy over the cells of the table."""

import numpy as np
from thinc.util import get_array_module

from .gold import MISSING, GoldTable
from .types import Floats2d, Ints1d, TableLogits


def table_loss(logits: TableLogits, gold: list[GoldTable]) -> tuple[float, TableLogits]:
    """Sum the cross-entropy of all tags and of all cells i < j (paper, section 2.2), and find its gradient.

    logits (TableLogits): Logits of a batch of tables.
    gold (list[GoldTable]): The gold table of each window; missing annotations have no loss.
    RETURNS (tuple[float, TableLogits]): The loss in nats, and its gradient with respect to the logits.
    RAISES (ValueError): If gold and logits are of different size.
    """
    tag_loss, d_tags = cross_entropy(logits.tags, _concatenate([table.tags for table in gold]))
    relation_loss, d_relations = cross_entropy(logits.relations, _concatenate([table.relations for table in gold]))
    return tag_loss + relation_loss, TableLogits(d_tags, d_relations, logits.lengths)


def cross_entropy(logits: Floats2d, labels: Ints1d) -> tuple[float, Floats2d]:
    """Sum the cross-entropy of a softmax over labels, and find its gradient.

    logits (Floats2d): (items, labels), numpy or cupy.
    labels (Ints1d): Gold label of each item, int64 (items,); `MISSING` items have neither loss nor gradient.
    RETURNS (tuple[float, Floats2d]): The loss in nats and the gradient (items, labels).
    RAISES (ValueError): If there are not as many labels as items.
    """
    if len(logits) != len(labels):
        raise ValueError(f"cross_entropy: {len(logits)} items, but {len(labels)} gold labels")
    xp = get_array_module(logits)
    items = xp.arange(len(labels))
    labels = xp.asarray(labels)
    known = labels != MISSING
    labels = xp.where(known, labels, 0)
    log_probs = log_softmax(logits)
    loss = -(log_probs[items, labels] * known).sum()
    gradient = xp.exp(log_probs)
    gradient[items, labels] -= 1
    gradient *= known[:, None]
    return float(loss), gradient


def log_softmax(logits: Floats2d) -> Floats2d:
    """Turn logits into log-probabilities.

    logits (Floats2d): (items, labels), numpy or cupy.
    RETURNS (Floats2d): Log-probabilities in nats, (items, labels).
    """
    xp = get_array_module(logits)
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - xp.log(xp.exp(shifted).sum(axis=1, keepdims=True))


def _concatenate(labels: list[Ints1d]) -> Ints1d:
    return np.concatenate([np.zeros(0, dtype=np.int64), *labels])
