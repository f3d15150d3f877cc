"""A classifier of the pairs of entities of a sentence.

It reads the words and the types of both, the words between them and their distance.

Nothing is padded: entities and the ranges between them are positions in the words of a batch, all
sentences end to end.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .checks import check_dropout, check_sizes
from .growth import NEW_LABEL_MARGIN, check_kind, share_weights
from .range_maxima import RangeMaxima
from .transfers import to_device

# Pairs are scored in chunks of this many elements of the words between them, 16 MiB in float32.
MAX_FEATURES = 2**22
# Numbers of words between two entities at which the next embedding of distances begins.
DISTANCES = (1, 2, 3, 5, 9, 17, 33)
EMBEDDING_STD = 0.3


class PairClassifier(nn.Module):
    """Scores both directions of each pair of entities with the same weights.

        z_ij = H h_i + T t_j + C c_ij + E_head[type i] + E_tail[type j] + E_distance[d_ij]
        logits of "i is the head of j" = W GELU(M GELU(z_ij) + m) + b

    h_i = t_i is the maximum over the words of entity i, c_ij the maximum over the words between i
    and j (zeros if there are none), and d_ij their number, with the side of the tail. The logit of
    "none" is 0.

    The words get no gradient: the classifier reads embeddings that other parts of a model learn.

    width (int): Width of a word embedding.
    n_types (int): Number of entity types.
    n_relations (int): Number of relation types.
    units (int): Width of z and of the hidden layer.
    dropout (float): Share of the elements of word embeddings and hidden layers that training drops.
    RAISES (ValueError): If a size cannot be built.
    """

    def __init__(
        self, width: int, n_types: int, n_relations: int, *, units: int = 256, dropout: float = 0.3
    ):
        super().__init__()
        check_sizes("PairClassifier", width=width, units=units)
        check_sizes("PairClassifier", minimum=0, n_types=n_types, n_relations=n_relations)
        check_dropout("PairClassifier", dropout)
        self.n_relations = n_relations
        self.dropout = dropout
        self.head = nn.Linear(width, units)
        self.tail = nn.Linear(width, units, bias=False)
        self.between = nn.Linear(width, units, bias=False)
        # torch warns of weights without elements, so there is always one type.
        self.head_type = nn.Embedding(max(n_types, 1), units)
        self.tail_type = nn.Embedding(max(n_types, 1), units)
        self.distance = nn.Embedding(2 * (len(DISTANCES) + 1), units)
        self.hidden = nn.Linear(units, units)
        self.out = nn.Linear(units, max(n_relations, 1))
        for embedding in (self.head_type, self.tail_type, self.distance):
            nn.init.normal_(embedding.weight, std=EMBEDDING_STD)

    def forward(self, words: Tensor, entities: Tensor, pairs: Tensor) -> Tensor:
        """Score pairs of entities.

        words (Tensor): Word embeddings, float (words, width), all sentences end to end.
        entities (Tensor): First word, end (exclusive) and type of each entity, int64 (entities, 3),
            on the CPU.
        pairs (Tensor): Left and right entity of each pair, int64 (pairs, 2), on the CPU.
        RETURNS (Tensor): Logits, float (pairs, 1 + 2 relation types): "none", then two labels for
            each type, first for a head on the left, then for a head on the right.
        """
        start, end, types = entities.unbind(1)
        gaps = Gaps.of_pairs(start, end, pairs)
        dropped = self._drop(words.detach())
        maxima = RangeMaxima(dropped, torch.cat([end - start, gaps.end - gaps.start]))
        of_entities = maxima.over(start, end)  # (entities, width)
        types = to_device(types, words.device)
        heads = self.head(of_entities) + self.head_type(types)  # (entities, units)
        tails = self.tail(of_entities) + self.tail_type(types)
        size = max(1, MAX_FEATURES // words.shape[1])
        logits = []
        # Without pairs there is one chunk, an empty one: autograd needs an output that depends on
        # the weights.
        for first in range(0, max(len(pairs), 1), size):
            rows = slice(first, first + size)
            between = self.between(maxima.over(gaps.start[rows], gaps.end[rows]))
            place = to_device(pairs[rows], words.device)
            distance = to_device(gaps.distance[rows], words.device)
            logits.append(self._score(heads, tails, between, place, distance))
        return torch.cat(logits)

    @torch.no_grad()
    def take_over(self, old: nn.Module) -> None:
        """Take over the weights of a classifier with fewer labels; see `heads.growth.GrowingHead`.

        No logit of the labels of the old classifier changes. New relations begin as improbable.
        """
        old = check_kind(self, old)
        share_weights(self, old)
        self.out.weight[old.n_relations :] = 0.0
        self.out.bias[old.n_relations :] = -NEW_LABEL_MARGIN

    def _score(
        self, heads: Tensor, tails: Tensor, between: Tensor, pairs: Tensor, distance: Tensor
    ) -> Tensor:
        """Score a chunk of pairs.

        heads (Tensor): The part of an entity as a head, (entities, units).
        tails (Tensor): The part of an entity as a tail, (entities, units).
        between (Tensor): The part of the words between, (pairs, units).
        pairs (Tensor): Left and right entity, int64 (pairs, 2).
        distance (Tensor): Index of the embedding of the distance to a tail on the right, int64
            (pairs,).
        """
        left, right = pairs.unbind(1)
        to_right = heads.index_select(0, left) + tails.index_select(0, right)
        to_left = heads.index_select(0, right) + tails.index_select(0, left)
        to_right = to_right + self.distance(distance)
        to_left = to_left + self.distance(distance + len(DISTANCES) + 1)
        both = torch.stack([to_right, to_left], dim=1) + between[:, None]  # (pairs, 2, units)
        hidden = self._drop(F.gelu(both))
        hidden = self._drop(F.gelu(self.hidden(hidden)))
        by_direction = self.out(hidden)[..., : self.n_relations]  # (pairs, 2, relation types)
        labels = by_direction.transpose(1, 2).flatten(1)
        return F.pad(labels, (1, 0)).to(heads.dtype)

    def _drop(self, features: Tensor) -> Tensor:
        return F.dropout(features, self.dropout, self.training)


class Gaps(NamedTuple):
    """The words between the entities of pairs, int64 (pairs,), on the CPU.

    start (Tensor): First word after the left entity.
    end (Tensor): First word of the right entity.
    distance (Tensor): Index of the number of words between among `DISTANCES`.
    """

    start: Tensor
    end: Tensor
    distance: Tensor

    @classmethod
    def of_pairs(cls, start: Tensor, end: Tensor, pairs: Tensor) -> "Gaps":
        """Find the gaps of pairs of entities; see `PairClassifier.forward`."""
        left, right = pairs.unbind(1)
        gap_start, gap_end = end[left], start[right]
        bounds = torch.tensor(DISTANCES)
        return cls(gap_start, gap_end, torch.bucketize(gap_end - gap_start, bounds, right=True))
