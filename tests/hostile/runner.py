"""Runs the cases in a process with limits, and judges."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from .cases import CASES, CHANGED, LOADED, REFUSED, Case, Place

ROOT = Path(__file__).parents[2]
_LIMIT = 6  # gigabytes of address space


def run_cases(
    names: Iterable[str], bases: dict[str, Path], folder: Path, *, load: str = "checked"
) -> Iterator[tuple[str, list[str], dict]]:
    """Load hostile directories, and yield the name, the faults and the outcome of each.

    load (str): "checked" for `load_pipeline`, "spacy" for `spacy.load`.
    """
    temporary = folder / "temporary"
    temporary.mkdir(parents=True)
    with _start(load, temporary) as child:
        harmless = {name: _ask(child, path)["found"] for name, path in bases.items()}
        for name in names:
            case = CASES[name]
            place = _prepare(case, bases, folder / "case")
            before = _list_files(folder / "case")
            outcome = _ask(child, place.model)
            if load == "spacy":  # spaCy knows no path where it loads an encoder
                case = case._replace(file="encoder")
            faults = judge(case, outcome, harmless[case.base])
            if place.mark.exists():
                faults.append("code was run")
            if _list_files(folder / "case") != before or any(temporary.iterdir()):
                faults.append("files were written")
            yield name, faults, outcome
            shutil.rmtree(folder / "case")


def judge(case: Case, outcome: dict, harmless: object) -> list[str]:
    """List the faults of an outcome."""
    faults = [f"seen: {event}" for event in outcome["seen"]]
    kind = outcome["outcome"]
    if kind == LOADED and outcome["found"] != harmless:
        kind = CHANGED
    if kind not in case.expected:
        faults.append(f"{kind}; expected {' or '.join(case.expected)}")
    if kind == REFUSED:
        message = str(outcome["message"])
        if case.file and Path(case.file).parts[0] not in message:
            faults.append(f"the message does not name {case.file}")
        if len(message) < 60:
            faults.append("the message is short")
    return faults


def _prepare(case: Case, bases: dict[str, Path], folder: Path) -> Place:
    outside = folder / "outside"
    outside.mkdir(parents=True)
    (outside / "config.cfg").write_text("[nlp]\n")
    model = folder / "a" / "b" / "model"
    shutil.copytree(bases[case.base], model)
    place = Place(model, outside, folder / "mark")
    case.change(place)
    return place


def _list_files(folder: Path) -> list[tuple[str, int]]:
    found = []
    for path in sorted(folder.rglob("*")):
        found.append((str(path), path.lstat().st_mtime_ns))
    return found


def _start(load: str, temporary: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    environment |= {"HF_HUB_OFFLINE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.hostile.child", load, str(_LIMIT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=environment,
        text=True,
    )


def _ask(child: subprocess.Popen[str], folder: Path) -> dict:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(f"{folder}\n")
    child.stdin.flush()
    answer = child.stdout.readline()
    if not answer:
        return {"outcome": f"the process died ({child.wait()})", "seen": [], "message": ""}
    return json.loads(answer)
