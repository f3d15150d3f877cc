"""Heads: torch modules of a size that the labels decide, as thinc layers."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import srsly
import torch
from thinc.api import Model, Shim, get_torch_default_device
from torch import nn

from ..heads.growth import GrowingHead
from ..heads.products import HasProducts
from ..heads.tensors import check_fit, dump_tensors, load_tensors, parse_tensors
from .onednn import prefers_onednn
from .plain_data import check_mapping, describe, is_size, read_msgpack
from .products import OneDNNProducts
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
    onednn: bool = True,
) -> Model[Any, Any]:
    """Wrap a torch module as a head.

    name (str): Name of the layer.
    forward (Callable): The layer's forward function. In training it calls `pass_on_dropout` first.
    init (Callable): The layer's initialisation, which calls `build_module`.
    make_module (Callable): Called with `width` and `dims` by name, returns a module with an
        attribute `dropout`. If the module has an attribute `products` (`heads.products.Products`),
        oneDNN's products are assigned to it.
    dims (Sequence[str]): Names of the dimensions that the labels decide.
    dropout (float | None): Dropout in training; None follows spaCy's `set_dropout_rate`.
    mixed_precision (bool): Whether to run the module under `precision.autocast`.
    onednn (bool): Whether oneDNN may compute matrix products.
    RETURNS (Model): The head. Its dimensions are nI, the embeddings' width, and `dims`.
    """
    attrs = {"dropout": dropout}
    if dropout is None:
        attrs = {"dropout_rate": 0.0}
    return Model(
        name,
        forward,
        init=init,
        dims={"nI": None, **dict.fromkeys(dims)},
        attrs=attrs,
        shims=[HeadShim(make_module, use_bfloat16=mixed_precision, onednn=onednn)],
    )


def build_module(model: Model, sizes: dict[str, int]) -> None:
    """Build the module of a head, also of a head that was initialised before with other labels.

    model (Model): The head; it has its dimension nI.
    sizes (dict[str, int]): New values of the dimensions that the labels decide; the others stay.
    """
    for name, size in sizes.items():
        model.set_dim(name, size, force=True)
    dims = dict(zip(model.dim_names, map(model.get_dim, model.dim_names), strict=True))
    dims["width"] = dims.pop("nI")
    cast(HeadShim, model.shims[0]).build(dims)


def grow_module(model: Model, sizes: dict[str, int]) -> None:
    """Enlarge the module of a head for more labels. Its weights for the labels that it has stay.

    model (Model): The head; it has all its dimensions.
    sizes (dict[str, int]): New values of the dimensions that the labels decide. A head that has
        none of them stays as it is.
    RAISES (ValueError): If a head of this kind cannot grow.
    """
    if not set(sizes) & set(model.dim_names):
        return
    dims = dict(zip(model.dim_names, map(model.get_dim, model.dim_names), strict=True))
    dims |= sizes
    dims["width"] = dims.pop("nI")
    cast(HeadShim, model.shims[0]).grow(dims, model.name)
    for name, size in sizes.items():
        model.set_dim(name, size, force=True)


def pass_on_dropout(model: Model) -> None:
    """Set the dropout of a head's module to the dropout of its layer.

    thinc's `set_dropout_rate` reaches the layer's attribute only.

    model (Model): The head.
    """
    cast(HeadShim, model.shims[0])._model.dropout = model.attrs.get(
        "dropout", model.attrs.get("dropout_rate")
    )


class HeadShim(TorchShim):
    """A torch module that is built when its dimensions are known.

    They are known at initialisation or from a saved model.

    make_module (Callable): Builds the module from its dimensions; see `wrap_module`.
    use_bfloat16 (bool): Whether to compute matrix products in bfloat16.
    onednn (bool): Whether oneDNN may compute matrix products.
    """

    def __init__(
        self,
        make_module: Callable[..., nn.Module],
        *,
        use_bfloat16: bool = False,
        onednn: bool = True,
    ):
        super().__init__(None, use_bfloat16=use_bfloat16, onednn=onednn)
        self.make_module = make_module

    def build(self, dims: dict[str, int]) -> None:
        """Make the module.

        dims (dict[str, int]): The module's arguments. They are saved with the weights.
        """
        self.cfg = dims
        self.set_module(self.make_module(**dims).to(get_torch_default_device()))

    def grow(self, dims: dict[str, int], name: str) -> None:
        """Make a module with more labels, with the weights of the one that is replaced.

        The shim gets a new id, since optimisers keep moments and averages of weights by this id.
        Those of the weights before have other shapes.

        dims (dict[str, int]): The module's arguments. They are saved with the weights.
        name (str): Name of the head, for a message.
        RAISES (ValueError): If a head of this kind cannot grow.
        """
        old = self._model
        module = self.make_module(**dims).to(self.device)
        if not isinstance(module, GrowingHead):
            raise ValueError(
                f"the head {name!r} cannot take more labels, since its module has no method "
                "take_over (spacy_tabcnn.heads.growth). Add labels before nlp.initialize()"
            )
        module.take_over(old)
        self.cfg = dims
        self.set_module(module)
        with Shim.global_id_lock:
            Shim.global_id += 1
            self.id = Shim.global_id

    def set_module(self, module: nn.Module) -> None:
        """Set the module, and let its products be computed faster.

        module (Module): The module.
        """
        super().set_module(module)
        if self.onednn and prefers_onednn() and isinstance(module, HasProducts):
            module.products = OneDNNProducts()

    def to_bytes(self) -> bytes:
        """Save the dimensions and the weights.

        RETURNS (bytes): The saved shim: plain data and numbers.
        """
        message: dict[str, object] = {"config": {}}
        if self._model is not None:
            message = {"config": self.cfg, "state": dump_tensors(self._model)}
        data: bytes = srsly.msgpack_dumps(message)
        return data

    def from_bytes(self, bytes_data: bytes) -> "HeadShim":
        """Build the module from saved dimensions, and load its weights.

        bytes_data (bytes): The saved shim, which is not trusted.
        RETURNS (HeadShim): The shim.
        RAISES (ValueError): If the data is damaged, or the weights do not fit the module.
        """
        message = check_mapping(read_msgpack(bytes_data), "the head's data")
        dims = _check_dims(message.get("config"))
        if not dims:
            return self
        tensors = parse_tensors(message.get("state"))
        self._check_sizes(dims, tensors)
        self.build(dims)
        load_tensors(self._model, tensors)
        self.weights_changed()
        return self

    def _check_sizes(self, dims: dict[str, int], tensors: dict[str, torch.Tensor]) -> None:
        """Check that weights fit the dimensions, before memory is taken for them."""
        try:
            with torch.device("meta"):
                module = self.make_module(**dims)
        except (TypeError, RuntimeError) as err:
            raise ValueError(f"no head can be made of the sizes {dims} ({describe(err)})") from err
        check_fit(module, tensors)

    def to_device(self, device_type: str, device_id: int) -> None:
        """Move the module, if there is one; see `TorchShim.to_device`."""
        if self._model is not None:
            super().to_device(device_type, device_id)


def check_dims(model: Model) -> None:
    """Check that the dimensions of a head are the dimensions of its module.

    model (Model): The head.
    RAISES (ValueError): If they differ.
    """
    shim = cast(HeadShim, model.shims[0])
    dims = {}
    for name in model.dim_names:
        if model.has_dim(name):
            dims[name] = model.get_dim(name)
    found = {}
    if shim._model is not None:
        found = dict(shim.cfg)
        found["nI"] = found.pop("width", None)
    if dims != found:
        raise ValueError(f"the head's weights are of the sizes {found}, but its layer has {dims}")


def _check_dims(value: object) -> dict[str, int]:
    dims: dict[str, int] = {}
    for name, size in check_mapping(value, "the head's 'config'").items():
        if not is_size(size):
            raise ValueError(f"the head's size {name!r} is {size!r:.100}; expected a whole number")
        dims[name] = size
    return dims
