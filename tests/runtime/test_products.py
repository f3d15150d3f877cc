import os

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.common import in_fresh_process, resident_memory, to_mebibytes
from spacy_tabcnn.runtime import products
from spacy_tabcnn.runtime.products import faster_linear, multiply, multiply_into

CPU = torch.device("cpu")


@pytest.fixture(params=[True, False], ids=["onednn", "torch"])
def onednn(request, monkeypatch):
    monkeypatch.setattr(products, "MIN_SIZE", 1)
    monkeypatch.setattr(products, "has_onednn", lambda: request.param)
    monkeypatch.setattr(products, "prefers_onednn", lambda: request.param)
    return request.param


def arrays(*shapes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, requires_grad=True) for shape in shapes]


@pytest.mark.parametrize("shape", [(5,), (7, 5), (2, 3, 5), (0, 5), (1, 5)])
@pytest.mark.parametrize("has_bias", [True, False])
def test_a_linear_layer_is_torchs(onednn, shape, has_bias):
    inputs, weight, bias, d_output = arrays(shape, (4, 5), (4,), (*shape[:-1], 4))
    bias = bias if has_bias else None
    wanted = F.linear(inputs.double(), weight.double(), None if bias is None else bias.double())
    needed = [array for array in (inputs, weight, bias) if array is not None]
    wanted_gradients = torch.autograd.grad(wanted, needed, d_output.double())

    with faster_linear(CPU):
        output = F.linear(inputs, weight, bias)
    gradients = torch.autograd.grad(output, needed, d_output)

    torch.testing.assert_close(output, wanted.float())
    torch.testing.assert_close(gradients, tuple(gradient.float() for gradient in wanted_gradients))


def test_only_needed_gradients_are_computed(onednn):
    inputs, weight, bias = arrays((6, 5), (4, 5), (4,))
    weight.requires_grad_(False)
    with faster_linear(CPU):
        F.linear(inputs, weight, bias).sum().backward()
    assert weight.grad is None
    torch.testing.assert_close(inputs.grad, weight.sum(0).expand(6, 5))
    torch.testing.assert_close(bias.grad, torch.full((4,), 6.0))


@pytest.mark.parametrize("transposed", [(False, False), (True, False), (False, True), (True, True)])
def test_products_of_transposed_matrices(onednn, transposed):
    shapes = [(6, 5), (5, 4)]
    left, right = (
        array.detach().t() if is_transposed else array.detach()
        for is_transposed, array in zip(
            transposed,
            arrays(
                *(
                    shape[::-1] if flip else shape
                    for shape, flip in zip(shapes, transposed, strict=True)
                )
            ),
            strict=True,
        )
    )
    torch.testing.assert_close(multiply(left, right), (left.double() @ right.double()).float())
    torch.testing.assert_close(
        multiply(left[::2], right[:, 1:]), (left.double()[::2] @ right.double()[:, 1:]).float()
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("add", [False, True])
def test_products_are_written_into_parts_of_a_matrix(onednn, dtype, add):
    # Whole numbers, so that only the result is rounded.
    left, right = torch.arange(12.0).view(3, 4), torch.arange(20.0).view(4, 5)
    out = torch.full((3, 6), float("nan"))
    out[:, :5] = 1.0 if add else float("nan")
    multiply_into(out[:, :5], left, right, dtype, add=add)
    wanted = (left.double() @ right.double()).to(dtype).float() + add
    torch.testing.assert_close(out[:, :5], wanted, rtol=0, atol=0)
    assert out[:, 5].isnan().all()


def test_other_precisions_stay(onednn):
    for dtype in (torch.float64, torch.bfloat16):
        left, right = (array.detach().to(dtype) for array in arrays((6, 5), (5, 4)))
        assert multiply(left, right).dtype == dtype
        with faster_linear(CPU):
            assert F.linear(left, right.t()).dtype == dtype


def test_modules_are_reached_within_the_context_only(onednn, monkeypatch):
    module = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
    inputs = arrays((6, 5))[0]
    calls = []
    monkeypatch.setattr(products, "_linear", lambda *args: calls.append(args) or F.linear(*args))
    module(inputs)
    assert not calls
    with faster_linear(CPU):
        module(inputs)
    assert len(calls) == (2 if onednn else 0)


@pytest.mark.parametrize(
    "name, expected", [("Intel Xeon", False), ("AMD EPYC", True), (None, True)]
)
def test_intels_cpus_have_a_fast_library_of_their_own(monkeypatch, name, expected):
    monkeypatch.setattr(products, "has_onednn", lambda: True)
    if name is None:  # an older torch
        monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    else:
        monkeypatch.setattr(
            torch.cpu, "get_capabilities", lambda: {"cpu_name": name}, raising=False
        )
    assert products.prefers_onednn.__wrapped__() == expected


def test_small_products_are_left_to_torch(monkeypatch):
    monkeypatch.setattr(products, "prefers_onednn", lambda: True)
    monkeypatch.setattr(products, "MIN_SIZE", 6 * 5 * 4)
    monkeypatch.setattr(F, "linear", lambda *args: "torch's")
    left, right = (array.detach() for array in arrays((6, 5), (5, 4)))
    assert isinstance(multiply(left, right), torch.Tensor)
    assert multiply(left[1:], right) == "torch's"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(5,), (7, 5), (2, 3, 5), (0, 5), (8, 5)])
def test_autocast_decides_before(onednn, monkeypatch, shape, dtype):
    """It gives what it gives without the context, of products whose sizes are rounded up."""
    monkeypatch.setattr(products, "ROUND_ROWS", 8)
    inputs, weight, bias, d_output = arrays(shape, (4, 5), (4,), (*shape[:-1], 4))
    inputs = inputs.to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        wanted = F.linear(inputs, weight, bias)
    wanted_gradients = torch.autograd.grad(wanted, [inputs, weight, bias], d_output.bfloat16())

    with torch.autocast("cpu", dtype=torch.bfloat16), faster_linear(CPU):
        output = F.linear(inputs, weight, bias)
    gradients = torch.autograd.grad(output, [inputs, weight, bias], d_output.bfloat16())

    assert output.dtype == torch.bfloat16 and output.shape == wanted.shape
    torch.testing.assert_close(output, wanted)
    torch.testing.assert_close(gradients, wanted_gradients)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_gets_few_sizes(onednn, dtype):
    (weight,) = arrays((101, 102))
    sizes = set()

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if func is torch.ops.aten.mm.default:
                sizes.add((args[0].shape, args[1].shape))
            return func(*args, **(kwargs or {}))

    with Watch():
        for n_rows in range(1, 100):
            (inputs,) = arrays((n_rows, 102))
            with torch.autocast("cpu", dtype=torch.bfloat16), faster_linear(CPU):
                output = F.linear(inputs.to(dtype), weight)
            output.float().sum().backward()
    # The product itself, and those of the two gradients, for each number of rows that it sees.
    assert len(sizes) == 3 * (-(-99 // products.ROUND_ROWS) if onednn else 99)


def test_a_gpu_is_left_alone(onednn):
    with faster_linear(torch.device("cuda")) as mode:
        assert mode is None


def grow(n_sizes):
    """RETURNS (float): MiB by which a process grows that multiplies matrices of so many sizes."""
    products.has_onednn()
    products.prefers_onednn = lambda: True
    sizes = range(1000, 1000 + 4 * n_sizes, 4)
    left, right = torch.ones(384, sizes[-1]), torch.ones(sizes[-1], 384)
    before = resident_memory()
    for n in sizes:
        multiply(left[:, :n], right[:n])
    return to_mebibytes(resident_memory() - before)


@pytest.mark.skipif(resident_memory() is None, reason="memory is read from Linux's /proc")
def test_kernels_of_few_sizes_are_kept(monkeypatch):
    """A process that multiplies matrices of ever new sizes does not grow."""
    for name in products.CACHES:
        monkeypatch.delenv(name, raising=False)
    assert in_fresh_process(grow, 300) < 100


def test_the_environment_decides_before(monkeypatch):
    monkeypatch.setenv(products.CACHES[0], "7")
    monkeypatch.delenv(products.CACHES[1], raising=False)
    products.has_onednn.__wrapped__()
    assert [os.environ[name] for name in products.CACHES] == ["7", str(products.CACHE_CAPACITY)]
