"""Sub-words -> words."""

from collections.abc import Callable
from typing import Any

from thinc.api import Model, reduce_max
from thinc.types import Floats2d, Ragged


def build_reduce_max() -> Model[Ragged, Floats2d]:
    """Build max-pooling over the sub-words of each word (paper, equation 1). Registered as
    `spacy-tabcnn.reduce_max.v1`.

    A word without sub-words, such as a line break, becomes zeros; thinc's `reduce_max.v1` refuses
    it.

    RETURNS (Model[Ragged, Floats2d]): Pools (sub-words, width), ragged by word, to (words, width).
    """
    return Model("reduce_max", forward, layers=[reduce_max()])


def forward(
    model: Model[Ragged, Floats2d], subwords: Ragged, is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], Ragged]]:
    """Pool the sub-words of each word; see `build_reduce_max`."""
    present = subwords.lengths > 0
    pooled, backprop_pooled = model.layers[0](
        Ragged(subwords.dataXd, subwords.lengths[present]), is_train
    )
    words = model.ops.alloc2f(len(subwords.lengths), pooled.shape[1])
    words[present] = pooled

    def backprop(d_words: Floats2d) -> Ragged:
        return Ragged(backprop_pooled(d_words[present]).dataXd, subwords.lengths)

    return words, backprop


def build_mix_layers(n_layers: int, pooling: Model[Ragged, Floats2d]) -> Model[Ragged, Floats2d]:
    """Build a learned mix of an encoder's layers, pooled. Registered as
    `spacy-tabcnn.mix_layers.v1`.

    A sub-word's mix is g * sum of softmax(w)_l h_l over its embeddings of the layers l (Peters et
    al. 2018, "Deep contextualized word representations", equation 1), with one scale g and one
    weight w_l per layer for the whole task. At first it is the mean.

    n_layers (int): Layers of the encoder that stand side by side, the embeddings' included: 7 for
        an encoder of 6.
    pooling (Model[Ragged, Floats2d]): Pools the sub-words of each word.
    RETURNS (Model[Ragged, Floats2d]): Pools (sub-words, n_layers * width), ragged by word, to
        (words, width).
    RAISES (ValueError): If there are fewer than two layers.
    """
    if n_layers < 2:
        raise ValueError(f"spacy-tabcnn.mix_layers.v1: n_layers is {n_layers}; expected at least 2")
    model: Model[Ragged, Floats2d] = Model(
        "mix_layers",
        forward_mix,
        layers=[pooling],
        params={"weights": None, "scale": None},
        attrs={"n_layers": n_layers},
    )
    # Not left to `initialize`, which spacy-transformers' listener does not pass on to its pooling.
    model.set_param("weights", model.ops.alloc1f(n_layers))
    model.set_param("scale", model.ops.alloc1f(1) + 1)
    return model


def forward_mix(
    model: Model[Ragged, Floats2d], subwords: Ragged, is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], Ragged]]:
    """Mix the layers of each sub-word, and pool; see `build_mix_layers`."""
    n_layers, xp = model.attrs["n_layers"], model.ops.xp
    layers: Any = subwords.dataXd
    if layers.shape[1] % n_layers:
        raise ValueError(
            f"spacy-tabcnn.mix_layers.v1: the embeddings are {layers.shape[1]} wide, no multiple "
            f"of n_layers = {n_layers}. Set all_layers = true in the transformer's model, "
            "spacy-tabcnn.TransformerModel.v1, and n_layers to its number of layers plus one"
        )
    layers = layers.reshape(len(layers), n_layers, -1)
    shares: Any = model.ops.softmax(model.get_param("weights"))
    scale: Any = model.get_param("scale")
    mean = xp.einsum("l,slw->sw", shares, layers)
    pooled, backprop_pooling = model.layers[0](Ragged(mean * scale, subwords.lengths), is_train)

    def backprop(d_words: Floats2d) -> Ragged:
        d_mixed: Any = backprop_pooling(d_words).dataXd
        d_shares = scale * xp.einsum("sw,slw->l", d_mixed, layers)
        model.inc_grad("weights", shares * (d_shares - (shares * d_shares).sum()))
        model.inc_grad("scale", (d_mixed * mean).sum(keepdims=True).reshape(1))
        d_layers = (scale * shares)[None, :, None] * d_mixed[:, None]
        return Ragged(d_layers.reshape(len(d_layers), -1), subwords.lengths)

    return pooled, backprop
