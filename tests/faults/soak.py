"""A long run of `annotate`: its memory, threads and open files over time.

`python -m tests.faults.soak MODEL --documents 300000` prints a row for each twentieth of the
documents. It reads /proc, so it runs on Linux only.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from .kills import spacy_command

_NAMES = ("Ada", "Wole Soyinka", "Grace Hopper", "Zoë", "李明", "O'Neill")
_PLACES = ("Rome", "Abeokuta", "New York", "Łódź", "São Paulo")
_VERBS = ("lives in", "was born in", "works for a bank in", "wrote of")


class Sample(NamedTuple):
    """The state of a process.

    seconds (float): Time since its start.
    n_done (int): Number of annotated documents, in whole parts.
    megabytes (float): Memory in use.
    n_threads (int): Number of threads.
    n_files (int): Number of open files.
    """

    seconds: float
    n_done: int
    megabytes: float
    n_threads: int
    n_files: int


def write_documents(path: Path, number: int) -> None:
    """Write short documents that differ; one in a thousand is bad."""
    draw = random.Random(0)
    with path.open("w", encoding="utf-8") as file_:
        for index in range(number):
            words = f"{draw.choice(_NAMES)} {draw.choice(_VERBS)} {draw.choice(_PLACES)}"
            text = f"{words} {draw.randrange(10**9):x}."  # a word that no other document has
            if index % 1000 == 999:
                text = None
            file_.write(json.dumps({"id": index, "text": text}) + "\n")


def measure(process: int, start: float, parts: Path, part_size: int) -> Sample:
    """Measure a process by its number."""
    status = {}
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        status[name] = value.split()
    n_files = len(os.listdir(f"/proc/{process}/fd"))
    n_parts = len(list(parts.glob("tabcnn-0*.jsonl")))
    megabytes = int(status["VmRSS"][0]) / 1024
    seconds = time.monotonic() - start
    return Sample(seconds, n_parts * part_size, megabytes, int(status["Threads"][0]), n_files)


def soak(model: str, n_documents: int, part_size: int, folder: Path) -> list[Sample]:
    """Annotate documents, and print and return samples."""
    source, output = folder / "in.jsonl", folder / "out.jsonl"
    write_documents(source, n_documents)
    command = spacy_command("tabcnn", "annotate", model, source, output, "--part-size", part_size)
    start = time.monotonic()
    samples: list[Sample] = []
    print(f"{'seconds':>8} {'documents':>10} {'MB':>8} {'threads':>8} {'files':>6}", flush=True)
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            time.sleep(0.5)
            try:
                sample = measure(process.pid, start, Path(f"{output}.parts"), part_size)
            except (OSError, KeyError):  # it has just ended
                continue
            if not samples or sample.n_done - samples[-1].n_done >= n_documents / 20:
                samples.append(sample)
                seconds, n_done, megabytes, n_threads, n_files = sample
                row = f"{seconds:8.0f} {n_done:10} {megabytes:8.1f} {n_threads:8} {n_files:6}"
                print(row, flush=True)
    n_rows = count_lines(output)
    n_rejects = count_lines(Path(f"{output}.rejects.jsonl"))
    print(f"exit code {process.returncode}, {n_rows} rows, {n_rejects} rejects")
    assert (process.returncode, n_rows + n_rejects) == (0, n_documents)
    return samples


def count_lines(path: Path) -> int:
    """Count the lines of a file."""
    with path.open("rb") as file_:
        return sum(1 for _ in file_)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", help="name or folder of a pipeline")
    parser.add_argument("--documents", type=int, default=300_000)
    parser.add_argument("--part-size", type=int, default=1024)
    options = parser.parse_args()
    if sys.platform != "linux":
        parser.error("reads /proc, which is there on Linux only")
    with tempfile.TemporaryDirectory() as folder:
        soak(options.model, options.documents, options.part_size, Path(folder))


if __name__ == "__main__":
    main()
