"""The training objective: cross-entropy over the cells of the table."""

from ..arrays import Scalar, cross_entropy
from .gold import GoldTables
from .logits import TableLogits


def table_loss(logits: TableLogits, gold: GoldTables) -> tuple[Scalar, TableLogits]:
    """Compute the summed cross-entropy of all tags and of all cells i < j, and its gradient.

    logits (TableLogits): Logits of a batch of tables.
    gold (GoldTables): Their gold labels; missing annotations have no loss.
    RETURNS (tuple[Scalar, TableLogits]): The loss in nats, still on the device, and its gradient
        with respect to the logits.
    RAISES (ValueError): If gold and logits are of different size.
    Source: the paper, section 2.2.
    """
    tag_loss, d_tags = cross_entropy(logits.tags, gold.tags)
    relation_loss, d_relations = cross_entropy(logits.relations, gold.relations)
    return tag_loss + relation_loss, TableLogits(d_tags, d_relations, logits.windows)
