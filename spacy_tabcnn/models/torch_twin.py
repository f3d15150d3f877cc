"""spaCy's embeddings of words by hashes and windows, computed by torch on a GPU.

thinc computes each layer, and its gradient, by several small steps in Python, and the host waits
for the GPU at the checks of its kernels. For a batch of eight sentences that takes longer than an
encoder does. A twin computes the same function of the same parameters by torch, with one transfer
to the GPU and none back.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from spacy.ml.featureextractor import forward as extract_features
from spacy.tokens import Doc
from thinc.api import Model, NumpyOps, Optimizer, torch2xp, xp2torch
from thinc.layers.array_getitem import forward as get_item
from thinc.layers.chain import forward as chain
from thinc.layers.concatenate import forward as concatenate
from thinc.layers.dropout import forward as dropout
from thinc.layers.expand_window import forward as expand_window
from thinc.layers.hashembed import forward as embed_hashes
from thinc.layers.layernorm import forward as normalize
from thinc.layers.list2ragged import forward as list2ragged
from thinc.layers.maxout import forward as maxout
from thinc.layers.ragged2list import forward as ragged2list
from thinc.layers.residual import forward as residual
from thinc.layers.softmax import forward as softmax
from thinc.layers.with_array import forward as with_array
from thinc.optimizers import KeyT
from thinc.types import Floats2d
from torch import Tensor

from ..arrays import DeviceArray, DeviceOps, Ints1d
from ..heads.transfers import to_device
from ..runtime.optimizer import TensorOptimizer
from .features import forward as extract_at_once

EPS = 1e-8  # as in thinc's layer
_HASHES = NumpyOps()
Backprop = Callable[[list[Floats2d]], list[Doc]]


def make_twins(model: Model) -> None:
    """Have torch compute the parts of a model that embed words by hashes, on a GPU.

    model (Model): A model; its layers are changed in place. On a CPU, they work as they did.
    """
    if is_supported(model):
        model._func = TorchTwin()
        return
    for layer in model.layers:
        make_twins(layer)


def is_supported(node: Model) -> bool:
    """Return whether a layer maps documents to arrays of their words by layers that a twin knows.

    node (Model): The layer.
    RETURNS (bool): Whether it does.
    """
    if not all(layer._func in _STEPS for layer in node.walk()):
        return False
    first, last = node, node
    while first._func is chain:
        first = first.layers[0]
    while last._func is chain:
        last = last.layers[-1]
    return _STEPS[first._func] is _extract and last._func in (ragged2list, with_array)


def finish_update(model: Model, optimizer: Optimizer) -> None:
    """Hand the gradients of a model over to an optimiser, those of its twins included.

    model (Model): The model.
    optimizer (Optimizer): The optimiser.
    """
    for node in model.walk():
        if isinstance(node._func, TorchTwin):
            node._func.finish_update(node, optimizer)
    model.finish_update(optimizer)


class _Words(NamedTuple):
    """The input or the output of a layer: something for each word of a batch.

    data (Any): (words, ...), a tensor; for the features of words a numpy array.
    lengths (Ints1d): Number of words of each document.
    is_list (bool): Whether thinc's layer gets a list of arrays. `with_array` then puts rows of
        zeros between documents.
    """

    data: Any
    lengths: Ints1d
    is_list: bool


class TorchTwin:
    """The forward function of a layer of thinc, computed by torch on a GPU."""

    def __init__(self) -> None:
        self._leaves: dict[KeyT, Tensor] = {}

    def __reduce__(self) -> tuple[type["TorchTwin"], tuple[()]]:
        """Copy or pickle the function without its tensors, which share memory with parameters."""
        return TorchTwin, ()

    def __call__(
        self, model: Model[list[Doc], list[Floats2d]], docs: list[Doc], is_train: bool
    ) -> tuple[list[Floats2d], Backprop]:
        """Embed the words of documents.

        model (Model): The layer, a chain.
        docs (list[Doc]): The documents.
        is_train (bool): Whether the model is being trained.
        RETURNS (tuple[list[Floats2d], Callable]): (words, width) a document, and a callback.
        """
        if isinstance(model.ops, NumpyOps) or not any(map(len, docs)):
            return chain(model, docs, is_train)
        return self.run(model, docs, is_train)

    def run(
        self, model: Model[list[Doc], list[Floats2d]], docs: Sequence[Doc], is_train: bool
    ) -> tuple[list[Floats2d], Backprop]:
        """Embed the words of documents by torch; see `__call__`."""
        with torch.set_grad_enabled(is_train):
            words = _chain(self, model, docs, is_train)
        output: Tensor = words.data

        def backprop(d_arrays: list[Floats2d]) -> list[Doc]:
            output.backward(xp2torch(model.ops.xp.concatenate(d_arrays)))
            return []

        values = output.detach()
        last = model.layers[-1].layers
        if last and last[0]._func is softmax:
            values = _probabilities(last[0], values, is_train)
        ops: DeviceOps = model.ops
        return ops.unflatten(torch2xp(values, ops=ops), words.lengths), backprop

    def step(self, node: Model, words: Any, is_train: bool) -> _Words:
        """Compute a layer of the layer."""
        return _STEPS[node._func](self, node, words, is_train)

    def parameter(self, node: Model, name: str) -> Tensor:
        """Return a parameter as a tensor that shares its memory.

        node (Model): The node of thinc.
        name (str): The name of its parameter.
        """
        array = node.get_param(name)
        leaf = self._leaves.get((node.id, name))
        if leaf is None or _address(array) != leaf.data_ptr() or array.shape != leaf.shape:
            leaf = self._leaves[node.id, name] = xp2torch(array).detach().requires_grad_()
        return leaf

    def finish_update(self, model: Model, optimizer: Optimizer) -> None:
        """Hand the gradients of a layer over to an optimiser.

        model (Model): The layer.
        optimizer (Optimizer): The optimiser. One that is a `TensorOptimizer`, too, gets tensors.
        """
        # Asked once: Python compares all methods for the answer.
        taker: TensorOptimizer | None = None
        if isinstance(optimizer, TensorOptimizer):
            taker = optimizer
        for node in model.walk():
            for name in node.param_names:
                leaf = self._leaves.get((node.id, name))
                if leaf is None or leaf.grad is None:
                    continue
                if taker is not None:
                    taker.collect((node.id, name), leaf, leaf.grad, _do_nothing)
                else:
                    gradient: DeviceArray = torch2xp(leaf.grad, ops=node.ops)
                    node.inc_grad(name, gradient)
                leaf.grad = None


def _probabilities(node: Model, logits: Tensor, is_train: bool) -> Tensor:
    """Return what thinc's softmax layer returns for some logits."""
    if is_train or node.attrs["softmax_normalize"]:
        return torch.softmax(logits, dim=1)
    return logits


def _address(array: DeviceArray) -> int:
    if isinstance(array, np.ndarray):
        return array.ctypes.data
    return int(array.data.ptr)


def _do_nothing() -> None:
    pass


def _extract(twin: TorchTwin, node: Model, docs: Sequence[Doc], is_train: bool) -> _Words:
    columns = node.attrs["columns"]
    features = [doc.to_array(columns).reshape(len(doc), len(columns)) for doc in docs]
    lengths = np.fromiter(map(len, docs), np.int64, len(docs))
    return _Words(np.concatenate(features), lengths, True)


def _chain(twin: TorchTwin, node: Model, words: Any, is_train: bool) -> _Words:
    for layer in node.layers:
        words = twin.step(layer, words, is_train)
    return words


def _as_ragged(twin: TorchTwin, node: Model, words: _Words, is_train: bool) -> _Words:
    return words._replace(is_list=False)


def _as_list(twin: TorchTwin, node: Model, words: _Words, is_train: bool) -> _Words:
    return words._replace(is_list=True)


def _with_array(twin: TorchTwin, node: Model, words: _Words, is_train: bool) -> _Words:
    (layer,) = node.layers
    pad = node.attrs["pad"]
    if not (pad and words.is_list):
        return words._replace(data=twin.step(layer, words, is_train).data)
    # Rows of zeros before each document that is not empty, and after the last.
    n_before = pad * np.cumsum(words.lengths > 0)
    place = np.arange(len(words.data)) + np.repeat(n_before, words.lengths)
    rows = to_device(torch.from_numpy(place), words.data.device)
    n_rows = len(place) + int(n_before[-1]) + pad
    padded = words.data.new_zeros(n_rows, words.data.shape[1]).index_copy(0, rows, words.data)
    output = twin.step(layer, words._replace(data=padded), is_train).data
    return words._replace(data=output.index_select(0, rows))


def _concatenate(twin: TorchTwin, node: Model, words: _Words, is_train: bool) -> _Words:
    outputs = [twin.step(layer, words, is_train).data for layer in node.layers]
    return words._replace(data=torch.cat(outputs, dim=1))


def _get_item(twin: TorchTwin, node: Model, words: _Words, is_train: bool) -> _Words:
    return words._replace(data=words.data[node.attrs["index"]])


def _embed(twin: TorchTwin, node: Model, words: _Words, is_train: bool) -> _Words:
    table = twin.parameter(node, "E")
    ids = np.ascontiguousarray(words.data, dtype="uint64")
    keys = _HASHES.hash(ids, node.attrs["seed"]) % table.shape[0]
    rows = to_device(torch.from_numpy(keys.astype(np.int64)), table.device)
    vectors = F.embedding_bag(rows, table, mode="sum")
    rate = node.attrs.get("dropout_rate")
    if is_train and rate:
        vectors = vectors * F.dropout(vectors.new_ones(vectors.shape[1]), rate)
    return words._replace(data=vectors)


def _maxout(twin: TorchTwin, node: Model, words: _Words, is_train: bool) -> _Words:
    weight, bias = twin.parameter(node, "W"), twin.parameter(node, "b")
    pieces = F.linear(words.data, weight.flatten(0, 1), bias.flatten())
    # Of equal pieces, as in rows of zeros, the first one gets the gradient, as in thinc.
    return words._replace(data=pieces.unflatten(1, bias.shape).max(dim=2).values)


def _normalize(twin: TorchTwin, node: Model, words: _Words, is_train: bool) -> _Words:
    gain, bias = twin.parameter(node, "G"), twin.parameter(node, "b")
    return words._replace(data=F.layer_norm(words.data, gain.shape, gain, bias, EPS))


def _dropout(twin: TorchTwin, node: Model, words: _Words, is_train: bool) -> _Words:
    is_on = is_train and node.attrs["is_enabled"]
    return words._replace(data=F.dropout(words.data, node.attrs["dropout_rate"], is_on))


def _residual(twin: TorchTwin, node: Model, words: _Words, is_train: bool) -> _Words:
    return words._replace(data=words.data + twin.step(node.layers[0], words, is_train).data)


def _expand_window(twin: TorchTwin, node: Model, words: _Words, is_train: bool) -> _Words:
    reach = node.attrs["window_size"]
    padded = F.pad(words.data, (0, 0, reach, reach))
    windows = padded.unfold(0, 2 * reach + 1, 1)  # (words, width, window)
    return words._replace(data=windows.transpose(1, 2).flatten(1))


def _logits(twin: TorchTwin, node: Model, words: _Words, is_train: bool) -> _Words:
    """Compute the logits of a softmax layer: thinc's layer, too, takes the gradient of these."""
    weight, bias = twin.parameter(node, "W"), twin.parameter(node, "b")
    logits = F.linear(words.data, weight, bias) / node.attrs["softmax_temperature"]
    return words._replace(data=logits)


_STEPS: dict[Callable, Callable[..., _Words]] = {
    extract_features: _extract,
    extract_at_once: _extract,
    chain: _chain,
    list2ragged: _as_ragged,
    ragged2list: _as_list,
    with_array: _with_array,
    concatenate: _concatenate,
    get_item: _get_item,
    embed_hashes: _embed,
    maxout: _maxout,
    normalize: _normalize,
    dropout: _dropout,
    residual: _residual,
    expand_window: _expand_window,
    softmax: _logits,
}
