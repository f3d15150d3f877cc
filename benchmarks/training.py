"""Speed of training, against the same training with the dense reference as its head."""

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
from spacy.tokens import Doc
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
    SAMPLE_TRAIN,
    UNCASED_CONFIG,
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
    switch_cache_off,
)

# The arguments that the dense reference shares with the head.
_HEAD_ARGUMENTS = ("kernel_size", "hidden", "dropout")

Reader = Callable[[Language], Iterable[Example]]
# Makes batches, lists of examples. spaCy's own functions annotate the result as examples.
Batcher = Callable[[Iterable[Example]], Iterable]


class Trainee(NamedTuple):
    """A pipeline in training.

    nlp (Language): The initialised pipeline.
    optimizer (Optimizer): The optimiser of its config.
    batcher (Batcher): The batcher of its config.
    dropout (float): The dropout rate of its config.
    use_bfloat16 (bool): Whether it computes matrix products in bfloat16.
    """

    nlp: Language
    optimizer: Optimizer
    batcher: Batcher
    dropout: float
    use_bfloat16: bool


class Sizes(NamedTuple):
    """The numbers of training steps.

    steps (int): Steps of a round, over the sample.
    epoch_steps (int): Steps of an epoch, over the whole corpus.
    """

    steps: int
    epoch_steps: int


def with_dense_head(config: Config) -> Config:
    """Replace the table head of a pipeline by the dense reference.

    config (Config): The config of a pipeline.
    RETURNS (Config): A copy of the config with the other head.
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
        "no component of the config has the head 'spacy-tabcnn.TableCNN.v1', "
        "which the benchmark replaces"
    )


def make_trainee(config: Config, *, use_bfloat16: bool = False) -> Trainee:
    """Initialise a pipeline and its optimiser. A frozen encoder keeps no output.

    config (Config): The config.
    use_bfloat16 (bool): Whether to compute matrix products in bfloat16.
    RETURNS (Trainee): The pipeline with its training settings, for `train_epoch`.
    """
    nlp = init_nlp(config)
    switch_cache_off(nlp)
    training = registry.resolve(nlp.config.interpolate()["training"], schema=ConfigSchemaTraining)
    return Trainee(
        nlp, training["optimizer"], training["batcher"], training["dropout"], use_bfloat16
    )


def make_trainees(config: Config, *, with_bfloat16: bool) -> dict[str, Trainee]:
    """Initialise the pipelines to compare.

    config (Config): The config of the pipeline with the table head.
    with_bfloat16 (bool): Whether to add the same pipeline in mixed precision.
    RETURNS (dict[str, Trainee]): The pipelines by the names of their heads.
    """
    trainees = {"dense": make_trainee(with_dense_head(config)), "head": make_trainee(config)}
    if with_bfloat16:
        trainees["bfloat16"] = make_trainee(config, use_bfloat16=True)
    return trainees


def train_epoch(trainee: Trainee, reader: Reader, seed: int) -> int:
    """Read a corpus and train on it for one epoch, as `spacy train` does.

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


def count_steps(nlp: Language, batcher: Batcher, docs: list[Doc]) -> int:
    """Count the batches of an epoch.

    nlp (Language): The pipeline, for its tokeniser.
    batcher (Batcher): Makes batches of examples.
    docs (list[Doc]): The documents of the corpus.
    RETURNS (int): The number of batches.
    """
    examples = [Example(nlp.make_doc(doc.text), doc) for doc in docs]
    return len(list(batcher(examples)))


def speed_rows(seconds: dict[str, list[float]], sizes: Sizes) -> list[Row]:
    """Tabulate the speed of each pipeline.

    seconds (dict[str, list[float]]): Seconds of each round by pipeline.
    sizes (Sizes): The numbers of steps.
    RETURNS (list[Row]): A row for each pipeline.
    """
    rows: list[Row] = []
    for name, spent in seconds.items():
        step = statistics.median(spent) / sizes.steps
        rows.append({"head": name, "seconds/step": step, "seconds/epoch": step * sizes.epoch_steps})
    return rows


def part_rows(parts: dict[str, dict[str, float]], n_steps: int) -> list[Row]:
    """Tabulate the parts of a step, the longest part of the pipeline "head" first.

    parts (dict[str, dict[str, float]]): Seconds by part, by pipeline.
    n_steps (int): Number of steps that the seconds cover.
    RETURNS (list[Row]): A row for each part.
    """
    by_part = parts["head"]
    total = sum(by_part.values())
    rows: list[Row] = []
    for part in sorted(by_part, key=by_part.__getitem__, reverse=True):
        spent = by_part[part]
        row: Row = {
            "part": part,
            "head_ms/step": 1000 * spent / n_steps,
            "head_percent": 100 * spent / total,
        }
        for name, others in parts.items():
            if name != "head":
                row[f"{name}_ms/step"] = 1000 * others.get(part, 0.0) / n_steps
        rows.append(row)
    return rows


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
    trainees = make_trainees(config, with_bfloat16=with_bfloat16)
    sample = random.Random(seed).sample(docs, min(sentences, len(docs)))
    contenders: dict[str, Callable[[], int]] = {}
    parts: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        write_docbin(Path(folder, "sample.spacy"), sample)
        reader = RelationCorpus(Path(folder, "sample.spacy"))
        for name, trainee in trainees.items():
            contenders[name] = partial(train_epoch, trainee, reader, seed)
        seconds = interleave(contenders, repeats=repeats)
        for name, trainee in trainees.items():
            parts[name] = profile_epoch(trainee, reader, seed)
    nlp, batcher = trainees["head"].nlp, trainees["head"].batcher
    sizes = Sizes(count_steps(nlp, batcher, sample), count_steps(nlp, batcher, docs))
    tables = {
        "Training": speed_rows(seconds, sizes),
        "Parts of one profiled epoch of the sample": part_rows(parts, sizes.steps),
    }
    head = find_component(nlp).model.get_ref("head").name
    settings = {
        "data": describe_corpus(train, docs),
        "encoder": describe_encoder(nlp),
        "head": f"{head}; dense: a Conv2d stack over padded tables",
        "sample": f"{len(sample)} documents, {sizes.steps} steps a round",
        "epoch": f"{sizes.epoch_steps} steps",
        "seed": seed,
    }
    return Report(settings, make_headline(seconds, sizes), tables)


def make_headline(seconds: dict[str, list[float]], sizes: Sizes) -> Row:
    """Compute the figures to quote.

    seconds (dict[str, list[float]]): Seconds of each round by pipeline.
    sizes (Sizes): The numbers of steps.
    RETURNS (Row): The seconds of a step, and the ratios between the pipelines.
    """
    headline = {
        "seconds/step": statistics.median(seconds["head"]) / sizes.steps,
        "dense/head, seconds/step": median_ratio(seconds["dense"], seconds["head"]),
    }
    if "bfloat16" in seconds:
        headline["head/bfloat16, seconds/step"] = median_ratio(seconds["head"], seconds["bfloat16"])
    return headline


def training_cli(
    *,
    config: ConfigOption = UNCASED_CONFIG,
    encoder: EncoderOption = MINILM,
    train: TrainOption = SAMPLE_TRAIN,
    output: OutputOption = None,
    repeats: RepeatsOption = 5,
    sentences: Annotated[
        int, typer.Option("--sentences", min=1, help="Number of documents that a round trains on")
    ] = 80,
    seed: SeedOption = 0,
    with_bfloat16: MixedPrecisionOption = False,
) -> None:
    """
    Seconds per training step and its parts, against the same step with a dense head (Conv2d).
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
