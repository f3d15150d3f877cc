"""The bare encoder of a pipeline, on the batches that the pipeline gives to it."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

import torch
from spacy.language import Language
from torch import Tensor

from .pipelines import find_transformer


class Batch(NamedTuple):
    """The input of the encoder of a pipeline: a padded batch, on the CPU."""

    input_ids: Tensor
    attention_mask: Tensor


def find_encoder(nlp: Language) -> torch.nn.Module:
    """Return the Hugging Face model of a pipeline.

    nlp (Language): The pipeline.
    RETURNS (Module): The model.
    RAISES (ValueError): If the pipeline has none.
    """
    transformer = find_transformer(nlp)
    if transformer is None:
        raise ValueError("the pipeline has no transformer, whose speed is the reference")
    encoder: torch.nn.Module = transformer.model.transformer
    return encoder


@contextmanager
def recorded(encoder: torch.nn.Module) -> Iterator[list[Batch]]:
    """Record the batches that an encoder gets within a block.

    encoder (Module): The Hugging Face model of a pipeline.
    YIELDS (list[Batch]): The batches, filled in when they come.
    """
    batches: list[Batch] = []

    def record(module: torch.nn.Module, args: tuple, kwargs: dict[str, Tensor]) -> None:
        ids = kwargs.get("input_ids")
        if ids is None:  # on a CPU, training looks up embeddings by itself
            ids = torch.zeros(kwargs["inputs_embeds"].shape[:2], dtype=torch.int64)
        batches.append(Batch(ids.cpu(), kwargs["attention_mask"].cpu()))

    hook = encoder.register_forward_pre_hook(record, with_kwargs=True)
    try:
        yield batches
    finally:
        hook.remove()


def make_reference(
    encoder: torch.nn.Module, batches: list[Batch], *, use_bfloat16: bool, trains: bool, gpu_id: int
) -> Callable[[], None]:
    """Make the passes of the bare encoder over the batches of a pipeline.

    encoder (Module): The encoder as transformers makes it.
    batches (list[Batch]): The batches.
    use_bfloat16 (bool): Whether to compute products in bfloat16, by torch's autocast.
    trains (bool): Whether to run the backward pass, too, in training mode.
    gpu_id (int): The GPU; -1 for the CPU.
    RETURNS (Callable): The passes.
    """
    device = next(encoder.parameters()).device

    def precision() -> AbstractContextManager:
        return torch.autocast(device.type, dtype=torch.bfloat16, enabled=use_bfloat16)

    def run() -> None:
        encoder.train(trains)
        for ids, mask in batches:
            with torch.inference_mode(not trains), precision():
                inputs = {"input_ids": ids.to(device), "attention_mask": mask.to(device)}
                output = encoder(**inputs).last_hidden_state
            if trains:
                output.float().sum().backward()
                encoder.zero_grad(set_to_none=True)
        synchronize(gpu_id)

    return run


def synchronize(gpu_id: int) -> None:
    """Wait until the device has done its work.

    gpu_id (int): The GPU; -1 for the CPU.
    """
    if gpu_id >= 0:
        torch.cuda.synchronize(gpu_id)
