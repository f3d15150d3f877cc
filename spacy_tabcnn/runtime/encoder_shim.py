"""The encoder: spacy-transformers' model with less padding, bfloat16 on any device, and a cache."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from spacy_transformers.data_classes import HFObjects
from thinc.api import ArgsKwargs, Optimizer, get_torch_default_device
from thinc.optimizers import KeyT
from thinc.types import FloatsXd
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutput

from ..heads.transfers import to_device
from ..heads.weights import WeightCache
from .free_memory import find_free_memory
from .linear import FastLinear, find_fast_layers, forget_converted
from .output_cache import OutputCache
from .outputs import Output, keep_subword_outputs
from .passes import (
    BFLOAT16,
    FLOAT32,
    encode_at_once,
    encode_in_passes,
    is_padded_at_the_end,
)
from .row_gradient import RowGradient
from .saved_encoder import load_encoder, save_encoder
from .torch_shim import TorchShim

EncoderStep = tuple[BaseModelOutput, Callable[[ArgsKwargs], ArgsKwargs]]


class EncoderShim(TorchShim):
    """A Hugging Face encoder, run on padded batches.

    A saved encoder is plain data and numbers; see `saved_encoder`.

    hf_objects (HFObjects): The encoder and its tokenizer, or their settings.
    use_bfloat16 (bool): Whether to compute matrix products in bfloat16.
    onednn (bool): Whether oneDNN may compute matrix products.
    frozen (bool): Whether training leaves the encoder alone.
    all_layers (bool): Whether the output holds the outputs of all layers, side by side.
    cache_size (int | None): Bytes of output to keep; 0 for no cache. None: in training, half of the
        bytes that are free on the device at the first use.
    """

    def __init__(
        self,
        hf_objects: HFObjects,
        *,
        use_bfloat16: bool = False,
        onednn: bool = True,
        frozen: bool = False,
        all_layers: bool = False,
        cache_size: int | None = 0,
    ):
        super().__init__(hf_objects.transformer, use_bfloat16=use_bfloat16, onednn=onednn)
        # The name by which spacy-transformers reads the encoder and its tokenizer.
        self._hfmodel = hf_objects
        self.frozen = frozen
        self.all_layers = all_layers
        self.cache_size = cache_size
        self._is_trained_with = False
        self._weights = WeightCache()
        self._fast_layers: tuple[nn.Module, list[FastLinear]] | None = None
        self._embedding_gradient = RowGradient()

    def begin_update(self, inputs: ArgsKwargs) -> EncoderStep:
        """Encode a batch in training mode; a frozen encoder as in prediction.

        inputs (ArgsKwargs): The encoder's arguments.
        RETURNS (tuple[BaseModelOutput, Callable]): The outputs, and a callback that takes the
            arguments of `torch.autograd.backward`.
        """
        self._is_trained_with = True
        if self.frozen:
            return self.predict(inputs), lambda gradients: inputs
        table = self._model.get_input_embeddings().weight
        if self.device.type != "cpu" or not table.requires_grad:
            return super().begin_update(inputs)
        return self._begin_update_by_rows(inputs, table)

    def run(self, inputs: ArgsKwargs, *, is_train: bool) -> BaseModelOutput:
        """Encode a batch, in prediction with the cache. A batch that is padded on the left is not
        kept in the cache.

        inputs (ArgsKwargs): The encoder's arguments.
        is_train (bool): Whether the weights are being trained.
        RETURNS (BaseModelOutput): The outputs (sequences, sub-words, width).
        """
        if self._model.config.output_attentions:
            return encode_at_once(self._encode, inputs.kwargs)
        if is_train or not self._has_cache() or not is_padded_at_the_end(inputs.kwargs):
            return self._encode_in_passes(inputs.kwargs)
        return self.get_cache().complete(inputs.kwargs, self._encode_in_passes)

    def get_cache(self) -> OutputCache:
        """Return the cache of outputs of the current weights; an empty one if they are new.

        RETURNS (OutputCache): The cache.
        """
        return self._weights.get(list(self._model.parameters()), "outputs", self._make_cache)

    def finish_update(self, optimizer: Optimizer) -> None:
        """Hand the gradients over to the optimiser, unless the encoder is frozen.

        optimizer (Optimizer): A thinc optimiser.
        """
        if not self.frozen:
            super().finish_update(optimizer)

    def weights_changed(self) -> None:
        """Forget the converted weights and the kept outputs.

        spaCy's training hands the gradients of a batch over between the forward and the backward
        pass of the next batch. torch would refuse that backward pass if the version of the weights
        was raised.
        """
        self._weights = WeightCache()
        if self._model is not None:
            if self._fast_layers is None or self._fast_layers[0] is not self._model:
                # The search walks over all submodules.
                self._fast_layers = self._model, find_fast_layers(self._model)
            forget_converted(self._fast_layers[1])

    @contextmanager
    def use_params(self, params: Mapping[KeyT, FloatsXd]) -> Iterator[None]:
        """Put other weights into the encoder within a block, unless the encoder is frozen.

        params (Mapping): Arrays by (id of the shim, name of the parameter).
        """
        if self.frozen:
            params = {}
        with super().use_params(params):
            yield

    def to_bytes(self) -> bytes:
        """Save the encoder and its tokenizer.

        RETURNS (bytes): The saved shim.
        """
        return save_encoder(self._hfmodel, self._model)

    def from_bytes(self, bytes_data: bytes) -> "EncoderShim":
        """Load the encoder and its tokenizer.

        bytes_data (bytes): The saved shim, which is not trusted.
        RETURNS (EncoderShim): The shim.
        RAISES (ValueError): If the data is refused; see `saved_encoder.load_encoder`.
        """
        loaded = load_encoder(bytes_data)
        if loaded is not None:
            self._hfmodel = loaded
            self.set_module(loaded.transformer.to(get_torch_default_device()))
        return self

    def _begin_update_by_rows(self, inputs: ArgsKwargs, table: Tensor) -> EncoderStep:
        # torch would make a new gradient of the whole vocabulary's embeddings for each lookup.
        others = dict(inputs.kwargs)
        ids = others.pop("input_ids")
        embedded = F.embedding(ids, table.detach()).requires_grad_()
        output, backprop_embedded = super().begin_update(
            ArgsKwargs((), {**others, "inputs_embeds": embedded})
        )

        def backprop(gradients: ArgsKwargs) -> ArgsKwargs:
            backprop_embedded(gradients)
            if embedded.grad is not None:
                self._embedding_gradient.add(table, ids.flatten(), embedded.grad.flatten(0, 1))
            return inputs

        return output, backprop

    def _encode_in_passes(self, inputs: dict[str, Tensor]) -> BaseModelOutput:
        if self.device.type != "cpu":
            return encode_at_once(self._encode, inputs)
        limits = BFLOAT16 if self.use_bfloat16 else FLOAT32
        return encode_in_passes(self._encode, inputs, limits)

    def _encode(self, inputs: dict[str, Tensor]) -> dict[str, Output]:
        device = self.device
        inputs = {name: to_device(array, device) for name, array in inputs.items()}
        if self.all_layers:
            layers = self._model(**inputs, output_hidden_states=True).hidden_states
            return {"last_hidden_state": torch.cat(layers, dim=-1)}
        return keep_subword_outputs(self._model(**inputs))

    def _has_cache(self) -> bool:
        if self.cache_size is None:
            # Texts that are annotated seldom come again.
            return self._is_trained_with and self.frozen
        return self.cache_size > 0

    def _make_cache(self) -> OutputCache:
        if self.cache_size is None:
            return OutputCache(find_free_memory(self.device) // 2)
        return OutputCache(self.cache_size)
