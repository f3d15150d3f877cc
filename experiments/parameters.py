"""Table 5: the hyper-parameters of the paper, and of the configs of studies."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from thinc.api import Config, ConfigValidationError

from .paper import CommonParameters, HeadParameters, read_paper
from .results import Study, sort_systems
from .sections import NONE, TableSection, format_number

_NAMES = (
    "Kernel",
    "Layers",
    "Hidden channels",
    "Batch size",
    "Learning rate of the encoder",
    "Learning rate of the rest",
    "Dropout",
    "Warm-up (share of the steps)",
    "Epochs",
)

_PATH_VARIABLE = re.compile(r"\$\{paths\.(\w+)\}")

# A section of a config.
Settings = Mapping[str, Any]


def make_parameter_table(studies: Sequence[Study]) -> TableSection:
    """Make table 5: the hyper-parameters.

    studies (Sequence[Study]): The layer studies; their configs are read.
    RETURNS (TableSection): The table.
    """
    paper = read_paper()["table5_hyperparameters"]
    columns = {"": list(_NAMES)}
    for corpus, parameters in paper["corpora"].items():
        columns[f"{corpus}, paper"] = _format_paper(parameters, paper["common"])
    for study in studies:
        texts = study.settings.get("systems", {})
        for system in sort_systems(texts):
            config = _read_config(texts[system])
            columns[f"{study.corpus}, {system}, ours"] = _format_config(config, _count_train(study))
    notes = ["Paper: TabERT-CNN. Ours: what the configs of the studies say."]
    rows = list(map(list, zip(*columns.values(), strict=True)))
    return TableSection("Table 5: hyper-parameters", list(columns), rows, notes)


def _read_config(text: str) -> Config:
    """Read a config of a study and fill in its variables. Studies do not keep paths; a config with
    other variables that are not known stays as it is."""
    config = Config().from_str(text, interpolate=False)
    if "paths" not in config:
        config["paths"] = dict.fromkeys(_PATH_VARIABLE.findall(text), "")
    try:
        return config.interpolate()
    except ConfigValidationError:
        return config


def _format_paper(own: HeadParameters, common: CommonParameters) -> list[str]:
    return [
        " × ".join(map(str, own["kernel"])),
        str(own["layers"]),
        ", ".join(map(str, own["hidden"])),
        str(own["batch_size"]),
        f"{common['lr_bert']:g}",
        f"{common['lr_other']:g}",
        f"{common['dropout']:g}",
        f"{common['warmup']:g}",
        f"{common['epochs']:g}",
    ]


def _count_train(study: Study) -> int | None:
    """Return the number of sentences that a study trains on; None if it is not known."""
    corpus = study.settings.get("corpus", {})
    if "train" not in corpus:
        return None
    return corpus["train"]["sentences"]


def _format_config(config: Config, n_train: int | None) -> list[str]:
    training = config["training"]
    optimizer = training.get("optimizer", {})
    rate = optimizer.get("learn_rate")
    head_rate = optimizer.get("head_learn_rate") or rate
    warmup = None
    if isinstance(rate, dict):
        warmup = rate.get("warmup")
    return [
        *_format_head(_find_head(config)),
        format_number(training.get("batcher", {}).get("size"), "g"),
        format_number(_get_rate(rate), "g"),
        format_number(_get_rate(head_rate), "g"),
        format_number(training.get("dropout"), "g"),
        format_number(warmup, "g"),
        format_number(_count_epochs(config, n_train), ".0f"),
    ]


def _find_head(config: Config) -> Settings:
    for component in config["components"].values():
        model = component.get("model", {})
        if "head" in model:
            head = model["head"]
            while "table" in head:  # the table head within heads that others are joined with
                head = head["table"]
            return head
    return {}


def _format_head(head: Settings) -> list[str]:
    """Format the kernel size, the number of layers and the hidden channels of a CNN.

    Other heads have none of them, or another `hidden`, as Table-Sequence.
    """
    kernel, hidden = NONE, [NONE, NONE]
    if head.get("kernel_size") is not None:
        kernel = f"{head['kernel_size']} × {head['kernel_size']}"
    if isinstance(head.get("hidden"), list):
        hidden = [str(len(head["hidden"]) + 1), ", ".join(map(str, head["hidden"]))]
    return [kernel, *hidden]


def _get_rate(rate: object) -> object:
    """Return the value of a learning rate, which may be a schedule."""
    if isinstance(rate, dict):
        return rate.get("rate")
    return rate


def _count_epochs(config: Config, n_train: int | None) -> float | None:
    """Return the epochs of a training, which its config gives or its steps and corpus imply."""
    training = config["training"]
    n_steps = training["max_steps"]
    if not n_steps:
        before_init = config.get("initialize", {}).get("before_init") or {}
        return training.get("max_epochs") or before_init.get("n_epochs")
    size = training.get("batcher", {}).get("size")
    if not n_train or not isinstance(size, int) or not isinstance(n_steps, int):
        return None
    return n_steps * size / n_train
