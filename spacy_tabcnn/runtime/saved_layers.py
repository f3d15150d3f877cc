"""The layers of a thinc model from bytes that are not trusted."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np
from thinc.api import Model

from .plain_data import check_mapping, is_size, read_msgpack, take

# Types of the settings of layers that are saved.
_PLAIN = (bool, int, float, str, list, type(None))
_NUMERIC = (bool, int, float)
# Settings of heads that no weight depends on. The config sets them, and what is saved is not read.
_OF_CONFIG = ("dropout", "max_words")
_DENSE = {"W": ("nO", "nI"), "b": ("nO",)}
# The axes of the weights of thinc's and spaCy's layers.
_AXES: dict[str, dict[str, tuple[str, ...]]] = {
    "hashembed": {"E": ("nV", "nO")},
    "embed": {"E": ("nV", "nO")},
    "layernorm": {"G": ("nI",), "b": ("nI",)},
    "maxout": {"W": ("nO", "nP", "nI"), "b": ("nO", "nP")},
    "static_vectors": {"W": ("nO", "nM")},
    **dict.fromkeys(("linear", "softmax", "mish", "relu", "gelu", "swish", "dish"), _DENSE),
}


class SavedLayers(TypedDict):
    """The layers of a model in thinc's form, one item a layer.

    nodes (list): The name, the dimensions and the references of each layer.
    attrs (list): Its settings, as bytes by name.
    params (list): Its weights by name.
    shims (list): Its modules, as bytes.
    """

    nodes: list[dict[str, object]]
    attrs: list[dict[str, bytes]]
    params: list[dict[str, np.ndarray | None]]
    shims: list[list[bytes]]


def load_layers(model: Model, data: bytes) -> None:
    """Load the weights of a model, after a check. The settings `_OF_CONFIG` stay as they are.

    model (Model): The model, as the pipeline's config builds it.
    data (bytes): The output of `Model.to_bytes`, which is not trusted.
    RAISES (ValueError): If the data is damaged, does not fit the model, or holds numbers that are
        not finite.
    """
    layers = parse_layers(data)
    for attrs in layers["attrs"]:
        for name in _OF_CONFIG:
            attrs.pop(name, None)
    check_layers(model, layers)
    try:
        model.from_dict(dict(layers))
    except (AttributeError, IndexError, KeyError, TypeError, RuntimeError) as err:
        raise ValueError(f"its layers do not fit the pipeline's config ({err})") from err
    check_shapes(model)


def parse_layers(data: bytes) -> SavedLayers:
    """Read the layers of a model.

    data (bytes): The output of `Model.to_bytes`, which is not trusted.
    RETURNS (SavedLayers): The layers.
    RAISES (ValueError): If the data is damaged, or a weight is no array of finite numbers.
    """
    message = check_mapping(read_msgpack(data), "its data")
    layers: SavedLayers = {"nodes": [], "attrs": [], "params": [], "shims": []}
    for node in take(message, "nodes", list, "its data"):
        layers["nodes"].append(check_mapping(node, "a layer"))
    for attrs in take(message, "attrs", list, "its data"):
        layers["attrs"].append(_parse_attrs(check_mapping(attrs, "the settings of a layer")))
    for params in take(message, "params", list, "its data"):
        layers["params"].append(_parse_params(check_mapping(params, "the weights of a layer")))
    for shims in take(message, "shims", list, "its data"):
        if not isinstance(shims, list) or not all(map(_is_bytes, shims)):
            raise ValueError("the modules of a layer are not a list of bytes")
        layers["shims"].append(shims)
    n_layers = len(layers["nodes"])
    if not n_layers == len(layers["attrs"]) == len(layers["params"]) == len(layers["shims"]):
        raise ValueError("its lists of layers differ in length")
    return layers


def check_layers(model: Model, layers: SavedLayers) -> None:
    """Check that saved layers are the layers of a model: their names, settings and weights.

    model (Model): The model, as the pipeline's config builds it.
    layers (SavedLayers): The saved layers.
    RAISES (ValueError): If they are not.
    """
    nodes = list(model.walk())
    if len(nodes) != len(layers["nodes"]):
        raise ValueError(
            f"it holds {len(layers['nodes'])} layers, but config.cfg builds {len(nodes)}"
        )
    for index, node in enumerate(nodes):
        info = layers["nodes"][index]
        _check_info(node, info, len(nodes))
        where = f"the layer {node.name!r}"
        for name, value in layers["attrs"][index].items():
            _check_attr(node, name, read_msgpack(value), where)
        params = layers["params"][index]
        if params.keys() != set(node.param_names):
            raise ValueError(
                f"{where} has the weights {sorted(params)}; expected {sorted(node.param_names)}"
            )
        if len(layers["shims"][index]) != len(node.shims):
            raise ValueError(f"{where} has {len(layers['shims'][index])} modules")
    _check_complete(nodes, layers["params"])


def check_shapes(model: Model) -> None:
    """Check the shapes of the weights of thinc's own layers.

    model (Model): The model, with its weights.
    RAISES (ValueError): If a weight has another shape than the sizes of its layer.
    """
    for node in model.walk():
        for name, axes in _AXES.get(node.name, {}).items():
            if not node.has_param(name):
                continue
            shape = node.get_param(name).shape
            expected = []
            for axis, dim in enumerate(axes):
                size = shape[axis] if axis < len(shape) else None
                if node.has_dim(dim):
                    size = node.get_dim(dim)
                expected.append(size)
            if tuple(expected) != shape or 0 in shape:
                raise ValueError(
                    f"the weight {name!r} of the layer {node.name!r} has the shape {shape}; "
                    f"expected {tuple(expected)}"
                )


def _check_info(node: Model, info: dict[str, object], n_nodes: int) -> None:
    take(info, "name", str, "a layer")
    dims = check_mapping(info.get("dims"), f"the sizes of the layer {node.name!r}")
    for dim, size in dims.items():
        if size is not None or dim not in node.dim_names:
            _check_dim(node, dim, size)
    refs = check_mapping(info.get("refs"), f"the references of the layer {node.name!r}")
    for ref, index in refs.items():
        if index is None and not node.has_ref(ref):
            continue
        if not (isinstance(index, int) and 0 <= index < n_nodes):
            raise ValueError(f"the reference {ref!r:.100} of the layer {node.name!r} is no layer")


def _check_dim(node: Model, dim: str, size: object) -> None:
    if dim not in node.dim_names:
        raise ValueError(f"the layer {node.name!r} has no size {dim!r:.100}")
    if not is_size(size):
        raise ValueError(f"the size {dim!r} of the layer {node.name!r} is {size!r:.100}")
    if node.has_dim(dim) and node.get_dim(dim) != size:
        raise ValueError(
            f"the size {dim!r} of the layer {node.name!r} is {size}, but config.cfg builds "
            f"{node.get_dim(dim)}"
        )


def _check_attr(node: Model, name: str, value: object, where: str) -> None:
    default = node.attrs.get(name)
    if callable(default):
        raise ValueError(f"{where} has a setting {name!r}, which is never read from a file")
    if default is None or value is None or not isinstance(default, _PLAIN):
        return
    is_number = isinstance(default, _NUMERIC) and isinstance(value, _NUMERIC)
    if not is_number and type(value) is not type(default):
        raise ValueError(
            f"the setting {name!r} of {where} is {value!r:.100}; expected a "
            f"{type(default).__name__}"
        )
    if is_number and not _is_own(name, value, default):
        raise ValueError(
            f"the setting {name!r} of {where} is {value!r:.100}, but config.cfg builds {default!r}"
        )


def _is_own(name: str, value: object, default: object) -> bool:
    """Check a number that is saved: it has to be the model's own, unless training changes it."""
    if isinstance(default, bool):
        return isinstance(value, bool)  # such as whether an encoder is there
    if name == "dropout_rate":
        return isinstance(value, int | float) and 0 <= value <= 1
    if name == "seed":  # of hashes; spaCy may draw it
        return is_size(value)
    return value == default


def _check_complete(
    nodes: Sequence[Model], params: Sequence[Mapping[str, np.ndarray | None]]
) -> None:
    """Check that all weights are there, or none, as in a pipeline that was not initialised."""
    missing = []
    n_found = 0
    for node, arrays in zip(nodes, params, strict=True):
        for name, array in arrays.items():
            if array is None and not node.has_param(name):
                missing.append(f"{name!r} of the layer {node.name!r}")
            else:
                n_found += 1
    if missing and n_found:
        raise ValueError(f"it lacks the weight {missing[0]}")


def _parse_attrs(attrs: dict[str, object]) -> dict[str, bytes]:
    parsed = {}
    for name, value in attrs.items():
        if not isinstance(value, bytes):
            raise ValueError(f"the setting {name!r} of a layer is no bytes")
        parsed[name] = value
    return parsed


def _parse_params(params: dict[str, object]) -> dict[str, np.ndarray | None]:
    parsed: dict[str, np.ndarray | None] = {}
    for name, value in params.items():
        parsed[name] = None
        if value is not None:
            parsed[name] = _parse_array(value, name)
    return parsed


def _parse_array(value: object, name: str) -> np.ndarray:
    """Read an array in the form of srsly's msgpack."""
    where = f"the weight {name!r:.100}"
    if not isinstance(value, dict) or value.get(b"nd") is not True:
        raise ValueError(f"{where} is no array")
    data, shape, kind = value.get(b"data"), value.get(b"shape"), value.get(b"type")
    if not isinstance(data, bytes) or not isinstance(shape, list) or not isinstance(kind, str):
        raise ValueError(f"{where} is no array")
    try:
        dtype = np.dtype(kind)
        array = np.frombuffer(data, dtype=dtype).reshape(shape)
    except (TypeError, ValueError, OverflowError) as err:
        raise ValueError(f"{where} is no array ({err})") from err
    if dtype.kind != "f":
        raise ValueError(f"{where} is of type {dtype}; expected floating-point numbers")
    if not np.isfinite(array).all():
        raise ValueError(f"{where} holds numbers that are not finite (NaN or inf)")
    return array


def _is_bytes(value: object) -> bool:
    return isinstance(value, bytes)
