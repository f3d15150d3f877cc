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
    """Compute the states of all cells, by cell: first of the recurrence from the upper left, then
    of the recurrence from the lower right."""
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


# Numbers of layers, and of cells of a block: of one diagonal, of several, and of all of them.
LAYERS_AND_BLOCKS = [(1, 16), (2, 1), (2, 16), (3, 10**6)]


@pytest.mark.parametrize("n_layers, n_cells", LAYERS_AND_BLOCKS)
def test_the_head_follows_its_equations(n_layers, n_cells, monkeypatch):
    monkeypatch.setattr(recurrence, "block_size", lambda device: n_cells)
    head = make_head(n_layers=n_layers, dropout=0.0).double()
    words = make_words(LENGTHS).double()
    with torch.no_grad():
        expected = naive_batch(head, words, LENGTHS)
        assert_close(head(words, torch.tensor(LENGTHS)), expected, atol=1e-10)


@pytest.mark.parametrize("n_layers, n_cells", LAYERS_AND_BLOCKS)
def test_gradients_follow_the_equations(n_layers, n_cells, monkeypatch):
    monkeypatch.setattr(recurrence, "block_size", lambda device: n_cells)
    head = make_head(n_layers=n_layers, dropout=0.0).double()
    gradients = []
    for score in (
        lambda words: head(words, torch.tensor(LENGTHS)),
        lambda words: naive_batch(head, words, LENGTHS),
    ):
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
    assert torch.autograd.gradcheck(forward, (words, *weights), fast_mode=True)


# Symmetries


@torch.no_grad()
def test_a_reversed_sentence_with_exchanged_corners_has_the_reversed_table():
    head, other = make_head(n_layers=3).eval().double(), make_head(n_layers=3).eval().double()
    for encoder, layer in zip(other.tables, other.sequences, strict=True):
        for parameter in (encoder.cell, encoder.neighbours, encoder.bias, layer.score):
            parameter.copy_(parameter.flip(0))
    other.relations.weight.copy_(other.relations.weight.roll(HALF, dims=1))
    words, lengths = make_words([6]).double(), torch.tensor([6])
    tags, relations = head(words, lengths)
    reversed_tags, reversed_relations = other(words.flip(0), lengths)
    torch.testing.assert_close(reversed_tags.flip(0), tags, atol=1e-10, rtol=0)
    row, column = torch.triu_indices(6, 6, 1)
    table = torch.zeros(6, 6, N_RELATIONS, dtype=torch.float64)
    table[row, column] = reversed_relations
    # Cell (i, j) has become (5 - j, 5 - i), and the head of a relation comes second, not first.
    flipped = table[5 - column, 5 - row][:, [0, 2, 1, 4, 3]]
    torch.testing.assert_close(flipped, relations, atol=1e-10, rtol=0)


@torch.no_grad()
def test_exchanged_rows_and_columns_exchange_the_directions_of_relations():
    """A table is scored as its transpose with the labels of the other direction."""
    head, other = make_head().eval(), make_head().eval()
    for encoder in other.tables:
        row, column = encoder.row.weight.clone(), encoder.column.weight.clone()
        encoder.row.weight.copy_(column)
        encoder.column.weight.copy_(row)
        neighbours = encoder.neighbours
        neighbours[:, : 2 * HALF] = neighbours[:, : 2 * HALF].roll(HALF, dims=1)
    exchange_shares(other)
    words, lengths = make_words(LENGTHS), torch.tensor(LENGTHS)
    for layer, other_layer in zip(head.sequences, other.sequences, strict=True):
        layer.score.zero_()  # attention by rows is not attention by columns
        other_layer.score.zero_()
    expected = head(words, lengths)
    found = other(words, lengths)
    torch.testing.assert_close(found[0], expected[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(found[1], expected[1][:, [0, 2, 1, 4, 3]], atol=1e-5, rtol=0)


def exchange_shares(head):
    """Exchange the shares of the left and the upper neighbour."""
    for encoder in head.tables:
        # The vector of a cell has no part in the first sum.
        arrays = encoder.cell[..., 2 * HALF :], encoder.neighbours[..., 3 * HALF :]
        for array in (*arrays, encoder.bias[..., 3 * HALF :]):
            if encoder is head.tables[0]:
                array[..., :HALF] *= -1
            else:
                array[..., : 2 * HALF] = array[..., : 2 * HALF].roll(HALF, dims=-1)


# Batches


@pytest.mark.parametrize("is_train", [True, False])
def test_batch_composition_and_order_do_not_change_scores(is_train):
    head = make_head(dropout=0.0).train(is_train)
    words = make_words(LENGTHS).split(LENGTHS)
    n_pairs = [n * (n - 1) // 2 for n in LENGTHS]

    def score(indices):
        """Tag and relation logits of each sentence, of a batch of some."""
        lengths = [LENGTHS[i] for i in indices]
        tags, relations = head(torch.cat([words[i] for i in indices]), torch.tensor(lengths))
        parts = relations.split([n_pairs[i] for i in indices])
        return dict(zip(indices, zip(tags.split(lengths), parts, strict=True), strict=True))

    order = list(range(len(LENGTHS)))
    with torch.no_grad():
        together, backwards = score(order), score(order[::-1])
        for i in order:
            assert_close(together[i], score([i])[i], atol=1e-5)
            assert_close(together[i], backwards[i], atol=1e-5)


@pytest.mark.parametrize("n_cells", [1, 20, 40])
def test_prediction_divides_the_sentences(n_cells, monkeypatch):
    head = make_head().eval()
    lengths = [0, 3, 4, 0, 2, 7, 1, 0]
    words = make_words(lengths)
    expected = [array.detach() for array in head(words, torch.tensor(lengths))]
    counts = []
    score = head._score

    def count(words, lengths, precision):
        counts.append(int(lengths.square().sum()))
        return score(words, lengths, precision)

    monkeypatch.setattr(head, "_score", count)
    monkeypatch.setattr(table_sequence, "max_cells", lambda device: n_cells)
    with torch.no_grad():
        assert_close(head(words, torch.tensor(lengths)), expected, atol=1e-6)
    assert sum(counts) == 9 + 16 + 4 + 49 + 1
    assert len(counts) > 1
    assert all(total <= max(n_cells, 49) for total in counts)


@pytest.mark.parametrize("is_train", [True, False])
def test_empty_sentences_and_batches(is_train):
    head = make_head(dropout=0.0).train(is_train)
    words = make_words([3])
    with torch.set_grad_enabled(is_train):
        with_empty = head(words, torch.tensor([0, 3, 0]))
        torch.testing.assert_close(with_empty, head(words, torch.tensor([3])))
        tags, relations = head(words[:0], torch.tensor([], dtype=torch.int64))
        assert tags.shape == (0, N_TAGS) and relations.shape == (0, N_RELATIONS)
        tags, relations = head(words[:0], torch.tensor([0, 0]))
        assert tags.shape == (0, N_TAGS) and relations.shape == (0, N_RELATIONS)


def test_sentences_of_similar_length_are_padded_together():
    lengths = torch.tensor([4, 16, 13, 12, 3, 1])
    groups = Groups.of(lengths, Diagonals.of(lengths, torch.device("cpu"))).groups
    sizes = [(group.n_sentences, len(group.words)) for group in groups]
    assert sizes == [(2, 32), (1, 12), (1, 4), (1, 3), (1, 1)]


def test_a_step_takes_a_diagonal_of_all_sentences():
    diagonals = Diagonals.of(torch.tensor([3, 1, 2]), torch.device("cpu"))
    assert diagonals.sizes == [3, 4, 4, 2, 1]
    assert [block.sizes for block in diagonals.blocks(4)] == [[3, 4], [4], [2, 1]]


# Memory


class SavedTensors:
    """Counts the bytes that training keeps for the backward pass."""

    def __init__(self):
        self.sizes = {}

    def __enter__(self):
        self.hooks = torch.autograd.graph.saved_tensors_hooks(self.keep, lambda tensor: tensor)
        self.hooks.__enter__()
        return self

    def __exit__(self, *args):
        self.hooks.__exit__(*args)

    def keep(self, tensor):
        storage = tensor.untyped_storage()
        self.sizes[storage.data_ptr()] = storage.nbytes()
        return tensor


def test_training_keeps_a_third_of_the_published_form_at_most():
    """A recurrence whose gates are kept has about 3900 floats a cell and layer."""
    head = TableSequence(16, N_TAGS, 11)
    n = 40
    with SavedTensors() as saved:
        logits = head(torch.randn(n, 16, requires_grad=True), torch.tensor([n]))
    assert logits[1].requires_grad
    weights = sum(4 * parameter.numel() for parameter in head.parameters())
    floats = (sum(saved.sizes.values()) - weights) / 4 / (3 * n * n)
    assert floats < 3900 / 3 / 2


# Precision, dropout, sizes


@pytest.mark.parametrize("is_train", [True, False])
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_products_of_lower_precision_give_float32_logits(is_train, precision):
    head = make_head(dropout=0.0, n_layers=3).train(is_train)
    results = []
    for enabled in (False, True):
        head.zero_grad()
        words = make_words([7, 1, 12]).requires_grad_()
        with torch.autocast("cpu", dtype=precision, enabled=enabled):
            tags, relations = head(words, torch.tensor([7, 1, 12]))
        relations.sin().sum().backward()
        results.append([tags, relations, words.grad, head.tables[0].cell.grad])
    assert all(array.dtype == torch.float32 for array in results[1])
    errors = [(mixed - exact).norm() / exact.norm() for exact, mixed in zip(*results, strict=True)]
    assert 1e-5 < max(errors) < 3e-2


def test_dropout_acts_in_training_only():
    head = make_head(dropout=0.5)
    words, lengths = make_words([9]), torch.tensor([9])
    for a, b in zip(head(words, lengths), head(words, lengths), strict=True):
        assert not torch.equal(a, b)
    head.eval()
    for a, b in zip(head(words, lengths), head(words, lengths), strict=True):
        assert torch.equal(a, b)


def test_published_sizes():
    head = TableSequence(768, 17, 11)
    shapes = {name: tuple(array.shape) for name, array in head.state_dict().items()}
    assert shapes["embed.weight"] == (200, 768)
    assert shapes["tables.0.cell"] == (2, 200, 400) and shapes["tables.2.cell"] == (2, 200, 600)
    assert shapes["tables.0.neighbours"] == (2, 200, 400)
    assert shapes["tables.1.neighbours"] == (2, 300, 600)
    assert shapes["sequences.2.score"] == (2, 100, 8)
    assert shapes["sequences.2.inner.weight"] == (800, 200)
    assert len(head.tables) == len(head.sequences) == 3
    assert head.dropout == 0.5


@pytest.mark.parametrize(
    "options, message",
    [
        ({"hidden": 0}, "hidden is 0"),
        ({"n_layers": 0}, "n_layers is 0"),
        ({"n_heads": 0}, "n_heads is 0"),
        ({"hidden": 9, "n_heads": 3}, "hidden is 9; expected an even number"),
        ({"hidden": 8, "n_heads": 3}, r"a multiple of n_heads \(3\)"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"dropout": -0.1}, "dropout is -0.1"),
    ],
)
def test_bad_sizes_are_refused(options, message):
    with pytest.raises(ValueError, match=f"TableSequence: .*{message}"):
        make_head(**options)


def test_a_relation_type_has_two_directions():
    with pytest.raises(ValueError, match="TableSequence: n_relations is 4; expected an odd number"):
        TableSequence(WIDTH, N_TAGS, 4)


def test_without_relation_types_every_pair_has_one_label():
    head = TableSequence(WIDTH, N_TAGS, 1, hidden=8)
    assert head(make_words([3]), torch.tensor([3]))[1].shape == (3, 1)


def test_lengths_must_match_words():
    with pytest.raises(ValueError, match="lengths add up to 7 words, but 5 embeddings came"):
        make_head()(make_words([5]), torch.tensor([7]))


def test_states_outside_a_table_are_zero():
    lengths = torch.tensor(LENGTHS)
    head = make_head()
    words = torch.randn(sum(LENGTHS), HIDDEN)
    diagonals = Diagonals.of(lengths, words.device)
    states = head.tables[0](words, None, diagonals, words.dtype)
    assert states.shape == (2, 1 + int(lengths.square().sum()), HALF)
    assert not states[:, 0].any()


def test_gradients_can_be_asked_for_the_weights_only():
    head = make_head(dropout=0.0)
    tags, _ = head(make_words([4]), torch.tensor([4]))
    tags.sum().backward()
    assert head.tables[0].cell.grad.any()
