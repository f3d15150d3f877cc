"""The encoder's output -> embeddings of words, for all documents of a batch at once.

spacy-transformers goes through the documents one by one. Each of them costs a GPU two transfers and
five small steps, and in training the host waits for it.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from spacy.tokens import Doc
from spacy_transformers.data_classes import TransformerData
from spacy_transformers.layers.listener import forward as receive
from spacy_transformers.layers.trfs2arrays import forward as forward_by_doc
from thinc.api import Model
from thinc.types import Floats2d, Ragged
from thinc.util import is_cupy_array
from transformers.utils import ModelOutput

from ..arrays import DeviceArray, DeviceOps, Ints1d
from .encoded_batch import EncodedBatch, EncodedDoc

Backprop = Callable[[list[Floats2d]], list[TransformerData]]


def forward(
    model: Model, outputs: list[TransformerData], is_train: bool
) -> tuple[list[Floats2d], Backprop]:
    """Pool the sub-words of each word; in place of the forward function of `trfs2arrays`.

    model (Model): The layer `trfs2arrays` of spacy-transformers.
    outputs (list[TransformerData]): The output of the encoder for each document.
    is_train (bool): Whether the model is being trained.
    RETURNS (tuple[list[Floats2d], Callable]): Embeddings of words, (words, width) a document, and
        a callback. The callback leaves the gradient with the batch, and returns the gradients of
        the documents only on a CPU.
    """
    parts = _Part.of_batches(outputs)
    if not parts:
        return forward_by_doc(model, outputs, is_train)
    ops: DeviceOps = model.ops
    xp = ops.xp
    pooled, callbacks = [], []
    for part in parts:
        # One batch of the encoder after the other: the arrays of all its layers are large.
        subwords = part.batch.rows[ops.asarray(part.places)]
        lengths = ops.asarray1i(part.lengths)
        words_of_part, callback = model.layers[0](Ragged(subwords, lengths), is_train)
        pooled.append(words_of_part)
        callbacks.append(callback)
    words = pooled[0] if len(parts) == 1 else xp.concatenate(pooled)
    ends = np.cumsum([*map(len, pooled)]).tolist()
    order, n_words = _order_words(outputs, parts)
    if order is not None:
        words = words[ops.asarray(order)]

    def backprop(d_words: list[Floats2d]) -> list[TransformerData]:
        d_pooled: DeviceArray = xp.concatenate(d_words)
        if order is not None:
            d_ordered, d_pooled = d_pooled, ops.alloc2f(ends[-1], words.shape[1])
            ops.scatter_add(d_pooled, ops.asarray(order), d_ordered)
        d_subwords = []
        for d_part, callback in zip(xp.split(d_pooled, ends[:-1]), callbacks, strict=True):
            d_subwords.append(callback(d_part).dataXd)
        if len(parts) > 1:
            # Several batches come from documents that were annotated before, not from the encoder
            # in training. So only the pooling learns.
            return []
        (part,) = parts
        d_rows: DeviceArray = ops.alloc2f(*part.batch.rows.shape)
        ops.scatter_add(d_rows, ops.asarray(part.places), d_subwords[0])
        d_rows *= model.attrs["grad_factor"]
        d_batch = d_rows.reshape(part.batch.arrays["last_hidden_state"].shape)
        if is_cupy_array(d_batch):
            # spacy-transformers would compute the norm of each document's gradient.
            part.batch.add_gradient(d_batch)
            return []
        return part.split(d_batch)

    return ops.unflatten(words, n_words), cast(Backprop, backprop)


def listen(
    model: Model, docs: list[Doc], is_train: bool
) -> tuple[list[TransformerData], Callable[[list[TransformerData]], list[Doc]]]:
    """Receive the output of the encoder; in place of the forward function of a listener.

    The callback returns a list also if other components listen to the encoder, too. With None, as
    from spacy-transformers, the listener's output cannot be concatenated with other embeddings.
    """
    outputs, backprop = receive(cast(Any, model), docs, is_train)

    def backprop_listener(d_outputs: list[TransformerData]) -> list[Doc]:
        return backprop(d_outputs) or []

    return outputs, backprop_listener


class _Part(NamedTuple):
    """The documents of one batch of the encoder.

    batch (EncodedBatch): The batch.
    docs (list[EncodedDoc]): The documents.
    places (Ints1d): The places of the sub-words of their words, all documents end to end.
    lengths (Ints1d): The number of sub-words of each word.
    """

    batch: EncodedBatch
    docs: list[EncodedDoc]
    places: Ints1d
    lengths: Ints1d

    @classmethod
    def of_batches(cls, outputs: Sequence[TransformerData]) -> "list[_Part]":
        """Group documents by their batches.

        RETURNS (list[_Part]): The groups. None where a document is not from `EncodedBatch`, or has
            words but no sub-words.
        """
        by_batch: dict[int, list[EncodedDoc]] = {}
        for output in outputs:
            if isinstance(output, EncodedDoc):
                if not len(output.places):
                    return []
                by_batch.setdefault(id(output.batch), []).append(output)
            elif output.model_output:
                return []
        return [*map(cls.of_docs, by_batch.values())]

    @classmethod
    def of_docs(cls, docs: list[EncodedDoc]) -> "_Part":
        places = np.concatenate([doc.places for doc in docs])
        lengths = np.concatenate([doc.lengths for doc in docs])
        return cls(docs[0].batch, docs, places, lengths)

    def split(self, d_batch: DeviceArray) -> list[TransformerData]:
        """Divide the gradient of the batch by documents."""
        parts = []
        for doc in self.docs:
            gradient = ModelOutput(last_hidden_state=d_batch[doc.sequences])
            parts.append(TransformerData(self.batch.wordpieces, gradient, self.batch.align))
        return parts


def _count_words(output: TransformerData) -> int:
    if isinstance(output, EncodedDoc):
        return len(output.lengths)
    return 0


def _order_words(
    outputs: Sequence[TransformerData], parts: Sequence[_Part]
) -> tuple[Ints1d | None, Ints1d]:
    """Find the words of each document among the words of the parts, which are end to end.

    RETURNS (tuple[Ints1d | None, Ints1d]): The place of each word, or None if the words are in
        order. Number of words of each document.
    """
    n_words = np.fromiter(map(_count_words, outputs), np.int64, len(outputs))
    if len(parts) == 1:
        return None, n_words
    first: dict[int, int] = {}
    start = 0
    for part in parts:
        for doc in part.docs:
            first[id(doc)] = start
            start += _count_words(doc)
    starts = np.array([first.get(id(output), 0) for output in outputs])
    before = n_words.cumsum() - n_words
    return np.repeat(starts - before, n_words) + np.arange(n_words.sum()), n_words
