"""The training objective: cross-entropy over the cells of the table."""

import numpy as np

from ..arrays import Ints1d, cross_entropy
from .gold import GoldTable
from .logits import TableLogits


def table_loss(logits: TableLogits, gold: list[GoldTable]) -> tuple[float, TableLogits]:
    """Sum the cross-entropy of all tags and of all cells i < j (paper, section 2.2), and find its gradient.

    logits (TableLogits): Logits of a batch of tables.
    gold (list[GoldTable]): The gold table of each window; missing annotations have no loss.
    RETURNS (tuple[float, TableLogits]): The loss in nats, and its gradient with respect to the logits.
    RAISES (ValueError): If gold and logits are of different size.
    """
    tag_loss, d_tags = cross_entropy(logits.tags, _concatenate([table.tags for table in gold]))
    relation_loss, d_relations = cross_entropy(
        logits.relations, _concatenate([table.relations for table in gold])
    )
    return tag_loss + relation_loss, TableLogits(d_tags, d_relations, logits.lengths)


def _concatenate(labels: list[Ints1d]) -> Ints1d:
    return np.concatenate([np.zeros(0, dtype=np.int64), *labels])
