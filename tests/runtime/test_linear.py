import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from spacy_tabcnn.runtime import linear as linear_module
from spacy_tabcnn.runtime.linear import ROUND_ROWS, FastLinear, restore_linears, swap_linears


def make_layer(arrays, *, onednn=True, has_bias=True):
    weight, bias = arrays((4, 5), (4,))
    layer = nn.Linear(5, 4, bias=has_bias)
    layer.load_state_dict({"weight": weight, "bias": bias} if has_bias else {"weight": weight})
    swap_linears(layer, onednn=onednn)
    return layer


class Products(TorchDispatchMode):
    """Collect the shapes of the products within a block, and the conversions of weights."""

    def __init__(self):
        super().__init__()
        self.shapes = []
        self.converted = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.mm.default:
            self.shapes.append((args[0].shape, args[1].shape))
        if func is torch.ops.aten._to_copy.default and isinstance(args[0], nn.Parameter):
            self.converted += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("shape", [(5,), (7, 5), (2, 3, 5), (0, 5), (1, 5)])
@pytest.mark.parametrize("has_bias", [True, False])
def test_a_fast_layer_is_torchs(by_onednn, arrays, shape, has_bias):
    layer = make_layer(arrays, has_bias=has_bias)
    inputs, d_output = arrays(shape, (*shape[:-1], 4))
    needed = [inputs, *layer.parameters()]
    wanted = F.linear(inputs.double(), *(array.double() for array in layer.parameters()))
    wanted_gradients = torch.autograd.grad(wanted, needed, d_output.double())

    output = layer(inputs)
    gradients = torch.autograd.grad(output, needed, d_output)

    torch.testing.assert_close(output, wanted.float())
    torch.testing.assert_close(gradients, tuple(gradient.float() for gradient in wanted_gradients))


def test_only_needed_gradients_are_computed(by_onednn, arrays):
    (inputs,) = arrays((6, 5))
    layer = make_layer(arrays)
    layer.weight.requires_grad_(False)
    layer(inputs).sum().backward()
    assert layer.weight.grad is None
    torch.testing.assert_close(inputs.grad, layer.weight.sum(0).expand(6, 5))
    torch.testing.assert_close(layer.bias.grad, torch.full((4,), 6.0))


def test_other_precisions_stay(by_onednn, arrays):
    for dtype in (torch.float64, torch.bfloat16):
        layer = make_layer(arrays).to(dtype)
        assert layer(torch.ones(6, 5, dtype=dtype)).dtype == dtype


def test_linear_layers_alone_are_swapped_and_restored():
    class Own(nn.Linear):
        pass

    module = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), Own(4, 3))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    swap_linears(module, onednn=True)
    assert [type(layer) for layer in module] == [FastLinear, nn.ReLU, Own]
    torch.testing.assert_close(dict(module.state_dict()), before)
    restore_linears(module)
    assert [type(layer) for layer in module] == [nn.Linear, nn.ReLU, Own]
    assert vars(module[0]).keys() == vars(nn.Linear(5, 4)).keys()


@pytest.mark.parametrize("make_copy", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_are_fast_and_hold_no_converted_weights(arrays, make_copy):
    layer = make_layer(arrays)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        layer(torch.ones(6, 5))
    same = make_copy(layer)
    assert type(same) is FastLinear
    assert (len(layer._weights), len(same._weights)) == (1, 0)
    torch.testing.assert_close(same(torch.ones(6, 5)), layer(torch.ones(6, 5)))


@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(5,), (7, 5), (2, 3, 5), (0, 5), (8, 5)])
def test_autocast_decides_before(monkeypatch, arrays, shape, dtype, onednn):
    """A fast layer computes the same under autocast, by products whose sizes are rounded up."""
    monkeypatch.setattr(linear_module, "ROUND_ROWS", 8)
    layer = make_layer(arrays, onednn=onednn)
    inputs, d_output = arrays(shape, (*shape[:-1], 4))
    inputs = inputs.to(dtype)
    needed = [inputs, layer.weight, layer.bias]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        wanted = F.linear(inputs, layer.weight, layer.bias)
        output = layer(inputs)
    assert output.dtype == torch.bfloat16 and output.shape == wanted.shape
    torch.testing.assert_close(output, wanted)
    torch.testing.assert_close(
        torch.autograd.grad(output, needed, d_output.bfloat16()),
        torch.autograd.grad(wanted, needed, d_output.bfloat16()),
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("onednn", [True, False])
def test_autocast_gets_few_sizes(dtype, onednn):
    layer = nn.Linear(102, 101, bias=False)
    swap_linears(layer, onednn=onednn)
    with Products() as products:
        for n_rows in range(1, 100):
            inputs = torch.ones(n_rows, 102, requires_grad=True)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                output = layer(inputs.to(dtype))
            output.float().sum().backward()
    # The product itself, and the products of the two gradients, for each number of rows.
    assert len(set(products.shapes)) == 3 * (-(-99 // ROUND_ROWS) if onednn else 99)


def predict_mixed(layer):
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        return layer(torch.ones(6, 5))


def test_weights_are_converted_once(arrays):
    layer = make_layer(arrays)
    with Products() as products:
        first, second = predict_mixed(layer), predict_mixed(layer)
    assert products.converted == 2  # weight and bias
    torch.testing.assert_close(first, second)


def test_weights_in_training_are_not_kept(arrays):
    layer = make_layer(arrays)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        layer(torch.ones(6, 5)).float().sum().backward()
    assert len(layer._weights) == 0
    assert layer.weight.grad is not None


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_changed_weights_are_converted_again(arrays, name):
    layer = make_layer(arrays)
    before = predict_mixed(layer)
    with torch.no_grad():
        getattr(layer, name).add_(1.0)
    after = predict_mixed(layer)
    assert not torch.allclose(before, after)
    torch.testing.assert_close(after, predict_mixed(copy.deepcopy(layer)))


@pytest.fixture(params=[True, False], ids=["columns", "rows"])
def prefers_columns(request, monkeypatch):
    monkeypatch.setattr(linear_module, "prefers_columns", lambda: request.param)
    return request.param


def test_few_rows_are_multiplied_by_columns(prefers_columns, arrays):
    layer = make_layer(arrays, onednn=False)
    many = torch.ones(linear_module.MAX_COLUMN_ROWS + 1, 5)
    with torch.no_grad():
        torch.testing.assert_close(layer(many), F.linear(many, layer.weight, layer.bias))
        assert len(layer._weights) == 0
        torch.testing.assert_close(layer(many[1:]), F.linear(many[1:], layer.weight, layer.bias))
    assert len(layer._weights) == prefers_columns


def test_changed_weights_are_stored_by_columns_again(prefers_columns, arrays):
    layer = make_layer(arrays, onednn=False)
    inputs = torch.ones(6, 5)
    with torch.no_grad():
        before = layer(inputs)
        layer.weight.add_(1.0)
        torch.testing.assert_close(layer(inputs), before + 5.0)


def test_trained_weights_are_not_stored_by_columns(prefers_columns, arrays):
    layer = make_layer(arrays, onednn=False)
    layer(torch.ones(6, 5)).sum().backward()
    assert len(layer._weights) == 0
