"""Documents -> the encoder's output, with little work of the host for each sentence."""

from collections.abc import Callable
from typing import Any

import torch
from spacy.tokens import Doc, Span
from spacy_transformers.data_classes import FullTransformerBatch, WordpieceBatch
from spacy_transformers.layers.transformer_model import forward as forward_by_token
from spacy_transformers.truncate import truncate_oversize_splits
from thinc.api import ArgsKwargs, Model

from .encoded_batch import EncodedBatch
from .subwords import align, is_supported, panics_as_errors, tokenize_spans

Backprop = Callable[[FullTransformerBatch], list[Doc]]


def forward(model: Any, docs: list[Doc], is_train: bool) -> tuple[FullTransformerBatch, Backprop]:
    """Encode documents; in place of the forward function of spacy-transformers' model.

    Sub-words, their alignment and the output are the same, unless a span has more sub-words than
    the encoder reads: spacy-transformers drops the rest. With a tokenizer that is not one of
    Hugging Face's fast ones, spacy-transformers' function does the work.

    model (TransformerModel): The encoder.
    docs (list[Doc]): The documents.
    is_train (bool): Whether the model is being trained.
    RETURNS (tuple[FullTransformerBatch, Callable]): The output, and a callback that takes its
        gradient.
    RAISES (ValueError): If the tokenizer panics.
    """
    if not is_supported(model.tokenizer):
        with panics_as_errors():
            return forward_by_token(model, docs, is_train)
    spans: list[list[Span]] = [*map(list, model.attrs["get_spans"](docs))]
    if not any(spans):
        return FullTransformerBatch.empty(len(docs)), lambda d_output: docs
    spans, texts, subwords, pieces = tokenize_spans(model.tokenizer, spans)
    wordpieces, alignment = truncate_oversize_splits(
        subwords, align(spans, texts, pieces), model.tokenizer.model_max_length
    )
    output, backprop_encoder = model.layers[0](wordpieces, is_train)

    def backprop(d_output: FullTransformerBatch) -> list[Doc]:
        backprop_encoder(d_output.model_output)
        return docs

    return EncodedBatch(spans, wordpieces, output, alignment), backprop


def convert_inputs(
    model: Model, subwords: WordpieceBatch, is_train: bool
) -> tuple[ArgsKwargs, Callable[[ArgsKwargs], list]]:
    """Return the arguments of the encoder, on the CPU. `EncoderShim` moves them to its device.

    model (Model): The layer that wraps the encoder.
    subwords (WordpieceBatch): The sub-words.
    is_train (bool): Whether the model is being trained.
    RETURNS (tuple[ArgsKwargs, Callable]): The arguments, and a callback without effect.
    """
    arguments = {
        "input_ids": torch.from_numpy(subwords.input_ids),
        "attention_mask": torch.from_numpy(subwords.attention_mask),
    }
    if subwords.token_type_ids is not None:
        arguments["token_type_ids"] = torch.from_numpy(subwords.token_type_ids)
    return ArgsKwargs((), arguments), _return_nothing


def _return_nothing(d_arguments: ArgsKwargs) -> list:
    return []
