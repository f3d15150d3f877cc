"""The output of the encoder for a batch, divided by documents only where the parts are read.

spacy-transformers divides every output, document by document. The listeners of this package read
the words of all documents of a batch at once (`listener.py`). Listeners of other packages read the
parts as ever.
"""

from functools import cached_property
from typing import cast

import numpy as np
from spacy.tokens import Span
from spacy_transformers.data_classes import FullTransformerBatch, TransformerData, WordpieceBatch
from thinc.api import torch2xp, xp2torch
from thinc.types import Floats3d, Ragged
from thinc.util import get_array_module
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils import ModelOutput

from ..arrays import DeviceArray, Floats2d, Ints1d


class EncodedBatch(FullTransformerBatch):
    """The output of the encoder for a batch of documents.

    spans (list[list[Span]]): The spans of each document that were encoded, in text order.
    wordpieces (WordpieceBatch): Their sub-words.
    model_output (BaseModelOutput): The outputs of torch, (spans, sub-words, width).
    align (Ragged): The sub-words of each word of the documents with spans, as places in the padded
        batch, ragged by word.
    """

    def __init__(
        self,
        spans: list[list[Span]],
        wordpieces: WordpieceBatch,
        model_output: BaseModelOutput,
        align: Ragged,
    ):
        super().__init__(spans, wordpieces, model_output, align)
        self.first_subword: Ints1d = np.append(
            0, np.cumsum(cast(Ints1d, align.lengths), dtype=np.int64)
        )
        self._gradient: DeviceArray = None

    @cached_property
    def arrays(self) -> ModelOutput:
        """Return the outputs as numpy or cupy arrays, or lists of such arrays, by name."""
        arrays = ModelOutput()
        n_spans = len(self.wordpieces)
        for name, output in self.model_output.items():
            if isinstance(output, Tensor):
                arrays[name] = torch2xp(output)
            elif all(len(layer) == n_spans for layer in output):
                arrays[name] = [*map(torch2xp, output)]
        return arrays

    @cached_property
    def rows(self) -> Floats2d:
        """Return the last layer of all sub-words: (spans * sub-words, width)."""
        last_layer = self.arrays["last_hidden_state"]
        return cast(Floats2d, last_layer.reshape(-1, last_layer.shape[-1]))

    def split_by_doc(self) -> list[TransformerData]:
        """Return the output of each document; empty for a document without spans."""
        parts: list[TransformerData] = []
        first_span = first_word = 0
        for spans in self.spans:
            if not spans:
                parts.append(TransformerData.empty())
                continue
            words = slice(first_word + spans[0].start, first_word + spans[-1].end)
            parts.append(EncodedDoc(self, slice(first_span, first_span + len(spans)), words))
            first_span += len(spans)
            first_word += len(spans[0].doc)
        return parts

    def add_gradient(self, gradient: Floats3d) -> None:
        """Add to the gradient of the last layer.

        gradient (Floats3d): (spans, sub-words, width).
        """
        if self._gradient is None:
            self._gradient = gradient
        else:
            self._gradient += gradient

    def unsplit_by_doc(self, arrays: list[list[Floats3d]]) -> FullTransformerBatch:
        """Return the gradient of the batch.

        arrays (list[list[Floats3d]]): The gradient that each document got from listeners of other
            packages, if there are any: (spans, sub-words, width).
        RETURNS (FullTransformerBatch): The gradient, with what `add_gradient` has collected.
        """
        gradient, self._gradient = self._gradient, None
        if gradient is None:
            return super().unsplit_by_doc(arrays)
        if arrays:
            xp = get_array_module(gradient)
            gradient = gradient + xp.concatenate([by_name[0] for by_name in arrays])
        output = ModelOutput(output_0=xp2torch(gradient))
        return FullTransformerBatch(self.spans, self.wordpieces, output, self.align)


class EncodedDoc(TransformerData):
    """The output of the encoder for a document, as a part of its batch.

    The fields of spacy-transformers' class are properties here, made when they are read (mypy has
    no other way to allow that than to ignore it).

    batch (EncodedBatch): The batch.
    sequences (slice): The spans of the document among the spans of the batch.
    words (slice): The words of the document among the words of the batch.
    """

    def __init__(self, batch: EncodedBatch, sequences: slice, words: slice):
        self.batch = batch
        self.sequences = sequences
        self.words = words

    @cached_property
    def wordpieces(self) -> WordpieceBatch:  # type: ignore[override]
        """Return the sub-words of the document."""
        return self.batch.wordpieces[self.sequences]

    @cached_property
    def model_output(self) -> ModelOutput:  # type: ignore[override]
        """Return the outputs of the document, (spans, sub-words, width), by name."""
        parts = ModelOutput()
        for name, output in self.batch.arrays.items():
            if isinstance(output, list):
                parts[name] = [layer[self.sequences] for layer in output]
            else:
                parts[name] = output[self.sequences]
        return parts

    @cached_property
    def align(self) -> Ragged:  # type: ignore[override]
        """Return the sub-words of each word, as places among the sub-words of the document."""
        places: DeviceArray = self.places - self.first_place
        lengths: DeviceArray = self.lengths
        return Ragged(places, lengths)

    @property
    def first_place(self) -> int:
        """Return the place of the first sub-word of the document in the padded batch."""
        return self.sequences.start * self.batch.wordpieces.input_ids.shape[1]

    @cached_property
    def places(self) -> Ints1d:
        """Return the sub-words of all words, as places in the padded batch."""
        first = self.batch.first_subword
        places = cast(Ints1d, self.batch.align.dataXd)
        return places[first[self.words.start] : first[self.words.stop]]

    @property
    def lengths(self) -> Ints1d:
        """Return the number of sub-words of each word."""
        return cast(Ints1d, self.batch.align.lengths)[self.words]

    def add_words(self, places: Ints1d) -> "EncodedDoc":
        """Return the output with further words of one sub-word each.

        places (Ints1d): The sub-word of each word, as places among the sub-words of the document.
        RETURNS (EncodedDoc): The output.
        """
        return LongerDoc(self, places)

    def __reduce__(self) -> tuple[object, ...]:
        """Copy or pickle the output without the outputs of other documents."""
        return TransformerData, (self.wordpieces, self.model_output, self.align)


class LongerDoc(EncodedDoc):
    """The output of the encoder for a document with further words; see `EncodedDoc.add_words`."""

    def __init__(self, output: EncodedDoc, places: Ints1d):
        super().__init__(output.batch, output.sequences, output.words)
        self._places = np.append(output.places, places + output.first_place).astype("int32")
        self._lengths = np.append(output.lengths, np.ones_like(places)).astype("int32")

    @property
    def places(self) -> Ints1d:
        """Return the sub-words of all words, as places in the padded batch."""
        return self._places

    @property
    def lengths(self) -> Ints1d:
        """Return the number of sub-words of each word."""
        return self._lengths
