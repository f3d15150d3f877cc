"""All systems with one encoder: training steps, `nlp.pipe` and memory, against the bare encoder."""

import statistics
from collections.abc import Callable, Mapping
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated

import torch
import typer
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.vocab import Vocab
from thinc.api import Config

from spacy_tabcnn.documents import copy_words
from spacy_tabcnn.relations import get_relations, set_relations

from .common import (
    MemoryOption,
    OutputOption,
    RepeatsOption,
    Report,
    Row,
    SeedOption,
    added_memory,
    failures_named,
    in_fresh_process,
    interleave,
    median_ratio,
    publish,
    to_mebibytes,
)
from .head import BATCH_SIZE
from .pipeline import consume, copy_plain
from .pipelines import (
    MINILM,
    SAMPLE_TRAIN,
    EncoderOption,
    TrainOption,
    count_words,
    describe_corpus,
    describe_encoder,
    read_config,
    read_corpus,
    sample_batches,
)
from .reference import find_encoder, make_reference, recorded
from .training import Trainee, make_trainee

LENGTHS = [30, 60, 120]
# The systems of the paper's table 1, with the hyper-parameters of their authors.
SYSTEMS = {
    "TabERT-CNN": "conll04.cfg",
    "TabERT": "conll04_tabert.cfg",
    "SpERT": "conll04_spert.cfg",
    "PFN": "conll04_pfn.cfg",
    "Table-Sequence": "conll04_table_sequence.cfg",
}
_CONFIGS = Path("configs")
# Steps until the optimiser has its state and the averages of the weights.
_N_WARM_UP = 3


def list_configs(given: list[str] | None) -> dict[str, Path]:
    """List the configs of the systems.

    given (list[str] | None): "NAME=CONFIG" for each system; None for the shipped ones.
    RETURNS (dict[str, Path]): Configs by the name of the system.
    RAISES (ValueError): If a text has another form.
    """
    if not given:
        return {name: _CONFIGS / config for name, config in SYSTEMS.items()}
    configs: dict[str, Path] = {}
    for text in given:
        name, separator, config = text.partition("=")
        if not name or not separator or not config:
            raise ValueError(f"--system {text}: expected NAME=CONFIG")
        configs[name] = Path(config)
    return configs


def with_constant_rates(config: Config) -> Config:
    """Replace schedules of learning rates by their maximum.

    The warm-up of a training of many epochs is longer than the benchmark, which would predict with
    nearly untrained pipelines.

    config (Config): The config of a pipeline.
    RETURNS (Config): A copy of the config with constant rates. A schedule without a `rate` stays.
    """
    config = config.copy()
    optimizer = config["training"]["optimizer"]
    for name in ("learn_rate", "head_learn_rate"):
        schedule = optimizer.get(name)
        if isinstance(schedule, dict) and "rate" in schedule:
            optimizer[name] = schedule["rate"]
    return config


def make_system(config: Path, encoder: str, train: Path) -> Trainee:
    """Initialise the pipeline of a system, to be trained at constant rates.

    config (Path): The config of the system.
    encoder (str): Folder or name of the encoder.
    train (Path): The training corpus, which gives the labels.
    RETURNS (Trainee): The pipeline with its training settings.
    """
    loaded = read_config(config, encoder=encoder, train=train).interpolate()
    return make_trainee(with_constant_rates(loaded))


def copy_sentences(nlp: Language, docs: list[Doc]) -> list[Doc]:
    """Make documents of the gold words and the gold sentences alone.

    A `senter` of a few steps would cut sentences at random. It leaves boundaries that are set.

    nlp (Language): Gives the vocabulary.
    docs (list[Doc]): Annotated documents. Without boundaries they are one sentence each.
    RETURNS (list[Doc]): Documents of the same words and sentences, without other annotation.
    """
    return [copy_words(doc, nlp.vocab, sentences=True) for doc in docs]


def train_batches(trainee: Trainee, batches: list[list[Doc]]) -> None:
    """Train on batches of annotated documents, a step for each.

    trainee (Trainee): The initialised pipeline, with its optimiser and its dropout rate.
    batches (list[list[Doc]]): The batches.
    """
    for batch in batches:
        examples = list(map(Example, copy_sentences(trainee.nlp, batch), batch))
        trainee.nlp.update(examples, sgd=trainee.optimizer, drop=trainee.dropout)
        trainee.optimizer.step_schedules()


def compare_with_encoder(
    run: Callable[[], object], encoder: torch.nn.Module, *, trains: bool, repeats: int
) -> tuple[float, float]:
    """Time a function that calls an encoder, against the bare encoder on the same padded batches.

    run (Callable): The function.
    encoder (Module): The encoder of a pipeline.
    trains (bool): Whether the bare encoder runs its backward pass, too.
    repeats (int): Number of rounds.
    RETURNS (tuple[float, float]): Seconds of the function, and its time relative to the encoder.
    """
    with recorded(encoder) as batches:
        run()
    plain = copy_plain(encoder)
    bare = make_reference(plain, batches, use_bfloat16=False, trains=trains, gpu_id=-1)
    seconds = interleave({"run": run, "bare": bare}, repeats=repeats)
    return statistics.median(seconds["run"]), median_ratio(seconds["run"], seconds["bare"])


def measure_system(
    config: Path, encoder: str, train: Path, batches: list[list[Doc]], *, repeats: int
) -> tuple[Row, str]:
    """Time a system's training steps and its predictions.

    config (Path): Its config.
    encoder (str): Folder or name of the encoder.
    train (Path): The training corpus, which gives the labels.
    batches (list[list[Doc]]): Batches of annotated documents.
    repeats (int): Number of rounds.
    RETURNS (tuple[Row, str]): The figures, and a description of the encoder.
    """
    trainee = make_system(config, encoder, train)
    nlp = trainee.nlp
    module = find_encoder(nlp)
    docs = [doc for batch in batches for doc in batch]

    def predict() -> None:
        consume(nlp, copy_sentences(nlp, docs))

    # Training first: without it, some systems predict nearly every span and pair.
    steps = partial(train_batches, trainee, batches)
    step, step_ratio = compare_with_encoder(steps, module, trains=True, repeats=repeats)
    pipe, pipe_ratio = compare_with_encoder(predict, module, trains=False, repeats=repeats)
    row: Row = {
        "step, ms": 1000 * step / len(batches),
        "step/encoder": step_ratio,
        "pipe, words/s": count_words(docs) / pipe,
        "pipe/encoder": pipe_ratio,
        "predicted": count_predicted(nlp, docs),
    }
    return row, describe_encoder(nlp)


def count_predicted(nlp: Language, docs: list[Doc]) -> int:
    """Count the entities and relations that a pipeline predicts.

    nlp (Language): The pipeline.
    docs (list[Doc]): The documents; their annotation is not used.
    RETURNS (int): The number of entities and relations.
    """
    n_predicted = 0
    for doc in nlp.pipe(copy_sentences(nlp, docs)):
        n_predicted += len(doc.ents) + len(get_relations(doc))
    return n_predicted


def make_sentence(vocab: Vocab, docs: list[Doc], n_words: int) -> Doc:
    """Make a sentence of the words of a corpus, without entities.

    vocab (Vocab): The vocabulary of the pipeline.
    docs (list[Doc]): The documents, whose words are repeated if there are too few.
    n_words (int): The number of words.
    RETURNS (Doc): The sentence. It is annotated: it has no entities and no relations.
    """
    words = [token.text for doc in docs for token in doc]
    doc = Doc(vocab, words=list(islice(cycle(words), n_words)))
    doc.set_ents([])
    set_relations(doc, [])
    return doc


def measure_peak(config: Path, encoder: str, train: Path, n_words: int) -> int | None:
    """Measure the peak memory of a training step; to be called in a fresh process.

    config (Path): The config of the system.
    encoder (str): Folder or name of the encoder.
    train (Path): The training corpus.
    n_words (int): The number of words of the step's only sentence.
    RETURNS (int | None): Bytes above the memory before the step, which holds weights, gradients and
        the state of the optimiser. The encoder's share is included. None if the system is not
        Linux.
    """
    trainee = make_system(config, encoder, train)
    docs = read_corpus(train)
    step = partial(train_batches, trainee)
    for _ in range(_N_WARM_UP):
        step([[make_sentence(trainee.nlp.vocab, docs, 2)]])
    return added_memory(partial(step, [[make_sentence(trainee.nlp.vocab, docs, n_words)]]))


def benchmark_systems(
    configs: Mapping[str, Path],
    train: Path,
    *,
    encoder: str,
    lengths: list[int],
    batches: int,
    repeats: int,
    seed: int,
    memory: bool,
) -> Report:
    """Compare systems with one encoder.

    configs (Mapping[str, Path]): Their configs by name.
    train (Path): The corpus to train on.
    encoder (str): Folder or name of the encoder.
    lengths (list[int]): Words of the sentences whose memory is measured.
    batches (int): Number of batches that a round trains on.
    repeats (int): Number of rounds.
    seed (int): Determines the choice of sentences. The configs determine the weights.
    memory (bool): Whether to measure memory too.
    RETURNS (Report): The result.
    """
    docs = read_corpus(train)
    sampled = sample_batches(docs, batches, BATCH_SIZE, seed)
    rows: list[Row] = []
    peaks: list[Row] = []
    headline: Row = {}
    described = ""
    for name, config in configs.items():
        figures, described = measure_system(config, encoder, train, sampled, repeats=repeats)
        rows.append({"system": name, **figures})
        headline[f"{name}, step/encoder"] = figures["step/encoder"]
        headline[f"{name}, pipe/encoder"] = figures["pipe/encoder"]
        if memory:
            row: Row = {"system": name}
            for n_words in lengths:
                peak = in_fresh_process(measure_peak, config, encoder, train, n_words)
                row[f"n = {n_words}, MiB"] = to_mebibytes(peak)
            peaks.append(row)
    settings = {
        "data": describe_corpus(train, docs),
        "encoder": described,
        "batches": f"{len(sampled)} of {BATCH_SIZE} sentences",
        "seed": seed,
    }
    tables = {"Time, against the bare encoder on the same batches": rows}
    if memory:
        tables["Peak memory of a training step of one sentence"] = peaks
    return Report(settings, headline, tables)


def systems_cli(
    *,
    system: Annotated[
        list[str] | None,
        typer.Option("--system", help="NAME=CONFIG; repeatable. By default all systems"),
    ] = None,
    encoder: EncoderOption = MINILM,
    train: TrainOption = SAMPLE_TRAIN,
    output: OutputOption = None,
    repeats: RepeatsOption = 3,
    lengths: Annotated[
        list[int], typer.Option("--length", min=1, help="Words of a sentence, for the memory")
    ] = LENGTHS,
    batches: Annotated[
        int, typer.Option("--batches", min=1, help="Batches of 8 real sentences a round runs")
    ] = 5,
    seed: SeedOption = 0,
    memory: MemoryOption = True,
) -> None:
    """
    All systems with one encoder: training steps, predictions and memory.
    """
    with failures_named("systems"):
        report = benchmark_systems(
            list_configs(system),
            train,
            encoder=encoder,
            lengths=lengths,
            batches=batches,
            repeats=repeats,
            seed=seed,
            memory=memory,
        )
    publish("systems", report, output)


if __name__ == "__main__":
    typer.run(systems_cli)
