"""The parameters of a pipeline under names that are the same in every process."""

from collections.abc import Iterator
from typing import NamedTuple, cast

import torch
from spacy.language import Language
from thinc.api import Model, PyTorchShim, xp2torch
from thinc.optimizers import KeyT
from thinc.shims.shim import Shim
from torch import Tensor

# The attribute of a layer that thinc's `set_dropout_rate` sets.
DROPOUT = "dropout_rate"


class CannotResumeError(ValueError):
    """A part of a training whose state cannot be saved, or not be set."""


class LayerParameter(NamedTuple):
    """A parameter of a thinc layer.

    layer (Model): The layer.
    name (str): The name of the parameter in it.
    """

    layer: Model
    name: str

    @property
    def key(self) -> KeyT:
        """The key by which optimisers know it."""
        return self.layer.id, self.name

    @property
    def has_gradient(self) -> bool:
        """Whether it has a gradient, even one of zeros, which optimisers take, too."""
        return bool(self.layer.has_grad(self.name))

    def read(self) -> Tensor:
        """Return its values. They may share its memory."""
        return xp2torch(self.layer.get_param(self.name))

    def write(self, values: Tensor) -> None:
        """Set its values in place."""
        array = self.layer.get_param(self.name)
        xp2torch(array).copy_(values)
        self.layer.set_param(self.name, array)

    def clear_gradient(self) -> None:
        """Give it a gradient of zeros."""
        array = self.layer.get_param(self.name)
        self.layer.set_grad(self.name, self.layer.ops.xp.zeros_like(array))


class TorchParameter(NamedTuple):
    """A parameter or a buffer of a torch module.

    shim (PyTorchShim): The shim of the module.
    name (str): The name of the parameter in the module.
    values (Tensor): The parameter.
    """

    shim: PyTorchShim
    name: str
    values: Tensor

    @property
    def key(self) -> KeyT:
        """The key by which optimisers know it."""
        return self.shim.id, self.name

    @property
    def has_gradient(self) -> bool:
        """Whether it has a gradient, even one of zeros, which optimisers take, too."""
        return self.values.grad is not None

    def read(self) -> Tensor:
        """Return its values. They share its memory."""
        return self.values.detach()

    def write(self, values: Tensor) -> None:
        """Set its values in place."""
        with torch.no_grad():
            self.values.copy_(values)

    def clear_gradient(self) -> None:
        """Give it a gradient of zeros."""
        self.values.grad = torch.zeros_like(self.values)


Parameter = LayerParameter | TorchParameter


def find_parameters(nlp: Language) -> dict[str, Parameter]:
    """Find all parameters of the components of a pipeline.

    nlp (Language): The pipeline, initialised. Disabled components count.
    RETURNS (dict[str, Parameter]): The parameters by name: the name of the component, the number of
        the layer in its model, and the name of the parameter there.
    RAISES (CannotResumeError): If a model is neither of thinc nor of torch.
    """
    found: dict[str, Parameter] = {}
    seen: set[int] = set()
    for component, layer, place in _find_layers(nlp):
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        for name in layer.param_names:
            if layer.has_param(name):
                found[f"{place}/{name}"] = LayerParameter(layer, name)
        for number, shim in enumerate(layer.shims):
            for parameter in _find_in_shim(shim, component):
                found[f"{place}/torch{number}/{parameter.name}"] = parameter
    return found


def find_dropout_layers(nlp: Language) -> dict[str, Model]:
    """Find the layers with a rate of dropout, which each update sets and which is saved with them.

    nlp (Language): The pipeline.
    RETURNS (dict[str, Model]): The layers by the name of the component and their number.
    """
    layers: dict[str, Model] = {}
    for _, layer, place in _find_layers(nlp):
        if DROPOUT in layer.attrs:
            layers[place] = layer
    return layers


def find_shims(nlp: Language) -> dict[str, Shim]:
    """Find the shims of a pipeline.

    nlp (Language): The pipeline.
    RETURNS (dict[str, Shim]): The shims by the name of the component, the number of the layer and
        the number of the shim.
    """
    shims: dict[str, Shim] = {}
    for _, layer, place in _find_layers(nlp):
        for number, shim in enumerate(layer.shims):
            shims[f"{place}/torch{number}"] = shim
    return shims


def _find_layers(nlp: Language) -> Iterator[tuple[str, Model, str]]:
    for component, pipe in nlp.components:
        model = getattr(pipe, "model", None)
        if isinstance(model, Model):
            for number, layer in enumerate(model.walk()):
                yield component, layer, f"{component}/{number}"
        elif callable(getattr(pipe, "update", None)) and getattr(pipe, "is_trainable", True):
            raise CannotResumeError(
                f"the component '{component}' ({type(pipe).__name__}) learns without a model of "
                "thinc, so its state cannot be saved"
            )


def _find_in_shim(shim: Shim, component: str) -> list[TorchParameter]:
    module = cast(torch.nn.Module | None, shim._model)
    if module is None:
        return []
    if not isinstance(shim, PyTorchShim):
        raise CannotResumeError(
            f"the component '{component}' has a model of {type(shim).__name__}, whose state cannot "
            "be saved; models of thinc and of torch can"
        )
    found = []
    for name, values in (*module.named_parameters(), *module.named_buffers()):
        found.append(TorchParameter(shim, name, values))
    return found
