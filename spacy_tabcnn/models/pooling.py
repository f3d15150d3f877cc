"""Sub-words -> words."""

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from thinc.api import Model, reduce_max, torch2xp, xp2torch
from thinc.types import Floats2d, Ragged
from thinc.util import is_cupy_array

from ..arrays import DeviceArray

MIX_LAYERS = "mix_layers"


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
    if is_cupy_array(subwords.dataXd):
        return forward_by_torch(model, subwords, is_train)
    present = subwords.lengths > 0
    pooled, backprop_pooled = model.layers[0](
        Ragged(subwords.dataXd, subwords.lengths[present]), is_train
    )
    data = cast(Floats2d, subwords.dataXd)
    words = model.ops.alloc2f(len(subwords.lengths), data.shape[1])
    if not len(pooled):
        return words, lambda d_words: Ragged(model.ops.alloc2f(0, words.shape[1]), subwords.lengths)
    words[present] = pooled

    def backprop(d_words: Floats2d) -> Ragged:
        return Ragged(backprop_pooled(d_words[present]).dataXd, subwords.lengths)

    return words, backprop


def forward_by_torch(
    model: Model[Ragged, Floats2d], subwords: Ragged, is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], Ragged]]:
    """Pool by torch, which does not check its arguments. thinc does, and the host waits for a GPU.

    See `build_reduce_max`.
    """
    rows = xp2torch(subwords.dataXd, requires_grad=is_train)
    lengths = xp2torch(subwords.lengths).long()
    order = torch.arange(len(rows), device=rows.device)
    with torch.set_grad_enabled(is_train):
        words = F.embedding_bag(order, rows, lengths.cumsum(0) - lengths, mode="max")

    def backprop(d_words: Floats2d) -> Ragged:
        words.backward(xp2torch(d_words))
        d_rows = torch2xp(cast(torch.Tensor, rows.grad), ops=model.ops)
        return Ragged(cast(Floats2d, d_rows), subwords.lengths)

    return cast(Floats2d, torch2xp(words.detach(), ops=model.ops)), backprop


def build_mix_layers(
    n_layers: int | None, pooling: Model[Ragged, Floats2d]
) -> Model[Ragged, Floats2d]:
    """Build a learned mix of an encoder's layers, pooled. Registered as
    `spacy-tabcnn.mix_layers.v1`.

    A sub-word's mix is g * sum of softmax(w)_l h_l over its embeddings of the layers l (Peters et
    al. 2018, "Deep contextualized word representations", equation 1), with one scale g and one
    weight w_l per layer for the whole task. At first it is the mean.

    n_layers (int | None): Layers of the encoder that stand side by side, the embeddings' included:
        7 for an encoder of 6. By default, a component of this package counts the layers of the
        encoder that it listens to when it is initialised.
    pooling (Model[Ragged, Floats2d]): Pools the sub-words of each word.
    RETURNS (Model[Ragged, Floats2d]): Pools (sub-words, n_layers * width), ragged by word, to
        (words, width).
    RAISES (ValueError): If there are fewer than two layers.
    """
    if n_layers is not None and n_layers < 2:
        raise ValueError(f"spacy-tabcnn.mix_layers.v1: n_layers is {n_layers}; expected at least 2")
    model: Model[Ragged, Floats2d] = Model(
        MIX_LAYERS,
        forward_mix,
        layers=[pooling],
        params={"weights": None, "scale": None},
        attrs={"n_layers": n_layers},
    )
    # Not left to `initialize`, which spacy-transformers' listener does not pass on to its pooling.
    if n_layers is not None:
        _start_mix(model, n_layers)
    return model


def count_mixed_layers(model: Model, n_layers: int) -> None:
    """Start the mixes of a model that were built without a number of layers.

    model (Model): The model.
    n_layers (int): Layers of the encoder that it listens to, the embeddings' included.
    """
    for node in model.walk():
        if node.name == MIX_LAYERS and node.attrs["n_layers"] is None:
            _start_mix(node, n_layers)


def _start_mix(model: Model, n_layers: int) -> None:
    model.set_param("weights", model.ops.alloc1f(n_layers))
    model.set_param("scale", model.ops.alloc1f(1) + 1)


def forward_mix(
    model: Model[Ragged, Floats2d], subwords: Ragged, is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], Ragged]]:
    """Mix the layers of each sub-word, and pool; see `build_mix_layers`."""
    if not model.has_param("weights"):
        raise ValueError(
            "spacy-tabcnn.mix_layers.v1: the number of layers is not known. Set n_layers, to the "
            "number of layers of the encoder plus one"
        )
    weights: DeviceArray = model.get_param("weights")
    n_layers, xp = len(weights), model.ops.xp
    layers: DeviceArray = subwords.dataXd
    if layers.shape[1] % n_layers:
        raise ValueError(
            f"spacy-tabcnn.mix_layers.v1: the embeddings are {layers.shape[1]} wide, no multiple "
            f"of n_layers = {n_layers}. Set all_layers = true in the transformer's model, "
            "spacy-tabcnn.TransformerModel.v1, and n_layers to its number of layers plus one"
        )
    layers = layers.reshape(len(layers), n_layers, -1)
    shares: DeviceArray = model.ops.softmax(weights)
    scale: DeviceArray = model.get_param("scale")
    mean = xp.einsum("l,slw->sw", shares, layers)
    pooled, backprop_pooling = model.layers[0](Ragged(mean * scale, subwords.lengths), is_train)

    def backprop(d_words: Floats2d) -> Ragged:
        d_mixed: DeviceArray = backprop_pooling(d_words).dataXd
        d_shares = scale * xp.einsum("sw,slw->l", d_mixed, layers)
        model.inc_grad("weights", shares * (d_shares - (shares * d_shares).sum()))
        model.inc_grad("scale", (d_mixed * mean).sum(keepdims=True).reshape(1))
        d_layers = (scale * shares)[None, :, None] * d_mixed[:, None]
        return Ragged(d_layers.reshape(len(d_layers), -1), subwords.lengths)

    return pooled, backprop
