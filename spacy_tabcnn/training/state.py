"""The state of a training: everything that changes from step to step."""

import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar, cast, runtime_checkable

import torch
from spacy.language import Language
from spacy.pipeline import TrainablePipe
from thinc.api import Optimizer, PyTorchShim
from thinc.optimizers import KeyT
from torch import Tensor

from .cache_files import CacheFiles
from .optimizer import AVERAGE, MOMENTS, OptimizerState
from .optimizer_state import check_optimizer, get_state, set_state
from .parameters import (
    DROPOUT,
    CannotResumeError,
    Parameter,
    find_dropout_layers,
    find_parameters,
    find_shims,
)
from .random_states import (
    HostStates,
    StateData,
    get_device_states,
    renew_cupy,
    set_device_states,
)

if TYPE_CHECKING:
    from ..runtime.encoder_shim import EncoderShim

WEIGHTS = "weights"
KINDS = (*MOMENTS, AVERAGE)
Value = TypeVar("Value")
# Parts of a component that are saved in another way, or never change.
EXCLUDED = ("model", "vocab")


@runtime_checkable
class HasTrainingState(Protocol):
    """A component or a shim with a state of its own, such as a generator of random numbers."""

    def get_training_state(self) -> object:
        """Return the state as plain data."""

    def set_training_state(self, state: object) -> None:
        """Set the state."""


class CollectedState(NamedTuple):
    """The state of a training at one moment.

    data (dict[str, object]): Everything that is no tensor: numbers, strings and bytes.
    tensors (dict[str, dict[str, Tensor]]): Weights, moments and averages by kind and name.
    files (list[str]): The names of the files with the output of frozen encoders.
    """

    data: dict[str, object]
    tensors: dict[str, dict[str, Tensor]]
    files: list[str]


class TrainingState:
    """Reads and sets the state of a pipeline and its optimiser.

    nlp (Language): The pipeline, initialised.
    optimizer (Optimizer): Its optimiser.
    is_seeded (bool): Whether an initialisation gives the same weights each time. If so, weights
        that no step has changed are not saved.
    RAISES (CannotResumeError): If a part has a state that cannot be saved.
    """

    def __init__(self, nlp: Language, optimizer: Optimizer, *, is_seeded: bool) -> None:
        check_optimizer(optimizer)
        self.nlp = nlp
        self.optimizer = optimizer
        self.cache_files = CacheFiles()
        self._parameters = find_parameters(nlp)
        self._initial: dict[str, int] = {}
        if is_seeded:
            for name, parameter in self._parameters.items():
                self._initial[name] = _compute_checksum(parameter)

    def find_bad_weights(self) -> list[str]:
        """Find the parameters with a value that is not finite.

        RETURNS (list[str]): Their names. They begin with the name of the component.
        """
        found = []
        for name, parameter in self._parameters.items():
            values = parameter.read()
            if values.is_floating_point() and not torch.isfinite(values).all():
                found.append(name)
        return found

    def find_components(self, keys: Iterable[KeyT]) -> list[str]:
        """Find the components of parameters.

        keys (Iterable[KeyT]): The optimiser's keys of the parameters.
        RETURNS (list[str]): The names of the components, each once.
        """
        wanted = set(keys)
        found: dict[str, None] = {}
        for name, parameter in self._parameters.items():
            if parameter.key in wanted:
                found[name.split("/", 1)[0]] = None
        return list(found)

    def collect(self, folder: Path, seed: int) -> "CollectedState":
        """Collect everything that a checkpoint holds.

        folder (Path): Folder for new files with the output of frozen encoders.
        seed (int): A number that is the same after the same number of steps.
        RETURNS (CollectedState): The state. Its tensors share memory with the pipeline.
        """
        state = get_state(self.optimizer)
        names = self._name_keys()
        changed, unchanged = self._divide(state)
        tensors: dict[str, dict[str, Tensor]] = {WEIGHTS: changed}
        for kind in KINDS:
            tensors[kind] = _rename(state.arrays[kind], names)
        caches = self._find_caches()
        files = self.cache_files.write(caches, folder)
        renew_cupy(seed)
        data: dict[str, object] = {
            "seed": seed,
            "host": HostStates.get().to_data(),
            "device": get_device_states(),
            "counts": _rename(state.counts, names),
            "numbers": state.numbers,
            "gradients": self._list_gradients(),
            "unchanged": unchanged,
            "dropout": self._get_dropout(),
            "components": self._save_components(),
            "own_states": self._get_own_states(),
            "scalers": self._get_scalers(),
            "outputs": self.cache_files.get_order(caches),
        }
        return CollectedState(data, tensors, files)

    def set(
        self, data: Mapping[str, object], tensors: Mapping[str, Mapping[str, Tensor]], folder: Path
    ) -> None:
        """Set everything as it was.

        data (Mapping[str, object]): The data; see `CollectedState`.
        tensors (Mapping): The tensors. The optimiser owns them from then on.
        folder (Path): Folder of the files with the output of encoders.
        RAISES (CannotResumeError): If the pipeline has other parameters.
        """
        self._check_names(data, tensors)
        for name, values in tensors[WEIGHTS].items():
            self._parameters[name].write(values)
        for name in cast(list[str], data["gradients"]):
            self._parameters[name].clear_gradient()
        self._set_optimizer(data, tensors)
        for shim in find_shims(self.nlp).values():
            if hasattr(shim, "weights_changed"):
                shim.weights_changed()
        for place, layer in find_dropout_layers(self.nlp).items():
            layer.attrs[DROPOUT] = cast(dict[str, object], data["dropout"])[place]
        self._load_components(cast(dict[str, bytes], data["components"]))
        self._set_own_states(cast(dict[str, object], data["own_states"]))
        self._set_scalers(cast(dict[str, list[float]], data["scalers"]))
        order = cast(list[tuple[str, str, int]], data["outputs"])
        self.cache_files.read(order, self._find_caches(), folder)
        renew_cupy(cast(int, data["seed"]))
        set_device_states(cast(list[bytes], data["device"]))
        HostStates.from_data(cast(StateData, data["host"])).set()

    def _name_keys(self) -> dict[KeyT, str]:
        names = {}
        for name, parameter in self._parameters.items():
            names[parameter.key] = name
        return names

    def _divide(self, state: OptimizerState) -> tuple[dict[str, Tensor], dict[str, int]]:
        """Return the parameters that are not as initialised, and checksums of the others."""
        changed: dict[str, Tensor] = {}
        unchanged: dict[str, int] = {}
        for name, parameter in self._parameters.items():
            checksum = self._initial.get(name)
            is_updated = parameter.key in state.counts or checksum is None
            if is_updated or _compute_checksum(parameter) != checksum:
                changed[name] = parameter.read()
            else:
                unchanged[name] = checksum
        return changed, unchanged

    def _list_gradients(self) -> list[str]:
        names = []
        for name, parameter in self._parameters.items():
            if parameter.has_gradient:
                names.append(name)
        return names

    def _get_dropout(self) -> dict[str, object]:
        rates = {}
        for place, layer in find_dropout_layers(self.nlp).items():
            rates[place] = layer.attrs[DROPOUT]
        return rates

    def _check_names(
        self, data: Mapping[str, object], tensors: Mapping[str, Mapping[str, Tensor]]
    ) -> None:
        """Check that a checkpoint belongs to this pipeline."""
        unchanged = cast(dict[str, int], data["unchanged"])
        saved = {*tensors[WEIGHTS], *unchanged}
        differing = sorted(saved.symmetric_difference(self._parameters))
        for name, checksum in unchanged.items():
            if name in self._parameters and self._initial.get(name) != checksum:
                differing.append(name)
        for name, values in tensors[WEIGHTS].items():
            if name in self._parameters and self._parameters[name].read().shape != values.shape:
                differing.append(name)
        if differing:
            raise CannotResumeError(
                f"the initialised pipeline has other parameters than the checkpoint, such as "
                f"{differing[0]!r} ({len(differing)} in all): a file that the config names, or a "
                "package, has changed"
            )

    def _set_optimizer(
        self, data: Mapping[str, object], tensors: Mapping[str, Mapping[str, Tensor]]
    ) -> None:
        arrays: dict[str, dict[KeyT, Tensor]] = {}
        for kind in KINDS:
            arrays[kind] = {}
            for name, values in tensors[kind].items():
                parameter = self._parameters[name]
                arrays[kind][parameter.key] = values.to(parameter.read().device)
        counts: dict[KeyT, int] = {}
        for name, count in cast(dict[str, int], data["counts"]).items():
            counts[self._parameters[name].key] = count
        numbers = cast(dict[str, int], data["numbers"])
        set_state(self.optimizer, OptimizerState(arrays, counts, numbers))

    def _save_components(self) -> dict[str, bytes]:
        """Return the settings that components have learnt, without their models."""
        saved = {}
        for name, pipe in self._find_saveable().items():
            saved[name] = pipe.to_bytes(exclude=EXCLUDED)
        return saved

    def _load_components(self, saved: Mapping[str, bytes]) -> None:
        for name, pipe in self._find_saveable().items():
            if pipe.to_bytes(exclude=EXCLUDED) != saved[name]:
                pipe.from_bytes(saved[name], exclude=EXCLUDED)

    def _find_saveable(self) -> dict[str, TrainablePipe]:
        """Find the components that can be saved, by name."""
        found = {}
        for name, pipe in self.nlp.components:
            if hasattr(pipe, "to_bytes") and hasattr(pipe, "from_bytes"):
                found[name] = cast(TrainablePipe, pipe)
        return found

    def _find_own_states(self) -> dict[str, HasTrainingState]:
        found: dict[str, HasTrainingState] = {}
        for name, part in (*self.nlp.components, *find_shims(self.nlp).items()):
            if isinstance(part, HasTrainingState):
                found[name] = part
        return found

    def _get_own_states(self) -> dict[str, object]:
        states = {}
        for name, part in self._find_own_states().items():
            states[name] = part.get_training_state()
        return states

    def _set_own_states(self, states: Mapping[str, object]) -> None:
        for name, part in self._find_own_states().items():
            part.set_training_state(states[name])

    def _get_scalers(self) -> dict[str, list[float]]:
        """Return the scales of the gradient in thinc's own mixed precision."""
        scalers = {}
        for name, shim in find_shims(self.nlp).items():
            scaler = getattr(shim, "_grad_scaler", None)
            if isinstance(shim, PyTorchShim) and scaler is not None and scaler._enabled:
                tensors = scaler._scale, scaler._growth_tracker
                scalers[name] = [float(value) for value in tensors]
        return scalers

    def _set_scalers(self, scalers: Mapping[str, list[float]]) -> None:
        shims = find_shims(self.nlp)
        for name, (scale, growth) in scalers.items():
            scaler = cast(PyTorchShim, shims[name])._grad_scaler
            scaler._scale.fill_(scale)
            scaler._growth_tracker.fill_(growth)

    def _find_caches(self) -> "dict[str, EncoderShim]":
        """Find the frozen encoders that keep their output."""
        found: dict[str, EncoderShim] = {}
        for name, shim in find_shims(self.nlp).items():
            if getattr(shim, "frozen", False) and getattr(shim, "cache_size", 0) != 0:
                found[name] = cast("EncoderShim", shim)
        return found


def _rename(values: Mapping[KeyT, Value], names: Mapping[KeyT, str]) -> dict[str, Value]:
    """Return values by the names of parameters in place of their keys."""
    renamed = {}
    for key, value in values.items():
        if key in names:
            renamed[names[key]] = value
    return renamed


def _compute_checksum(parameter: Parameter) -> int:
    values = parameter.read().detach().cpu().contiguous()
    return zlib.crc32(values.reshape(-1).view(torch.uint8).numpy().data)
