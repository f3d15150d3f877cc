"""The seam between torch modules and thinc's updates."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from thinc.api import PyTorchShim, torch2xp, xp2torch

from ..training.optimizer import AdamW


class TorchShim(PyTorchShim):
    """A thinc shim whose updates move no memory, and which takes averaged weights whether or not all are averaged.

    thinc's own keeps one array per gradient, which each step copies and fills with zeros, and refuses averages if one
    parameter of its module, such as those of BERT's pooler, is never updated.
    """

    def finish_update(self, optimizer: Callable[..., Any]) -> None:
        """Hand the gradients over to the optimizer.

        optimizer (Callable): A thinc optimizer, or `AdamW.for_head`.
        """
        if self._model is None:
            return
        options = {"give_gradient": True} if isinstance(getattr(optimizer, "__self__", optimizer), AdamW) else {}
        for name, parameter in self._model.named_parameters():
            if parameter.grad is not None:
                optimizer((self.id, name), torch2xp(parameter.data), torch2xp(parameter.grad), **options)
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
