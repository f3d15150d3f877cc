"""The weights of a module as bytes: numbers in safetensors, read without an unpickler."""

from collections.abc import Mapping
from io import BytesIO
from itertools import islice
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

# The first bytes of a zip archive, in which `torch.save` writes.
_ZIP = b"PK\x03\x04"
_MAX_NAMES = 3  # of a message


def dump_tensors(module: nn.Module) -> bytes:
    """Return the weights and buffers of a module in safetensors.

    A weight that two layers share is saved once.

    module (Module): The module.
    RETURNS (bytes): The weights.
    """
    tensors = {}
    for name, tensor in _list_state(module).items():
        tensors[name] = tensor.detach().cpu().contiguous()
    return save(tensors)


def is_archive(data: object) -> bool:
    """Check whether bytes are an archive of torch.save."""
    return isinstance(data, bytes) and data.startswith(_ZIP)


def parse_tensors(data: object) -> dict[str, Tensor]:
    """Read tensors without a module.

    data (object): The bytes that `dump_tensors` returned.
    RETURNS (dict[str, Tensor]): The tensors, on the CPU. Their size is at most the size of the
        bytes.
    RAISES (ValueError): If the bytes are no tensors in safetensors, or a number is not finite.
    """
    if not isinstance(data, bytes):
        raise ValueError(f"its weights are a {type(data).__name__}; expected bytes in safetensors")
    if is_archive(data):
        raise ValueError(
            "its weights are an archive of torch.save, which earlier versions wrote and this "
            "version does not read"
        )
    try:
        tensors: dict[str, Tensor] = load(data)
    except (SafetensorError, ValueError, KeyError, RuntimeError, AssertionError) as err:
        raise ValueError(f"its weights are not in safetensors ({err})") from err
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor.float()).all():
            raise ValueError(f"the weight {name!r} holds numbers that are not finite (NaN or inf)")
    return tensors


def check_archive(state: bytes) -> None:
    """Check that an archive of torch.save is no larger than its data.

    state (bytes): The archive, which is not trusted.
    RAISES (ValueError): If it is damaged, or compressed, which torch.save never does.
    """
    try:
        with ZipFile(BytesIO(state)) as archive:
            entries = archive.infolist()
    # zipfile raises NotImplementedError for archives of a later version.
    except (BadZipFile, ValueError, OSError, NotImplementedError) as err:
        raise ValueError(f"the weights of a module are a damaged archive ({err})") from err
    for entry in entries:
        if entry.compress_type != ZIP_STORED or entry.file_size > len(state):
            raise ValueError(
                "the weights of a module are in a compressed archive, which torch.save does not "
                "write"
            )


def check_fit(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Check that tensors are the weights of a module: names, shapes and types.

    module (Module): The module; its weights may be on torch's device "meta".
    tensors (Mapping[str, Tensor]): The tensors.
    RAISES (ValueError): If a weight is missing, unknown, or of another shape or type.
    """
    expected = _list_state(module)
    missing, unknown = expected.keys() - tensors.keys(), tensors.keys() - expected.keys()
    if missing:
        raise ValueError(f"its weights lack {_shorten(missing)}")
    if unknown:
        raise ValueError(f"its weights hold {_shorten(unknown)}, which the module does not have")
    for name, tensor in expected.items():
        found = tensors[name]
        if found.shape != tensor.shape:
            raise ValueError(
                f"the weight {name!r} has the shape {tuple(found.shape)}; expected "
                f"{tuple(tensor.shape)}"
            )
        if not _is_same_type(found, tensor):
            raise ValueError(
                f"the weight {name!r} is of type {found.dtype}; expected {tensor.dtype}"
            )


def load_tensors(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put tensors into a module. They take the precision and the device of its weights.

    module (Module): The module.
    tensors (Mapping[str, Tensor]): Its weights.
    RAISES (ValueError): If they do not fit; see `check_fit`.
    """
    check_fit(module, tensors)
    # A shared weight is in the module's state under a second name.
    module.load_state_dict(dict(tensors), strict=False)


def _list_state(module: nn.Module) -> dict[str, Tensor]:
    """List the weights and buffers of a module by name, each shared one once."""
    state: dict[str, Tensor] = {}
    known: set[int] = set()
    for name, tensor in module.state_dict(keep_vars=True).items():
        if id(tensor) not in known:
            known.add(id(tensor))
            state[name] = tensor
    return state


def _is_same_type(found: Tensor, expected: Tensor) -> bool:
    if expected.is_floating_point():
        return found.is_floating_point() and found.element_size() > 1
    return found.dtype == expected.dtype


def _shorten(names: set[str]) -> str:
    """Return the first names of a set, for a message."""
    text = ", ".join(map(repr, islice(sorted(names), _MAX_NAMES)))
    if len(names) > _MAX_NAMES:
        text += f" and {len(names) - _MAX_NAMES} more"
    return text
