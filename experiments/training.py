"""Training and scoring a run of a study with spaCy."""

import hashlib
import io
import json
import logging
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TextIO

import spacy
import torch
from spacy.cli._util import setup_gpu
from spacy.language import Language
from spacy.schemas import ConfigSchemaInit, ConfigSchemaTraining
from spacy.training import Example
from spacy.training.loop import DIR_MODEL_BEST, DIR_MODEL_LAST
from spacy.util import load_config, load_model_from_config, registry, resolve_dot_names
from thinc.api import Config
from transformers.utils.logging import get_logger

from spacy_tabcnn.evaluation.scoring import count_items, predict_examples, score_relations
from spacy_tabcnn.files import replace_folder
from spacy_tabcnn.relations import doc_to_annotation, get_relations
from spacy_tabcnn.sentences import sentence_bounds
from spacy_tabcnn.training.loop import train_or_go_on
from spacy_tabcnn.training.settings import check_names

from .grid import ENCODER, Overrides, Run, find_encoder, make_overrides
from .results import MEASURES, CorpusCounts, CountsByPrefix, RunScores, StudySettings

# The end of the name of the folder in which a run is trained. A run whose worker was killed goes on
# in it.
UNFINISHED = "-unfinished"


@dataclass
class SpacyTrain:
    """Trains a run as `spacy train` does, and scores its best model on the development corpus.

    systems (Mapping[str, Path]): The config of each system.
    overrides (Mapping[str, object]): The settings that all runs change in them, by dotted name.
    output (Path): Folder for the log of each run, and for its models during training.
    cache_mb (int): Megabytes for the output of a frozen encoder.
    keep (bool): Keep the models, in a folder with the name of the run.
    gpu_id (int): The GPU of the first worker, or -1 for the CPU. Each further worker takes the next
        one, and after the last GPU the first one again.
    n_workers (int): Number of processes that share the cores of this machine.
    """

    systems: Mapping[str, Path]
    overrides: Mapping[str, object] = field(default_factory=dict)
    output: Path = Path("training/study")
    cache_mb: int = 0
    keep: bool = False
    gpu_id: int = -1
    n_workers: int = 1

    def for_worker(self, number: int) -> "SpacyTrain":
        """Return the same for a worker, on a GPU of its own if there are enough.

        number (int): Number of the worker, from 0 on.
        RETURNS (SpacyTrain): The same, with another `gpu_id`.
        """
        if self.gpu_id < 0:
            return self
        return replace(self, gpu_id=(self.gpu_id + number) % torch.cuda.device_count())

    def __call__(self, run: Run, chosen: Overrides) -> RunScores:
        """Train and score.

        run (Run): The run.
        chosen (Overrides): Further settings, which a sampler chose.
        RETURNS (RunScores): The scores.
        """
        setup_gpu(self.gpu_id, silent=True)
        self.output.mkdir(parents=True, exist_ok=True)
        folder = self.output / f"{run.name}{UNFINISHED}"
        for leftover in self.output.glob(f"{run.name}-*"):
            if leftover != folder:
                shutil.rmtree(leftover)  # its worker was killed
        try:
            return self._train_in(folder, run, chosen)
        except BlockingIOError:
            # Another worker still trains this run, though it seemed dead.
            other = Path(tempfile.mkdtemp(prefix=f"{run.name}-", dir=self.output))
            return self._train_in(other, run, chosen)

    def _train_in(self, folder: Path, run: Run, chosen: Overrides) -> RunScores:
        """Train in a folder, which is removed at the end, but not if the process is stopped."""
        try:
            with _share_cores(self.n_workers):
                outcome = self._train(run, chosen, folder)
            if self.keep:
                kept = self.output / run.name
                with replace_folder(kept) as new:
                    for name in (DIR_MODEL_BEST, DIR_MODEL_LAST):
                        (folder / name).rename(new / name)
        except BlockingIOError:
            raise
        except Exception:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        shutil.rmtree(folder, ignore_errors=True)
        return outcome

    def _train(self, run: Run, chosen: Overrides, folder: Path) -> RunScores:
        log_path = self.output / f"{run.name}.log"
        with log_path.open("w", encoding="utf-8") as log, _redirect_messages(log):
            config = self.make_config(run, chosen)
            train_or_go_on(config, folder, gpu_id=self.gpu_id, stdout=log, stderr=io.StringIO())
            return score(spacy.load(folder / DIR_MODEL_BEST))

    def make_config(self, run: Run, chosen: Overrides) -> Config:
        """Make the config that a run is trained with.

        run (Run): The run.
        chosen (Overrides): Further settings, which a sampler chose.
        RETURNS (Config): The config.
        """
        path = self.systems[run.system]
        config = load_config(path, overrides=dict(self.overrides))
        own = make_overrides(config, run, cache_mb=self.cache_mb)
        return load_config(path, overrides={**self.overrides, **own, **chosen}, interpolate=False)


def check_config(config: Config) -> None:
    """Check that spaCy can make a pipeline and a training of a config.

    config (Config): The config, with overrides.
    RAISES (ValueError): If a setting does not exist or has a value that cannot be used.
    """
    check_names(config)
    nlp = load_model_from_config(config.interpolate(), auto_fill=True)
    filled = nlp.config.interpolate()
    registry.resolve(filled["initialize"], schema=ConfigSchemaInit)
    registry.resolve(filled["training"], schema=ConfigSchemaTraining)


def check_gpu(gpu_id: int) -> None:
    """Check that a GPU exists.

    gpu_id (int): The GPU, or -1 for the CPU.
    RAISES (ValueError): If there is none of this number.
    """
    n_gpus = torch.cuda.device_count()
    if gpu_id >= n_gpus:
        raise ValueError(
            f"--gpu-id is {gpu_id}, and torch finds {n_gpus} GPUs here, from 0 on. Name one of "
            "them, or -1 for the CPU"
        )


@contextmanager
def _share_cores(n_workers: int) -> Iterator[None]:
    """Divide torch's threads between the processes on this machine."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(max(1, n_threads // n_workers))
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


@contextmanager
def _redirect_messages(log: TextIO) -> Iterator[None]:
    """Write warnings and the messages of transformers to a file. It names all weights that a
    truncated encoder leaves out."""
    # The first call of transformers' own function sets its logger up.
    loggers = [get_logger("transformers"), logging.getLogger("py.warnings")]
    old = [logger.handlers for logger in loggers]
    handlers: list[logging.Handler] = [logging.StreamHandler(log)]
    for logger in loggers:
        logger.handlers = handlers
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        for logger, its_handlers in zip(loggers, old, strict=True):
            logger.handlers = its_handlers


def score(nlp: Language) -> RunScores:
    """Score a trained pipeline on the development corpus of its config.

    nlp (Language): The pipeline.
    RETURNS (RunScores): The F1 of entities and relations, and the counts of each sentence.
    RAISES (ValueError): If the corpus is not annotated with both.
    """
    examples = predict_examples(nlp, read_corpus(nlp, nlp.config.interpolate(), "dev_corpus"))
    found = score_relations(examples)
    scores: dict[str, float] = {}
    counts: CountsByPrefix = {}
    for prefix in MEASURES.values():
        if found.get(f"{prefix}_f") is None:
            raise ValueError(
                f"the development corpus has no {prefix}_f: it must be annotated with entities and "
                "relations"
            )
        scores[f"{prefix}_f"] = float(found[f"{prefix}_f"])
        counts[prefix] = [list(count_items(eg)[prefix]) for eg in examples]
    return RunScores(scores, counts)


def read_corpus(nlp: Language, config: Config, name: str) -> list[Example]:
    """Read a corpus of a config.

    nlp (Language): The pipeline, for its vocabulary.
    config (Config): The config.
    name (str): "train_corpus" or "dev_corpus".
    RETURNS (list[Example]): Its examples.
    """
    (reader,) = resolve_dot_names(config, [config["training"][name]])
    return list(reader(nlp))


def describe(
    systems: Mapping[str, Path], overrides: Mapping[str, object], *, corpus: str
) -> StudySettings:
    """Describe the origin of a study's scores. It distinguishes the study from others.

    systems (Mapping[str, Path]): The config of each system.
    overrides (Mapping[str, object]): The settings that all runs change in them.
    corpus (str): The name of the corpus.
    RETURNS (StudySettings): The text of each config, without paths; the name of the encoder, or
        None; the name, sizes and contents of the corpus.
    RAISES (OSError): If there is no such config.
    RAISES (ValueError): If the systems read different encoders, or a corpus cannot be read.
    """
    texts: dict[str, str] = {}
    encoders: dict[str, str | None] = {}
    for name, path in systems.items():
        config = load_config(path, overrides=dict(overrides), interpolate=True)
        encoders[name] = _name_encoder(config, name)
        text = load_config(path, overrides=dict(overrides), interpolate=False)
        text.pop("paths", None)  # they differ from machine to machine
        texts[name] = text.to_str(interpolate=False)
    if len(set(encoders.values())) != 1:
        raise ValueError(
            f"the systems read different encoders: {encoders}. Name one with --paths.encoder"
        )
    nlp = spacy.blank(config["nlp"]["lang"])
    train = read_corpus(nlp, config, "train_corpus")
    dev = read_corpus(nlp, config, "dev_corpus")
    return {
        "systems": texts,
        "encoder": encoders[name],
        "corpus": {"name": corpus, "train": _count(train), "dev": _count(dev)},
        "contents": {"train": _compute_checksum(train), "dev": _compute_checksum(dev)},
    }


def _name_encoder(config: Config, system: str) -> str | None:
    """Return the name of the encoder of a config; None if the config has no encoder."""
    if ENCODER not in config["components"]:
        return None
    return Path(find_encoder(config, system)["name"]).name


def _count(examples: list[Example]) -> CorpusCounts:
    entity_types: set[str] = set()
    relation_types: set[str] = set()
    n_sentences = 0
    for eg in examples:
        n_sentences += len(sentence_bounds(eg.reference))
        entity_types.update(ent.label_ for ent in eg.reference.ents)
        relation_types.update(relation.label for relation in get_relations(eg.reference))
    return {
        "sentences": n_sentences,
        "entity_types": len(entity_types),
        "relation_types": len(relation_types),
    }


def _compute_checksum(examples: Iterable[Example]) -> str:
    """Compute a checksum of the words, entities and relations of a corpus, in any order. Files of
    one content may differ from machine to machine."""
    lines = []
    for eg in examples:
        words = [token.text for token in eg.reference]
        lines.append(json.dumps([words, doc_to_annotation(eg.reference)]))
    return hashlib.sha256("\n".join(sorted(lines)).encode("utf-8")).hexdigest()


def count_layers(config: Config, system: str) -> int:
    """Count the layers of the encoder of a config, before the config cuts any.

    config (Config): The interpolated config.
    system (str): The name of its system.
    RETURNS (int): The number of layers.
    RAISES (OSError): If there is no such encoder.
    RAISES (ValueError): If the config has none.
    """
    from transformers import AutoConfig  # slow to load

    return int(AutoConfig.from_pretrained(find_encoder(config, system)["name"]).num_hidden_layers)
