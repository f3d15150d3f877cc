"""torch modules in thinc: their modes, their precision, their updates."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch
from thinc.api import ArgsKwargs, Optimizer, PyTorchShim, torch2xp, xp2torch
from thinc.optimizers import KeyT
from thinc.types import FloatsXd
from torch import nn
from torch.autograd.graph import increment_version

from .linear import swap_linears
from .onednn import uses_onednn
from .optimizer import TensorOptimizer
from .precision import autocast


class TorchShim(PyTorchShim):
    """A torch module in thinc, with mixed precision, faster products, and updates without copies.


    thinc's own shim has mixed precision on CUDA only. It keeps one array per gradient, which each
    step copies and fills with zeros. It refuses averaged weights if one parameter of its module,
    such as those of BERT's pooler, is never updated.

    module (Module | None): The module, if it is already known.
    use_bfloat16 (bool): Whether to compute matrix products in bfloat16.
    onednn (bool): Whether oneDNN may compute matrix products.
    options (Any): Further arguments of thinc's shim.
    """

    def __init__(
        self,
        module: nn.Module | None = None,
        *,
        use_bfloat16: bool = False,
        onednn: bool = True,
        **options: Any,
    ):
        super().__init__(module, **options)
        self.use_bfloat16 = use_bfloat16
        self.onednn = onednn
        self._named: tuple[nn.Module, list[tuple[str, nn.Parameter]]] | None = None
        if module is not None:
            self.set_module(module)

    def set_module(self, module: nn.Module) -> None:
        """Set the module, and let its linear layers compute faster.

        module (Module): The module.
        """
        self._model = module
        swap_linears(module, onednn=self.onednn and uses_onednn())

    def predict(self, inputs: ArgsKwargs) -> Any:
        """Run the module in evaluation mode, and leave it in this mode.

        inputs (ArgsKwargs): Its arguments.
        RETURNS (Any): Its outputs.
        """
        self._set_mode(training=False)
        with torch.no_grad(), autocast(self.device, enabled=self.use_bfloat16):
            return self.run(inputs, is_train=False)

    def begin_update(self, inputs: ArgsKwargs) -> tuple[Any, Callable[[ArgsKwargs], ArgsKwargs]]:
        """Run the module in training mode.

        inputs (ArgsKwargs): Its arguments.
        RETURNS (tuple[Any, Callable]): Its outputs, and a callback that takes the arguments of
            `torch.autograd.backward` and returns the inputs, with their gradients.
        """
        self._set_mode(training=True)
        with autocast(self.device, enabled=self.use_bfloat16):
            outputs = self.run(inputs, is_train=True)

        def backprop(gradients: ArgsKwargs) -> ArgsKwargs:
            torch.autograd.backward(*gradients.args, **gradients.kwargs)
            return inputs

        return outputs, backprop

    def run(self, inputs: ArgsKwargs, *, is_train: bool) -> Any:
        """Call the module; see `predict` and `begin_update`."""
        return self._model(*inputs.args, **inputs.kwargs)

    def finish_update(self, optimizer: Optimizer) -> None:
        """Hand the gradients over to the optimiser.

        optimizer (Optimizer): A thinc optimiser. One that is a `TensorOptimizer`, too, gets
            tensors.
        """
        if self._model is None:
            return
        # Asked once: Python compares all methods for the answer.
        taker: TensorOptimizer | None = None
        if isinstance(optimizer, TensorOptimizer):
            taker = optimizer
        for name, parameter in self._named_parameters():
            if parameter.grad is None:
                continue
            key = (self.id, name)
            if taker is not None:
                taker.collect(key, parameter, parameter.grad, self.weights_changed)
            else:
                weights, d_weights = torch2xp(parameter.data), torch2xp(parameter.grad)
                optimizer(key, cast(FloatsXd, weights), cast(FloatsXd, d_weights))
            parameter.grad = None
        self.weights_changed()

    def weights_changed(self) -> None:
        """Have everything forgotten that was computed from the weights.

        Optimisers write to the memory of parameters, which torch does not notice. Whatever is
        computed from weights is kept for one version of them (`heads.weights.WeightCache`), so this
        raises the version.
        """
        if self._model is not None:
            increment_version(list(self._model.parameters()))

    @contextmanager
    def use_params(self, params: Mapping[KeyT, FloatsXd]) -> Iterator[None]:
        """Put other weights into the module within a block.

        params (Mapping): Arrays by (id of the shim, name of the parameter), such as
            `AdamW.averages`.
        """
        own = self._parameters_among(params)
        if not own:
            yield
            return
        before = [parameter.data for parameter, _ in own]
        for parameter, array in own:
            parameter.data = xp2torch(array, device=parameter.device)
        self.weights_changed()
        try:
            yield
        finally:
            for (parameter, _), weights in zip(own, before, strict=True):
                parameter.data = weights
            self.weights_changed()

    def to_device(self, device_type: str, device_id: int) -> None:
        """Move the module.

        device_type (str): "cpu" or "gpu".
        device_id (int): Number of the GPU.
        """
        super().to_device(device_type, device_id)
        self.weights_changed()

    def _named_parameters(self) -> list[tuple[str, nn.Parameter]]:
        # torch walks over all submodules for them, at each call.
        if self._named is None or self._named[0] is not self._model:
            self._named = self._model, [*self._model.named_parameters()]
        return self._named[1]

    def _set_mode(self, *, training: bool) -> None:
        # The switch walks over all submodules.
        if self._model.training != training:
            self._model.train(training)

    def _parameters_among(
        self, params: Mapping[KeyT, FloatsXd]
    ) -> list[tuple[nn.Parameter, FloatsXd]]:
        found: list[tuple[nn.Parameter, FloatsXd]] = []
        if self._model is None:
            return found
        for name, parameter in self._model.named_parameters():
            array = params.get((self.id, name))
            if array is not None:
                found.append((parameter, array))
        return found
