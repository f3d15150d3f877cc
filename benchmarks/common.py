"""What the benchmarks share: interleaved timing, peak memory, the machine's description, and a report's two forms."""

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
from typing import Annotated, Any, NamedTuple, TypeAlias

import srsly
import torch
import typer
from wasabi import msg

PACKAGES = ("torch", "spacy", "spacy-transformers", "transformers", "thinc", "spacy-tabcnn")
MEBIBYTE = 2**20
# wasabi's own limit, 30, would set long names and values out of line.
MAX_COLUMN = 200
_CPUINFO = Path("/proc/cpuinfo")
_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")

# A line of a table: values by the names of their columns.
Row: TypeAlias = dict[str, Any]

OutputOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="JSON file; metrics/NAME.json by default")
]
RepeatsOption = Annotated[
    int, typer.Option("--repeats", min=1, help="Rounds to take the median of, after one more")
]
SeedOption = Annotated[
    int, typer.Option("--seed", help="Seed of the weights and of the choice of sentences")
]


class Report(NamedTuple):
    """The result of a benchmark.

    settings (Row): What was measured: data, encoder, options.
    headline (Row): The few figures to quote.
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
    """Time functions in turn, A B A B ..., so that a change of the machine's speed meets all of them alike.

    contenders (Mapping[str, Callable]): The functions by name. Each is first called once without being timed.
    repeats (int): Number of rounds.
    max_seconds (float): No further round starts once this time is spent, warm-up included; the first one always does.
    clock (Callable[[], float]): Tells the time, in seconds.
    RETURNS (dict[str, list[float]]): Seconds of each call by name, one a round.
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
    """Compare two contenders round by round.

    numerator (list[float]): Seconds of one contender, one a round.
    denominator (list[float]): Seconds of the other.
    RETURNS (float): The median of the rounds' ratios.
    """
    return statistics.median(a / b for a, b in zip(numerator, denominator, strict=True))


def peak_memory(run: Callable[[], object]) -> int | None:
    """Measure the most memory that this process holds during a call.

    The kernel's high-water mark is reset first. `ru_maxrss` will not do: it cannot be reset, and a process inherits it
    from the one that started it.

    run (Callable): The call.
    RETURNS (int | None): Bytes, what the process held before included. None where the system is not Linux.
    """
    if not _CLEAR_REFS.exists():
        return None
    gc.collect()
    _CLEAR_REFS.write_text("5")
    run()
    return _status_bytes("VmHWM")


def resident_memory() -> int | None:
    """RETURNS (int | None): Bytes of this process in memory. None where the system is not Linux."""
    return _status_bytes("VmRSS") if _STATUS.exists() else None


def in_fresh_process(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function in a new Python process.

    function (Callable): A function of a module.
    args (Any): Its arguments; they and the result can be pickled.
    RETURNS (Any): What it returns.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args).result()


def to_mebibytes(size: int | None) -> float | None:
    """Convert a size in bytes, if there is one, to MiB."""
    return None if size is None else size / MEBIBYTE


def describe_environment() -> Row:
    """RETURNS (Row): The machine, its threads and the versions of what runs on it."""
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
    report (Report): Its result.
    output (Path | None): The JSON file. By default metrics/NAME.json.
    """
    output = Path("metrics", f"{name}.json") if output is None else output
    environment = describe_environment()
    msg.divider(f"Benchmark: {name}")
    print_values({**environment, **report.settings})
    for title, rows in report.tables.items():
        msg.info(title)
        print_rows(rows)
    msg.info("Headline")
    print_values(report.headline)
    output.parent.mkdir(parents=True, exist_ok=True)
    srsly.write_json(output, {"benchmark": name, "environment": environment, **report._asdict()})
    msg.good(f"Saved to {output}")


def print_values(values: Row) -> None:
    """Print names and values, one a line.

    values (Row): The values by name.
    """
    msg.table([(_label(name), _show(value)) for name, value in values.items()], max_col=MAX_COLUMN)


def print_rows(rows: list[Row]) -> None:
    """Print a table.

    rows (list[Row]): Its lines; all have the columns of the first.
    """
    aligns = ["l" if isinstance(value, str) else "r" for value in rows[0].values()]
    lines = [[_show(row[column]) for column in rows[0]] for row in rows]
    msg.table(
        lines,
        header=[_label(column) for column in rows[0]],
        divider=True,
        aligns=aligns,
        max_col=MAX_COLUMN,
    )


@contextmanager
def failures_named(name: str) -> Iterator[None]:
    """End the command with a message instead of a traceback where a file or a setting is wrong.

    name (str): Name of the benchmark.
    """
    try:
        yield
    except (OSError, ValueError) as err:
        msg.fail(f"Could not run the benchmark '{name}'", str(err), exits=1)


def _label(column: str) -> str:
    return column.replace("_", " ")


def _show(value: Any) -> str:
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _cpu_model() -> str:
    if _CPUINFO.exists():
        for line in _CPUINFO.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _status_bytes(field: str) -> int:
    for line in _STATUS.read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key == field:
            return 1024 * int(value.split()[0])
    raise ValueError(f"{_STATUS}: no field {field}")
