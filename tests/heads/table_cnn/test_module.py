"""The head against the paper's plain formulation: a Conv2d stack over each sentence's own table."""

import sys
from pathlib import Path

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import spacy_tabcnn
from spacy_tabcnn.heads import TableCNN
from spacy_tabcnn.heads.table_cnn import convolution, module
from spacy_tabcnn.heads.table_cnn.dense import dense_logits
from spacy_tabcnn.heads.table_cnn.geometry import geometry_of

PACKAGE = str(Path(spacy_tabcnn.__file__).parent)

WIDTH, N_TAGS, N_RELATIONS = 6, 9, 5


def make_head(**options):
    torch.manual_seed(0)
    return TableCNN(WIDTH, N_TAGS, N_RELATIONS, **options)


def make_words(lengths, seed=0):
    return torch.randn(sum(lengths), WIDTH, generator=torch.Generator().manual_seed(seed))


def dense_batch(head, words, lengths):
    """Score each sentence by itself."""
    tags, relations = zip(
        *(
            dense_logits(head, sentence, torch.tensor([len(sentence)]))
            for sentence in words.split(lengths)
        ),
        strict=True,
    )
    return torch.cat(tags), torch.cat(relations)


@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("kernel_size", [1, 3, 5, 7])
@pytest.mark.parametrize("hidden", [(8,), (8, 7), (8, 7, 4)])
def test_equals_dense_convolution(kernel_size, hidden, separable):
    head = make_head(kernel_size=kernel_size, hidden=hidden, separable=separable).eval()
    lengths = list(range(1, 61)) if len(hidden) < 3 else [1, 2, 3, 8, 20]
    words = make_words(lengths)
    with torch.no_grad():
        actual = head(words, torch.tensor(lengths))
        expected = dense_batch(head, words, lengths)
    for a, e in zip(actual, expected, strict=True):
        assert a.shape == e.shape
        torch.testing.assert_close(a, e, atol=1e-4, rtol=0)


@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("hidden", [(8,), (8, 7), (8, 7, 4)])
def test_gradients_equal_dense_convolution(kernel_size, hidden, separable):
    head = make_head(kernel_size=kernel_size, hidden=hidden, separable=separable, dropout=0.0)
    lengths = [4, 1, 9, 2]
    gradients = []
    for forward in (
        lambda words: head(words, torch.tensor(lengths)),
        lambda words: dense_batch(head, words, lengths),
    ):
        head.zero_grad()
        words = make_words(lengths).requires_grad_()
        tags, relations = forward(words)
        (tags.sin().sum() + relations.cos().sum()).backward()
        gradients.append([words.grad, *(parameter.grad.clone() for parameter in head.parameters())])
    for actual, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("options", [{}, {"separable": True}])
def test_analytic_gradient_equals_finite_differences(options):
    """Of the words and the last bias but one, under dropout."""
    head = make_head(hidden=(4, 5), dropout=0.3, **options).double()
    words = make_words([1, 4]).double().requires_grad_()

    def forward(*inputs):
        torch.manual_seed(1)
        return head(inputs[0], torch.tensor([1, 4]))

    hidden_bias = list(head.convs[1].parameters())[-1]
    assert torch.autograd.gradcheck(forward, (words, hidden_bias))


def set_chunk_size(monkeypatch, size):
    for owner in (convolution, module):
        monkeypatch.setattr(owner, "chunk_size", lambda device: size)


@pytest.mark.parametrize("chunk_size", [1, 1000, 3000])
@pytest.mark.parametrize("hidden", [(8,), (8, 7, 4)])
def test_chunks_change_neither_scores_nor_gradients(monkeypatch, hidden, chunk_size):
    """Of one row, of parts of sentences, and of several sentences."""
    head = make_head(hidden=hidden, dropout=0.0)
    lengths = [4, 1, 2, 12, 3]
    results = []
    for size in (2**30, chunk_size):
        set_chunk_size(monkeypatch, size)
        head.zero_grad()
        words = make_words(lengths).requires_grad_()
        tags, relations = head(words, torch.tensor(lengths))
        (tags.sin().sum() + relations.cos().sum()).backward()
        with torch.no_grad():
            predicted = head(words, torch.tensor(lengths))
        gradients = [words.grad, *(parameter.grad.clone() for parameter in head.parameters())]
        results.append([tags, relations, *predicted, *gradients])
    for actual, expected in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)


class LargestTensor(TorchDispatchMode):
    """Remembers how many elements the largest tensor has that any operation returns."""

    size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.size = max(self.size, result.numel())
        return result


def test_neither_pass_holds_all_hidden_cells(monkeypatch):
    set_chunk_size(monkeypatch, 20_000)
    head = make_head(hidden=(128,))
    n = 100
    words = make_words([n]).requires_grad_()
    with LargestTensor() as largest:
        _, relations = head(words, torch.tensor([n]))
        relations.sum().backward()
    assert relations.numel() <= largest.size < n * n * 128 / 20


def test_prediction_in_parts_holds_no_hidden_layer(monkeypatch):
    set_chunk_size(monkeypatch, 1_250)
    head = make_head(hidden=(64, 128), kernel_size=1).eval()
    n = 100
    with torch.no_grad(), LargestTensor() as largest:
        head(make_words([n]), torch.tensor([n]))
    assert largest.size < n * n * 128 / 20


class CallCounter:
    """Counts the calls of the package's functions."""

    def __enter__(self):
        self.count = 0
        sys.setprofile(self.on_event)
        return self

    def __exit__(self, *error):
        sys.setprofile(None)

    def on_event(self, frame, event, argument):
        self.count += event == "call" and frame.f_code.co_filename.startswith(PACKAGE)


def test_a_short_sentence_takes_few_calls():
    head, words, lengths = make_head().eval(), make_words([6]), torch.tensor([6])
    head(words, lengths)  # numbers the cells of sentences of this length
    with torch.no_grad():
        head(words, lengths)  # arranges the weights
        with CallCounter() as calls:
            head(words, lengths)
    assert calls.count <= 45
    with CallCounter() as calls:
        head.train()(words, lengths)[1].sum().backward()
    assert calls.count <= 70


def test_sentences_of_one_length_share_indices():
    device = torch.device("cpu")
    one, other, longer = (
        geometry_of(torch.tensor([n]), device, kernel_size=3, n_layers=2) for n in (6, 6, 7)
    )
    assert one is other and one is not longer


def test_a_sentence_can_be_predicted_in_inference_mode_and_then_trained():
    head, words, lengths = make_head(), make_words([17]), torch.tensor([17])
    with torch.inference_mode():
        head.eval()(words, lengths)
    head.train()(words.requires_grad_(), lengths)[1].sum().backward()
    assert words.grad is not None


def test_words_that_need_no_gradient_get_none():
    head = make_head(dropout=0.0)
    gradients = []
    for requires_grad in (True, False):
        head.zero_grad()
        words = make_words([4, 9]).requires_grad_(requires_grad)
        head(words, torch.tensor([4, 9]))[1].sin().sum().backward()
        gradients.append([conv.weight.grad.clone() for conv in head.convs])
    assert words.grad is None
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("separable", [False, True])
@pytest.mark.parametrize("hidden", [(64,), (64, 48)])
def test_bfloat16_products_give_float32_logits(hidden, separable):
    head = make_head(hidden=hidden, separable=separable, dropout=0.0)
    lengths = torch.tensor([7, 1, 23])
    results = []
    for enabled in (False, True):
        head.zero_grad()
        words = make_words([7, 1, 23]).requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            tags, relations = head(words, lengths)
        relations.sin().sum().backward()
        results.append(
            [tags, relations, words.grad, *(conv.grad for conv in head.convs.parameters())]
        )
    errors = [(mixed - exact).norm() / exact.norm() for exact, mixed in zip(*results, strict=True)]
    assert all(array.dtype == torch.float32 for array in results[1])
    assert 1e-4 < max(errors[:2]) < 2e-2
    assert max(errors[2:]) < 6e-2


def test_batch_composition_and_order_do_not_change_scores():
    head = make_head(kernel_size=5, hidden=(8, 7)).eval()
    lengths = [7, 1, 23, 2, 12]
    words = make_words(lengths)
    sentences = words.split(lengths)
    with torch.no_grad():
        tags, relations = head(words, torch.tensor(lengths))
        backwards = head(torch.cat(sentences[::-1]), torch.tensor(lengths[::-1]))
        alone = [head(sentence, torch.tensor([len(sentence)])) for sentence in sentences]
    n_cells = [n * (n - 1) // 2 for n in lengths]
    for a, b in zip(tags.split(lengths), backwards[0].split(lengths[::-1])[::-1], strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)
    for a, b in zip(relations.split(n_cells), backwards[1].split(n_cells[::-1])[::-1], strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)
    torch.testing.assert_close(tags, torch.cat([t for t, _ in alone]), atol=1e-5, rtol=0)
    torch.testing.assert_close(relations, torch.cat([r for _, r in alone]), atol=1e-5, rtol=0)


def test_empty_sentences_and_batches():
    head = make_head().eval()
    words = make_words([3])
    with_empty = head(words, torch.tensor([0, 3, 0]))
    torch.testing.assert_close(with_empty, head(words, torch.tensor([3])))
    tags, relations = head(words[:0], torch.tensor([], dtype=torch.int64))
    assert tags.shape == (0, N_TAGS) and relations.shape == (0, N_RELATIONS)


def test_weights_have_the_shapes_of_plain_layers():
    head = TableCNN(WIDTH, N_TAGS, N_RELATIONS, kernel_size=5, hidden=(8, 7))
    shapes = {name: tuple(parameter.shape) for name, parameter in head.named_parameters()}
    assert shapes == {
        "convs.0.weight": (8, 2 * WIDTH, 5, 5),
        "convs.0.bias": (8,),
        "convs.1.weight": (7, 8, 5, 5),
        "convs.1.bias": (7,),
        "convs.2.weight": (N_RELATIONS, 7, 5, 5),
        "convs.2.bias": (N_RELATIONS,),
        "tagger.weight": (N_TAGS, N_RELATIONS),
        "tagger.bias": (N_TAGS,),
    }


def test_separable_weights_have_the_shapes_of_plain_layers():
    head = TableCNN(WIDTH, N_TAGS, N_RELATIONS, hidden=(8, 7), separable=True)
    shapes = {name: tuple(parameter.shape) for name, parameter in head.convs.named_parameters()}
    assert shapes == {
        "0.weight": (8, 2 * WIDTH, 3, 3),
        "0.bias": (8,),
        "1.0.weight": (8, 1, 3, 3),
        "1.0.bias": (8,),
        "1.1.weight": (7, 8, 1, 1),
        "1.1.bias": (7,),
        "2.0.weight": (7, 1, 3, 3),
        "2.0.bias": (7,),
        "2.1.weight": (N_RELATIONS, 7, 1, 1),
        "2.1.bias": (N_RELATIONS,),
    }


@pytest.mark.parametrize("separable", [False, True])
def test_dropout_acts_in_training_only(separable):
    head = make_head(hidden=(8, 8), separable=separable, dropout=0.5)
    words, lengths = make_words([9]), torch.tensor([9])
    head.train()
    assert not torch.equal(head(words, lengths)[1], head(words, lengths)[1])
    head.eval()
    assert torch.equal(head(words, lengths)[1], head(words, lengths)[1])


@pytest.mark.parametrize("hidden", [(64,), (64, 64)])
def test_dropout_drops_whole_channels_per_sentence(hidden):
    """With constant hidden activations, cells of one sentence agree and sentences differ."""
    head = make_head(hidden=hidden, dropout=0.5, kernel_size=1).train()
    with torch.no_grad():
        for conv in head.convs[:-1]:
            conv.weight.zero_()
            conv.bias.fill_(1.0)
        _, relations = head(make_words([6, 6]), torch.tensor([6, 6]))
    first, second = relations.split([15, 15])
    torch.testing.assert_close(first, first[:1].expand_as(first))
    torch.testing.assert_close(second, second[:1].expand_as(second))
    assert not torch.allclose(first[0], second[0])


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 2},
        {"hidden": ()},
        {"hidden": (0,)},
        {"dropout": 1.0},
        {"dropout": -0.1},
    ],
)
def test_bad_sizes_are_refused(options):
    with pytest.raises(ValueError, match="TableCNN"):
        make_head(**options)


def test_lengths_must_match_words():
    with pytest.raises(ValueError, match=r"7 words, but 5"):
        make_head()(make_words([5]), torch.tensor([7]))
