"""The training objective: cross-entropy over the cells of the table."""

from ..arrays import Scalar, cross_entropy
from .gold import GoldTables
from .logits import TableLogits


def table_loss(
    logits: TableLogits, gold: GoldTables, *, relation_weight: float = 1.0
) -> tuple[Scalar, TableLogits]:
    """Compute the summed cross-entropy of all tags and of all cells i < j, and its gradient.

    logits (TableLogits): Logits of a batch of tables.
    gold (GoldTables): Their gold labels; missing annotations have no loss.
    relation_weight (float): Weight of each cell. Each tag has the weight 1.
    RETURNS (tuple[Scalar, TableLogits]): The loss in nats, still on the device, and its gradient
        with respect to the logits.
    RAISES (ValueError): If gold and logits are of different size.
    Source: the paper, section 2.2.
    """
    tag_loss, d_tags = cross_entropy(logits.tags, gold.tags)
    relation_loss, d_relations = cross_entropy(logits.relations, gold.relations)
    if relation_weight != 1.0:
        relation_loss, d_relations = relation_loss * relation_weight, d_relations * relation_weight
    return tag_loss + relation_loss, TableLogits(d_tags, d_relations, logits.windows)
