"""The figures of the paper, F1 in percent, to compare a study with."""

import json
from functools import lru_cache
from pathlib import Path
from typing import TypedDict, cast

PATH = Path(__file__).with_name("paper.json")

# F1 by encoder layer, for the states of the encoder "frozen" and "updated".
LayerScores = dict[str, list[float]]


class HeldOutScores(TypedDict):
    """Table 1: F1 in NER, RE and RE+ of each "SYSTEM/ENCODER", by corpus; None if unpublished."""

    columns: list[str]
    note: str
    corpora: dict[str, dict[str, list[float | None]]]


class CorpusSizes(TypedDict, total=False):
    """A row of table 4. A corpus has either a division or a number of sentences with a protocol."""

    train: int
    dev: int
    test: int
    sentences: int
    protocol: str
    entity_types: int
    relation_types: int


class HeadParameters(TypedDict):
    """The hyper-parameters of table 5 that differ by corpus."""

    kernel: list[int]
    layers: int
    hidden: list[int]
    batch_size: int


class CommonParameters(TypedDict):
    """The hyper-parameters of table 5 that all corpora share."""

    lr_bert: float
    lr_other: float
    dropout: float
    warmup: float
    schedule: str
    epochs: int
    optimizer: str
    seeds: int


class HyperParameters(TypedDict):
    """Table 5."""

    corpora: dict[str, HeadParameters]
    common: CommonParameters


class Paper(TypedDict):
    """All tables, their source, and an erratum of tables 2 and 3."""

    source: str
    table1: HeldOutScores
    layers: list[int]
    table2_ner_dev_conll04: dict[str, LayerScores]
    table3_re_dev_conll04: dict[str, LayerScores]
    erratum: str
    table4_datasets: dict[str, CorpusSizes]
    table5_hyperparameters: HyperParameters


@lru_cache(maxsize=1)
def read_paper() -> Paper:
    """Read the figures of the paper's tables.

    RETURNS (Paper): The figures, F1 in percent, with their source.
    """
    return cast(Paper, json.loads(PATH.read_text(encoding="utf-8")))


def get_layer_scores(measure: str) -> dict[str, LayerScores]:
    """Return the table of scores by encoder layer.

    measure (str): "NER", "RE" or "RE+".
    RETURNS (dict[str, LayerScores]): The scores by system; empty for RE+, which has no table.
    """
    paper = read_paper()
    if measure == "NER":
        return paper["table2_ner_dev_conll04"]
    if measure == "RE":
        return paper["table3_re_dev_conll04"]
    return {}
