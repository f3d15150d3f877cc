"""Values that depend on weights are kept until these change."""

import copy
import pickle

import pytest
import torch
from torch import nn

from spacy_tabcnn.heads import TableCNN
from spacy_tabcnn.heads.weights import WeightCache

WORDS, LENGTHS = torch.randn(7, 6, generator=torch.Generator().manual_seed(0)), torch.tensor([4, 3])


def add_in_place(module):
    with torch.no_grad():
        module.weight += 1


def load_other_weights(module):
    module.load_state_dict(nn.Linear(2, 3).state_dict())


def swap_data(module):
    module.weight.data = module.weight.data + 1


def take_a_step(module):
    module.weight.grad = torch.ones_like(module.weight)
    torch.optim.SGD([module.weight], lr=1.0).step()


def write_through_numpy(module):
    module.weight.data.numpy()[:] += 1
    torch.autograd.graph.increment_version(module.weight)


CHANGES = [
    add_in_place,
    load_other_weights,
    swap_data,
    take_a_step,
    write_through_numpy,
    nn.Module.double,
    lambda module: module.to("meta"),
]


class Doubler:
    """Keeps the double of a layer's weights, and counts how often it computes them."""

    def __init__(self):
        torch.manual_seed(0)
        self.layer, self.cache, self.n_computed = nn.Linear(2, 3), WeightCache(), 0

    def get(self, key="double"):
        return self.cache.get([*self.layer.parameters()], key, self.compute)

    def compute(self):
        self.n_computed += 1
        return 2 * self.layer.weight


def test_a_value_is_computed_once():
    doubler = Doubler()
    assert doubler.get() is doubler.get()
    assert doubler.n_computed == 1


def test_each_key_has_its_value():
    doubler = Doubler()
    assert doubler.get("one") is not doubler.get("other")
    assert doubler.n_computed == 2


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_weights_forgets_the_value(change):
    doubler = Doubler()
    doubler.get()
    change(doubler.layer)
    value = doubler.get()
    assert doubler.n_computed == 2
    assert (value.device, value.dtype) == (doubler.layer.weight.device, doubler.layer.weight.dtype)
    if value.device.type == "cpu":
        assert torch.equal(value, 2 * doubler.layer.weight)


def test_other_weights_never_take_the_address_of_those_before():
    doubler = Doubler()
    for _ in range(20):
        doubler.layer.weight.data = torch.rand(3, 2)
        assert torch.equal(doubler.get(), 2 * doubler.layer.weight)


def test_a_value_made_in_inference_mode_can_be_used_in_training():
    doubler = Doubler()
    with torch.inference_mode():
        value = doubler.get()
    (value * torch.ones(3, 2, requires_grad=True)).sum().backward()


def test_weights_made_in_inference_mode_are_not_kept():
    with torch.inference_mode():
        doubler = Doubler()
    doubler.get()
    assert not len(doubler.cache)


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda cache: pickle.loads(pickle.dumps(cache))])
def test_copies_are_empty(clone):
    doubler = Doubler()
    doubler.get()
    assert not len(clone(doubler.cache))


# In a head


def make_head():
    torch.manual_seed(0)
    return TableCNN(6, 5, 3, hidden=(8, 8)).eval()


def predict(head):
    with torch.no_grad():
        return head(WORDS.to(head.tagger.weight.dtype), LENGTHS)[1]


def change_every_weight(head):
    with torch.no_grad():
        for parameter in head.parameters():
            parameter += 0.1


def load_other_state(head):
    torch.manual_seed(1)
    head.load_state_dict(TableCNN(6, 5, 3, hidden=(8, 8)).state_dict())


def swap_every_weight(head):
    for parameter in head.parameters():
        parameter.data = parameter.data + 0.1


@pytest.mark.parametrize(
    "change", [change_every_weight, load_other_state, swap_every_weight, nn.Module.double]
)
def test_a_head_predicts_by_its_present_weights(change):
    head = make_head()
    predict(head)
    change(head)
    actual = predict(head)
    fresh = copy.deepcopy(head)  # without kept values
    assert torch.equal(actual, predict(fresh))


def test_both_precisions_are_kept():
    head = make_head()
    exact = predict(head)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = predict(head)
    assert torch.equal(predict(head), exact) and not torch.equal(mixed, exact)
    assert len(head.weight_cache) == 2


def test_training_keeps_nothing():
    head = make_head().train()
    predict(head)
    head(WORDS, LENGTHS)
    assert not len(head.weight_cache)


def test_kept_values_are_not_part_of_the_state():
    head = make_head()
    state = set(head.state_dict())
    predict(head)
    assert set(head.state_dict()) == state
