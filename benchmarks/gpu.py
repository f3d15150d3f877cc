"""Speed on a GPU: prediction, training, the head and a whole training, against the bare encoder.

Every line of a table is printed when it has been measured, so a run that is cut keeps what it has.
"""

import io
import os
import platform
import random
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import spacy
import torch
import typer
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.training.loop import train as train_pipeline
from thinc.api import Config, Optimizer, require_gpu, set_gpu_allocator
from torch import Tensor

from spacy_tabcnn.heads import TableCNN
from spacy_tabcnn.heads.table_cnn.dense import DenseTableCNN
from spacy_tabcnn.runtime.heap import freeze_heap

from .common import (
    MEBIBYTE,
    OutputOption,
    RepeatsOption,
    Report,
    Row,
    failures_named,
    interleave,
    median_ratio,
    publish,
)
from .pipeline import consume, copy_plain, copy_words
from .pipelines import (
    MINILM,
    SAMPLE_DEV,
    SAMPLE_TRAIN,
    UNCASED_CONFIG,
    ConfigOption,
    DataOption,
    EncoderOption,
    ModelOption,
    TrainOption,
    count_words,
    describe_corpus,
    describe_encoder,
    mixed_precision,
    read_config,
    read_corpus,
    switch_cache_off,
)
from .reference import find_encoder, make_reference, recorded, synchronize

# Events of the profiler for which the host waits, and copies to the host.
WAITS = ("cudaStreamSynchronize", "cudaEventSynchronize", "cudaDeviceSynchronize")
COPY_TO_HOST = "DtoH"
TRAINING_BATCH = 8
PREDICTION = "Prediction: nlp.pipe on gold tokens, and the bare encoder on the same batches"
TRAINING = (
    f"Training in batches of {TRAINING_BATCH}: nlp.update with its optimiser's step, and forward + "
    "backward of the bare encoder on the same batches"
)
OF_BARE, TIMES_BARE = "of the bare encoder's speed", "times the bare encoder"
HEAD_BATCHES = (8, 32, 128)
HEADS: dict[str, type[TableCNN]] = {"dense": DenseTableCNN, "head": TableCNN}
PRECISIONS = {"float32": False, "bfloat16": True}
DRIVER = Path("/proc/driver/nvidia/version")


class Sizes(NamedTuple):
    """The sizes of the measurements.

    batches (list[int]): Batch sizes of `nlp.pipe`.
    sentences (int): Number of sentences to annotate in a round.
    steps (int): Training steps of a round.
    repeats (int): Number of rounds.
    """

    batches: list[int]
    sentences: int
    steps: int
    repeats: int


class Printer:
    """Prints tables in Markdown, a line at a time, and keeps them for the report."""

    def __init__(self) -> None:
        self.tables: dict[str, list[Row]] = {}

    def add(self, title: str, row: Row) -> None:
        """Print a row, before the first row of a table its title and its columns.

        title (str): Title of the table.
        row (Row): The values by column.
        """
        rows = self.tables.setdefault(title, [])
        if not rows:
            print(f"\n### {title}\n")
            print(_line(list(row)))
            print(_line(["---"] * len(row)))
        rows.append(row)
        print(_line([_show(value) for value in row.values()]), flush=True)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _show(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return str(value)


def describe_device(gpu_id: int) -> Row:
    """Name the card, its driver and the libraries that compute on it.

    gpu_id (int): The GPU; -1 for the CPU.
    RETURNS (Row): The description.
    """
    row: Row = {"card": f"CPU, {platform.machine()}", "driver": "-", "cupy": "-"}
    if gpu_id >= 0:
        row["card"] = torch.cuda.get_device_name(gpu_id)
        row["driver"] = _find_driver()
        for package in ("cupy-cuda13x", "cupy-cuda12x", "cupy"):
            try:
                row["cupy"] = version(package)
                break
            except PackageNotFoundError:
                continue
    return {
        **row,
        "torch": torch.__version__,
        "spacy": spacy.__version__,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "tokenizers": f"parallel: {os.environ['TOKENIZERS_PARALLELISM']}",
        "TF32 in products": str(torch.backends.cuda.matmul.allow_tf32),
    }


def _find_driver() -> str:
    if not DRIVER.exists():
        return "unknown"
    first = DRIVER.read_text(encoding="utf-8").splitlines()[0]
    numbers = [word for word in first.split() if word[0].isdigit() and "." in word]
    return numbers[0] if numbers else first


def count_waits(run: Callable[[], object], gpu_id: int = 0) -> dict[str, int]:
    """Count the times when the host waits for the GPU.

    run (Callable): The work.
    gpu_id (int): The GPU; -1 for the CPU, where nothing is counted.
    RETURNS (dict[str, int]): Number of waits, of copies from the GPU to the host, and of launched
        kernels.
    """
    counts = dict.fromkeys(("waits", "copies to the host", "kernels"), 0)
    if gpu_id < 0:
        run()
        return counts
    activities = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    synchronize(gpu_id)
    with torch.profiler.profile(activities=activities) as profiler:
        run()
    for event in profiler.key_averages():
        if event.key in WAITS:
            counts["waits"] += event.count
        elif COPY_TO_HOST in event.key:
            counts["copies to the host"] += event.count
        elif "LaunchKernel" in event.key:
            counts["kernels"] += event.count
    # The profiler itself waits for the device at its end.
    counts["waits"] -= min(counts["waits"], 2)
    return counts


def measure_prediction(
    nlp: Language, docs: list[Doc], sizes: Sizes, printer: Printer, gpu_id: int
) -> None:
    """Time `nlp.pipe` on gold tokens, against the bare encoder on the same padded batches.

    nlp (Language): A trained pipeline.
    docs (list[Doc]): Documents; their annotation is not used.
    sizes (Sizes): The batch sizes, and the number of rounds.
    printer (Printer): Gets the rows.
    gpu_id (int): The GPU; -1 for the CPU.
    """
    plain = _copy_encoder(nlp)
    stream = (docs * (1 + sizes.sentences // len(docs)))[: sizes.sentences]
    n_words = count_words(stream)

    def annotate(size: int) -> None:
        deque(nlp.pipe(fresh.pop(), batch_size=size), maxlen=0)
        synchronize(gpu_id)

    for precision, use_bfloat16 in _precisions(nlp):
        for size in sizes.batches:
            # For the recording, the warm-up and the rounds.
            fresh = [copy_words(nlp, stream) for _ in range(2 + sizes.repeats)]
            with mixed_precision(nlp, use_bfloat16):
                with recorded(find_encoder(nlp)) as batches:
                    annotate(size)
                reference = make_reference(
                    plain, batches, use_bfloat16=use_bfloat16, trains=False, gpu_id=gpu_id
                )
                contenders: dict[str, Callable[[], object]] = {
                    "pipe": partial(annotate, size),
                    "bare": reference,
                }
                seconds = interleave(contenders, repeats=sizes.repeats)
            spent, bare = (statistics.median(seconds[name]) for name in ("pipe", "bare"))
            printer.add(
                PREDICTION,
                {
                    "precision": precision,
                    "batch": size,
                    "sentences/s": len(stream) / spent,
                    "words/s": n_words / spent,
                    "ms/sentence": 1000 * spent / len(stream),
                    "bare encoder, sentences/s": len(stream) / bare,
                    OF_BARE: median_ratio(seconds["bare"], seconds["pipe"]),
                },
            )


def measure_training(
    nlp: Language,
    optimizer: Optimizer,
    docs: list[Doc],
    sizes: Sizes,
    printer: Printer,
    gpu_id: int,
) -> None:
    """Time training steps, against forward and backward of the bare encoder on the same batches.

    nlp (Language): The pipeline.
    optimizer (Optimizer): Its optimiser.
    docs (list[Doc]): Annotated documents.
    sizes (Sizes): The number of steps, and of rounds.
    printer (Printer): Gets the rows.
    gpu_id (int): The GPU; -1 for the CPU.
    """
    plain = _copy_encoder(nlp)
    chosen = random.Random(0).choices(docs, k=sizes.steps * TRAINING_BATCH)
    examples = list(map(Example, copy_words(nlp, chosen), chosen))

    def train() -> None:
        for start in range(0, len(examples), TRAINING_BATCH):
            batch = examples[start : start + TRAINING_BATCH]
            nlp.update(batch, sgd=optimizer, drop=0.3)
            optimizer.step_schedules()
        synchronize(gpu_id)

    for precision, use_bfloat16 in _precisions(nlp):
        with mixed_precision(nlp, use_bfloat16):
            with recorded(find_encoder(nlp)) as batches:
                train()
            reference = make_reference(
                plain, batches, use_bfloat16=use_bfloat16, trains=True, gpu_id=gpu_id
            )
            contenders: dict[str, Callable[[], object]] = {"step": train, "bare": reference}
            _reset_peak(gpu_id)
            seconds = interleave(contenders, repeats=sizes.repeats)
        spent, bare = (statistics.median(seconds[name]) for name in ("step", "bare"))
        printer.add(
            TRAINING,
            {
                "precision": precision,
                "ms/step": 1000 * spent / sizes.steps,
                "bare encoder, ms": 1000 * bare / sizes.steps,
                TIMES_BARE: median_ratio(seconds["step"], seconds["bare"]),
                "peak MiB on the device": _peak(gpu_id),
            },
        )


def measure_head(docs: list[Doc], width: int, sizes: Sizes, printer: Printer, gpu_id: int) -> None:
    """Compare the table head with the same head as a stack of `Conv2d` over padded tables.

    docs (list[Doc]): Documents, for the lengths of sentences.
    width (int): Width of the embeddings.
    sizes (Sizes): The number of rounds.
    printer (Printer): Gets the rows.
    gpu_id (int): The GPU; -1 for the CPU.
    """
    device = torch.device("cuda", gpu_id) if gpu_id >= 0 else torch.device("cpu")
    for precision, use_bfloat16 in PRECISIONS.items():
        if use_bfloat16 and gpu_id < 0:
            continue
        for size in HEAD_BATCHES:
            lengths = torch.tensor([len(doc) for doc in docs[:size]])
            torch.manual_seed(0)
            words = torch.randn(int(lengths.sum()), width, device=device)
            passes, peaks = {}, {}
            for name, make in HEADS.items():
                torch.manual_seed(0)
                head = make(width, 17, 11).to(device)
                passes[name] = partial(_run_head, head, words, lengths, use_bfloat16, gpu_id)
                _reset_peak(gpu_id)
                before = _peak(gpu_id)
                passes[name]()
                peaks[name] = _peak(gpu_id) - before
            seconds = interleave(passes, repeats=sizes.repeats)
            printer.add(
                "Table head, forward + backward, and a stack of Conv2d over padded tables",
                {
                    "precision": precision,
                    "sentences": len(lengths),
                    "longest": int(lengths.max()),
                    "head, ms": 1000 * statistics.median(seconds["head"]),
                    "Conv2d, ms": 1000 * statistics.median(seconds["dense"]),
                    "Conv2d/head, time": median_ratio(seconds["dense"], seconds["head"]),
                    "head, MiB": peaks["head"],
                    "Conv2d, MiB": peaks["dense"],
                },
            )


def _run_head(
    head: TableCNN, words: Tensor, lengths: Tensor, use_bfloat16: bool, gpu_id: int
) -> None:
    inputs = words.clone().requires_grad_()
    with torch.autocast(words.device.type, dtype=torch.bfloat16, enabled=use_bfloat16):
        tags, relations = head(inputs, lengths)
    (tags.float().sum() + relations.float().sum()).backward()
    head.zero_grad(set_to_none=True)
    synchronize(gpu_id)


def measure_waits(
    nlp: Language, optimizer: Optimizer, docs: list[Doc], printer: Printer, gpu_id: int
) -> None:
    """Count the times when the host waits for the GPU in a batch and in a training step.

    nlp (Language): The pipeline.
    optimizer (Optimizer): Its optimiser.
    docs (list[Doc]): Annotated documents.
    printer (Printer): Gets the rows.
    gpu_id (int): The GPU; -1 for the CPU.
    """

    def annotate(size: int) -> None:
        consume(nlp, copy_words(nlp, docs[:size]))

    def train(size: int) -> None:
        chosen = docs[:size]
        examples = list(map(Example, copy_words(nlp, chosen), chosen))
        nlp.update(examples, sgd=optimizer, drop=0.3)
        optimizer.step_schedules()

    for name, run, counts in (("nlp.pipe", annotate, (32, 64)), ("nlp.update", train, (8, 16))):
        for size in counts:
            run(size)
            waits = count_waits(partial(run, size), gpu_id)
            row: Row = {"work": name, "sentences": size, **waits}
            printer.add("Waits of the host for the device, in one batch", row)


def run_training(config: Config, steps: int, gpu_id: int, printer: Printer) -> Language:
    """Train a pipeline as `spacy train` does, evaluations included, and time it.

    config (Config): The config, with its paths.
    steps (int): Number of training steps.
    gpu_id (int): The GPU; -1 for the CPU.
    printer (Printer): Gets the row.
    RETURNS (Language): The pipeline, with the weights of the last step.
    """
    config["training"].update(max_steps=steps, eval_frequency=max(1, steps // 30))
    start = time.perf_counter()
    nlp = init_nlp(config, use_gpu=gpu_id)
    began = time.perf_counter()
    _reset_peak(gpu_id)
    nlp, _ = train_pipeline(nlp, None, use_gpu=gpu_id, stdout=io.StringIO(), stderr=io.StringIO())
    spent = time.perf_counter() - began
    scores = nlp.config["training"]["score_weights"]
    printer.add(
        "A training, with 30 evaluations",
        {
            "steps": steps,
            "bfloat16": str(config["system"]["mixed_precision"]),
            "initialisation, s": began - start,
            "training, s": spent,
            "ms/step": 1000 * spent / steps,
            "peak MiB on the device": _peak(gpu_id),
            "scored by": ", ".join(name for name, weight in scores.items() if weight),
        },
    )
    return nlp


def make_headline(tables: dict[str, list[Row]]) -> Row:
    """Compute the figures to quote.

    tables (dict[str, list[Row]]): Rows by the title of their table.
    RETURNS (Row): The figures by name.
    """
    headline: Row = {}
    for row in tables.get(PREDICTION, []):
        name = f"{row['precision']}, batch {row['batch']}"
        headline[f"sentences/s, {name}"] = row["sentences/s"]
        headline[f"of the bare encoder, {name}"] = row[OF_BARE]
    for row in tables.get(TRAINING, []):
        headline[f"step, times the bare encoder, {row['precision']}"] = row[TIMES_BARE]
    return headline


def find_width(nlp: Language) -> int:
    """Return the width of the embeddings of a pipeline's encoder.

    nlp (Language): The pipeline.
    RETURNS (int): The width.
    """
    embeddings: Any = find_encoder(nlp)
    return int(embeddings.config.hidden_size)


def _copy_encoder(nlp: Language) -> torch.nn.Module:
    encoder = find_encoder(nlp)
    return copy_plain(encoder).to(next(encoder.parameters()).device)


def _precisions(nlp: Language) -> list[tuple[str, bool]]:
    """List the precisions in which the device is fast."""
    found = []
    for name, use_bfloat16 in PRECISIONS.items():
        try:
            with mixed_precision(nlp, use_bfloat16):
                found.append((name, use_bfloat16))
        except ValueError:
            continue
    return found


def _reset_peak(gpu_id: int) -> None:
    if gpu_id >= 0:
        torch.cuda.reset_peak_memory_stats(gpu_id)


def _peak(gpu_id: int) -> int:
    """Return the peak memory on the device since the last reset, in MiB."""
    if gpu_id < 0:
        return 0
    return torch.cuda.max_memory_allocated(gpu_id) // MEBIBYTE


@contextmanager
def parallel_tokenizers() -> Iterator[None]:
    """Let the tokenizers use several cores within a block, whatever the environment says."""
    name = "TOKENIZERS_PARALLELISM"
    before = os.environ.get(name)
    os.environ[name] = "true"
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def gpu_cli(
    *,
    gpu_id: Annotated[int, typer.Option("--gpu", "-g", help="GPU ID; -1 tries it on a CPU")] = 0,
    config: ConfigOption = UNCASED_CONFIG,
    encoder: EncoderOption = MINILM,
    model: ModelOption = None,
    train: TrainOption = SAMPLE_TRAIN,
    data: DataOption = SAMPLE_DEV,
    output: OutputOption = None,
    repeats: RepeatsOption = 3,
    batches: Annotated[
        str, typer.Option("--batches", help="Batch sizes of nlp.pipe")
    ] = "32,128,512",
    sentences: Annotated[
        int, typer.Option("--sentences", min=1, help="Sentences to annotate in a round")
    ] = 1024,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Training steps of a round")] = 20,
    run_steps: Annotated[
        int,
        typer.Option(
            "--run-steps",
            min=1,
            help="Steps of the training of which the time is taken, and whose pipeline annotates; "
            "3480 are 30 epochs of CoNLL04",
        ),
    ] = 116,
    use_bfloat16: Annotated[
        bool, typer.Option("--bfloat16", help="Train that pipeline in bfloat16")
    ] = False,
    with_head: Annotated[
        bool, typer.Option("--head/--no-head", help="Compare the head with Conv2d")
    ] = True,
) -> None:
    """
    Speed on a GPU against the bare encoder: prediction, training, the head, a whole training.
    """
    printer = Printer()
    with failures_named("gpu"), parallel_tokenizers():
        sizes = Sizes([int(size) for size in batches.split(",")], sentences, steps, repeats)
        if gpu_id >= 0:
            require_gpu(gpu_id)
            set_gpu_allocator("pytorch")
        device = describe_device(gpu_id)
        print(_line([f"{name}: {value}" for name, value in device.items()]), flush=True)
        docs, train_docs = read_corpus(data), read_corpus(train)
        if model is None:
            settings = read_config(config, encoder=encoder, train=train)
            settings["paths"]["dev"] = str(data)
            settings["system"]["mixed_precision"] = use_bfloat16
            nlp = run_training(settings, run_steps, gpu_id, printer)
        else:
            nlp = spacy.load(model)
        # A training uses the cache of a frozen encoder; each round computes everything again.
        switch_cache_off(nlp)
        optimizer = nlp.resume_training()
        freeze_heap()
        measure_prediction(nlp, docs, sizes, printer, gpu_id)
        measure_training(nlp, optimizer, train_docs, sizes, printer, gpu_id)
        measure_waits(nlp, optimizer, train_docs, printer, gpu_id)
        if with_head:
            measure_head(train_docs, find_width(nlp), sizes, printer, gpu_id)
    report = Report(
        {
            **device,
            "data": describe_corpus(data, docs),
            "training": describe_corpus(train, train_docs),
            "encoder": describe_encoder(nlp),
        },
        make_headline(printer.tables),
        printer.tables,
    )
    publish("gpu", report, output)


if __name__ == "__main__":
    typer.run(gpu_cli)
