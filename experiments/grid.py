"""Which training runs a study consists of, and what each changes in its system's config."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from thinc.api import Config

if TYPE_CHECKING:
    from optuna import Trial

# The name that the shipped configs give the encoder.
ENCODER = "transformer"


@dataclass(frozen=True)
class Cell:
    """One training run of a study. What is None stays as the system's config has it.

    system (str): Name of the system.
    seed (int): The random seed.
    frozen (bool | None): Whether the encoder stays as it is in training.
    layer (int | None): The encoder layer that is read, and the last that is computed; 0 are the embeddings.
    number (int | None): In a search, counts the trials from 1.
    """

    system: str
    seed: int
    frozen: bool | None = None
    layer: int | None = None
    number: int | None = None

    @property
    def name(self) -> str:
        """A name that can serve as that of a folder if the system's can."""
        parts = [self.system]
        if self.frozen is not None:
            parts.append("frozen" if self.frozen else "updated")
        if self.layer is not None:
            parts.append(f"layer{self.layer}")
        if self.number is not None:
            parts.append(f"trial{self.number}")
        return "-".join([*parts, f"seed{self.seed}"])

    def to_dict(self) -> dict[str, Any]:
        """RETURNS (dict[str, Any]): The settings that are not None; `Cell(**settings)` is the cell again."""
        return {key: value for key, value in asdict(self).items() if value is not None}


def make_grid(
    systems: Iterable[str],
    *,
    layers: Iterable[int],
    states: Iterable[bool] = (True, False),
    seeds: Iterable[int],
) -> list[Cell]:
    """List the cells of a layer study, one seed after the other, so that a study cut short has whole curves.

    systems (Iterable[str]): Names of the systems.
    layers (Iterable[int]): Layers of the encoder, 0 for the embeddings.
    states (Iterable[bool]): Whether the encoder is frozen.
    seeds (Iterable[int]): Random seeds.
    RETURNS (list[Cell]): The cells, each once.
    Source: the paper's section 3.2.
    """
    systems, layers, states = list(systems), list(layers), list(states)
    cells = (
        Cell(system, seed, frozen=frozen, layer=layer)
        for seed in seeds
        for frozen in states
        for system in systems
        for layer in layers
    )
    return list(dict.fromkeys(cells))


def make_search(system: str, *, n_trials: int, seed: int = 1) -> list[Cell]:
    """List the cells of a search for hyper-parameters, whose values a sampler chooses when a cell is run.

    system (str): Name of the system.
    n_trials (int): How many settings are tried.
    seed (int): The random seed of all runs.
    RETURNS (list[Cell]): The cells.
    """
    return [Cell(system, seed, number=number) for number in range(1, n_trials + 1)]


def make_overrides(config: Config, cell: Cell, *, cache_mb: int = 0) -> dict[str, Any]:
    """Say what a cell changes in the config of its system.

    config (Config): The config.
    cell (Cell): The cell.
    cache_mb (int): Megabytes for the output of a frozen encoder, see `spacy-tabcnn.TransformerModel.v1`.
    RETURNS (dict[str, Any]): Overrides by dotted name, as `spacy.util.load_config` takes them.
    RAISES (ValueError): If the cell sets the encoder and the config has none.
    """
    overrides: dict[str, Any] = {"system.seed": cell.seed}
    if cell.frozen is None and cell.layer is None:
        return overrides
    model = find_encoder(config, cell.system)
    section = f"components.{ENCODER}.model"
    if cell.frozen is not None:
        overrides[f"{section}.frozen"] = cell.frozen
        overrides[f"{section}.cache_mb"] = cache_mb if cell.frozen else 0
    if cell.layer is not None:
        settings = model.get("transformer_config") or {}
        overrides[f"{section}.transformer_config"] = {**settings, "num_hidden_layers": cell.layer}
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
            f"the config of {system} has no section [components.{ENCODER}.model], so no encoder to freeze or to cut. "
            f"Name the component of the encoder {ENCODER!r}"
        )
    return dict(model)


def check_space(space: Mapping[str, Any]) -> None:
    """Check the search space of a file.

    space (Mapping[str, Any]): By dotted name of a setting, or by any name if the choices are themselves groups of
        settings: {"low", "high"} and, if wanted, "log"; or {"choices": [...]}.
    RAISES (ValueError): If an entry is neither.
    """
    for name, values in space.items():
        keys = set(values) if isinstance(values, Mapping) else set()
        is_range = {"low", "high"} <= keys <= {"low", "high", "log"}
        if not is_range and not (
            keys == {"choices"} and isinstance(values["choices"], list) and values["choices"]
        ):
            raise ValueError(
                f"the search space of {name} is {values!r}; expected "
                '{"low": 1e-5, "high": 1e-4, "log": true} or {"choices": [1, 2]}'
            )


def suggest(trial: "Trial", space: Mapping[str, Any]) -> dict[str, Any]:
    """Let the sampler of a study choose from a search space.

    trial (Trial): Optuna's trial.
    space (Mapping[str, Any]): See `check_space`. A range between two integers gives integers.
    RETURNS (dict[str, Any]): Overrides by dotted name.
    """
    overrides: dict[str, Any] = {}
    for name, values in space.items():
        if "choices" in values:
            # Storages hold scalars, and a choice may be a list or a group of settings.
            choice = json.loads(
                str(trial.suggest_categorical(name, [json.dumps(c) for c in values["choices"]]))
            )
            overrides.update(choice if isinstance(choice, dict) else {name: choice})
        elif isinstance(values["low"], int) and isinstance(values["high"], int):
            overrides[name] = trial.suggest_int(
                name, values["low"], values["high"], log=values.get("log", False)
            )
        else:
            overrides[name] = trial.suggest_float(
                name, values["low"], values["high"], log=values.get("log", False)
            )
    return overrides


def parse_layers(text: str, n_layers: int) -> list[int]:
    """Read the layers of an option.

    text (str): "all", or layers between commas, for example "0,1,2,4".
    n_layers (int): The number of layers of the encoder.
    RETURNS (list[int]): The layers, in ascending order.
    RAISES (ValueError): If the encoder has no such layer.
    """
    if text == "all":
        return list(range(n_layers + 1))
    parts: Sequence[str] = text.split(",")
    if not all(part.strip().isdecimal() and int(part) <= n_layers for part in parts):
        raise ValueError(
            f"the layers are {text!r}; expected numbers from 0 to {n_layers} between commas, or all"
        )
    return sorted({int(part) for part in parts})
