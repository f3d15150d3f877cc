"""The seam between torch modules and thinc's updates."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from thinc.api import ArgsKwargs, PyTorchShim, torch2xp, xp2torch

from ..training.optimizer import AdamW
from .precision import autocast
from .products import faster_linear


class TorchShim(PyTorchShim):
    """A thinc shim with mixed precision on any device and faster products on CPUs, whose updates move no memory, and
    which takes averaged weights whether or not all are averaged.

    thinc's own has mixed precision on CUDA only, keeps one array per gradient, which each step copies and fills with
    zeros, and refuses averages if one parameter of its module, such as those of BERT's pooler, is never updated.
    """

    use_bfloat16 = False  # for matrix products

    def predict(self, inputs: ArgsKwargs) -> Any:
        """Run the module in evaluation mode.

        inputs (ArgsKwargs): Its arguments.
        RETURNS (Any): Its outputs.
        """
        self._model.eval()
        try:
            with (
                torch.no_grad(),
                autocast(self.device, enabled=self.use_bfloat16),
                faster_linear(self.device),
            ):
                return self.run(inputs, is_train=False)
        finally:
            self._model.train()

    def begin_update(self, inputs: ArgsKwargs) -> tuple[Any, Callable[[ArgsKwargs], ArgsKwargs]]:
        """Run the module in training mode.

        inputs (ArgsKwargs): Its arguments.
        RETURNS (tuple[Any, Callable]): Its outputs, and a callback that takes the arguments of
            `torch.autograd.backward` and returns the inputs, with their gradients.
        """
        self._model.train()
        with autocast(self.device, enabled=self.use_bfloat16), faster_linear(self.device):
            outputs = self.run(inputs, is_train=True)

        def backprop(gradients: ArgsKwargs) -> ArgsKwargs:
            torch.autograd.backward(*gradients.args, **gradients.kwargs)
            return inputs

        return outputs, backprop

    def run(self, inputs: ArgsKwargs, *, is_train: bool) -> Any:
        """Call the module; see `predict` and `begin_update`."""
        return self._model(*inputs.args, **inputs.kwargs)

    def finish_update(self, optimizer: Callable[..., Any]) -> None:
        """Hand the gradients over to the optimizer.

        optimizer (Callable): A thinc optimizer, or `AdamW.for_head`.
        """
        if self._model is None:
            return
        options = (
            {"give_gradient": True}
            if isinstance(getattr(optimizer, "__self__", optimizer), AdamW)
            else {}
        )
        for name, parameter in self._model.named_parameters():
            if parameter.grad is not None:
                optimizer(
                    (self.id, name), torch2xp(parameter.data), torch2xp(parameter.grad), **options
                )
                parameter.grad = None

    @contextmanager
    def use_params(self, params: dict[Any, Any]) -> Iterator[None]:
        """Put other weights into the module for the time of a context.

        params (dict): Arrays by (id of the shim, name of the parameter), such as `AdamW.averages`.
        """
        named = [] if self._model is None else list(self._model.named_parameters())
        swapped = [(parameter, parameter.data, (self.id, name)) for name, parameter in named]
        swapped = [swap for swap in swapped if swap[2] in params]
        for parameter, _, key in swapped:
            parameter.data = xp2torch(params[key], device=parameter.device)
        try:
            yield
        finally:
            for parameter, weights, _ in swapped:
                parameter.data = weights
