"""TabERT's table head: tags from left to right, then all relations by one biaffine form per label.

A word's tag depends on the tags before it. So prediction takes one step per position in the
sentence, for all sentences of a batch together. Training knows the tags beforehand and scores all
words at once.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..labels import OUTSIDE, TagRules
from .checks import check_dropout, check_sizes
from .growth import NEW_LABEL_MARGIN, check_kind, share_weights, start_labels
from .places import Places
from .products import product_precision
from .transfers import to_device

# The logit of a tag that BILOU forbids: its probability is zero in float32. It is not infinite:
# where two windows of a long sentence meet, the tags that one allows may not fit the tags of the
# other.
FORBIDDEN = -1e4
# The weights of a new relation begin this much smaller than those of a new head, so that its biases
# decide on its first scores.
NEW_RELATION_SCALE = 0.1


class TableBiaffine(nn.Module):
    """A tagger that reads its own tags, and a biaffine form per relation label.

    Word i has the tag logits W [e_i ; p_i ; t_(i-1)] + b. Here e_i is its embedding, and t_(i-1)
    the embedding of the tag before it. If an entity holds word i - 1, p_i is the maximum of the
    embeddings of this entity's words up to word i - 1; else it is zero.

    Words i and j have the logit (Q_r z_i + q_r)^T (K_r z_j + k_r) of relation r. Here z_i is the
    maximum of [e ; t] over the words of the entity that holds word i, or [e_i ; t_i] if none does.

    In training, the gold tags stand for the tags before a word (teacher forcing), and
    z_i = [e_i ; t_i].

    In prediction, each word gets the best tag that BILOU allows after the tag before it and, for
    the last word, at the end of the sentence. The tag logits are those along this path, with
    `FORBIDDEN` for each tag that was not allowed. So the best tag of each word by itself is the tag
    of the path, and a search for the best valid sequence, such as Viterbi's, finds the same path.
    The entities that are read off the logits are the entities over which z was pooled.

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
        check_sizes("TableBiaffine", width=width, n_tags=n_tags, n_relations=n_relations)
        check_sizes("TableBiaffine", tag_width=tag_width, rank=rank)
        check_dropout("TableBiaffine", dropout)
        self.n_tags = n_tags
        self.n_relations = n_relations
        self.rank = rank
        self.dropout = dropout
        # The last row is the embedding of the place before the first word.
        self.tag_embedding = nn.Embedding(n_tags + 1, tag_width)
        self.tagger = nn.Linear(2 * width + tag_width, n_tags)
        self.query = nn.Linear(width + tag_width, n_relations * rank)
        self.key = nn.Linear(width + tag_width, n_relations * rank)
        # The first scores, sums of `rank` products, have to be small for every rank. Otherwise the
        # first steps of training are spent on making them small.
        for parameter in self.query.parameters():
            parameter.data /= rank**0.5
        self._register_rules(rules)

    def take_over(self, old: nn.Module) -> None:
        """Take over the weights of a head with fewer labels; see `heads.growth.GrowingHead`.

        No logit of the labels of the old head changes. The logits of new relations begin near
        -`NEW_LABEL_MARGIN`: a product of biases, since relations have no bias by themselves.
        """
        old = check_kind(self, old)
        new_tags = self.tag_embedding.weight[old.n_tags : -1].detach().clone()
        share_weights(self, old)
        with torch.no_grad():
            self.tag_embedding.weight[old.n_tags : -1] = new_tags
            self.tag_embedding.weight[-1] = old.tag_embedding.weight[-1]
            for layer, sign in ((self.query, 1.0), (self.key, -1.0)):
                first_row = old.query.out_features
                layer.weight[first_row:] *= NEW_RELATION_SCALE
                layer.bias[first_row:] = sign * (NEW_LABEL_MARGIN / self.rank) ** 0.5
        start_labels(self.tagger.weight, self.tagger.bias, first=old.n_tags, none=OUTSIDE)

    def _register_rules(self, rules: TagRules) -> None:
        """Keep the rules as buffers, with a last row for the place before the first word."""
        may_start, may_follow, may_end, in_entity, continues = map(torch.from_numpy, rules)
        may_follow = torch.cat([may_follow, may_start[None]])
        self.register_buffer("may_follow", may_follow, persistent=False)
        self.register_buffer("may_end", may_end, persistent=False)
        self.register_buffer("in_entity", in_entity, persistent=False)
        self.register_buffer("continues", F.pad(continues, (0, 0, 0, 1)), persistent=False)

    def forward(
        self, words: Tensor, lengths: Tensor, known_tags: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Score the tables of a batch of sentences. Under autocast, products have its precision.

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
        RAISES (ValueError): If the lengths do not add up to the number of words, or of known tags.
        """
        lengths = lengths.cpu()
        n_words = int(lengths.sum())
        n_known_tags = n_words
        if known_tags is not None:
            n_known_tags = len(known_tags)
        if not n_words == len(words) == n_known_tags:
            raise ValueError(
                f"TableBiaffine: the lengths add up to {n_words} words, but {len(words)} "
                f"embeddings and {n_known_tags} known tags came"
            )
        if not n_words:
            return words.new_zeros(0, self.n_tags), words.new_zeros(0, self.n_relations)
        with product_precision(words) as precision:
            return self._score(words, lengths, known_tags, precision)

    def _score(
        self, words: Tensor, lengths: Tensor, known_tags: Tensor | None, precision: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """Compute tag and relation logits from at least one word."""
        places = Places.of(lengths, words.device)
        if self.training:
            words = F.dropout(words, self.dropout)
            tags = self._complete(words, places, precision, known_tags)
            tag_vectors = F.dropout(self.tag_embedding(tags), self.dropout)
            tag_logits = self._tag_logits(words, tags, tag_vectors, places, precision)
            vectors = torch.cat([words, tag_vectors], dim=1)
        else:
            tags, tag_logits = self._decode(words, places, precision, known_tags)
            vectors = torch.cat([words, self.tag_embedding(tags)], dim=1)
            vectors = self._pool_entities(vectors, tags, places)
        return tag_logits, self._relations(vectors, lengths, precision)

    def _complete(
        self, words: Tensor, places: Places, precision: torch.dtype, known_tags: Tensor | None
    ) -> Tensor:
        """Put predicted tags where known ones are missing."""
        if known_tags is not None and not (known_tags < 0).any():
            return to_device(known_tags, words.device)
        with torch.no_grad():
            return self._decode(words, places, precision, known_tags)[0]

    def _decode(
        self, words: Tensor, places: Places, precision: torch.dtype, known_tags: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Tag the words of each sentence one after another, all sentences together.

        RETURNS (tuple[Tensor, Tensor]): Tags, int64 (words,), the known ones where these are not
            negative, and their logits, float (words, n_tags).
        """
        by_word, by_pooled, by_tag = self._tagger_weights()
        from_word = _product(words, by_word, precision) + self.tagger.bias
        from_tag = _product(self.tag_embedding.weight, by_tag, precision)
        by_pooled = by_pooled.to(precision)
        n_running = places.n_running
        if known_tags is None:
            known_tags = torch.full_like(places.order, -1)
        known_tags = to_device(known_tags, words.device)
        steps = zip(
            places.by_position(words),
            places.by_position(from_word),
            places.by_position(known_tags),
            [*n_running[1:], 0],
            strict=True,
        )
        tag = torch.full(n_running[:1], self.n_tags, device=words.device)
        pooled = words.new_zeros(len(tag), words.shape[1])
        all_tags, all_logits = [], []
        for word, logits, known_tag, n_next in steps:
            previous, pooled = tag[: len(word)], pooled[: len(word)]
            logits = logits + from_tag[previous] + _product(pooled, by_pooled, precision)
            allowed = self.may_follow[previous]
            # The shortest sentences come last: these end here.
            allowed[n_next:] &= self.may_end
            logits = logits.masked_fill(~allowed, FORBIDDEN)
            tag = torch.where(known_tag < 0, logits.argmax(dim=1), known_tag)
            continues = self.continues[previous, tag][:, None]
            pooled = torch.where(continues, torch.maximum(pooled, word), word)
            pooled = pooled * self.in_entity[tag][:, None]
            all_tags.append(tag)
            all_logits.append(logits)
        return torch.cat(all_tags)[places.place], torch.cat(all_logits)[places.place]

    def _tag_logits(
        self,
        words: Tensor,
        tags: Tensor,
        tag_vectors: Tensor,
        places: Places,
        precision: torch.dtype,
    ) -> Tensor:
        """Compute the tag logits of all words at once, given all tags: (words, n_tags)."""
        before_first = self.tag_embedding.weight[-1]
        previous = torch.where(places.is_first[:, None], before_first, tag_vectors.roll(1, dims=0))
        in_entity, first = self._entities(tags, places)
        n_so_far = (torch.arange(len(tags), device=tags.device) - first + 1) * in_entity
        pooled = _pool(words, first.roll(1), n_so_far.roll(1).masked_fill(places.is_first, 0))
        logits: Tensor = self.tagger.bias
        inputs = (words, pooled, previous)
        for vectors, weights in zip(inputs, self._tagger_weights(), strict=True):
            logits = logits + _product(vectors, weights, precision)
        return logits

    def _tagger_weights(self) -> tuple[Tensor, ...]:
        """Return the three parts of the tagger's weights.

        They read a word, the pooled words before it, and the tag before it.
        """
        tag_width = self.tag_embedding.embedding_dim
        width = (self.tagger.in_features - tag_width) // 2
        return self.tagger.weight.t().split([width, width, tag_width])

    def _pool_entities(self, vectors: Tensor, tags: Tensor, places: Places) -> Tensor:
        """Compute the maximum over the words of each word's entity, or over the word alone."""
        in_entity, first = self._entities(tags, places)
        n_words = torch.zeros_like(tags).index_add_(0, first, in_entity.long())
        start = torch.where(in_entity, first, torch.arange(len(tags), device=tags.device))
        return _pool(vectors, start, torch.where(in_entity, n_words[first], 1))

    def _entities(self, tags: Tensor, places: Places) -> tuple[Tensor, Tensor]:
        """Find whether an entity holds each word, and the entity's first word."""
        previous = torch.where(places.is_first, self.n_tags, tags.roll(1))
        in_entity = self.in_entity[tags]
        begins = in_entity & ~self.continues[previous, tags]
        index = torch.arange(len(tags), device=tags.device)
        return in_entity, torch.where(begins, index, 0).cummax(dim=0).values

    def _relations(self, vectors: Tensor, lengths: Tensor, precision: torch.dtype) -> Tensor:
        """Compute the relation logits of the cells i < j from the words' vectors z.

        RETURNS (Tensor): (cells, n_relations).
        """
        sizes = lengths.tolist()
        queries = self._by_relation(self.query, vectors, precision).split(sizes, dim=1)
        keys = self._by_relation(self.key, vectors, precision).split(sizes, dim=1)
        cells = []
        for query, key in zip(queries, keys, strict=True):
            row, col = torch.triu_indices(query.shape[1], query.shape[1], 1, device=query.device)
            cells.append((query @ key.mT)[:, row, col])
        return torch.cat(cells, dim=1).t().contiguous().to(vectors.dtype)

    def _by_relation(self, layer: nn.Linear, vectors: Tensor, precision: torch.dtype) -> Tensor:
        """Compute each relation's queries or keys: (n_relations, words, rank)."""
        outputs = _product(vectors, layer.weight.t(), precision) + layer.bias
        return outputs.to(precision).unflatten(1, (self.n_relations, -1)).transpose(0, 1)


def _pool(vectors: Tensor, start: Tensor, size: Tensor) -> Tensor:
    """Compute the maximum over some rows for each word, or zeros where there are none.

    The host waits for a GPU here, once, to learn how many rows there are in all.

    vectors (Tensor): (words, width).
    start (Tensor): First row for each word, int64 (words,).
    size (Tensor): Number of rows for each word, likewise.
    RETURNS (Tensor): (words, width).
    """
    offset = size.cumsum(0) - size
    rows = torch.repeat_interleave(start - offset, size)
    rows = rows + torch.arange(len(rows), device=rows.device)
    return F.embedding_bag(rows, vectors, offset, mode="max")


def _product(left: Tensor, right: Tensor, precision: torch.dtype) -> Tensor:
    """Compute a matrix product in some precision, and return it in the type of the left matrix."""
    return F.linear(left.to(precision), right.t().to(precision)).to(left.dtype)
