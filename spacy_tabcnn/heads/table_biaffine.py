"""TabERT's table head: tags from left to right, then all relations at once by a biaffine form per
label.

A word's tag depends on those before it, so prediction takes one step per position in the sentence,
for all sentences of a batch together. Training knows the tags beforehand, and scores all words at
once.
"""

from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..labels import TagRules

# The logit of a tag that BILOU forbids: its probability is zero in float32. Not infinite, since
# where two windows of a long sentence meet, the tags that the one allows may not fit those of the
# other.
FORBIDDEN = -1e4


class TableBiaffine(nn.Module):
    """A tagger that reads its own tags, and a biaffine form per relation label over the words so
    tagged.

    Word i has the tag logits W [e_i ; p_i ; t_(i-1)] + b, where e_i is its embedding, p_i the
    maximum of the embeddings of the words up to i - 1 of the entity that holds word i - 1 (zero if
    none does), and t_(i-1) the embedding of the tag before it. Words i and j have the logit (Q_r
    z_i + q_r)^T (K_r z_j + k_r) of relation r, where z_i is the maximum of [e ; t] over the words
    of the entity that holds word i, or that of word i alone.

    In training, the gold tags stand for the tags before a word (teacher forcing), and z_i = [e_i ;
    t_i].

    In prediction, each word gets the best tag that BILOU allows after that of the word before, and
    at the end of the sentence. The tag logits are those along this path, `FORBIDDEN` for the tags
    that it did not allow. So the best tag of each word by itself is that of the path, and no search
    for the best valid sequence, such as Viterbi's, finds another: the entities that are read off
    the logits are those whose words z was pooled over.

    width (int): Width d of a word embedding.
    n_relations (int): Number of relation labels |R|, "none" (index 0) and both directions included.
    rules (TagRules): The BILOU tags and their rules.
    tag_width (int): Width of a tag embedding.
    rank (int): Rows of each Q_r and K_r.
    dropout (float): Share of the elements of the word and tag embeddings that training drops.
    RAISES (ValueError): If a size cannot be built.
    Source: Ma, Hiraoka and Okazaki (NLP2022), section 2.1, and their reference [9].
    """

    may_follow: Tensor
    may_end: Tensor
    in_entity: Tensor
    continues: Tensor

    def __init__(
        self,
        width: int,
        n_relations: int,
        rules: TagRules,
        *,
        tag_width: int = 64,
        rank: int = 64,
        dropout: float = 0.3,
    ):
        super().__init__()
        n_tags = len(rules.may_start)
        if min(width, n_tags, n_relations, tag_width, rank) < 1:
            raise ValueError(
                f"TableBiaffine: width={width}, n_tags={n_tags}, n_relations={n_relations}, tag_width={tag_width}, "
                f"rank={rank}; expected positive sizes"
            )
        if not 0.0 <= dropout < 1.0:
            raise ValueError(
                f"TableBiaffine: dropout is {dropout}; expected a share from 0 up to, but not including, 1"
            )
        self.n_tags = n_tags
        self.n_relations = n_relations
        self.dropout = dropout
        # The last row stands for what comes before the first word.
        self.tag_embedding = nn.Embedding(n_tags + 1, tag_width)
        self.tagger = nn.Linear(2 * width + tag_width, n_tags)
        self.query = nn.Linear(width + tag_width, n_relations * rank)
        self.key = nn.Linear(width + tag_width, n_relations * rank)
        # So that the first scores, sums of `rank` products, are small whatever the rank; else early
        # steps undo them.
        for parameter in self.query.parameters():
            parameter.data /= rank**0.5
        may_start, may_follow, may_end, in_entity, continues = map(torch.from_numpy, rules)
        for name, buffer in (
            ("may_follow", torch.cat([may_follow, may_start[None]])),
            ("may_end", may_end),
            ("in_entity", in_entity),
            ("continues", F.pad(continues, (0, 0, 0, 1))),
        ):
            self.register_buffer(name, buffer, persistent=False)

    def forward(
        self, words: Tensor, lengths: Tensor, known_tags: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Score the tables of a batch of sentences.

        words (Tensor): Word embeddings, float (sum(lengths), width), the sentences of the batch end
            to end.
        lengths (Tensor): Words per sentence, int64 (batch,). Keep it on the CPU: sizes are read
            from it.
        known_tags (Tensor | None): Known tag of each word, int64 (sum(lengths),). Where it is
            missing (negative, or None for all), the head's own prediction, given the tags before,
            takes its place.
        RETURNS (tuple[Tensor, Tensor]): Tag logits (sum(lengths), n_tags) and relation logits
            (sum(n(n-1)/2), n_relations): the cells i < j of each sentence, row by row, sentence by
            sentence.
        RAISES (ValueError): If the lengths do not add up to the number of words, or to that of
            known tags.
        """
        lengths = lengths.cpu()
        n_words = int(lengths.sum())
        n_known_tags = n_words if known_tags is None else len(known_tags)
        if not n_words == len(words) == n_known_tags:
            raise ValueError(
                f"TableBiaffine: the lengths add up to {n_words} words, but {len(words)} embeddings and "
                f"{n_known_tags} known tags came"
            )
        if not n_words:
            return words.new_zeros(0, self.n_tags), words.new_zeros(0, self.n_relations)
        device = words.device.type
        precision = (
            torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else words.dtype
        )
        # Left to autocast, sums would be rounded too: below, each product is told its precision
        # instead.
        with torch.autocast(device, enabled=False):
            layout = _Layout.of(lengths, words.device)
            if not self.training:
                known = (
                    None if known_tags is None else known_tags.to(words.device, non_blocking=True)
                )
                tags, tag_logits = self._decode(words, layout, precision, known)
                vectors = torch.cat([words, self.tag_embedding(tags)], dim=1)
                return tag_logits, self._relations(
                    self._pool_entities(vectors, tags, layout), lengths, precision
                )
            words = F.dropout(words, self.dropout)
            tags = self._complete(known_tags, words, layout, precision)
            tag_vectors = F.dropout(self.tag_embedding(tags), self.dropout)
            tag_logits = self._tag_logits(words, tags, tag_vectors, layout, precision)
            return tag_logits, self._relations(
                torch.cat([words, tag_vectors], dim=1), lengths, precision
            )

    def _complete(
        self, known_tags: Tensor | None, words: Tensor, layout: "_Layout", precision: torch.dtype
    ) -> Tensor:
        """Put predicted tags where known ones are missing."""
        if known_tags is not None and not (known_tags < 0).any():
            return known_tags.to(words.device, non_blocking=True)
        known = None if known_tags is None else known_tags.to(words.device, non_blocking=True)
        with torch.no_grad():
            return self._decode(words, layout, precision, known)[0]

    def _decode(
        self, words: Tensor, layout: "_Layout", precision: torch.dtype, known: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Tag the words of each sentence one after another, those of all sentences at the same
        position together.

        RETURNS (tuple[Tensor, Tensor]): Tags (words,), the known ones where these are not negative,
            and their logits.
        """
        by_word, by_pooled, by_tag = self._tagger_weights()
        from_word = _product(words, by_word, precision) + self.tagger.bias
        from_tag = _product(self.tag_embedding.weight, by_tag, precision)
        by_pooled = by_pooled.to(precision)
        steps = zip(
            layout.by_step(words),
            layout.by_step(from_word),
            layout.by_step(known) if known is not None else [None] * len(layout.n_running),
            [*layout.n_running[1:], 0],
            strict=True,
        )
        tag = torch.full(layout.n_running[:1], self.n_tags, device=words.device)
        pooled = words.new_zeros(len(tag), words.shape[1])
        all_tags, all_logits = [], []
        for word, logits, known_tag, n_next in steps:
            previous, pooled = tag[: len(word)], pooled[: len(word)]
            logits = logits + from_tag[previous] + _product(pooled, by_pooled, precision)
            allowed = self.may_follow[previous]
            # Of the sentences, the shortest come last: these end here.
            allowed[n_next:] &= self.may_end
            logits = logits.masked_fill(~allowed, FORBIDDEN)
            tag = logits.argmax(dim=1)
            if known_tag is not None:
                tag = torch.where(known_tag < 0, tag, known_tag)
            continues, in_entity = self.continues[previous, tag], self.in_entity[tag]
            pooled = (
                torch.where(continues[:, None], torch.maximum(pooled, word), word)
                * in_entity[:, None]
            )
            all_tags.append(tag)
            all_logits.append(logits)
        return torch.cat(all_tags)[layout.place], torch.cat(all_logits)[layout.place]

    def _tag_logits(
        self,
        words: Tensor,
        tags: Tensor,
        tag_vectors: Tensor,
        layout: "_Layout",
        precision: torch.dtype,
    ) -> Tensor:
        """Tag logits of all words at once, given all tags: (words, n_tags)."""
        before_first = self.tag_embedding.weight[-1]
        previous = torch.where(layout.is_first[:, None], before_first, tag_vectors.roll(1, dims=0))
        in_entity, first = self._entities(tags, layout)
        n_so_far = (torch.arange(len(tags), device=tags.device) - first + 1) * in_entity
        pooled = _pool(words, first.roll(1), n_so_far.roll(1).masked_fill(layout.is_first, 0))
        weights = self._tagger_weights()
        parts = (
            _product(*pair, precision)
            for pair in zip((words, pooled, previous), weights, strict=True)
        )
        return sum(parts, self.tagger.bias)

    def _tagger_weights(self) -> tuple[Tensor, ...]:
        """The parts of the tagger's weights that read a word, the pooled words before it, and the
        tag before it."""
        tag_width = self.tag_embedding.embedding_dim
        width = (self.tagger.in_features - tag_width) // 2
        return self.tagger.weight.t().split([width, width, tag_width])

    def _pool_entities(self, vectors: Tensor, tags: Tensor, layout: "_Layout") -> Tensor:
        """Find the maximum over the words of the entity that holds each word, or of the word
        alone."""
        in_entity, first = self._entities(tags, layout)
        n_words = torch.zeros_like(tags).index_add_(0, first, in_entity.long())
        start = torch.where(in_entity, first, torch.arange(len(tags), device=tags.device))
        return _pool(vectors, start, torch.where(in_entity, n_words[first], 1))

    def _entities(self, tags: Tensor, layout: "_Layout") -> tuple[Tensor, Tensor]:
        """Tell whether an entity holds each word, and its first word."""
        previous = torch.where(layout.is_first, self.n_tags, tags.roll(1))
        in_entity = self.in_entity[tags]
        begins = in_entity & ~self.continues[previous, tags]
        index = torch.arange(len(tags), device=tags.device)
        return in_entity, torch.where(begins, index, 0).cummax(dim=0).values

    def _relations(self, vectors: Tensor, lengths: Tensor, precision: torch.dtype) -> Tensor:
        """Relation logits of the cells i < j, from a vector z of each word: (cells,
        n_relations)."""
        # Both (n_relations, words, rank).
        queries, keys = (
            (_product(vectors, layer.weight.t(), precision) + layer.bias)
            .to(precision)
            .unflatten(1, (self.n_relations, -1))
            .transpose(0, 1)
            for layer in (self.query, self.key)
        )
        cells = []
        by_sentence = zip(
            queries.split(lengths.tolist(), dim=1), keys.split(lengths.tolist(), dim=1), strict=True
        )
        for query, key in by_sentence:
            row, col = torch.triu_indices(query.shape[1], query.shape[1], 1, device=query.device)
            cells.append((query @ key.mT)[:, row, col])
        return torch.cat(cells, dim=1).t().contiguous().to(vectors.dtype)


class _Layout(NamedTuple):
    """Where each word of a batch stands, in the batch and in the order of decoding: position by
    position, at each the words of the longest sentences first, so that the sentences that go on are
    always the first ones."""

    is_first: Tensor  # (words,) whether it is the first of its sentence
    order: Tensor  # (words,) the words in the order of decoding
    place: Tensor  # (words,) the place of each word in that order
    n_running: list[int]  # sentences that have a word at each position

    @classmethod
    def of(cls, lengths: Tensor, device: torch.device) -> "_Layout":
        sentence = torch.repeat_interleave(lengths)
        position = torch.arange(len(sentence)) - (lengths.cumsum(0) - lengths)[sentence]
        rank = torch.argsort(torch.argsort(lengths, descending=True, stable=True))
        order = torch.argsort(position * len(lengths) + rank[sentence])
        tensors = torch.stack([position == 0, order, torch.argsort(order)]).to(
            device, non_blocking=True
        )
        return cls(tensors[0].bool(), tensors[1], tensors[2], torch.bincount(position).tolist())

    def by_step(self, vectors: Tensor) -> tuple[Tensor, ...]:
        """Give the rows of the words at each position."""
        return cast(tuple[Tensor, ...], vectors[self.order].split(self.n_running))


def _pool(vectors: Tensor, start: Tensor, size: Tensor) -> Tensor:
    """Find the maximum over some rows for each word: (words, width), zeros where the number of rows
    is 0.

    This waits for a GPU, once, to learn how many rows there are in all.
    """
    offset = size.cumsum(0) - size
    rows = torch.repeat_interleave(start - offset, size)
    return F.embedding_bag(
        rows + torch.arange(len(rows), device=rows.device), vectors, offset, mode="max"
    )


def _product(left: Tensor, right: Tensor, precision: torch.dtype) -> Tensor:
    """Compute a matrix product in some precision, and give it in that of the left matrix."""
    return F.linear(left.to(precision), right.t().to(precision)).to(left.dtype)
