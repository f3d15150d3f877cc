"""The classifier of pairs against the equations, pair by pair."""

import pytest
import torch
import torch.nn.functional as F

from spacy_tabcnn.heads import PairClassifier, TableCNN
from spacy_tabcnn.heads import pair_classifier as module_of_pairs
from spacy_tabcnn.heads.growth import NEW_LABEL_MARGIN

WIDTH, N_TYPES, N_RELATIONS = 6, 3, 2
# Two sentences, of 9 and of 40 words: entities that touch, that are apart, and of several words.
ENTITIES = torch.tensor([(0, 1, 0), (1, 3, 2), (5, 6, 1), (9, 10, 2), (47, 49, 0)])
PAIRS = torch.tensor([(0, 1), (0, 2), (1, 2), (3, 4)])
NO_ENTITIES = torch.zeros(0, 3, dtype=torch.long)
NO_PAIRS = torch.zeros(0, 2, dtype=torch.long)


def make_module(n_types=N_TYPES, n_relations=N_RELATIONS, **options):
    torch.manual_seed(0)
    return PairClassifier(WIDTH, n_types, n_relations, units=8, **options).double().eval()


def make_words():
    torch.manual_seed(1)
    return torch.randn(49, WIDTH, dtype=torch.double)


def distance_bucket(n_between):
    return sum(n_between >= bound for bound in (1, 2, 3, 5, 9, 17, 33))


def score_direction(module, words, head, tail):
    """As the docstring writes it."""
    (start, end, head_type), (tail_start, tail_end, tail_type) = head.tolist(), tail.tolist()
    gap = words[min(end, tail_end) : max(start, tail_start)]
    between = torch.zeros(WIDTH, dtype=words.dtype)
    if len(gap):
        between = gap.amax(dim=0)
    bucket = distance_bucket(len(gap)) + (8 if tail_start < start else 0)
    z = (
        module.head(words[start:end].amax(dim=0))
        + module.tail(words[tail_start:tail_end].amax(dim=0))
        + module.between(between)
        + module.head_type.weight[head_type]
        + module.tail_type.weight[tail_type]
        + module.distance.weight[bucket]
    )
    return module.out(F.gelu(module.hidden(F.gelu(z))))


def score_one_by_one(module, words, entities, pairs):
    rows = []
    for left, right in pairs.tolist():
        to_right = score_direction(module, words, entities[left], entities[right])
        to_left = score_direction(module, words, entities[right], entities[left])
        labels = torch.stack([to_right, to_left], dim=1).flatten()
        rows.append(torch.cat([torch.zeros(1, dtype=words.dtype), labels]))
    return torch.stack(rows)


@pytest.mark.parametrize("max_features", [10**6, WIDTH])
def test_logits_are_those_of_the_equations(monkeypatch, max_features):
    """Also in chunks of one pair."""
    monkeypatch.setattr(module_of_pairs, "MAX_FEATURES", max_features)
    module, words = make_module(), make_words()
    logits = module(words, ENTITIES, PAIRS)
    assert logits.shape == (4, 1 + 2 * N_RELATIONS)
    torch.testing.assert_close(logits, score_one_by_one(module, words, ENTITIES, PAIRS))


def test_no_pairs_and_no_entities():
    module, words = make_module(), make_words()
    assert module(words, ENTITIES[:1], NO_PAIRS).shape == (0, 5)
    assert module(words, NO_ENTITIES, NO_PAIRS).shape == (0, 5)


def test_no_pairs_have_a_gradient_of_zero():
    module = make_module().train()
    module(make_words(), NO_ENTITIES, NO_PAIRS).sum().backward()
    assert not module.out.weight.grad.any()


def test_no_labels():
    module = make_module(n_types=0, n_relations=0)
    assert module(make_words(), NO_ENTITIES, NO_PAIRS).shape == (0, 1)
    assert module(make_words(), ENTITIES * torch.tensor([1, 1, 0]), PAIRS).shape == (4, 1)


def test_the_words_get_no_gradient():
    module, words = make_module(), make_words().requires_grad_()
    module(words, ENTITIES, PAIRS).sum().backward()
    assert words.grad is None
    assert all(parameter.grad is not None for parameter in module.parameters())


def test_dropout_in_training_only():
    module, words = make_module(dropout=0.5), make_words()
    expected = module(words, ENTITIES, PAIRS)
    assert torch.equal(module(words, ENTITIES, PAIRS), expected)
    module.train()
    assert not torch.equal(module(words, ENTITIES, PAIRS), expected)
    module.dropout = 0.0
    torch.testing.assert_close(module(words, ENTITIES, PAIRS), expected)


def test_more_labels_leave_the_logits_of_the_others_as_they_are():
    old = make_module()
    before = old(make_words(), ENTITIES, PAIRS)
    module = make_module(N_TYPES + 1, N_RELATIONS + 1)
    module.take_over(old)
    logits = module(make_words(), ENTITIES, PAIRS)
    torch.testing.assert_close(logits[:, :5], before)
    torch.testing.assert_close(logits[:, 5:], torch.full_like(logits[:, 5:], -NEW_LABEL_MARGIN))


def test_the_first_labels_of_a_classifier_without_any():
    module = make_module()
    module.take_over(make_module(n_types=0, n_relations=0))
    logits = module(make_words(), ENTITIES, PAIRS)
    assert (logits[:, 1:] == -NEW_LABEL_MARGIN).all()


def test_a_classifier_of_another_kind_is_refused():
    with pytest.raises(TypeError, match="PairClassifier: cannot take over the weights of a Table"):
        make_module().take_over(TableCNN(4, 5, 3, hidden=(6,)))


@pytest.mark.parametrize("options", [{"units": 0}, {"dropout": 1.0}])
def test_bad_options_are_refused(options):
    with pytest.raises(ValueError, match="PairClassifier: "):
        PairClassifier(WIDTH, N_TYPES, N_RELATIONS, **options)
