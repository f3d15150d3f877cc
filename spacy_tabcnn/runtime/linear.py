"""Linear layers with converted weights in mixed precision, and by oneDNN where that is faster."""

import functools
from collections.abc import Iterable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..heads.weights import WeightCache
from .onednn import is_intel
from .onednn_operator import linear
from .products import suits_onednn

# In bfloat16, torch asks oneDNN, which takes several times as long to make a kernel for a new size
# as to run it. So the number of rows of a layer's input is rounded up. The rows cost less than a
# kernel does. In float32 they would cost more.
ROUND_ROWS = 64


# Maximum number of rows of a layer's input for which MKL is faster with weights stored by columns.
# An encoder reads a sentence 10 to 20 % faster with them, and a batch no faster.
MAX_COLUMN_ROWS = 128


class FastLinear(nn.Linear):
    """torch's linear layer, computed faster. It has the parameters and the state of `nn.Linear`.

    While no gradient is needed, it keeps weights as its products take them, until the weights
    change:

    - Under autocast, converted to the lower precision. torch converts them at every call. They take
      half the memory of the weights.
    - In float32 for few rows, stored by columns. They take as much memory as the weights.

    `swap_linears` makes such layers of the layers of a module, and `restore_linears` undoes it.
    """

    onednn: bool
    _weights: WeightCache

    def forward(self, inputs: Tensor) -> Tensor:
        """Compute the layer.

        inputs (Tensor): (..., n_in).
        RETURNS (Tensor): (..., n_out); under autocast in the lower precision.
        """
        device = inputs.device.type
        if torch.is_autocast_enabled(device):
            return self._forward_mixed(inputs)
        if device != "cpu":
            return F.linear(inputs, self.weight, self.bias)
        if self.onednn and suits_onednn(inputs):
            return linear(inputs, self.weight, self.bias)
        if self._suits_columns(inputs):
            columns = self._weights.get([self.weight], "columns", self._store_by_columns)
            return F.linear(inputs, columns, self.bias)
        return F.linear(inputs, self.weight, self.bias)

    def _suits_columns(self, inputs: Tensor) -> bool:
        return (
            inputs.dtype == torch.float32
            and inputs.numel() <= MAX_COLUMN_ROWS * self.in_features
            and not self._is_trained()
            and prefers_columns()
        )

    def _store_by_columns(self) -> Tensor:
        return self.weight.t().contiguous().t()

    def _is_trained(self) -> bool:
        return torch.is_grad_enabled() and self.weight.requires_grad

    def _forward_mixed(self, inputs: Tensor) -> Tensor:
        device = inputs.device.type
        if inputs.dim() == 1 or inputs.dtype == torch.float64:  # autocast leaves float64 alone
            return F.linear(inputs, self.weight, self.bias)
        precision = torch.get_autocast_dtype(device)
        weight, bias = self._weights_in(precision)
        if not (self.onednn and device == "cpu"):
            return F.linear(inputs, weight, bias)
        rows = inputs.flatten(0, -2).to(precision)
        n_rows = len(rows)
        if n_rows % ROUND_ROWS:
            rows = F.pad(rows, (0, 0, 0, -n_rows % ROUND_ROWS))
        return F.linear(rows, weight, bias)[:n_rows].unflatten(0, inputs.shape[:-1])

    def _weights_in(self, precision: torch.dtype) -> tuple[Tensor, Tensor | None]:
        if self._is_trained():
            return self.weight, self.bias
        parameters = [self.weight]
        if self.bias is not None:
            parameters.append(self.bias)
        return self._weights.get(parameters, precision, lambda: self._convert(precision))

    def _convert(self, precision: torch.dtype) -> tuple[Tensor, Tensor | None]:
        if self.bias is None:
            return self.weight.to(precision), None
        return self.weight.to(precision), self.bias.to(precision)


@functools.cache
def prefers_columns() -> bool:
    """Return whether products of few rows are faster with weights stored by columns.

    RETURNS (bool): Whether they are: on Intel's CPUs, where torch multiplies by MKL.
    """
    return torch.backends.mkl.is_available() and is_intel()


def swap_linears(module: nn.Module, *, onednn: bool) -> None:
    """Make fast layers of all linear layers of a module, in place. Its state and its results stay.

    module (Module): The module. Layers of subclasses of `nn.Linear` stay.
    onednn (bool): Whether the layers may use oneDNN.
    """
    for layer in module.modules():
        if type(layer) is nn.Linear:
            layer.__class__ = FastLinear
        if isinstance(layer, FastLinear):
            layer.onednn = onednn
            layer._weights = WeightCache()


def find_fast_layers(module: nn.Module) -> list[FastLinear]:
    """List the fast layers of a module.

    module (Module): The module.
    RETURNS (list[FastLinear]): The layers.
    """
    return [layer for layer in module.modules() if isinstance(layer, FastLinear)]


def forget_converted(layers: Iterable[FastLinear]) -> None:
    """Forget the converted weights of fast layers.

    layers (Iterable[FastLinear]): The layers.
    """
    for layer in layers:
        if len(layer._weights):
            layer._weights = WeightCache()


def restore_linears(module: nn.Module) -> None:
    """Undo `swap_linears`.

    module (Module): The module.
    """
    for layer in module.modules():
        if type(layer) is FastLinear:
            del layer.onednn, layer._weights
            cast(nn.Module, layer).__class__ = nn.Linear
