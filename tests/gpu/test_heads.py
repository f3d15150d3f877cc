"""Heads on the device, against the CPU: in double precision to 9 digits, in float32 to 4."""

import copy

import numpy as np
import pytest
import torch

from spacy_tabcnn.heads import (
    PFN,
    BiLSTM,
    PairClassifier,
    SpERT,
    TableBiaffine,
    TableCNN,
    TableSequence,
)
from spacy_tabcnn.labels import tag_rules
from spacy_tabcnn.runtime.precision import autocast

from .conftest import assert_near

LENGTHS = [7, 1, 30, 4]
WIDTH, N_TAGS, N_RELATIONS = 12, 9, 5
HEADS = {
    "cnn": lambda: TableCNN(WIDTH, N_TAGS, N_RELATIONS, hidden=[16]),
    "deep cnn": lambda: TableCNN(WIDTH, N_TAGS, N_RELATIONS, hidden=[16, 8], kernel_size=5),
    "separable": lambda: TableCNN(WIDTH, N_TAGS, N_RELATIONS, hidden=[16, 8], separable=True),
    "biaffine": lambda: TableBiaffine(WIDTH, N_RELATIONS, tag_rules(N_TAGS), rank=4),
    "sequence": lambda: TableSequence(WIDTH, N_TAGS, N_RELATIONS, hidden=16, n_heads=4),
    "spert": lambda: SpERT(WIDTH, 4, 3),
    "pfn": lambda: PFN(WIDTH, 4, 3, hidden=16, dropconnect=0.0, nested=True),
}
TOLERANCES = {torch.float64: 1e-7, torch.float32: 1e-4}


def make_arguments(name, dtype, device):
    generator = torch.Generator().manual_seed(1)
    n_words = sum(LENGTHS)
    words = torch.randn(n_words, WIDTH, generator=generator, dtype=dtype).to(device)
    words.requires_grad_()
    if name == "pfn":
        return words, (torch.tensor(LENGTHS),)
    if name != "spert":
        tags = torch.zeros(n_words, dtype=torch.int64)
        return words, (torch.tensor(LENGTHS), tags)
    context = torch.randn(2, WIDTH, generator=generator, dtype=dtype).to(device)
    spans = torch.tensor([[0, 2, 0], [1, 2, 0], [4, 7, 0], [8, 10, 1], [20, 29, 1]])
    return words, (context, spans, torch.tensor([[0, 2], [2, 0], [3, 4]]))


def run(head, name, dtype, device, *, is_train, mixed=False):
    """Outputs, and gradients of the inputs and of all parameters."""
    head = copy.deepcopy(head).to(device, dtype).train(is_train)
    head.dropout = 0.0
    words, others = make_arguments(name, dtype, device)
    with autocast(torch.device(device), enabled=mixed):
        outputs = head(words, *others)
    sum((output.sin() * output).sum() for output in outputs).backward()
    parameters = [p.grad for p in head.parameters() if p.grad is not None]
    return [*outputs, words.grad, *parameters]


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("dtype", TOLERANCES, ids=["float64", "float32"])
@pytest.mark.parametrize("is_train", [True, False], ids=["training", "prediction"])
def test_as_on_the_cpu(name, dtype, is_train, device):
    torch.manual_seed(0)
    head = HEADS[name]()
    expected = run(head, name, dtype, torch.device("cpu"), is_train=is_train)
    found = run(head, name, dtype, device.torch, is_train=is_train)
    for array, wanted in zip(found, expected, strict=True):
        assert array.device == device.torch
        assert_near(array, wanted, tolerance=TOLERANCES[dtype])


@pytest.mark.parametrize("name", HEADS)
def test_in_bfloat16(name, device):
    torch.manual_seed(0)
    head = HEADS[name]()
    expected = run(head, name, torch.float32, torch.device("cpu"), is_train=True)
    found = run(head, name, torch.float32, device.torch, is_train=True, mixed=True)
    for array, wanted in zip(found[:2], expected[:2], strict=True):
        assert array.dtype == torch.float32
        assert_near(array, wanted, tolerance=0.05)


@pytest.mark.parametrize("dtype", TOLERANCES, ids=["float64", "float32"])
def test_pairs_as_on_the_cpu(dtype, device):
    torch.manual_seed(0)
    classifier = PairClassifier(WIDTH, 4, 3, units=8).eval()
    words, _ = make_arguments("pairs", dtype, torch.device("cpu"))
    entities = torch.tensor([[0, 2, 0], [2, 3, 1], [5, 7, 3], [8, 9, 0], [30, 37, 2]])
    pairs = torch.tensor([[0, 1], [0, 2], [1, 2], [3, 4]])
    arrays = []
    for place in (torch.device("cpu"), device.torch):
        module = copy.deepcopy(classifier).to(place, dtype)
        logits = module(words.to(place), entities, pairs)
        logits.sin().sum().backward()
        arrays.append([logits, *(parameter.grad for parameter in module.parameters())])
    for expected, found in zip(*arrays, strict=True):
        assert_near(found, expected, tolerance=TOLERANCES[dtype])


@pytest.mark.parametrize("dtype", TOLERANCES, ids=["float64", "float32"])
def test_an_lstm_as_on_the_cpu(dtype, device):
    """In training: cuDNN computes no gradient of an LSTM in prediction."""
    torch.manual_seed(0)
    lstm = BiLSTM(WIDTH, units=8, dropout=0.0)
    arrays = []
    for place in (torch.device("cpu"), device.torch):
        module = copy.deepcopy(lstm).to(place, dtype)
        words, (lengths, _) = make_arguments("lstm", dtype, place)
        states = module(words, lengths)
        states.sin().sum().backward()
        arrays.append([states, words.grad, *(weight.grad for weight in module.parameters())])
    for expected, found in zip(*arrays, strict=True):
        assert_near(found, expected, tolerance=TOLERANCES[dtype])


@pytest.mark.parametrize("n_sentences", [1, 60])
def test_batch_as_one_by_one(n_sentences, device):
    torch.manual_seed(0)
    head = TableCNN(WIDTH, N_TAGS, N_RELATIONS, hidden=[16]).to(device.torch).eval()
    lengths = np.random.default_rng(0).integers(1, 40, n_sentences).tolist()
    words = torch.randn(sum(lengths), WIDTH, device=device.torch)
    with torch.no_grad():
        tags, relations = head(words, torch.tensor(lengths))
        one_by_one = [head(part, torch.tensor([len(part)])) for part in words.split(lengths)]
    assert_near(tags, torch.cat([output[0] for output in one_by_one]), tolerance=1e-4)
    assert_near(relations, torch.cat([output[1] for output in one_by_one]), tolerance=1e-4)
