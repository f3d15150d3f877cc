"""The training runs of a study, and the settings of its system's config that each run changes."""

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict, final

from thinc.api import Config

if TYPE_CHECKING:
    from optuna import Trial

# The name that the shipped configs give the encoder.
ENCODER = "transformer"
# The states of the encoder in words.
STATES = {True: "frozen", False: "updated", None: "as configured"}

# Settings of a config to replace, by dotted name; see `spacy.util.load_config`.
Overrides = dict[str, object]


def check_name(name: str, where: str) -> None:
    """Check that the name of a study or of a system can be the name of a file or a folder.

    name (str): The name.
    where (str): Where it comes from, for the message.
    RAISES (ValueError): If it is empty, "." or "..", or has the separator of folders.
    """
    if name in ("", ".", "..") or "/" in name or os.sep in name:
        raise ValueError(
            f"{where} is {name!r}; expected a name without {os.sep!r} that can name a file, for "
            "example TabERT"
        )


class RunGroup(NamedTuple):
    """The runs that differ by their seed only.

    system (str): Name of the system.
    frozen (bool | None): Whether the encoder is frozen; None: as the config has it.
    layer (int | None): The encoder layer; None: as the config has it.
    """

    system: str
    frozen: bool | None
    layer: int | None


@dataclass(frozen=True)
class Run:
    """One training run of a study. A setting that is None stays as the system's config has it.

    system (str): Name of the system.
    seed (int): The random seed.
    frozen (bool | None): Whether the encoder is frozen in training.
    layer (int | None): The encoder layer that is read, the last one that is computed; 0 are the
        embeddings.
    number (int | None): In a search, the number of the trial, from 1.
    """

    system: str
    seed: int
    frozen: bool | None = None
    layer: int | None = None
    number: int | None = None

    @property
    def group(self) -> RunGroup:
        """The group of runs that differ from this one by their seed only."""
        return RunGroup(self.system, self.frozen, self.layer)

    @property
    def name(self) -> str:
        """A name for files and folders, provided that the system's name can serve as one."""
        parts = [self.system]
        if self.frozen is not None:
            parts.append(STATES[self.frozen])
        if self.layer is not None:
            parts.append(f"layer{self.layer}")
        if self.number is not None:
            parts.append(f"trial{self.number}")
        return "-".join([*parts, f"seed{self.seed}"])

    def to_dict(self) -> dict[str, Any]:
        """Return the settings that are not None. `Run(**settings)` is the run again.

        RETURNS (dict[str, Any]): The settings by name.
        """
        return {key: value for key, value in asdict(self).items() if value is not None}


def make_grid(
    systems: Iterable[str],
    *,
    layers: Iterable[int],
    states: Iterable[bool] = (True, False),
    seeds: Iterable[int],
) -> list[Run]:
    """List the runs of a layer study, one seed after the other.

    So a study that is interrupted has whole curves.

    systems (Iterable[str]): Names of the systems.
    layers (Iterable[int]): Layers of the encoder, 0 for the embeddings.
    states (Iterable[bool]): Whether the encoder is frozen.
    seeds (Iterable[int]): Random seeds.
    RETURNS (list[Run]): The runs, each once.
    Source: the paper's section 3.2.
    """
    runs = []
    for seed, frozen, system, layer in product(seeds, states, systems, layers):
        runs.append(Run(system, seed, frozen=frozen, layer=layer))
    return list(dict.fromkeys(runs))


def make_search(system: str, *, n_trials: int, seed: int = 1) -> list[Run]:
    """List the runs of a search for hyper-parameters. A sampler chooses the values of each run.

    system (str): Name of the system.
    n_trials (int): Number of settings to try.
    seed (int): The random seed of all runs.
    RETURNS (list[Run]): The runs.
    """
    return [Run(system, seed, number=number) for number in range(1, n_trials + 1)]


def make_overrides(config: Config, run: Run, *, cache_mb: int = 0) -> Overrides:
    """Collect the settings that a run changes in the config of its system.

    config (Config): The config.
    run (Run): The run.
    cache_mb (int): Megabytes for the output of a frozen encoder, see
        `spacy-tabcnn.TransformerModel.v1`.
    RETURNS (Overrides): The settings by dotted name, as `spacy.util.load_config` takes them.
    RAISES (ValueError): If the run changes the encoder and the config has none.
    """
    overrides: Overrides = {"system.seed": run.seed}
    if run.frozen is None and run.layer is None:
        return overrides
    model = find_encoder(config, run.system)
    section = f"components.{ENCODER}.model"
    if run.frozen is not None:
        overrides[f"{section}.frozen"] = run.frozen
        overrides[f"{section}.cache_mb"] = 0
    if run.frozen:
        overrides[f"{section}.cache_mb"] = cache_mb
    if run.layer is not None:
        settings = model.get("transformer_config") or {}
        overrides[f"{section}.transformer_config"] = {**settings, "num_hidden_layers": run.layer}
    return overrides


def find_encoder(config: Config, system: str) -> dict[str, Any]:
    """Find the settings of the encoder in a config.

    config (Config): The config.
    system (str): The name of its system, for the message.
    RETURNS (dict[str, Any]): The section of its model.
    RAISES (ValueError): If there is none.
    """
    model = config.get("components", {}).get(ENCODER, {}).get("model")
    if model is None:
        raise ValueError(
            f"the config of {system} has no section [components.{ENCODER}.model], so no encoder to "
            f"freeze or to cut. Name the component of the encoder {ENCODER!r}"
        )
    return dict(model)


@final
class Choices(TypedDict):
    """The values of a setting in a search. A dictionary among them sets several settings."""

    choices: list[object]


class Bounds(TypedDict):
    """The bounds of a setting in a search, both included."""

    low: float
    high: float


@final
class Range(Bounds, total=False):
    """The range of a setting in a search; two integers as bounds give integers."""

    log: bool


# By dotted name of a setting, or by any name if the choices are groups of settings.
SearchSpace = Mapping[str, Choices | Range]


def check_space(space: Mapping[str, object]) -> None:
    """Check the search space of a file.

    space (Mapping[str, object]): A range {"low", "high"}, optionally with "log", or
        {"choices": [...]}, by dotted name of a setting; see `SearchSpace`.
    RAISES (ValueError): If it or an entry has another form.
    """
    if not isinstance(space, Mapping) or not space:
        raise ValueError(
            f"the search space is {space!r}; expected an object with a range or choices by the "
            "dotted name of each setting"
        )
    for name, values in space.items():
        if not _is_range(values) and not _has_choices(values):
            raise ValueError(
                f"the search space of {name} is {values!r}; expected "
                '{"low": 1e-5, "high": 1e-4, "log": true}, the lower number first and above 0 with '
                '"log", or {"choices": [1, 2]}'
            )


def _is_range(values: object) -> bool:
    if not isinstance(values, Mapping):
        return False
    if not {"low", "high"} <= set(values) <= {"low", "high", "log"}:
        return False
    low, high, log = values["low"], values["high"], values.get("log", False)
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        return False
    is_ordered = -math.inf < low <= high < math.inf
    return is_ordered and isinstance(log, bool) and (low > 0 or not log)


def _has_choices(values: object) -> bool:
    if not isinstance(values, Mapping) or set(values) != {"choices"}:
        return False
    return isinstance(values["choices"], list) and bool(values["choices"])


def suggest(trial: "Trial", space: SearchSpace) -> Overrides:
    """Choose settings from a search space with the sampler of a study.

    trial (Trial): Optuna's trial.
    space (SearchSpace): The search space, see `check_space`.
    RETURNS (Overrides): The settings by dotted name.
    """
    overrides: Overrides = {}
    for name, values in space.items():
        if "choices" in values:
            overrides.update(_name_choice(name, _suggest_choice(trial, name, values)))
        else:
            overrides[name] = _suggest_number(trial, name, values)
    return overrides


def _name_choice(name: str, choice: object) -> Overrides:
    """Return the settings of a choice: its group of settings, or the one setting of this name."""
    if isinstance(choice, dict):
        return choice
    return {name: choice}


def list_examples(space: SearchSpace) -> list[Overrides]:
    """List examples of the settings that a search may try. Each choice is in one of them.

    space (SearchSpace): The search space, see `check_space`.
    RETURNS (list[Overrides]): The settings of each example, by dotted name.
    """
    n_choices = [len(values["choices"]) for values in space.values() if "choices" in values]
    return [_make_example(space, number) for number in range(max(n_choices, default=1))]


def _make_example(space: SearchSpace, number: int) -> Overrides:
    """Take this choice of each setting, or its last one, and the low end of each range."""
    overrides: Overrides = {}
    for name, values in space.items():
        if "choices" in values:
            choices = values["choices"]
            overrides.update(_name_choice(name, choices[min(number, len(choices) - 1)]))
        else:
            overrides[name] = values["low"]
    return overrides


def _suggest_choice(trial: "Trial", name: str, values: Choices) -> object:
    # Storages hold scalars, and a choice may be a list or a group of settings.
    texts = list(map(json.dumps, values["choices"]))
    return json.loads(str(trial.suggest_categorical(name, texts)))


def _suggest_number(trial: "Trial", name: str, values: Range) -> float:
    low, high, log = values["low"], values["high"], values.get("log", False)
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(name, low, high, log=log)
    return trial.suggest_float(name, low, high, log=log)


def parse_systems(texts: Iterable[str]) -> dict[str, Path]:
    """Read the systems of a study.

    texts (Iterable[str]): "NAME=CONFIG" each.
    RETURNS (dict[str, Path]): The config of each system.
    RAISES (ValueError): If a text is malformed, or two name one system.
    """
    systems: dict[str, Path] = {}
    for text in texts:
        name, separator, path = text.partition("=")
        if not separator or not path:
            raise ValueError(
                f"--system is {text!r}; expected NAME=CONFIG, for example "
                "TabERT=configs/conll04_tabert.cfg"
            )
        check_name(name, "the name of --system")
        if name in systems:
            raise ValueError(
                f"--system names {name!r} twice, for {systems[name]} and {path}. Give each config "
                "a name of its own"
            )
        systems[name] = Path(path)
    return systems


def parse_layers(text: str, n_layers: int) -> list[int]:
    """Read the layers of an option.

    text (str): "all", or layers between commas, for example "0,1,2,4".
    n_layers (int): The number of layers of the encoder.
    RETURNS (list[int]): The layers, in ascending order.
    RAISES (ValueError): If the encoder has no such layer.
    """
    if text == "all":
        return list(range(n_layers + 1))
    layers = set()
    for part in text.split(","):
        if not part.strip().isdecimal() or int(part) > n_layers:
            raise ValueError(
                f"the layers are {text!r}; expected numbers from 0 to {n_layers} between commas, "
                "or all"
            )
        layers.add(int(part))
    return sorted(layers)
