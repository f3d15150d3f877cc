"""The parts of a stopped `annotate` run: damages are detected, or change nothing.

An input is a recipe of damages, since the settings of a run hold the paths of its files.
"""

import json
import random
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import strategies as st

from spacy_tabcnn.bulk.annotate import annotate_file
from spacy_tabcnn.bulk.rows import RowResult

from ..bulk import no_pipeline
from ..target import READ, REFUSED, Files, Finding, Target

N_ROWS, PART_SIZE, N_DONE = 14, 3, 11
RUN = "tabcnn-run.json"
# Names of files that no run writes.
FOREIGN = ("mine.jsonl", "000000.jsonl", "settings.json", "notes.txt", "tabcnn.jsonl", "a.tmp")


def _flip(folder: Path, draw: random.Random) -> None:
    path = _choose(folder, draw)
    data = bytearray(path.read_bytes())
    if data:
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)


def _cut(folder: Path, draw: random.Random) -> None:
    path = _choose(folder, draw)
    data = path.read_bytes()
    path.write_bytes(data[: draw.randrange(len(data) + 1)])


def _append(folder: Path, draw: random.Random) -> None:
    path = _choose(folder, draw)
    path.write_bytes(path.read_bytes() + draw.choice([b"\n", b"{}\n", b"\0" * 100, b"5"]))


def _swap(folder: Path, draw: random.Random) -> None:
    one, other = _choose(folder, draw), _choose(folder, draw)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def _double(folder: Path, draw: random.Random) -> None:
    target = folder / f"tabcnn-{draw.randrange(7):06}.jsonl"
    target.write_bytes(_choose(folder, draw).read_bytes())


def _rename(folder: Path, draw: random.Random) -> None:
    _choose(folder, draw).rename(folder / f"tabcnn-{draw.randrange(7):06}.jsonl")


def _remove(folder: Path, draw: random.Random) -> None:
    _choose(folder, draw).unlink()


def _change_lines(folder: Path, draw: random.Random) -> None:
    path = _choose(folder, draw)
    lines = path.read_bytes().splitlines(keepends=True)
    kind = draw.choice(["double", "swap", "drop"])
    number = draw.randrange(max(1, len(lines)))
    if kind == "double":
        lines[number:number] = lines[number : number + 1]
    elif kind == "swap":
        draw.shuffle(lines)
    else:
        del lines[number : number + 1]
    path.write_bytes(b"".join(lines))


def _replace(folder: Path, draw: random.Random) -> None:
    content = draw.choice([b"", b"[]", b"{}", b"null\n", b"[" * 3000, b"\xff\xfe", b"x", b"{"])
    _choose(folder, draw).write_bytes(content)


def _change_label(folder: Path, draw: random.Random) -> None:
    path = _choose(folder, draw)
    path.write_bytes(path.read_bytes().replace(b"LOC", b"PER", 1))


def _add_part_of_other_run(folder: Path, draw: random.Random) -> None:
    content = '{"entities": [], "relations": []}\n' * PART_SIZE
    last = {"run": "0" * 16, "part": 0, "rows": PART_SIZE, "sha256": "0" * 64}
    path = folder / f"tabcnn-{draw.randrange(7):06}.jsonl"
    path.write_text(f"{content}{json.dumps(last)}\n")


def _add_foreign(folder: Path, draw: random.Random) -> None:
    (folder / draw.choice(FOREIGN)).write_text("mine")


DAMAGES: tuple[Callable[[Path, random.Random], None], ...] = (
    _flip,
    _cut,
    _append,
    _swap,
    _double,
    _rename,
    _remove,
    _change_lines,
    _replace,
    _change_label,
    _add_part_of_other_run,
    _add_foreign,
)


def _choose(folder: Path, draw: random.Random) -> Path:
    """Choose a file of the run; an empty one if none is left."""
    paths = sorted(folder.glob("tabcnn-*"))
    if not paths:
        paths = [folder / "tabcnn-000000.jsonl"]
        paths[0].touch()
    return draw.choice(paths)


def _stop(results: Iterable[RowResult], n_total: int, n_done: int) -> Iterator[RowResult]:
    yield from islice(results, N_DONE)
    raise KeyboardInterrupt


def _run(folder: Path, **options: object) -> None:
    annotate_file(
        "model", folder / "in.jsonl", folder / "out.jsonl", part_size=PART_SIZE, **options
    )


def _read_results(folder: Path) -> tuple[bytes, ...]:
    names = ("out.jsonl", "out.jsonl.rejects.jsonl")
    return tuple((folder / name).read_bytes() for name in names if (folder / name).exists())


def _read_foreign(parts: Path) -> dict[str, str]:
    return {name: (parts / name).read_text() for name in FOREIGN if (parts / name).exists()}


def _check(files: Files, folder: Path) -> str:
    with no_pipeline():
        rows = [f'{{"id": {number}, "text": "{"a" * 20}"}}\n' for number in range(N_ROWS)]
        (folder / "in.jsonl").write_text("".join(rows))
        _run(folder)
        expected = _read_results(folder)
        for path in folder.glob("out.jsonl*"):
            path.unlink()
        with pytest.raises(KeyboardInterrupt):
            _run(folder, progress=_stop)
        return _damage_and_resume(json.loads(files["recipe"]), folder, expected)


def _damage_and_resume(recipe: list[list[int]], folder: Path, expected: tuple[bytes, ...]) -> str:
    parts = folder / "out.jsonl.parts"
    for number, seed in recipe:
        DAMAGES[number % len(DAMAGES)](parts, random.Random(seed))
    foreign = _read_foreign(parts)
    outcome = READ
    try:
        _run(folder)
    except ValueError as err:
        message = str(err)
        if "out.jsonl.parts" not in message or "--overwrite" not in message:
            raise Finding("a message without the place or the way out", message) from err
        outcome = REFUSED
        _run(folder, overwrite=True)
    if _read_results(folder) != expected:
        raise Finding("another result", outcome)
    if _read_foreign(parts) != foreign:
        raise Finding("a file of someone else was changed", outcome)
    if sorted(foreign) != sorted(path.name for path in parts.glob("*")):
        raise Finding("files of the run are left", outcome)
    return outcome


def _make_input(recipe: list[tuple[int, int]]) -> Files:
    return {"recipe": json.dumps(recipe).encode()}


_DAMAGE = st.tuples(st.integers(0, len(DAMAGES) - 1), st.integers(0, 2**32))
TARGET = Target(
    st.lists(_DAMAGE, min_size=1, max_size=3).map(_make_input), _check, seconds=20.0, n_short=60
)
