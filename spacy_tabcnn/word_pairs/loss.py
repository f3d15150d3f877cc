"""The training objective: the binary cross-entropy of all cells and labels."""

from thinc.util import get_array_module

from ..arrays import Floats2d, Scalar
from .gold import GoldTable, GoldWordPairs
from .logits import WordPairLogits


def word_pair_loss(logits: WordPairLogits, gold: GoldWordPairs) -> tuple[Scalar, WordPairLogits]:
    """Compute the loss of a batch, and its gradient.

    The loss of a sentence is the binary cross-entropy of its cells and labels, summed over all
    tables and divided by its number of words. The loss of a batch is the sum over its sentences.

    logits (WordPairLogits): Logits of a batch of tables.
    gold (GoldWordPairs): Their gold; missing annotation has no loss.
    RETURNS (tuple[Scalar, WordPairLogits]): The loss in nats, still on the device, and its gradient
        with respect to the logits.
    RAISES (ValueError): If gold and logits are of different size.
    Source: Yan et al. (2021), section 3.5. The authors' code divides by the number of words of the
        longest sentence of the batch, so that the loss of a sentence depends on the others.
    """
    loss, d_entities = table_loss(logits.entities, gold.entities)
    relation_loss, d_relations = table_loss(logits.relations, gold.relations)
    loss = loss + relation_loss
    d_last_words: Floats2d | None = None
    if logits.last_words is not None:
        last_loss, d_last_words = table_loss(logits.last_words, gold.last_words)
        loss = loss + last_loss
    return loss, WordPairLogits(d_entities, d_relations, logits.windows, d_last_words)


def table_loss(logits: Floats2d, gold: GoldTable) -> tuple[Scalar, Floats2d]:
    """Compute the weighted sum of the cross-entropies of a sigmoid for each cell and label.

    logits (Floats2d): (cells, labels), numpy or cupy.
    gold (GoldTable): The gold.
    RETURNS (tuple[Scalar, Floats2d]): The loss in nats, still on the device, and its gradient
        (cells, labels).
    RAISES (ValueError): If there are not as many weights as cells.
    """
    if len(logits) != len(gold.weights):
        raise ValueError(
            f"table_loss: {len(logits)} cells, but the weights of {len(gold.weights)} cells"
        )
    xp = get_array_module(logits)
    weights = xp.asarray(gold.weights)[:, None]
    cells, labels = xp.asarray(gold.cells), xp.asarray(gold.labels)
    softplus = xp.logaddexp(0.0, logits)  # -log(1 - p)
    gradient = xp.exp(logits - softplus) * weights
    held, of_held = logits[cells, labels], weights[cells, 0]
    softplus[cells, labels] = xp.logaddexp(0.0, -held)  # -log p
    gradient[cells, labels] = -xp.exp(-held - softplus[cells, labels]) * of_held
    return (softplus * weights).sum(), gradient.astype(softplus.dtype)
