"""The switch of oneDNN, a library of matrix products that torch ships.

torch uses oneDNN for convolutions and lower precisions only. In float32, torch uses MKL, which runs
the CPUs of other makers than Intel on AVX2 kernels; oneDNN uses their AVX-512.
"""

import functools
import os
import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from . import onednn_operator

# The environment variable that switches oneDNN off, for the whole process.
SWITCH = "SPACY_TABCNN_ONEDNN"
# torch and oneDNN keep a kernel for each combination of sizes, up to 2 MB each, in two caches of
# 1024 kernels. Sentences differ in length, so few kernels are ever used again. A cache of 48
# kernels holds the forward and backward products of a layer of BERT for a handful of sizes.
CACHES = ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY")
CACHE_CAPACITY = 48


@functools.cache
def uses_onednn() -> bool:
    """Return whether products may be computed by oneDNN in this process.

    The first call decides: it reads the environment variable `SPACY_TABCNN_ONEDNN`, looks at the
    CPU and at torch, bounds the caches of products, and tests the operator.

    RETURNS (bool): Whether oneDNN is on.
    """
    if os.environ.get(SWITCH) == "0" or not has_onednn():
        return False
    bound_product_caches()
    return passes_self_test()


@functools.cache
def prefers_onednn() -> bool:
    """Return whether oneDNN is on and its products in float32 are faster than MKL's.

    RETURNS (bool): Whether they are: on CPUs of other makers than Intel.
    """
    return uses_onednn() and not is_intel()


def is_intel() -> bool:
    """Return whether this CPU is one of Intel's, as far as torch knows.

    RETURNS (bool): Whether it is.
    """
    describe = getattr(torch.cpu, "get_capabilities", None)  # not in torch's older versions
    return describe is not None and "Intel" in describe()["cpu_name"]


def has_onednn() -> bool:
    """Return whether this CPU has AVX-512 and this torch has oneDNN's operator.

    RETURNS (bool): Whether they have.
    """
    return torch.backends.cpu.get_cpu_capability() == "AVX512" and onednn_operator.has_operator()


def bound_product_caches() -> None:
    """Bound the number of kernels that torch and oneDNN keep, unless the environment already does.

    Both read their bound from the environment at the first product that they compute by oneDNN. So
    this function sets environment variables: `LRU_CACHE_CAPACITY` and
    `ONEDNN_PRIMITIVE_CACHE_CAPACITY`.
    """
    for name in CACHES:
        os.environ.setdefault(name, str(CACHE_CAPACITY))


def passes_self_test() -> bool:
    """Test oneDNN's operator, and warn if it has a fault.

    RETURNS (bool): Whether the operator can be relied on.
    """
    fault = find_fault()
    if fault:
        warnings.warn(
            f"oneDNN is off in this process, since {fault}. torch computes all matrix products "
            f"instead; results do not change. To avoid this warning, set the environment variable "
            f"{SWITCH} to 0",
            stacklevel=2,
        )
    return not fault


def find_fault() -> str:
    """Compute a product by oneDNN, and its gradients, and compare them with torch's.

    RETURNS (str): A description of the first fault; empty if there is none.
    """
    try:
        found = compute_sample(functools.partial(onednn_operator.linear, min_size=0))
    except Exception as error:  # a private operator may fail in any way
        return f"its operator raised {type(error).__name__}: {error}"
    wanted = compute_sample(F.linear)
    for name in wanted:
        if not torch.allclose(found[name], wanted[name], rtol=1e-3, atol=1e-3):
            return f"its {name} differs from torch's"
    return ""


def compute_sample(linear: Callable[[Tensor, Tensor, Tensor], Tensor]) -> dict[str, Tensor]:
    """Compute a sample product and its gradients, without use of torch's random numbers.

    linear (Callable): A function with the arguments of `torch.nn.functional.linear`.
    RETURNS (dict[str, Tensor]): The product and its gradients by name.
    """
    with torch.inference_mode(False), torch.enable_grad():
        numbers = torch.arange(37 * 48 + 32, dtype=torch.float32).sin()
        inputs, weight, bias = numbers.split([5 * 48, 32 * 48, 32])
        inputs = inputs.view(5, 48).requires_grad_()
        weight = weight.view(32, 48).requires_grad_()
        bias.requires_grad_()
        product = linear(inputs, weight, bias)
        gradients = torch.autograd.grad(product, (inputs, weight, bias), product.detach().cos())
    return {
        "product": product.detach(),
        "gradient of inputs": gradients[0],
        "gradient of weights": gradients[1],
        "gradient of the bias": gradients[2],
    }
