"""The table head against the same head computed as it is written: time and memory."""

import itertools
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
import typer
from torch import Tensor, nn

from spacy_tabcnn.heads import TableCNN
from spacy_tabcnn.heads.table_cnn.dense import DenseTableCNN

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
from .pipelines import SAMPLE_TRAIN, DataOption, describe_corpus, read_corpus, sample_batches

BATCH_SIZE = 8
LENGTHS = [10, 25, 50, 100, 200, 400]
KERNEL_SIZES = [3, 5]
HIDDEN = {2: (512,), 3: (512, 256)}  # by the number of layers
LAYERS = [*HIDDEN]
MODULES: dict[str, type[TableCNN]] = {"head": TableCNN, "dense": DenseTableCNN}


class Case(NamedTuple):
    """An input and a head, which a row of the table measures.

    title (str): Name of the input.
    batches (list[list[int]]): Lengths of the sentences of each batch.
    kernel_size (int): Width and height of the kernels.
    hidden (tuple[int, ...]): Channels of the hidden layers.
    """

    title: str
    batches: list[list[int]]
    kernel_size: int
    hidden: tuple[int, ...]


class Sizes(NamedTuple):
    """Width of the word embeddings and numbers of labels: those of MiniLM-L6 and of CoNLL04."""

    width: int = 384
    n_tags: int = 17
    n_relations: int = 11


def make_cases(
    batches: list[list[int]], *, lengths: list[int], kernel_sizes: list[int], layers: list[int]
) -> list[Case]:
    """List the measurements.

    batches (list[list[int]]): Lengths of the sentences of each batch of real ones.
    lengths (list[int]): Lengths of the single sentences.
    kernel_sizes (list[int]): Odd widths of the kernels.
    layers (list[int]): Numbers of layers.
    RETURNS (list[Case]): Each input with each head.
    RAISES (ValueError): If no head has such a number of layers.
    """
    unknown = set(layers) - set(HIDDEN)
    if unknown:
        raise ValueError(f"--layers {min(unknown)}: expected one of {', '.join(map(str, HIDDEN))}")
    inputs = {f"{BATCH_SIZE} sentences": batches, **{f"n = {n}": [[n]] for n in lengths}}
    cases = []
    for kernel_size, n_layers in itertools.product(kernel_sizes, layers):
        for title, words in inputs.items():
            cases.append(Case(title, words, kernel_size, HIDDEN[n_layers]))
    return cases


def measure_case(
    case: Case,
    *,
    repeats: int,
    max_seconds: float,
    seed: int,
    memory: bool,
    sizes: Sizes | None = None,
) -> list[Row]:
    """Compare both heads on one input.

    case (Case): The input and the head.
    repeats (int): Number of rounds.
    max_seconds (float): The time after which no further round starts.
    seed (int): Seed of the weights and of the embeddings.
    memory (bool): Whether to measure memory too, each time in a process of its own.
    sizes (Sizes | None): Width and numbers of labels.
    RETURNS (list[Row]): A row for the forward pass and one for forward and backward.
    """
    sizes = sizes or Sizes()
    modules = {name: make_module(name, case, sizes, seed) for name in MODULES}
    inputs = make_inputs(case.batches, sizes.width, seed)
    difference = max_difference(modules["head"], modules["dense"], inputs)
    rows = []
    for mode, backward in (("forward", False), ("forward + backward", True)):
        passes = {
            name: make_pass(module, inputs, backward=backward) for name, module in modules.items()
        }
        seconds = interleave(passes, repeats=repeats, max_seconds=max_seconds)
        row: Row = {
            "input": case.title,
            "k": case.kernel_size,
            "L": len(case.hidden) + 1,
            "pass": mode,
            "dense_ms": 1000 * statistics.median(seconds["dense"]) / len(inputs),
            "head_ms": 1000 * statistics.median(seconds["head"]) / len(inputs),
            "dense/head": median_ratio(seconds["dense"], seconds["head"]),
            "rounds": len(seconds["head"]),
        }
        if memory:
            for name in ("dense", "head"):
                peak = in_fresh_process(measure_memory, name, case, sizes, seed, backward)
                row[f"{name}_MiB"] = to_mebibytes(peak)
        rows.append({**row, "difference": difference})
    return rows


def make_module(name: str, case: Case, sizes: Sizes, seed: int) -> TableCNN:
    """Build a head; heads of the same seed have the same weights.

    name (str): "head" or "dense".
    case (Case): Its kernels and hidden layers.
    sizes (Sizes): Its other sizes.
    seed (int): Seed of the weights.
    RETURNS (TableCNN): The head.
    """
    torch.manual_seed(seed)
    return MODULES[name](*sizes, kernel_size=case.kernel_size, hidden=case.hidden)


def make_inputs(batches: list[list[int]], width: int, seed: int) -> list[tuple[Tensor, Tensor]]:
    """Draw random word embeddings.

    batches (list[list[int]]): Lengths of the sentences of each batch.
    width (int): Width of an embedding.
    seed (int): Seed of the embeddings.
    RETURNS (list[tuple[Tensor, Tensor]]): The words, float (words, width), and the lengths of each
        batch.
    """
    generator = torch.Generator().manual_seed(seed)
    inputs = []
    for lengths in batches:
        words = torch.randn(sum(lengths), width, generator=generator)
        inputs.append((words, torch.tensor(lengths)))
    return inputs


def make_pass(
    module: nn.Module, inputs: list[tuple[Tensor, Tensor]], *, backward: bool
) -> Callable[[], None]:
    """Make the call to measure.

    module (Module): A table head.
    inputs (list[tuple[Tensor, Tensor]]): The words and lengths of each batch.
    backward (bool): Whether to compute the gradients of words and weights too, with dropout.
    RETURNS (Callable[[], None]): Scores each batch.
    """

    def predict() -> None:
        module.eval()
        with torch.inference_mode():
            for words, lengths in inputs:
                module(words, lengths)

    def update() -> None:
        module.train()
        for words, lengths in inputs:
            module.zero_grad()
            outputs = module(words.detach().requires_grad_(), lengths)
            torch.autograd.backward(outputs, [*map(torch.ones_like, outputs)])

    if backward:
        return update
    return predict


def max_difference(
    head: TableCNN, dense: TableCNN, inputs: list[tuple[Tensor, Tensor]]
) -> float | None:
    """Compare the logits of two heads.

    head (TableCNN): A head.
    dense (TableCNN): The reference, with the same weights.
    inputs (list[tuple[Tensor, Tensor]]): The words and lengths of each batch.
    RETURNS (float | None): The greatest difference of any logit. None for batches of several
        sentences, where the reference's padding leaks.
    """
    longest_batch = max(len(lengths) for _, lengths in inputs)
    if longest_batch > 1:
        return None
    head.eval()
    dense.eval()
    greatest = 0.0
    with torch.inference_mode():
        for batch in inputs:
            for logits, expected in zip(head(*batch), dense(*batch), strict=True):
                if logits.numel():
                    greatest = max(greatest, float((logits - expected).abs().max()))
    return greatest


def measure_memory(name: str, case: Case, sizes: Sizes, seed: int, backward: bool) -> int | None:
    """Measure the peak memory of one pass; to be called in a fresh process.

    name (str): "head" or "dense".
    case (Case): The input and the head.
    sizes (Sizes): Width and numbers of labels.
    seed (int): Seed of the weights and of the embeddings.
    backward (bool): Whether to find the gradients too.
    RETURNS (int | None): Bytes above those before the pass, which hold the weights and the
        embeddings.
    """
    module = make_module(name, case, sizes, seed)
    # The first call of all sets up threads and compiled kernels, which are not the input's.
    make_pass(module, make_inputs([[2]], sizes.width, seed), backward=backward)()
    run = make_pass(module, make_inputs(case.batches, sizes.width, seed), backward=backward)
    return added_memory(run)


def benchmark_head(
    data: Path,
    *,
    lengths: list[int],
    kernel_sizes: list[int],
    layers: list[int],
    batches: int,
    repeats: int,
    max_seconds: float,
    seed: int,
    memory: bool,
) -> Report:
    """Compare both heads on batches of real lengths and on single sentences.

    data (Path): The corpus whose sentences give the batches' lengths.
    lengths (list[int]): Lengths of the single sentences.
    kernel_sizes (list[int]): Odd widths of the kernels.
    layers (list[int]): Numbers of layers.
    batches (int): Number of batches; a pass runs all of them.
    repeats (int): Number of rounds.
    max_seconds (float): The time for one comparison after which no further round starts.
    seed (int): Seed of the weights, the embeddings and the choice of sentences.
    memory (bool): Whether to measure memory too.
    RETURNS (Report): The result.
    """
    docs = read_corpus(data)
    words = []
    for batch in sample_batches(docs, batches, BATCH_SIZE, seed):
        words.append([*map(len, batch)])
    rows: list[Row] = []
    for case in make_cases(words, lengths=lengths, kernel_sizes=kernel_sizes, layers=layers):
        rows += measure_case(
            case, repeats=repeats, max_seconds=max_seconds, seed=seed, memory=memory
        )
    settings = {
        "data": describe_corpus(data, docs),
        "encoder": "none: random embeddings",
        **Sizes()._asdict(),
        "batches": len(words),
        "seed": seed,
    }
    headline: Row = {}
    for row in rows[:2]:
        title = f"{row['input']}, k = {row['k']}, L = {row['L']}, {row['pass']}"
        headline[f"dense/head, {title}"] = row["dense/head"]
    differences = [row["difference"] for row in rows if row["difference"] is not None]
    headline["greatest difference of a logit"] = max(differences, default=None)
    return Report(settings, headline, {"Milliseconds and peak MiB a batch": rows})


def head_cli(
    *,
    data: DataOption = SAMPLE_TRAIN,
    output: OutputOption = None,
    repeats: RepeatsOption = 5,
    lengths: Annotated[
        list[int], typer.Option("--length", min=1, help="Words of a single sentence")
    ] = LENGTHS,
    kernel_sizes: Annotated[
        list[int], typer.Option("--kernel-size", help="Width of the kernels")
    ] = KERNEL_SIZES,
    layers: Annotated[
        list[int], typer.Option("--layers", help="Number of layers: 2 or 3")
    ] = LAYERS,
    batches: BatchesOption = 5,
    max_seconds: MaxSecondsOption = 120.0,
    seed: SeedOption = 0,
    memory: MemoryOption = True,
) -> None:
    """
    Time and memory of the table head, against plain Conv2d layers.

    The Conv2d layers run over the table of word pairs of the padded batch.
    """
    with failures_named("head"):
        report = benchmark_head(
            data,
            lengths=lengths,
            kernel_sizes=kernel_sizes,
            layers=layers,
            batches=batches,
            repeats=repeats,
            max_seconds=max_seconds,
            seed=seed,
            memory=memory,
        )
    publish("head", report, output)


if __name__ == "__main__":
    typer.run(head_cli)
