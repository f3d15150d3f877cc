"""Faults of `annotate`: kills, a full disk, a folder without rights, two runs at once.

`pytest tests/faults/test_annotate.py --kills 20` kills more often.
"""

import json
import time
from itertools import count

import pytest

from spacy_tabcnn.bulk import annotate as bulk
from spacy_tabcnn.bulk.annotate import annotate_file
from spacy_tabcnn.bulk.parts import RUN

from .kills import call_and_kill, draw_moments, kill_at_steps, needs_kills
from .limits import call_limited, make_open_folder, needs_limits

N_ROWS, PART_SIZE = 40, 8
DELAY = 0.005


@pytest.fixture
def folder():
    yield from make_open_folder()


@pytest.fixture(autouse=True)
def pipeline(monkeypatch):
    """A pipeline that takes some time for a row, and rejects every seventh."""
    monkeypatch.setattr(bulk, "check_pipeline", lambda model: None)
    monkeypatch.setattr(bulk, "describe_model", lambda model: {"model": "model"})
    monkeypatch.setattr(bulk, "annotate_batches", annotate_slowly)


def annotate_slowly(model, batches, **options):
    for rows in batches:
        for row in rows:
            time.sleep(DELAY)
            entity = {"start": 0, "end": row.line, "label": "LOC", "score": 0.5}
            good = {"entities": [entity], "relations": []}
            yield good if row.line % 7 else {"reason": f"reason {row.line}"}


@pytest.fixture
def source(folder):
    rows = [{"id": number, "text": "a" * 100} for number in range(N_ROWS)]
    (folder / "in.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return folder / "in.jsonl"


def annotate(source, output, **options):
    return annotate_file("model", source, output, part_size=PART_SIZE, batch_size=2, **options)


def read(output):
    return output.read_bytes(), output.with_name(f"{output.name}.rejects.jsonl").read_bytes()


def list_names(folder):
    return sorted(path.name for path in folder.iterdir())


def finish(source, output):
    """Go on with a killed run, and remove what a kill after all work can leave."""
    if not output.exists() or output.with_name(f"{output.name}.parts").exists():
        annotate(source, output)
    output.with_name(f"{output.name}.lock").unlink(missing_ok=True)
    assert list_names(output.parent) == [output.name, f"{output.name}.rejects.jsonl"]


@needs_kills
@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_kills_at_random_moments(source, folder, n_kills, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow.parquet")
    whole = folder / f"whole.{suffix}"
    annotate(source, whole)
    n_killed = 0
    for number, moment in enumerate(draw_moments(suffix, n_kills, N_ROWS * DELAY)):
        output = folder / str(number) / f"out.{suffix}"
        for _ in range(3):
            n_killed += call_and_kill(annotate, source, output, kill_after=moment)
            if output.exists():
                break
        finish(source, output)
        assert read(output) == read(whole), f"killed after {moment} s"
    print(f"{n_killed} kills")
    assert n_killed


@needs_kills
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_kill_at_each_step_on_disk(source, folder, n_kills, monkeypatch, overwrite):
    if n_kills < 10 and not overwrite:
        pytest.skip("takes a minute: --kills 10")
    monkeypatch.setattr(f"{__name__}.DELAY", 0.0)
    annotate(source, folder / "whole.jsonl")
    outputs = (folder / str(number) / "out.jsonl" for number in count())
    output = next(outputs)
    n_killed = 0

    def run():
        if overwrite:
            output.write_text("old")
        annotate(source, output, overwrite=overwrite)

    output.parent.mkdir()
    for place in kill_at_steps(run):
        n_killed += 1
        if overwrite:
            assert output.read_bytes() in (b"old", read(folder / "whole.jsonl")[0]), place
        # Before there is a file of the run, the old output stays, as if nothing had begun.
        if not overwrite or output.with_name("out.jsonl.parts").joinpath(RUN).exists():
            finish(source, output)
            assert read(output) == read(folder / "whole.jsonl"), place
        if n_kills < 10 and n_killed > 30:
            break
        output = next(outputs)
        output.parent.mkdir()
    print(f"{n_killed} kills")
    assert n_killed > 30


@needs_limits
def test_a_full_disk_is_named_and_the_run_goes_on_later(source, folder):
    annotate(source, folder / "whole.jsonl")
    output = folder / "out.jsonl"
    output.write_text("old")
    message = call_limited(annotate_again, source, output, max_bytes=500)
    assert "tabcnn-000000.jsonl: cannot be written (File too large). No file was made" in message
    message = call_limited(annotate, source, output, max_bytes=3000)
    assert "out.jsonl: cannot be written (File too large). The old one is kept" in message
    assert output.read_text() == "old"
    assert annotate(source, output).n_resumed == N_ROWS
    assert read(output) == read(folder / "whole.jsonl")
    assert list_names(folder) == [
        "in.jsonl",
        "out.jsonl",
        "out.jsonl.rejects.jsonl",
        "whole.jsonl",
        "whole.jsonl.rejects.jsonl",
    ]


def annotate_again(source, output):
    return annotate(source, output, overwrite=True)


@needs_limits
def test_a_folder_without_rights_is_named(source, folder):
    (folder / "there").mkdir(mode=0o555)
    for output in (folder / "there" / "out.jsonl", folder / "there" / "new" / "out.jsonl"):
        message = call_limited(annotate, source, output, as_nobody=True)
        assert message.startswith(f"PermissionError: {output}: cannot be written (Permission den")
    assert list_names(folder / "there") == []


@needs_kills
def test_one_of_two_runs_at_once_is_refused(source, folder):
    def start_another(results, total, n_done):
        for number, result in enumerate(results):
            if number == 20:
                message = call_limited(annotate_again, source, folder / "out.jsonl")
                assert "BlockingIOError" in message and "another run is writing it" in message
            yield result

    annotate(source, folder / "whole.jsonl")
    annotate(source, folder / "out.jsonl", progress=start_another)
    assert read(folder / "out.jsonl") == read(folder / "whole.jsonl")
