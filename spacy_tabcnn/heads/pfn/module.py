"""PFN: a table of spans and a table of ordered pairs of first words, both with sigmoids."""

from typing import TypeAlias

import torch
from torch import Tensor, nn

from ..checks import check_dropout, check_lengths, check_sizes
from ..dropout import drop
from ..growth import check_kind, share_weights
from ..places import Places
from ..products import product_precision
from .cell import PartitionFilter
from .cells import Cells
from .units import WordPairUnit

Tables: TypeAlias = tuple[Tensor, ...]


class PFN(nn.Module):
    """The partition filter network.

    A recurrent cell reads the words of a sentence from left to right and computes features for
    entities, for relations and for both. A unit scores each pair of words from the first word to
    the last word of an entity, another unit each ordered pair of the first words of two entities.

    width (int): Width d of a word embedding.
    n_types (int): Number of entity types; there is no type "none".
    n_relations (int): Number of relation types; may be 0. The order of a pair is the direction.
    hidden (int): Width of the cell's state and of its features.
    dropout (float): Share of elements of the word embeddings and of the vectors of cells that
        training drops.
    dropconnect (float): Share of the weights of the cell's state that training drops.
    nested (bool): Whether a third unit scores the ordered pairs of the last words of two entities,
        for entities that share a first word.
    RAISES (ValueError): If a size cannot be built.
    Source: Yan et al. (2021), A Partition Filter Network for Joint Entity and Relation Extraction.
    """

    def __init__(
        self,
        width: int,
        n_types: int,
        n_relations: int,
        *,
        hidden: int = 300,
        dropout: float = 0.1,
        dropconnect: float = 0.1,
        nested: bool = False,
    ):
        super().__init__()
        check_sizes("PFN", width=width, n_types=n_types, hidden=hidden)
        check_sizes("PFN", minimum=0, n_relations=n_relations)
        check_dropout("PFN", dropout)
        check_dropout("PFN", dropconnect, option="dropconnect")
        self.dropout = dropout
        self.cell = PartitionFilter(width, hidden, dropconnect=dropconnect)
        self.entities = WordPairUnit(hidden, n_types)
        self.relations = WordPairUnit(hidden, n_relations)
        self.last_words: WordPairUnit | None = None
        if nested:
            self.last_words = WordPairUnit(hidden, n_relations)

    def forward(self, words: Tensor, lengths: Tensor) -> Tables:
        """Score the tables of a batch of sentences. Under autocast, products have its precision.

        words (Tensor): Word embeddings, float (sum(lengths), width), the sentences of the batch end
            to end.
        lengths (Tensor): Words per sentence, int64 (batch,). Keep it on the CPU: sizes are read
            from it.
        RETURNS (tuple[Tensor, ...]): Logits, each for a sigmoid. Of the entity types of the spans:
            (sum(n(n+1)/2), n_types), the cells i <= j of each sentence, where i is the first word
            of a span and j the last one. Of the relation types of the ordered pairs of first words:
            (sum(n(n-1)), n_relations), the cells i != j, where i is the first word of the head.
            With `nested`, also of the ordered pairs of last words, likewise. All row by row,
            sentence by sentence.
        RAISES (ValueError): If the lengths do not add up to the number of words.
        """
        lengths = lengths.cpu()
        check_lengths("PFN", words, lengths)
        if not len(words):
            return self._empty_tables(words)
        with product_precision(words) as precision:
            return self._score(words, lengths, precision)

    @torch.no_grad()
    def take_over(self, old: nn.Module) -> None:
        """Take over the weights of a head with fewer labels; see `heads.growth.GrowingHead`.

        No logit of the labels of the old head changes. New labels begin as improbable.
        """
        old = check_kind(self, old)
        n_labels = [unit.n_labels for unit in old.units()]
        share_weights(self, old)
        for unit, n_old in zip(self.units(), n_labels, strict=True):
            unit.start_labels(n_old)

    def units(self) -> list[WordPairUnit]:
        """Return the units in the order of their tables."""
        units = [self.entities, self.relations]
        if self.last_words is not None:
            units.append(self.last_words)
        return units

    def _empty_tables(self, words: Tensor) -> Tables:
        """Return the tables of a batch without words."""
        return tuple(words.new_zeros(0, unit.n_labels) for unit in self.units())

    def _score(self, words: Tensor, lengths: Tensor, precision: torch.dtype) -> Tables:
        """Score the tables of at least one word."""
        dropout = 0.0
        if self.training:
            dropout = self.dropout
        words = drop(words, dropout)
        lengths = lengths[lengths > 0]
        places = Places.of(lengths, words.device)
        relation, entity, shared = self.cell(words, places, precision)
        spans = Cells.of_spans(lengths, words.device)
        pairs = Cells.of_pairs(lengths, words.device)
        inputs = [(entity, shared, spans), (relation, shared, pairs), (shared, relation, pairs)]
        tables = []
        for unit, (own, other, cells) in zip(self.units(), inputs, strict=False):
            tables.append(unit(own, other, lengths, cells, dropout=dropout, precision=precision))
        return tuple(tables)
