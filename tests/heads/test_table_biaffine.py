"""TabERT's head against its definition: one sentence, one word, one pair of words after another."""

import itertools

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from spacy_tabcnn.heads import table_biaffine
from spacy_tabcnn.heads.table_biaffine import FORBIDDEN, TableBiaffine
from spacy_tabcnn.labels import LabelScheme, tag_rules
from spacy_tabcnn.sentences import Sentences, Windows
from spacy_tabcnn.table.decode import decode_tables
from spacy_tabcnn.table.logits import TableLogits

WIDTH, N_RELATIONS = 6, 5
TAGS = ["O", "B-PER", "I-PER", "L-PER", "U-PER", "B-LOC", "I-LOC", "L-LOC", "U-LOC"]
N_TAGS = len(TAGS)
LENGTHS = [7, 1, 23, 2, 12, 60]


def make_head(**options):
    """A head whose tag embeddings weigh more than at first, so that its tags vary."""
    torch.manual_seed(0)
    head = TableBiaffine(
        WIDTH, N_RELATIONS, tag_rules(N_TAGS), **{"tag_width": 4, "rank": 3, **options}
    )
    with torch.no_grad():
        head.tagger.weight *= 4
    return head


def make_words(lengths, seed=0):
    return torch.randn(sum(lengths), WIDTH, generator=torch.Generator().manual_seed(seed))


def make_tags(lengths, *, missing=False, seed=0):
    """Random gold tags, which need not be valid BILOU; with `missing`, every third is missing."""
    generator = torch.Generator().manual_seed(seed)
    tags = torch.randint(N_TAGS, (sum(lengths),), generator=generator)
    return (
        torch.where(torch.rand(len(tags), generator=generator) < 1 / 3, -1, tags)
        if missing
        else tags
    )


# The definition


def is_part(tag, previous):
    """Whether a tag continues the entity of the one before."""
    return tag[0] in "IL" and previous[0] in "BI" and tag[1:] == previous[1:]


def is_allowed(tag, previous, *, is_last):
    """BILOU, where the tag before the first word is "O"."""
    return (is_part(tag, previous) if previous[0] in "BI" else tag[0] in "OBU") and not (
        is_last and tag[0] in "BI"
    )


def naive_tags(head, words, gold):
    """Tags, their logits and, for each word, the words of its entity (itself, if there is none).

    gold is None in prediction, and holds -1 where a tag is missing.
    """
    tags, rows, entities = [], [], []
    previous, entity = "O", []
    for i, word in enumerate(words):
        pooled = words[entity].max(dim=0).values if entity else torch.zeros(WIDTH)
        tag_vector = head.tag_embedding.weight[TAGS.index(previous) if i else N_TAGS]
        logits = head.tagger(torch.cat([word, pooled, tag_vector]))
        allowed = [is_allowed(tag, previous, is_last=i == len(words) - 1) for tag in TAGS]
        constrained = torch.where(torch.tensor(allowed), logits, FORBIDDEN)
        rows.append(constrained if gold is None else logits)
        best = int(constrained.argmax()) if gold is None or gold[i] < 0 else int(gold[i])
        entity = [] if best == 0 else [*entity, i] if is_part(TAGS[best], previous) else [i]
        entities.append(entity)
        tags.append(best)
        previous = TAGS[best]
    # The words of an entity come to share the longest list.
    groups = {entity[0]: entity for entity in entities if entity}
    members = [groups[entity[0]] if entity else [i] for i, entity in enumerate(entities)]
    return tags, torch.stack(rows), members


def naive_head(head, words, gold=None):
    """Equations of the module's docstring, for one sentence."""
    tags, tag_logits, members = naive_tags(head, words, gold)
    features = torch.cat([words, head.tag_embedding.weight[tags]], dim=1)
    if gold is None:
        features = torch.stack([features[entity].max(dim=0).values for entity in members])
    cells = []
    for left, right in itertools.combinations(features, 2):
        query, key = (
            layer(z).view(N_RELATIONS, -1) for layer, z in ((head.query, left), (head.key, right))
        )
        cells.append((query * key).sum(dim=1))
    return tag_logits, torch.stack(cells) if cells else torch.zeros(0, N_RELATIONS)


def naive_batch(head, words, lengths, gold=None):
    parts = zip(
        words.split(lengths),
        [None] * len(lengths) if gold is None else gold.split(lengths),
        strict=True,
    )
    tags, relations = zip(*(naive_head(head, *part) for part in parts), strict=True)
    return torch.cat(tags), torch.cat(relations)


def assert_close(actual, expected, atol=1e-4):
    for a, e in zip(actual, expected, strict=True):
        assert a.shape == e.shape
        torch.testing.assert_close(a, e, atol=atol, rtol=0)


def test_prediction_follows_the_definition():
    head = make_head().eval()
    lengths = list(range(1, 61))
    words = make_words(lengths)
    with torch.no_grad():
        tags, relations = head(words, torch.tensor(lengths))
        assert_close((tags, relations), naive_batch(head, words, lengths))
    assert set(tags.argmax(dim=1).tolist()) == set(range(N_TAGS))


@pytest.mark.parametrize("missing", [False, True])
def test_training_follows_the_definition(missing):
    head = make_head(dropout=0.0)
    lengths = list(range(1, 61))
    words, gold = make_words(lengths), make_tags(lengths, missing=missing)
    with torch.no_grad():
        assert_close(
            head(words, torch.tensor(lengths), gold), naive_batch(head, words, lengths, gold)
        )


@pytest.mark.parametrize("missing", [None, False, True])
def test_gradients_follow_the_definition(missing):
    """In prediction, and in training with all or some gold tags."""
    head = make_head(dropout=0.0).train(missing is not None)
    lengths = [4, 1, 9, 2]
    gold = None if missing is None else make_tags(lengths, missing=missing)
    gradients = []
    for forward in (
        lambda words: head(words, torch.tensor(lengths), gold),
        lambda words: naive_batch(head, words, lengths, gold),
    ):
        head.zero_grad()
        words = make_words(lengths).requires_grad_()
        tags, relations = forward(words)
        (tags.sin().sum() + relations.cos().sum()).backward()
        gradients.append([words.grad, *(parameter.grad.clone() for parameter in head.parameters())])
    for actual, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)


def test_analytic_gradient_equals_finite_differences():
    """Of the words and the tag embeddings, under dropout."""
    head = make_head(dropout=0.3).double()
    lengths = [1, 5]
    words, gold = make_words(lengths).double().requires_grad_(), torch.tensor([4, 1, 2, 3, 0, 8])

    def forward(*inputs):
        torch.manual_seed(1)
        return head(inputs[0], torch.tensor(lengths), gold)

    assert torch.autograd.gradcheck(forward, (words, head.tag_embedding.weight))


# Teacher forcing


@pytest.mark.parametrize("is_train", [True, False])
def test_known_tags_are_followed(is_train):
    head = make_head(dropout=0.0).train(is_train)
    words, lengths = make_words(LENGTHS), torch.tensor(LENGTHS)
    one, other = (head(words, lengths, make_tags(LENGTHS, seed=seed)) for seed in (0, 1))
    for a, b in zip(one, other, strict=True):
        assert not torch.equal(a, b)


def test_training_without_known_tags_follows_its_own():
    """As with the tags that it predicts, but with relations between single words."""
    head = make_head(dropout=0.0)
    words, lengths = make_words(LENGTHS), torch.tensor(LENGTHS)
    predicted = head.eval()(words, lengths)[0]
    tags = predicted.argmax(dim=1)
    alone = head.train()(words, lengths)
    for others in (head(words, lengths, torch.full((len(words),), -1)), head(words, lengths, tags)):
        assert_close(alone, others, atol=1e-5)
    allowed = predicted > FORBIDDEN
    torch.testing.assert_close(alone[0][allowed], predicted[allowed], atol=1e-5, rtol=0)


def test_complete_known_tags_need_no_decoding(monkeypatch):
    head = make_head()
    monkeypatch.setattr(TableBiaffine, "_decode", lambda *args: pytest.fail("decoded"))
    head(make_words(LENGTHS), torch.tensor(LENGTHS), make_tags(LENGTHS))


# Decoding


def test_best_tags_are_valid_and_those_along_the_path():
    head = make_head().eval()
    rules = tag_rules(N_TAGS)
    for seed in range(10):
        tags, _ = head(make_words(LENGTHS, seed), torch.tensor(LENGTHS))
        for path in tags.argmax(dim=1).split(LENGTHS):
            assert rules.may_start[path[0]] and rules.may_end[path[-1]]
            assert rules.may_follow[path[:-1], path[1:]].all()


def decode(head, seed, max_length):
    """Tags along the head's own path, and the entities that `decode_tables` finds."""
    scheme = LabelScheme(["PER", "LOC"], {"LiveIn": [], "WorkFor": []})
    windows = Windows(Sentences.of_lengths(LENGTHS), max_length)
    with torch.no_grad():
        tags, relations = head(
            make_words(LENGTHS, seed)[windows.words()], torch.tensor(windows.lengths)
        )
    predictions = decode_tables(TableLogits(tags.numpy(), relations.numpy(), windows), scheme)
    entities = [[tuple(entity[:3]) for entity in prediction.entities] for prediction in predictions]
    return scheme, tags.argmax(dim=1).split(windows.lengths.tolist()), entities


@pytest.mark.parametrize("seed", range(5))
def test_entities_read_off_the_logits_are_those_of_the_path(seed):
    scheme, paths, entities = decode(make_head().eval(), seed, max_length=max(LENGTHS))
    assert entities == [scheme.tagged_spans(path.numpy()) for path in paths]
    assert any(end - start > 1 for spans in entities for start, end, _ in spans)


@pytest.mark.parametrize("seed", range(20))
def test_windows_whose_paths_disagree_can_be_decoded(seed):
    """Where they meet, no tag may fit both."""
    _, _, entities = decode(make_head().eval(), seed, max_length=3)
    assert all(
        left[1] <= right[0] for spans in entities for left, right in itertools.pairwise(spans)
    )


def test_forbidden_tags_have_no_probability_but_finite_logits():
    tags, _ = make_head().eval()(make_words([1]), torch.tensor([1]))
    assert tags.isfinite().all()
    assert [TAGS[tag] for tag in tags[0].softmax(dim=0).nonzero()] == ["O", "U-PER", "U-LOC"]


# Batches


@pytest.mark.parametrize("is_train", [True, False])
def test_batch_composition_and_order_do_not_change_scores(is_train):
    head = make_head(dropout=0.0).train(is_train)
    words, gold = (
        make_words(LENGTHS).split(LENGTHS),
        make_tags(LENGTHS, missing=True).split(LENGTHS),
    )
    n_cells = [n * (n - 1) // 2 for n in LENGTHS]

    def score(indices):
        """Tag and relation logits of each sentence, of a batch of some."""
        lengths = [LENGTHS[i] for i in indices]
        batch = (torch.cat([parts[i] for i in indices]) for parts in (words, gold))
        tags, relations = head(next(batch), torch.tensor(lengths), next(batch))
        by_sentence = zip(
            tags.split(lengths), relations.split([n_cells[i] for i in indices]), strict=True
        )
        return dict(zip(indices, by_sentence, strict=True))

    order = list(range(len(LENGTHS)))
    with torch.no_grad():
        together, backwards = score(order), score(order[::-1])
        for i in order:
            assert_close(together[i], score([i])[i], atol=1e-5)
            assert_close(together[i], backwards[i], atol=1e-5)


def test_prediction_takes_as_many_steps_as_the_longest_sentence(monkeypatch):
    n_products = []
    product = table_biaffine._product
    monkeypatch.setattr(
        table_biaffine, "_product", lambda *args: n_products.append(1) or product(*args)
    )
    counts = []
    for lengths in ([5], [5, 3, 1], [5] * 50):
        n_products.clear()
        make_head().eval()(make_words(lengths), torch.tensor(lengths))
        counts.append(len(n_products))
    assert counts[0] == counts[1] == counts[2]


class HostReads(TorchDispatchMode):
    """Counts the operations for which the host would wait for a GPU."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func.overloadpacket.__name__ in (
            "_local_scalar_dense",
            "nonzero",
            "repeat_interleave",
        )
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("is_train", [True, False])
def test_the_host_waits_as_often_for_long_sentences_as_for_short_ones(is_train):
    head = make_head().train(is_train)
    counts = []
    for lengths in ([2, 1], [60, 45, 7]):
        with HostReads() as reads:
            head(make_words(lengths), torch.tensor(lengths))
        counts.append(reads.count)
    assert counts[0] == counts[1] > 0


@pytest.mark.parametrize("is_train", [True, False])
def test_empty_sentences_and_batches(is_train):
    head = make_head(dropout=0.0).train(is_train)
    words, gold = make_words([3]), make_tags([3])
    with_empty = head(words, torch.tensor([0, 3, 0]), gold)
    torch.testing.assert_close(with_empty, head(words, torch.tensor([3]), gold))
    tags, relations = head(words[:0], torch.tensor([], dtype=torch.int64), gold[:0])
    assert tags.shape == (0, N_TAGS) and relations.shape == (0, N_RELATIONS)


# Precision, dropout, sizes


@pytest.mark.parametrize("is_train", [True, False])
def test_bfloat16_products_give_float32_logits(is_train):
    head = make_head(dropout=0.0, rank=32).train(is_train)
    results = []
    for enabled in (False, True):
        head.zero_grad()
        words = make_words([7, 1, 23]).requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            tags, relations = head(words, torch.tensor([7, 1, 23]), make_tags([7, 1, 23]))
        relations.sin().sum().backward()
        results.append([tags, relations, words.grad, head.query.weight.grad])
    assert all(array.dtype == torch.float32 for array in results[1])
    if is_train:
        errors = [
            (mixed - exact).norm() / exact.norm() for exact, mixed in zip(*results, strict=True)
        ]
        assert 1e-4 < max(errors[:2]) < 2e-2
        assert max(errors[2:]) < 6e-2


def test_dropout_acts_in_training_only():
    head = make_head(dropout=0.5)
    words, lengths, gold = make_words([9]), torch.tensor([9]), make_tags([9])
    for a, b in zip(head(words, lengths, gold), head(words, lengths, gold), strict=True):
        assert not torch.equal(a, b)
    head.eval()
    for a, b in zip(head(words, lengths), head(words, lengths), strict=True):
        assert torch.equal(a, b)


def test_tag_width_and_rank():
    shapes = {
        name: tuple(array.shape)
        for name, array in make_head(tag_width=7, rank=2).state_dict().items()
    }
    assert shapes == {
        "tag_embedding.weight": (N_TAGS + 1, 7),
        "tagger.weight": (N_TAGS, 2 * WIDTH + 7),
        "tagger.bias": (N_TAGS,),
        "query.weight": (2 * N_RELATIONS, WIDTH + 7),
        "query.bias": (2 * N_RELATIONS,),
        "key.weight": (2 * N_RELATIONS, WIDTH + 7),
        "key.bias": (2 * N_RELATIONS,),
    }


@pytest.mark.parametrize("rank", [1, 16, 256])
def test_first_scores_are_small_whatever_the_rank(rank):
    _, relations = make_head(rank=rank).eval()(make_words(LENGTHS), torch.tensor(LENGTHS))
    assert 0.1 < relations.std() < 1.0


@pytest.mark.parametrize(
    "options", [{"tag_width": 0}, {"rank": 0}, {"dropout": 1.0}, {"dropout": -0.1}]
)
def test_bad_sizes_are_refused(options):
    with pytest.raises(ValueError, match="TableBiaffine"):
        make_head(**options)


@pytest.mark.parametrize("lengths, n_tags", [([7], 5), ([5], 4)])
def test_lengths_must_match_words_and_tags(lengths, n_tags):
    with pytest.raises(
        ValueError, match=rf"{lengths[0]} words, but 5 embeddings and {n_tags} known tags"
    ):
        make_head()(make_words([5]), torch.tensor(lengths), make_tags([n_tags]))
