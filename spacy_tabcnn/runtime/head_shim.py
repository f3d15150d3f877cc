"""Heads: torch modules of a size that the labels decide, as thinc layers."""

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any, cast

import srsly
import torch
from thinc.api import Model, get_torch_default_device
from torch import nn

from .torch_shim import TorchShim


def wrap_module(
    name: str,
    forward: Callable,
    init: Callable,
    make_module: Callable[..., nn.Module],
    *,
    dims: Sequence[str],
    dropout: float | None,
    mixed_precision: bool,
) -> Model[Any, Any]:
    """Wrap a torch module as a head.

    name (str): Name of the layer.
    forward (Callable): The layer's forward function. In training it calls `pass_on_dropout` first.
    init (Callable): The layer's initialisation, which calls `build_module`.
    make_module (Callable): Called with `width` and `dims` by name, returns a module with an attribute `dropout`.
    dims (Sequence[str]): Names of the dimensions that the labels decide.
    dropout (float | None): Dropout in training; None follows spaCy's `set_dropout_rate`.
    mixed_precision (bool): Whether to run the module under `precision.autocast`.
    RETURNS (Model): The head. Its dimensions are nI, the embeddings' width, and `dims`.
    """
    return Model(
        name,
        forward,
        init=init,
        dims={"nI": None, **dict.fromkeys(dims)},
        attrs={"dropout_rate": 0.0} if dropout is None else {"dropout": dropout},
        shims=[HeadShim(make_module, use_bfloat16=mixed_precision)],
    )


def build_module(model: Model[Any, Any], sizes: dict[str, int]) -> None:
    """Build the module of a head anew, so that one that was initialised before may get other labels.

    model (Model): The head; it has its dimension nI.
    sizes (dict[str, int]): New values of the dimensions that the labels decide; the others stay.
    """
    for name, size in sizes.items():
        model.set_dim(name, size, force=True)
    dims = {"width" if name == "nI" else name: model.get_dim(name) for name in model.dim_names}
    cast(HeadShim, model.shims[0]).build(dims)


def pass_on_dropout(model: Model[Any, Any]) -> None:
    """Tell the module of a head its dropout: thinc's `set_dropout_rate` reaches the layer's attribute only.

    model (Model): The head.
    """
    cast(HeadShim, model.shims[0])._model.dropout = model.attrs.get(
        "dropout", model.attrs.get("dropout_rate")
    )


class HeadShim(TorchShim):
    """A torch module that is built when its dimensions are known: at initialisation or from a saved model.

    make_module (Callable): Builds the module from its dimensions; see `wrap_module`.
    use_bfloat16 (bool): Whether to compute matrix products in bfloat16.
    """

    def __init__(self, make_module: Callable[..., nn.Module], *, use_bfloat16: bool = False):
        super().__init__(None, deserialize_model=load_weights)
        self.make_module = make_module
        self.use_bfloat16 = use_bfloat16

    def build(self, dims: dict[str, int]) -> None:
        """Make the module.

        dims (dict[str, int]): The module's arguments. They are saved with the weights.
        """
        self.cfg = dims
        self._model = self.make_module(**dims).to(get_torch_default_device())

    def to_bytes(self) -> bytes:
        return (
            super().to_bytes() if self._model is not None else srsly.msgpack_dumps({"config": {}})
        )

    def from_bytes(self, bytes_data: bytes) -> "HeadShim":
        dims = srsly.msgpack_loads(bytes_data)["config"]
        if not dims:
            return self
        self.build(dims)
        return super().from_bytes(bytes_data)

    def to_device(self, device_type: str, device_id: int) -> None:
        if self._model is not None:
            super().to_device(device_type, device_id)


def load_weights(module: nn.Module, state: bytes, device: torch.device) -> nn.Module:
    """Load saved parameters; a model directory is not trusted with anything but tensors.

    module (nn.Module): The module that was saved.
    state (bytes): Its parameters, as `torch.save` wrote them.
    device (torch.device): Where to put them.
    RETURNS (nn.Module): The module.
    """
    module.load_state_dict(torch.load(BytesIO(state), map_location=device, weights_only=True))
    return module.to(device)
