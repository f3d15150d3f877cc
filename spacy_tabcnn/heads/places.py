"""The words of a ragged batch, ordered for networks that take a step per position."""

from typing import NamedTuple

import torch
from torch import Tensor

from .transfers import to_device


class Places(NamedTuple):
    """The place of each word in the batch and in the order of the steps.

    The order of the steps is position by position, and at each position the words of the longest
    sentences first. So the sentences that go on are always the first ones.

    is_first (Tensor): Whether a word is the first of its sentence, bool (words,).
    order (Tensor): The words in the order of the steps, int64 (words,).
    place (Tensor): The place of each word in that order, int64 (words,).
    n_running (list[int]): Number of sentences that have a word at each position.
    """

    is_first: Tensor
    order: Tensor
    place: Tensor
    n_running: list[int]

    @classmethod
    def of(cls, lengths: Tensor, device: torch.device) -> "Places":
        """Order the words.

        lengths (Tensor): Words of each sentence, int64 (sentences,), on the CPU.
        device (torch.device): The device of the embeddings.
        RETURNS (Places): The places.
        """
        sentence = torch.repeat_interleave(lengths)
        position = torch.arange(len(sentence)) - (lengths.cumsum(0) - lengths)[sentence]
        rank = torch.argsort(torch.argsort(lengths, descending=True, stable=True))
        order = torch.argsort(position * len(lengths) + rank[sentence])
        tensors = torch.stack([position == 0, order, torch.argsort(order)])
        is_first, order, place = to_device(tensors, device)
        return cls(is_first.bool(), order, place, torch.bincount(position).tolist())

    def by_position(self, vectors: Tensor) -> tuple[Tensor, ...]:
        """Divide the rows of words into those at each position."""
        return torch.split(vectors[self.order], self.n_running)
