"""Speed of training, against the same training with the head computed as it is written."""

import random
import statistics
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from spacy import registry
from spacy.language import Language
from spacy.schemas import ConfigSchemaTraining
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.training.loop import create_train_batches
from thinc.api import Config, Optimizer

from spacy_tabcnn.corpora.docbin import write_docbin
from spacy_tabcnn.corpora.reader import RelationCorpus

from .common import (
    OutputOption,
    RepeatsOption,
    Report,
    Row,
    SeedOption,
    failures_named,
    interleave,
    median_ratio,
    publish,
)
from .dense import DENSE_TABLE_CNN
from .parts import profiled
from .pipelines import (
    MINILM,
    MINILM_CONFIG,
    SAMPLE_TRAIN,
    ConfigOption,
    EncoderOption,
    MixedPrecisionOption,
    TrainOption,
    describe_corpus,
    describe_encoder,
    find_component,
    mixed_precision,
    read_config,
    read_corpus,
)

# The arguments that the reference shares with the head.
_HEAD_ARGUMENTS = ("kernel_size", "hidden", "dropout")

Reader = Callable[[Language], Iterable[Example]]


class Trainee(NamedTuple):
    """A pipeline in training.

    nlp (Language): The initialised pipeline.
    optimizer (Optimizer): That of its config.
    batcher (Callable): That of its config.
    dropout (float): That of its config.
    use_bfloat16 (bool): Whether it computes matrix products in bfloat16.
    """

    nlp: Language
    optimizer: Optimizer
    batcher: Callable
    dropout: float
    use_bfloat16: bool


def with_dense_head(config: Config) -> Config:
    """Put the reference in the place of the table head.

    config (Config): The config of a pipeline.
    RETURNS (Config): The same, but for the head.
    RAISES (ValueError): If no component has the head `spacy-tabcnn.TableCNN.v1`.
    """
    config = config.copy()
    for component in config["components"].values():
        model = component.get("model", {})
        head = model.get("head", {})
        if head.get("@architectures") == "spacy-tabcnn.TableCNN.v1":
            arguments = {name: head[name] for name in _HEAD_ARGUMENTS if name in head}
            model["head"] = {"@architectures": DENSE_TABLE_CNN, **arguments}
            return config
    raise ValueError(
        "no component of the config has the head 'spacy-tabcnn.TableCNN.v1', which the benchmark replaces"
    )


def make_trainee(config: Config, *, use_bfloat16: bool = False) -> Trainee:
    """Initialise a pipeline and its optimiser.

    config (Config): The config.
    use_bfloat16 (bool): Whether to compute matrix products in bfloat16.
    RETURNS (Trainee): What `train_epoch` needs.
    """
    nlp = init_nlp(config)
    training = registry.resolve(nlp.config.interpolate()["training"], schema=ConfigSchemaTraining)
    return Trainee(
        nlp, training["optimizer"], training["batcher"], training["dropout"], use_bfloat16
    )


def train_epoch(trainee: Trainee, reader: Reader, seed: int) -> int:
    """Read a corpus and train on it once, as `spacy train` does.

    trainee (Trainee): The pipeline.
    reader (Callable[[Language], Iterable[Example]]): Reads the corpus.
    seed (int): Determines the order of the examples.
    RETURNS (int): The number of steps.
    """
    random.seed(seed)
    n_steps = 0
    with mixed_precision(trainee.nlp, trainee.use_bfloat16):
        for _, batch in create_train_batches(trainee.nlp, reader, trainee.batcher, max_epochs=1):
            trainee.nlp.update(batch, drop=trainee.dropout, sgd=trainee.optimizer)
            trainee.optimizer.step_schedules()
            n_steps += 1
    return n_steps


def profile_epoch(trainee: Trainee, reader: Reader, seed: int) -> dict[str, float]:
    """Split the time of `train_epoch` among its parts.

    trainee (Trainee): The pipeline.
    reader (Callable[[Language], Iterable[Example]]): Reads the corpus.
    seed (int): Determines the order of the examples.
    RETURNS (dict[str, float]): Seconds by part.
    """

    with profiled(trainee.nlp, trainee.optimizer) as timer:

        def read(nlp: Language) -> list[Example]:
            with timer.part("data"):
                return list(reader(nlp))

        train_epoch(trainee, read, seed)
    return timer.seconds


def benchmark_training(
    config: Config,
    train: Path,
    *,
    sentences: int,
    repeats: int,
    seed: int,
    with_bfloat16: bool = False,
) -> Report:
    """Time epochs over a sample of the corpus with each head, in float32.

    config (Config): The config of the pipeline.
    train (Path): The corpus.
    sentences (int): Size of the sample.
    repeats (int): Number of rounds.
    seed (int): Determines the sample and the order of its examples.
    with_bfloat16 (bool): Whether to time the head in mixed precision too.
    RETURNS (Report): The result.
    """
    docs = read_corpus(train)
    trainees = {"dense": make_trainee(with_dense_head(config)), "head": make_trainee(config)}
    if with_bfloat16:
        trainees["bfloat16"] = make_trainee(config, use_bfloat16=True)
    sample = random.Random(seed).sample(docs, min(sentences, len(docs)))
    with tempfile.TemporaryDirectory() as folder:
        write_docbin(Path(folder, "sample.spacy"), sample)
        reader = RelationCorpus(Path(folder, "sample.spacy"))
        contenders = {
            name: partial(train_epoch, trainee, reader, seed) for name, trainee in trainees.items()
        }
        seconds = interleave(contenders, repeats=repeats)
        parts = {name: profile_epoch(trainee, reader, seed) for name, trainee in trainees.items()}
    nlp, batcher = trainees["head"].nlp, trainees["head"].batcher
    n_steps = count_steps(nlp, batcher, sample)
    n_epoch_steps = count_steps(nlp, batcher, docs)

    rows: list[Row] = []
    for name, spent in seconds.items():
        step = statistics.median(spent) / n_steps
        rows.append({"head": name, "seconds/step": step, "seconds/epoch": step * n_epoch_steps})
    total = sum(parts["head"].values())
    part_rows: list[Row] = [
        {
            "part": part,
            "head_ms/step": 1000 * spent / n_steps,
            "head_percent": 100 * spent / total,
            **{
                f"{name}_ms/step": 1000 * spent_by_part.get(part, 0.0) / n_steps
                for name, spent_by_part in parts.items()
                if name != "head"
            },
        }
        for part, spent in sorted(parts["head"].items(), key=lambda item: -item[1])
    ]
    settings = {
        "data": describe_corpus(train, docs),
        "encoder": describe_encoder(nlp),
        "head": f"{find_component(nlp).model.get_ref('head').name}; dense: a Conv2d stack over padded tables",
        "sample": f"{len(sample)} documents, {n_steps} steps a round",
        "epoch": f"{n_epoch_steps} steps",
        "seed": seed,
    }
    ratio = median_ratio(seconds["dense"], seconds["head"])
    headline = {"seconds/step": rows[1]["seconds/step"], "dense/head, seconds/step": ratio}
    if with_bfloat16:
        headline["head/bfloat16, seconds/step"] = median_ratio(seconds["head"], seconds["bfloat16"])
    return Report(
        settings,
        headline,
        {"Training": rows, "Parts of one profiled epoch of the sample": part_rows},
    )


def count_steps(nlp: Language, batcher: Callable, docs: list) -> int:
    """Count the batches of an epoch.

    nlp (Language): Gives the vocabulary.
    batcher (Callable): Makes batches of examples.
    docs (list[Doc]): The documents of the corpus.
    RETURNS (int): The number of batches.
    """
    return sum(1 for _ in batcher([Example(nlp.make_doc(doc.text), doc) for doc in docs]))


def training_cli(
    *,
    config: ConfigOption = MINILM_CONFIG,
    encoder: EncoderOption = MINILM,
    train: TrainOption = SAMPLE_TRAIN,
    output: OutputOption = None,
    repeats: RepeatsOption = 5,
    sentences: Annotated[
        int, typer.Option("--sentences", min=1, help="Documents that a round trains on")
    ] = 80,
    seed: SeedOption = 0,
    with_bfloat16: MixedPrecisionOption = False,
) -> None:
    """
    Seconds per training step and its parts, against the same step with a plain Conv2d stack as head.
    """
    with failures_named("training"):
        report = benchmark_training(
            read_config(config, encoder=encoder, train=train),
            train,
            sentences=sentences,
            repeats=repeats,
            seed=seed,
            with_bfloat16=with_bfloat16,
        )
    settings = {"config": str(config), **report.settings}
    publish("training", report._replace(settings=settings), output)


if __name__ == "__main__":
    typer.run(training_cli)
