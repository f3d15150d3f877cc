"""The training objective: cross-entropy over the cells of the table."""

from ..arrays import Scalar, cross_entropy
from .gold import GoldTables
from .logits import PairLogits, TableLogits


def table_loss(
    logits: TableLogits, gold: GoldTables, *, relation_weight: float = 1.0
) -> tuple[Scalar, TableLogits]:
    """Compute the summed cross-entropy of all tags and of all cells i < j, and its gradient.

    The cross-entropy of pairs is added where the head classifies pairs of entities, too.

    logits (TableLogits): Logits of a batch of tables.
    gold (GoldTables): Their gold labels; missing annotations have no loss.
    relation_weight (float): Weight of each cell and of each pair. Each tag has the weight 1.
    RETURNS (tuple[Scalar, TableLogits]): The loss in nats, still on the device, and its gradient
        with respect to the logits.
    RAISES (ValueError): If gold and logits are of different size.
    Source: the paper, section 2.2.
    """
    tag_loss, d_tags = cross_entropy(logits.tags, gold.tags)
    relation_loss, d_relations = cross_entropy(logits.relations, gold.relations)
    gradient = TableLogits(d_tags, d_relations * relation_weight, logits.windows)
    loss = tag_loss + relation_loss * relation_weight
    if logits.pairs is None:
        return loss, gradient
    cells, of_pairs = logits.pairs
    pair_loss, d_pairs = cross_entropy(of_pairs, gold.relations[cells])
    gradient = gradient._replace(pairs=PairLogits(cells, d_pairs * relation_weight))
    return loss + pair_loss * relation_weight, gradient
