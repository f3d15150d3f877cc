"""The whole network against the equations as its authors write them."""

import copy

import pytest
import torch

from spacy_tabcnn.heads import PFN
from spacy_tabcnn.heads.pfn import units
from spacy_tabcnn.heads.pfn.cell import PartitionFilter
from spacy_tabcnn.heads.places import Places

from .literal import encode, partition, score_tables

WIDTH, N_TYPES, N_RELATIONS, HIDDEN = 5, 3, 2, 7
LENGTHS = torch.tensor([4, 1, 6, 2])
N_CELLS = [10 + 1 + 21 + 3, 12 + 0 + 30 + 2]


def make_module(n_relations=N_RELATIONS, **options):
    torch.manual_seed(0)
    options = {"hidden": HIDDEN, "dropout": 0.0, "dropconnect": 0.0, **options}
    return PFN(WIDTH, N_TYPES, n_relations, **options).double()


def make_words(lengths=LENGTHS, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(int(lengths.sum()), WIDTH, dtype=torch.double, generator=generator)


def assert_close(actual, expected):
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=0.0)


@pytest.fixture
def few_cells(monkeypatch):
    """Chunks of a few cells."""
    monkeypatch.setattr(units, "chunk_size", lambda device: 5 * HIDDEN)


@pytest.mark.parametrize("nested", [False, True])
def test_scores_are_those_of_the_equations(nested):
    module, words = make_module(nested=nested).eval(), make_words()
    tables = module(words, LENGTHS)
    assert [len(table) for table in tables] == [N_CELLS[0], *[N_CELLS[1]] * (1 + nested)]
    assert_close(tables, score_tables(module, words, LENGTHS))


def test_gates_divide_the_memory_as_the_partitions_do():
    """e is the entity partition and the shared one, r the relation partition and the shared one."""
    entity, relation = torch.rand(2, 9, dtype=torch.double)
    entity_only, relation_only, shared = partition(entity, relation)
    assert_close([entity_only + shared, relation_only + shared], [entity, relation])


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.usefixtures("few_cells")
def test_gradients_are_those_of_the_equations(nested):
    module = make_module(nested=nested)
    gradients = []
    for score in (module, lambda *inputs: score_tables(module, *inputs)):
        module.zero_grad()
        words = make_words().requires_grad_()
        sum((table**2).sum() for table in score(words, LENGTHS)).backward()
        gradients.append([words.grad, *(weight.grad for weight in module.parameters())])
    assert_close(*gradients)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.usefixtures("few_cells")
def test_gradients_are_numerically_right(dropout):
    """With the dropout of the forward pass, which is drawn again in the backward pass."""
    module = make_module(dropout=dropout, dropconnect=dropout, nested=True)
    parameters = dict(module.named_parameters())

    def score(words, *weights):
        torch.manual_seed(0)
        named = dict(zip(parameters, weights, strict=True))
        return torch.func.functional_call(module, named, (words, torch.tensor([3, 1, 2])))

    words = make_words(torch.tensor([6])).requires_grad_()
    assert torch.autograd.gradcheck(score, (words, *parameters.values()), fast_mode=True)


@pytest.mark.parametrize("length", [1, 2])
def test_short_sentences(length):
    module, lengths = make_module().eval(), torch.tensor([length])
    words = make_words(lengths)
    entities, relations = module(words, lengths)
    assert entities.shape == (length * (length + 1) // 2, N_TYPES)
    assert relations.shape == (length * (length - 1), N_RELATIONS)
    assert_close([entities, relations], score_tables(module, words, lengths))


def test_a_sentence_of_a_word_can_be_learned_from():
    module, lengths = make_module(), torch.tensor([1])
    words = make_words(lengths).requires_grad_()
    sum(table.sum() for table in module(words, lengths)).backward()
    assert words.grad.any() and module.entities.label.weight.grad.any()


def test_a_sentence_scores_alike_in_any_batch():
    """Whatever the lengths of the other sentences: no maximum and no step reads padding."""
    module = make_module().eval()
    tables = module(make_words(), LENGTHS)
    for order in ([0, 1, 2, 3], [2, 3, 1, 0]):
        parts = [[], []]
        for sentence in order:
            words = make_words().split(LENGTHS.tolist())[sentence]
            for part, table in zip(parts, module(words, LENGTHS[[sentence]]), strict=True):
                part.append(table)
        words = torch.cat([make_words().split(LENGTHS.tolist())[i] for i in order])
        assert_close(module(words, LENGTHS[order]), [torch.cat(part) for part in parts])
    assert_close(tables, module(make_words(), LENGTHS))


def test_chunks_change_nothing(request):
    module, words = make_module().eval(), make_words()
    expected = module(words, LENGTHS)
    request.getfixturevalue("few_cells")
    assert_close(module(words, LENGTHS), expected)


@pytest.mark.parametrize("n_sentences", [0, 2])
def test_no_words(n_sentences):
    lengths = torch.zeros(n_sentences, dtype=torch.int64)
    entities, relations = make_module()(make_words(lengths), lengths)
    assert entities.shape == (0, N_TYPES) and relations.shape == (0, N_RELATIONS)


def test_empty_sentences_among_others():
    module, words = make_module(), make_words()
    expected = module(words, LENGTHS)
    assert_close(module(words, torch.tensor([0, 4, 1, 0, 6, 2, 0])), expected)


def test_no_relation_types():
    entities, relations = make_module(n_relations=0)(make_words(), LENGTHS)
    assert relations.shape == (N_CELLS[1], 0)
    (entities.sum() + relations.sum()).backward()


@pytest.mark.parametrize("option", ["dropout", "dropconnect"])
def test_dropout_only_in_training(option):
    module, words = make_module(**{option: 0.5}), make_words()
    assert not torch.equal(module(words, LENGTHS)[0], module(words, LENGTHS)[0])
    module.eval()
    assert torch.equal(module(words, LENGTHS)[0], module(words, LENGTHS)[0])
    assert_close(module(words, LENGTHS), make_module().eval()(words, LENGTHS))


def test_dropconnect_is_drawn_once_for_all_words():
    """Two sentences of the same words have the same features."""
    cell = PartitionFilter(WIDTH, HIDDEN, dropconnect=0.5).double()
    sentence = make_words(torch.tensor([3]))
    places = Places.of(torch.tensor([3, 3]), sentence.device)
    for features in cell(torch.cat([sentence, sentence]), places, torch.double):
        assert_close([features[:3]], [features[3:]])


def test_gates_are_shares_that_rise_or_fall():
    """All within 0 and 1; along the neurons the relation gates rise and the entity gates fall."""
    from spacy_tabcnn.heads.pfn.cell import _make_gates

    gates = _make_gates(torch.randn(4, 4, HIDDEN).softmax(dim=2))
    assert gates.min() > -1e-6 and gates.max() < 1 + 1e-6
    relation, entity, _ = gates.unbind(dim=2)
    assert (relation.diff() > 0).all() and (entity.diff() < 0).all()


def test_features_of_a_sentence():
    cell = PartitionFilter(WIDTH, HIDDEN, dropconnect=0.1).double().eval()
    words, lengths = make_words(), LENGTHS
    features = torch.stack(cell(words, Places.of(lengths, words.device), torch.double))
    expected = [encode(cell, sentence) for sentence in words.split(lengths.tolist())]
    assert_close([features], [torch.cat(expected, dim=1)])


def test_weights_in_bfloat16_change_the_products_only():
    module, words = make_module().float().eval(), make_words().float()
    expected = module(words, LENGTHS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        tables = module(words, LENGTHS)
    for table, other in zip(tables, expected, strict=True):
        assert table.dtype == torch.float32
        torch.testing.assert_close(table, other, atol=0.05, rtol=0.05)


def test_gradients_in_bfloat16_are_close():
    gradients = []
    for enabled in (False, True):
        module, words = make_module().float(), make_words().float().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            loss = sum(table.sum() for table in module(words, LENGTHS))
        loss.backward()
        gradients.append([words.grad, *(weight.grad for weight in module.parameters())])
    for one, other in zip(*gradients, strict=True):
        assert torch.linalg.norm(one - other) < 0.05 * torch.linalg.norm(one) + 1e-3


def test_a_copy_scores_alike():
    module = make_module(nested=True).eval()
    assert_close(copy.deepcopy(module)(make_words(), LENGTHS), module(make_words(), LENGTHS))


def test_lengths_have_to_fit():
    with pytest.raises(ValueError, match="PFN: the lengths add up to 13 words, but 12 embeddings"):
        make_module()(make_words()[1:], LENGTHS)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"hidden": 0}, "hidden is 0; expected a whole number from 1 on"),
        ({"hidden": "8"}, "hidden is '8'; expected a whole number"),
        ({"n_relations": -1}, "n_relations is -1"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"dropout": "0.3"}, "dropout is '0.3'"),
        ({"dropconnect": -0.1}, "dropconnect is -0.1"),
        ({"dropconnect": 0.999999}, "dropconnect is 0.999999"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(ValueError, match=f"PFN: .*{message}"):
        make_module(**options)
