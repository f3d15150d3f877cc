"""Interleaved timing, peak memory, the description of the machine, and reports."""

import gc
import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, NamedTuple, ParamSpec, TypeAlias, TypeVar

import torch
import typer
from wasabi import msg

from spacy_tabcnn.files import write_json

PACKAGES = ("torch", "spacy", "spacy-transformers", "transformers", "thinc", "spacy-tabcnn")
MEBIBYTE = 2**20
# The default of wasabi, 30, breaks the columns of long names and values.
MAX_COLUMN = 200
_CPUINFO = Path("/proc/cpuinfo")
_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")

# A row of a table: values by the names of their columns.
Row: TypeAlias = dict[str, Any]

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def _check_output(output: Path | None) -> Path | None:
    """Refuse an output that may be a corpus, a config or a pipeline."""
    if output is not None and output.resolve().suffix != ".json":
        raise typer.BadParameter(f"{output}: expected a file name that ends in .json")
    return output


OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="JSON file; metrics/NAME.json by default",
        callback=_check_output,
    ),
]
RepeatsOption = Annotated[
    int, typer.Option("--repeats", min=1, help="Timed rounds, after one round of warm-up")
]
SeedOption = Annotated[
    int, typer.Option("--seed", help="Seed of the weights and of the choice of sentences")
]
BatchesOption = Annotated[
    int, typer.Option("--batches", min=1, help="Batches of 8 real sentences a pass runs")
]
MaxSecondsOption = Annotated[
    float,
    typer.Option("--max-seconds", help="Time after which a comparison starts no further round"),
]
MemoryOption = Annotated[
    bool, typer.Option("--memory/--no-memory", help="Whether to measure memory too")
]


class Report(NamedTuple):
    """The result of a benchmark.

    settings (Row): The data, the encoder and the options.
    headline (Row): The figures to quote.
    tables (dict[str, list[Row]]): Rows by the title of their table.
    """

    settings: Row
    headline: Row
    tables: dict[str, list[Row]]


def interleave(
    contenders: Mapping[str, Callable[[], object]],
    *,
    repeats: int,
    max_seconds: float = math.inf,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Time functions in turn, A B A B ...: a change of the machine's speed affects all of them.

    contenders (Mapping[str, Callable]): The functions by name. Each has one call that is not timed.
    repeats (int): Number of rounds.
    max_seconds (float): No further round starts after this time, warm-up included. The first round
        always starts.
    clock (Callable[[], float]): Returns the time in seconds.
    RETURNS (dict[str, list[float]]): Seconds of each call by name, one per round.
    """
    start = clock()
    for run in contenders.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for done in range(repeats):
        if done and clock() - start > max_seconds:
            break
        for name, run in contenders.items():
            begin = clock()
            run()
            seconds[name].append(clock() - begin)
    return seconds


def median_ratio(numerator: list[float], denominator: list[float]) -> float:
    """Compute the median ratio of two contenders, round by round.

    numerator (list[float]): Seconds of one contender, one per round.
    denominator (list[float]): Seconds of the other contender.
    RETURNS (float): The median of the ratios of the rounds.
    """
    return statistics.median(a / b for a, b in zip(numerator, denominator, strict=True))


def peak_memory(run: Callable[[], object]) -> int | None:
    """Measure the peak memory of this process during a call.

    The high-water mark of the kernel is reset first. `ru_maxrss` cannot be reset, and a process
    inherits it from its parent.

    run (Callable): The call.
    RETURNS (int | None): Bytes, including the memory from before the call. None if the system is
        not Linux.
    """
    if not _CLEAR_REFS.exists():
        return None
    gc.collect()
    _CLEAR_REFS.write_text("5")
    run()
    return _status_bytes("VmHWM")


def added_memory(run: Callable[[], object]) -> int | None:
    """Measure the peak memory of this process during a call, above the memory before it.

    run (Callable): The call.
    RETURNS (int | None): Bytes. None if the system is not Linux.
    """
    before = resident_memory()
    peak = peak_memory(run)
    if before is None or peak is None:
        return None
    return peak - before


def resident_memory() -> int | None:
    """Return the size of this process in memory.

    RETURNS (int | None): Bytes. None if the system is not Linux.
    """
    if not _STATUS.exists():
        return None
    return _status_bytes("VmRSS")


def in_fresh_process(
    function: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result:
    """Call a function in a new Python process.

    function (Callable): A function of a module.
    args: The arguments of the function. Pickle can save them and the result.
    RETURNS: The result of the function.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args, **kwargs).result()


def to_mebibytes(size: int | None) -> float | None:
    """Convert a size from bytes to MiB; None stays None."""
    if size is None:
        return None
    return size / MEBIBYTE


def describe_environment() -> Row:
    """Return the processor, the number of threads and the versions of the libraries.

    RETURNS (Row): The values by name.
    """
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def publish(name: str, report: Report, output: Path | None) -> None:
    """Print a report and save it.

    name (str): Name of the benchmark.
    report (Report): The result of the benchmark.
    output (Path | None): The JSON file. By default metrics/NAME.json.
    """
    if output is None:
        output = Path("metrics", f"{name}.json")
    environment = describe_environment()
    msg.divider(f"Benchmark: {name}")
    print_values({**environment, **report.settings})
    for title, rows in report.tables.items():
        msg.info(title)
        print_rows(rows)
    msg.info("Headline")
    print_values(report.headline)
    write_json(output, {"benchmark": name, "environment": environment, **report._asdict()})
    msg.good(f"Saved to {output}")


def print_values(values: Row) -> None:
    """Print names and values, one per line.

    values (Row): The values by name.
    """
    msg.table([(_label(name), _show(value)) for name, value in values.items()], max_col=MAX_COLUMN)


def print_rows(rows: list[Row]) -> None:
    """Print a table.

    rows (list[Row]): The rows. All have the columns of the first row.
    """
    columns = list(rows[0])
    lines = []
    for row in rows:
        lines.append([_show(row[column]) for column in columns])
    msg.table(
        lines,
        header=list(map(_label, columns)),
        divider=True,
        aligns=list(map(_alignment, rows[0].values())),
        max_col=MAX_COLUMN,
    )


@contextmanager
def failures_named(name: str) -> Iterator[None]:
    """End the command with a message, not a traceback, if a file or a setting is wrong.

    name (str): Name of the benchmark.
    """
    try:
        yield
    except (OSError, ValueError) as err:
        msg.fail(f"Could not run the benchmark '{name}'", str(err), exits=1)


def _label(column: str) -> str:
    """Return the title of a column."""
    return column.replace("_", " ")


def _alignment(value: str | float | None) -> str:
    """Return the alignment of a column: left for text, right for numbers."""
    if isinstance(value, str):
        return "l"
    return "r"


def _show(value: str | float | None) -> str:
    """Return the text of a value; a number has three significant digits."""
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}"


def _cpu_model() -> str:
    """Return the name of the processor."""
    if _CPUINFO.exists():
        for line in _CPUINFO.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _status_bytes(field: str) -> int:
    """Read a size from the kernel's description of this process."""
    for line in _STATUS.read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key == field:
            return 1024 * int(value.split()[0])
    raise ValueError(f"{_STATUS}: no field {field}")
