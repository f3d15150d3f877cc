"""A cell of a study, trained by spaCy."""

import io
import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import spacy
import torch
from spacy.cli._util import setup_gpu
from spacy.language import Language
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.training.loop import DIR_MODEL_BEST, train
from spacy.util import load_config, resolve_dot_names
from thinc.api import Config
from transformers.utils.logging import get_logger

from spacy_tabcnn.evaluation.scoring import count_items, predict_examples, score_relations
from spacy_tabcnn.relations import get_relations

from .grid import ENCODER, Cell, find_encoder, make_overrides
from .results import MEASURES
from .study import Outcome


@dataclass
class SpacyTrain:
    """Trains a cell as `spacy train` does, and scores its best model on the development corpus.

    systems (Mapping[str, Path]): The config of each system.
    overrides (Mapping[str, Any]): What all cells change in them, by dotted name.
    output (Path): Folder for the log of each cell, and for its models while it trains.
    cache_mb (int): Megabytes for the output of a frozen encoder.
    keep (bool): Keep the models, in a folder with the name of the cell.
    gpu_id (int): The GPU, or -1 for the CPU.
    n_workers (int): Number of processes that share the cores of this machine.
    """

    systems: Mapping[str, Path]
    overrides: Mapping[str, Any] = field(default_factory=dict)
    output: Path = Path("training/study")
    cache_mb: int = 0
    keep: bool = False
    gpu_id: int = -1
    n_workers: int = 1

    def __call__(self, cell: Cell, chosen: Mapping[str, Any]) -> Outcome:
        """Train and score.

        cell (Cell): The cell.
        chosen (Mapping[str, Any]): Further overrides, by a sampler.
        RETURNS (Outcome): The scores.
        """
        setup_gpu(self.gpu_id, silent=True)
        threads = torch.get_num_threads()
        torch.set_num_threads(max(1, threads // self.n_workers))
        self.output.mkdir(parents=True, exist_ok=True)
        for leftover in self.output.glob(f"{cell.name}-*"):
            shutil.rmtree(leftover)  # its worker was killed
        folder = Path(tempfile.mkdtemp(prefix=f"{cell.name}-", dir=self.output))
        try:
            with (
                (self.output / f"{cell.name}.log").open("w", encoding="utf-8") as log,
                _redirect_messages(log),
            ):
                nlp = init_nlp(self.make_config(cell, chosen), use_gpu=self.gpu_id)
                train(nlp, folder, use_gpu=self.gpu_id, stdout=log, stderr=io.StringIO())
                outcome = score(spacy.load(folder / DIR_MODEL_BEST))
            if self.keep:
                shutil.rmtree(self.output / cell.name, ignore_errors=True)
                folder.rename(self.output / cell.name)
            return outcome
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            torch.set_num_threads(threads)

    def make_config(self, cell: Cell, chosen: Mapping[str, Any]) -> Config:
        """RETURNS (Config): The config that a cell is trained with."""
        path = self.systems[cell.system]
        config = load_config(path, overrides=dict(self.overrides))
        own = make_overrides(config, cell, cache_mb=self.cache_mb)
        return load_config(path, overrides={**self.overrides, **own, **chosen}, interpolate=False)


@contextmanager
def _redirect_messages(log: TextIO) -> Iterator[None]:
    """Write warnings, and what transformers says, to a file. It names all weights that a truncated encoder leaves."""
    handlers: list[logging.Handler] = [logging.StreamHandler(log)]
    # The first call of transformers' own function sets its logger up.
    loggers = {
        logger: logger.handlers
        for logger in (get_logger("transformers"), logging.getLogger("py.warnings"))
    }
    for logger in loggers:
        logger.handlers = handlers
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        for logger, old in loggers.items():
            logger.handlers = old


def score(nlp: Language) -> Outcome:
    """Score a trained pipeline on the development corpus of its config.

    nlp (Language): The pipeline.
    RETURNS (Outcome): The F1 of entities and relations, and the counts of each sentence.
    RAISES (ValueError): If the corpus is not annotated with both.
    """
    examples = predict_examples(nlp, read_corpus(nlp, nlp.config.interpolate(), "dev_corpus"))
    found = score_relations(examples)
    scores = {}
    for prefix in MEASURES.values():
        if found.get(f"{prefix}_f") is None:
            raise ValueError(
                f"the development corpus has no {prefix}_f: it must be annotated with what is predicted"
            )
        scores[f"{prefix}_f"] = float(found[f"{prefix}_f"])
    counts = [count_items(eg) for eg in examples]
    return Outcome(
        scores, {prefix: [list(count[prefix]) for count in counts] for prefix in MEASURES.values()}
    )


def read_corpus(nlp: Language, config: Config, name: str) -> list[Example]:
    """Read a corpus of a config.

    nlp (Language): Gives the vocabulary.
    config (Config): The config.
    name (str): "train_corpus" or "dev_corpus".
    RETURNS (list[Example]): Its examples.
    """
    (reader,) = resolve_dot_names(config, [config["training"][name]])
    return list(reader(nlp))


def describe(
    systems: Mapping[str, Path], overrides: Mapping[str, Any], *, corpus: str
) -> dict[str, Any]:
    """Describe what the scores of a study come from, for its report and to tell it from other studies.

    systems (Mapping[str, Path]): The config of each system.
    overrides (Mapping[str, Any]): What all cells change in them.
    corpus (str): The name of the corpus.
    RETURNS (dict[str, Any]): "systems": the text of each config, without paths; "encoder": its name, or None;
        "corpus": its "name", and for "train" and "dev" the number of "sentences", of "entity_types" and of
        "relation_types".
    RAISES (OSError): If there is no such config.
    RAISES (ValueError): If the systems read different encoders, or a corpus cannot be read.
    """
    texts: dict[str, str] = {}
    encoders: dict[str, str | None] = {}
    for name, path in systems.items():
        config = load_config(path, overrides=dict(overrides), interpolate=True)
        if ENCODER in config["components"]:
            encoders[name] = Path(find_encoder(config, name)["name"]).name
        else:
            encoders[name] = None
        text = load_config(path, overrides=dict(overrides), interpolate=False)
        text.pop("paths", None)  # they differ from machine to machine
        texts[name] = text.to_str(interpolate=False)
    if len(set(encoders.values())) != 1:
        raise ValueError(
            f"the systems read different encoders: {encoders}. Name one with --paths.encoder"
        )
    nlp = spacy.blank(config["nlp"]["lang"])
    return {
        "systems": texts,
        "encoder": next(iter(encoders.values())),
        "corpus": {
            "name": corpus,
            "train": _count(read_corpus(nlp, config, "train_corpus")),
            "dev": _count(read_corpus(nlp, config, "dev_corpus")),
        },
    }


def _count(examples: list[Example]) -> dict[str, int]:
    docs = [eg.reference for eg in examples]
    return {
        "sentences": len(docs),
        "entity_types": len({ent.label_ for doc in docs for ent in doc.ents}),
        "relation_types": len({relation.label for doc in docs for relation in get_relations(doc)}),
    }


def count_layers(config: Config, system: str) -> int:
    """Count the layers of the encoder of a config, without those that the config cuts.

    config (Config): The interpolated config.
    system (str): The name of its system.
    RETURNS (int): The number of layers.
    RAISES (OSError): If there is no such encoder.
    RAISES (ValueError): If the config has none.
    """
    from transformers import AutoConfig  # slow to load

    return int(AutoConfig.from_pretrained(find_encoder(config, system)["name"]).num_hidden_layers)
