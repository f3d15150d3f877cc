"""Sub-words -> words."""

from collections.abc import Callable

from thinc.api import Model, reduce_max
from thinc.types import Floats2d, Ragged


def build_reduce_max() -> Model[Ragged, Floats2d]:
    """Build max-pooling over the sub-words of each word (paper, equation 1). Registered as
    `spacy-tabcnn.reduce_max.v1`.

    A word without sub-words, such as a line break, becomes zeros; thinc's `reduce_max.v1` refuses it.

    RETURNS (Model[Ragged, Floats2d]): Pools (sub-words, width), ragged by word, to (words, width).
    """
    return Model("reduce_max", forward, layers=[reduce_max()])


def forward(
    model: Model[Ragged, Floats2d], subwords: Ragged, is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], Ragged]]:
    present = subwords.lengths > 0
    pooled, backprop_pooled = model.layers[0](Ragged(subwords.dataXd, subwords.lengths[present]), is_train)
    words = model.ops.alloc2f(len(subwords.lengths), pooled.shape[1])
    words[present] = pooled

    def backprop(d_words: Floats2d) -> Ragged:
        return Ragged(backprop_pooled(d_words[present]).dataXd, subwords.lengths)

    return words, backprop
