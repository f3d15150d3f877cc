"""All table heads on the same inputs: time and memory."""

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
import typer
from torch import nn

from spacy_tabcnn.heads import TableBiaffine, TableCNN, TableSequence
from spacy_tabcnn.labels import tag_rules

from .common import (
    BatchesOption,
    MaxSecondsOption,
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
from .head import BATCH_SIZE, Sizes, make_inputs, make_pass
from .pipelines import SAMPLE_TRAIN, DataOption, describe_corpus, read_corpus, sample_batches

LENGTHS = [30, 60, 120]
# The head to which the times of the others are compared.
REFERENCE = "TableCNN"


def _make_cnn(sizes: Sizes) -> nn.Module:
    return TableCNN(*sizes)


def _make_biaffine(sizes: Sizes) -> nn.Module:
    return TableBiaffine(sizes.width, sizes.n_relations, tag_rules(sizes.n_tags))


def _make_sequence(sizes: Sizes) -> nn.Module:
    return TableSequence(*sizes)


# With the sizes of the shipped configs.
HEADS: dict[str, Callable[[Sizes], nn.Module]] = {
    REFERENCE: _make_cnn,
    "TableBiaffine": _make_biaffine,
    "TableSequence": _make_sequence,
}


class Input(NamedTuple):
    """An input of the heads.

    title (str): Name of the input.
    batches (list[list[int]]): Lengths of the sentences of each batch.
    """

    title: str
    batches: list[list[int]]


def make_head(name: str, sizes: Sizes, seed: int) -> nn.Module:
    """Build a head with random weights.

    name (str): Name of the head in `HEADS`.
    sizes (Sizes): Width and numbers of labels.
    seed (int): Seed of the weights.
    RETURNS (Module): The head.
    """
    torch.manual_seed(seed)
    return HEADS[name](sizes)


def measure_input(
    given: Input, sizes: Sizes, *, repeats: int, max_seconds: float, seed: int, memory: bool
) -> list[Row]:
    """Compare the heads on an input.

    given (Input): The input.
    sizes (Sizes): Width and numbers of labels.
    repeats (int): Number of rounds.
    max_seconds (float): The time after which no further round starts.
    seed (int): Seed of the weights and of the embeddings.
    memory (bool): Whether to measure memory too, each time in a process of its own.
    RETURNS (list[Row]): A row for each head and pass: forward, and forward and backward.
    """
    inputs = make_inputs(given.batches, sizes.width, seed)
    rows: list[Row] = []
    for mode, backward in (("forward", False), ("forward + backward", True)):
        passes = {}
        for name in HEADS:
            passes[name] = make_pass(make_head(name, sizes, seed), inputs, backward=backward)
        seconds = interleave(passes, repeats=repeats, max_seconds=max_seconds)
        for name in HEADS:
            row: Row = {
                "input": given.title,
                "pass": mode,
                "head": name,
                "ms": 1000 * statistics.median(seconds[name]) / len(inputs),
                f"time/{REFERENCE}": median_ratio(seconds[name], seconds[REFERENCE]),
                "rounds": len(seconds[name]),
            }
            if memory:
                peak = in_fresh_process(measure_peak, name, given, sizes, seed, backward)
                row["MiB"] = to_mebibytes(peak)
            rows.append(row)
    return rows


def measure_peak(name: str, given: Input, sizes: Sizes, seed: int, backward: bool) -> int | None:
    """Measure the peak memory of one pass; to be called in a fresh process.

    name (str): Name of the head.
    given (Input): The input.
    sizes (Sizes): Width and numbers of labels.
    seed (int): Seed of the weights and of the embeddings.
    backward (bool): Whether to compute the gradients too.
    RETURNS (int | None): Bytes above the memory before the pass, which holds the weights, their
        gradients and the embeddings. None if the system is not Linux.
    """
    head = make_head(name, sizes, seed)
    # The first call of all sets up threads and compiled kernels, which are not the input's.
    make_pass(head, make_inputs([[2]], sizes.width, seed), backward=backward)()
    run = make_pass(head, make_inputs(given.batches, sizes.width, seed), backward=backward)
    return added_memory(run)


def benchmark_heads(
    data: Path,
    *,
    lengths: list[int],
    width: int,
    batches: int,
    repeats: int,
    max_seconds: float,
    seed: int,
    memory: bool,
) -> Report:
    """Compare the heads on batches of real lengths and on single sentences.

    data (Path): The corpus whose sentences give the batches' lengths.
    lengths (list[int]): Lengths of the single sentences.
    width (int): Width of the word embeddings.
    batches (int): Number of batches; a pass runs all of them.
    repeats (int): Number of rounds.
    max_seconds (float): The time for one comparison after which no further round starts.
    seed (int): Seed of the weights, the embeddings and the choice of sentences.
    memory (bool): Whether to measure memory too.
    RETURNS (Report): The result.
    """
    docs = read_corpus(data)
    sizes = Sizes(width)
    sampled = []
    for batch in sample_batches(docs, batches, BATCH_SIZE, seed):
        sampled.append([*map(len, batch)])
    inputs = [Input(f"{BATCH_SIZE} sentences", sampled)]
    for n in lengths:
        inputs.append(Input(f"n = {n}", [[n]]))
    rows: list[Row] = []
    for given in inputs:
        rows += measure_input(
            given, sizes, repeats=repeats, max_seconds=max_seconds, seed=seed, memory=memory
        )
    settings = {
        "data": describe_corpus(data, docs),
        "encoder": "none: random embeddings",
        **sizes._asdict(),
        "batches": len(sampled),
        "seed": seed,
    }
    headline: Row = {}
    for row in rows[: 2 * len(HEADS)]:
        if row["head"] != REFERENCE:
            title = f"{row['head']}/{REFERENCE}, {row['input']}, {row['pass']}"
            headline[title] = row[f"time/{REFERENCE}"]
    return Report(settings, headline, {"Milliseconds and peak MiB a batch": rows})


def heads_cli(
    *,
    data: DataOption = SAMPLE_TRAIN,
    output: OutputOption = None,
    repeats: RepeatsOption = 5,
    lengths: Annotated[
        list[int], typer.Option("--length", min=1, help="Words of a single sentence")
    ] = LENGTHS,
    width: Annotated[
        int, typer.Option("--width", min=1, help="Width of the word embeddings")
    ] = Sizes().width,
    batches: BatchesOption = 5,
    max_seconds: MaxSecondsOption = 120.0,
    seed: SeedOption = 0,
    memory: MemoryOption = True,
) -> None:
    """
    Time and memory of all table heads, on the same inputs.
    """
    with failures_named("heads"):
        report = benchmark_heads(
            data,
            lengths=lengths,
            width=width,
            batches=batches,
            repeats=repeats,
            max_seconds=max_seconds,
            seed=seed,
            memory=memory,
        )
    publish("heads", report, output)


if __name__ == "__main__":
    typer.run(heads_cli)
