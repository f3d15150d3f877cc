"""Table-Sequence against its equations, cell by cell."""

import itertools

import pytest
import torch
import torch.nn.functional as F

from spacy_tabcnn.heads import TableSequence
from spacy_tabcnn.heads.table_sequence import module as table_sequence
from spacy_tabcnn.heads.table_sequence import recurrence
from spacy_tabcnn.heads.table_sequence.attention import Groups
from spacy_tabcnn.heads.table_sequence.diagonals import Diagonals
from spacy_tabcnn.heads.table_sequence.recurrence import Recurrence

WIDTH, N_TAGS, N_RELATIONS = 6, 9, 5
LENGTHS = [4, 1, 7, 2, 1, 3]
HIDDEN, HALF = 8, 4


def make_head(**options):
    torch.manual_seed(0)
    options = {"hidden": HIDDEN, "n_layers": 2, "n_heads": 2, **options}
    head = TableSequence(WIDTH, N_TAGS, N_RELATIONS, **options)
    with torch.no_grad():
        for name, parameter in head.named_parameters():
            if name.endswith("bias"):
                parameter.uniform_(-0.5, 0.5)
    return head


def make_words(lengths, seed=0):
    return torch.randn(sum(lengths), WIDTH, generator=torch.Generator().manual_seed(seed))


# The equations, for one sentence and with a loop over its cells


def naive_cell(encoder, direction, vector, neighbours):
    """The state of a cell. `neighbours` are the states t_1, t_2 and, from the second layer on,
    t_3."""
    from_cell = vector @ encoder.cell[direction]
    from_neighbours = torch.cat(neighbours) @ encoder.neighbours[direction]
    bias = encoder.bias[direction]
    cell = [*(from_cell + bias[HALF:]).split(HALF)]
    inner, *others = from_neighbours.split(HALF)
    inner = inner + bias[:HALF]
    reset, update = torch.sigmoid(cell[0] + others[0]), torch.sigmoid(cell[1] + others[1])
    new = torch.tanh(cell[-1] + (1 - reset) * inner)
    shares = [one + other for one, other in zip(cell[2:-1], others[2:], strict=True)]
    if len(neighbours) == 2:
        share = torch.sigmoid(shares[0])
        mix = share * neighbours[0] + (1 - share) * neighbours[1]
    else:
        shares = torch.softmax(torch.stack(shares), dim=0)
        mix = sum(share * state for share, state in zip(shares, neighbours, strict=True))
    return (1 - update) * new + update * mix


def naive_table(encoder, words, below):
    """The states of all cells, by cell: those of the recurrence from the upper left, then those
    from the lower right."""
    n = len(words)
    weights = torch.cat([encoder.row.weight, encoder.column.weight], dim=1)
    table = {}
    for direction, step in ((0, 1), (1, -1)):
        states = {}
        order = range(n)[::step]
        for i, j in itertools.product(order, order):
            vector = F.relu(weights @ torch.cat([words[i], words[j]]) + encoder.row.bias)
            outside = words.new_zeros(HALF)
            neighbours = [states.get((i, j - step), outside), states.get((i - step, j), outside)]
            if below is not None:
                neighbours.append(below[i, j].split(HALF)[direction])
            states[i, j] = naive_cell(encoder, direction, vector, neighbours)
        table[direction] = states
    return {cell: torch.cat([table[0][cell], table[1][cell]]) for cell in table[0]}


def naive_attention(layer, words, table):
    n = len(words)
    scores = layer.score.flatten(0, 1)
    size = HIDDEN // layer.n_heads
    attended = []
    for i in range(n):
        shares = torch.stack([table[i, j] @ scores for j in range(n)]).softmax(dim=0)
        means = [
            sum(shares[j, k] * layer.value(words[j]).split(size)[k] for j in range(n))
            for k in range(layer.n_heads)
        ]
        attended.append(torch.cat(means))
    words = layer.attended_norm(words + F.relu(layer.output(torch.stack(attended))))
    return layer.norm(words + layer.outer(F.relu(layer.inner(words))))


def naive_head(head, words):
    words = head.embed(words)
    table = None
    for encoder, layer in zip(head.tables, head.sequences, strict=True):
        table = naive_table(encoder, words, table)
        words = naive_attention(layer, words, table)
    relations = []
    for i, j in itertools.combinations(range(len(words)), 2):
        first, second = head.relations(table[i, j]), head.relations(table[j, i])
        swapped = second[[0, 2, 1, 4, 3]]
        relations.append((first + swapped) / 2)
    return head.tagger(words), torch.stack(relations) if relations else words.new_zeros(0, 5)


def naive_batch(head, words, lengths):
    parts = [naive_head(head, part) for part in words.split(lengths)]
    tags, relations = zip(*parts, strict=True)
    return torch.cat(tags), torch.cat(relations)


def assert_close(actual, expected, atol):
    for a, e in zip(actual, expected, strict=True):
        assert a.shape == e.shape
        torch.testing.assert_close(a, e, atol=atol, rtol=0)


@pytest.fixture(params=[1, 16, 10**6], ids="blocks_of_{}".format)
def _blocks(request, monkeypatch):
    """Blocks of a diagonal, of several diagonals, and of all of them."""
    monkeypatch.setattr(recurrence, "block_size", lambda device: request.param)


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_the_head_follows_its_equations(n_layers):
    head = make_head(n_layers=n_layers, dropout=0.0).double()
    words = make_words(LENGTHS).double()
    with torch.no_grad():
        expected = naive_batch(head, words, LENGTHS)
        assert_close(head(words, torch.tensor(LENGTHS)), expected, atol=1e-10)


@pytest.mark.usefixtures("_blocks")
@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_gradients_follow_the_equations(n_layers):
    head = make_head(n_layers=n_layers, dropout=0.0).double()
    gradients = []
    for score in (lambda words: head(words, torch.tensor(LENGTHS)),
                  lambda words: naive_batch(head, words, LENGTHS)):
        head.zero_grad()
        words = make_words(LENGTHS).double().requires_grad_()
        tags, relations = score(words)
        (tags.sin().sum() + relations.cos().sum()).backward()
        gradients.append([words.grad, *(parameter.grad.clone() for parameter in head.parameters())])
    assert_close(*gradients, atol=1e-10)


def test_analytic_gradient_equals_finite_differences():
    """Of the words and of the weights of a recurrence, under dropout."""
    head = make_head(dropout=0.3).double()
    lengths = [1, 4, 2]
    words = make_words(lengths).double().requires_grad_()

    def forward(*inputs):
        torch.manual_seed(1)
        return head(inputs[0], torch.tensor(lengths))

    weights = [head.tables[1].neighbours, head.tables[0].bias, head.tables[1].row.weight]
    assert torch.autograd.gradcheck(forward, (words, *weights))
