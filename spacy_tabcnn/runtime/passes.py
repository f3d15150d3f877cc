"""A padded batch, encoded in passes over sequences of similar length."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput

from .outputs import Outputs, join_arrays


class PassLimits(NamedTuple):
    """The limits by which a batch is divided on a CPU.

    cost (int): Number of sub-words that the encoder could read in the time that one more pass
        costs.
    size (int): Maximum number of sub-words of a pass, with padding: their arrays fit the CPU's
        caches.
    """

    cost: int
    size: int


FLOAT32 = PassLimits(cost=32, size=512)
# Twice as fast or more, with arrays of half the size.
BFLOAT16 = PassLimits(cost=64, size=2048)


def encode_in_passes(
    encode: Callable[[dict[str, Tensor]], Outputs],
    inputs: dict[str, Tensor],
    limits: PassLimits,
) -> BaseModelOutput:
    """Encode a padded batch with little padding: sequences of similar length at a time.

    A batch that is padded on the left is encoded in one pass.

    encode (Callable): Encodes a padded batch.
    inputs (dict[str, Tensor]): The encoder's inputs by name, among them "attention_mask", each
        (sequences, sub-words).
    limits (PassLimits): The limits by which the batch is divided.
    RETURNS (BaseModelOutput): The outputs by name in float32, (sequences, sub-words, width).
    """
    mask = inputs["attention_mask"]
    if len(mask) == 1 or not is_padded_at_the_end(inputs):
        return encode_at_once(encode, inputs)
    lengths = mask.sum(dim=1).long()
    passes = plan_passes(lengths, limits)
    if len(passes) == 1:
        return encode_at_once(encode, inputs)
    outputs = [encode(_select(inputs, rows, int(lengths[rows].max()))) for rows in passes]
    return join_passes(outputs, passes, n_subwords=mask.shape[1])


def is_padded_at_the_end(inputs: dict[str, Tensor]) -> bool:
    """Check whether the sequences of a batch begin with sub-words, and not with padding.

    inputs (dict[str, Tensor]): The encoder's inputs by name, among them "attention_mask".
    RETURNS (bool): Whether all do.
    """
    return bool(inputs["attention_mask"][:, 0].all())


def encode_at_once(
    encode: Callable[[dict[str, Tensor]], Outputs], inputs: dict[str, Tensor]
) -> BaseModelOutput:
    """Encode a padded batch in one pass.

    encode (Callable): Encodes a padded batch.
    inputs (dict[str, Tensor]): The encoder's inputs by name.
    RETURNS (BaseModelOutput): The outputs by name in float32, (sequences, sub-words, width).
    """
    return join_arrays(_only, [encode(inputs)])


def plan_passes(lengths: Tensor, limits: PassLimits) -> list[Tensor]:
    """Divide the sequences of a batch into groups of similar length.

    A group ends where padding one more sequence to its length would bring its padding to more than
    the price of a pass, `limits.cost`, or its size to more than `limits.size`.

    lengths (Tensor): Sub-words of each sequence, int64 (sequences,).
    RETURNS (list[Tensor]): The sequences' indices, int64, sorted, the longest group first.
    """
    order = torch.argsort(lengths, descending=True, stable=True)
    groups: list[list[int]] = []
    longest = padding = 0
    for row, length in zip(order.tolist(), lengths[order].tolist(), strict=True):
        padding += longest - length
        if not groups or padding > limits.cost or (len(groups[-1]) + 1) * longest > limits.size:
            groups.append([])
            longest, padding = length, 0
        groups[-1].append(row)
    return [torch.tensor(sorted(group)) for group in groups]


def join_passes(
    outputs: list[Outputs], passes: list[Tensor], *, n_subwords: int
) -> BaseModelOutput:
    """Put the outputs of several passes back into one padded batch, in float32.

    outputs (list[Outputs]): By name, the outputs of each pass (sequences, sub-words, width).
    passes (list[Tensor]): The sequences of each pass.
    n_subwords (int): Sub-words of the padded batch.
    RETURNS (BaseModelOutput): By name, the outputs of the batch, zero in the padding.
    """
    n_sequences = sum(map(len, passes))

    def join(parts: list[Tensor]) -> Tensor:
        width = parts[0].shape[2]
        shape = n_sequences * n_subwords, width
        joined = parts[0].new_zeros(shape, dtype=torch.float32)
        for part, sequences in zip(parts, passes, strict=True):
            # Only the sub-words are moved: the padding can be several times as large.
            places = n_subwords * sequences[:, None] + torch.arange(part.shape[1])
            joined.index_copy_(0, places.flatten(), part.flatten(0, 1).float())
        return joined.view(n_sequences, n_subwords, width)

    return join_arrays(join, outputs)


def _only(parts: list[Tensor]) -> Tensor:
    return parts[0].float()


def _select(inputs: dict[str, Tensor], rows: Tensor, n_subwords: int) -> dict[str, Tensor]:
    selected = {}
    for name, array in inputs.items():
        selected[name] = array[rows, :n_subwords]
    return selected
