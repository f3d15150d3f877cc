"""A file through a pipeline."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from datetime import datetime
from itertools import islice

import pytest
import spacy

from spacy_tabcnn.bulk.annotate import annotate_file, find_common_reason
from spacy_tabcnn.bulk.parts import Parts

from ..faults.kills import fork
from .conftest import FOUND, TEXT, TOO_LONG, get_names
from .test_rows import UNICODE

# The model has learned one sentence. Warnings are errors in tests, so a text of two would fail.
pytestmark = pytest.mark.filterwarnings("ignore:Component 'tabcnn' was trained on")


def test_jsonl_keeps_its_fields_and_their_order(model, tmp_path, read_jsonl, write_jsonl):
    records = [
        {"id": f"é{i}", "body": text, "meta": {"n": [i]}}
        for i, text in enumerate([TEXT, *UNICODE, ""])
    ]
    source = write_jsonl(tmp_path / "in.jsonl", records)
    summary = annotate_file(model, source, tmp_path / "new" / "out.jsonl", text_field="body")
    rows = read_jsonl(tmp_path / "new" / "out.jsonl")
    assert [{name: row[name] for name in ("id", "body", "meta")} for row in rows] == records
    assert list(rows[0]) == ["id", "body", "meta", "entities", "relations"]
    assert get_names(rows[0], "body") == FOUND
    assert summary == (6, 0, 0)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["out.jsonl"]


def test_plain_text_with_crlf(model, tmp_path, read_jsonl):
    (tmp_path / "in.txt").write_bytes(f"{TEXT}\r\n\r\n{TEXT}".encode())
    annotate_file(model, tmp_path / "in.txt", tmp_path / "out.jsonl")
    rows = read_jsonl(tmp_path / "out.jsonl")
    assert [row["text"] for row in rows] == [TEXT, "", TEXT]
    assert get_names(rows[2]) == FOUND


def test_bad_documents_go_to_the_rejects(model, tmp_path, read_jsonl, write_jsonl):
    records = [
        {"id": 8, "text": TEXT},
        {"id": "é", "text": TOO_LONG},
        {"id": 9, "text": 3},
        {"text": None},
        {"text": TEXT},
    ]
    source = write_jsonl(tmp_path / "in.jsonl", records)
    with source.open("ab") as file_:
        file_.write(b"{no json}\n")
    assert annotate_file(model, source, tmp_path / "out.jsonl") == (2, 4, 0)
    assert [get_names(row) for row in read_jsonl(tmp_path / "out.jsonl")] == [FOUND, FOUND]
    rejects = read_jsonl(tmp_path / "out.jsonl.rejects.jsonl")
    assert [(reject["line"], reject.get("id")) for reject in rejects] == [
        (2, "é"),
        (3, 9),
        (4, None),
        (6, None),
    ]
    for reject, reason in zip(
        rejects, ("E088", "'text' is int", "'text' is NoneType", "invalid JSON"), strict=True
    ):
        assert reason in reject["reason"]


def test_an_empty_file(model, tmp_path):
    (tmp_path / "in.jsonl").touch()
    assert annotate_file(model, tmp_path / "in.jsonl", tmp_path / "out.jsonl") == (0, 0, 0)
    assert (tmp_path / "out.jsonl").read_bytes() == b""


def test_parquet_keeps_its_types(model, tmp_path):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    times = [datetime(2024, 1, day) for day in (1, 2, 3)]
    table = pa.table(
        {
            "time": pa.array(times, pa.timestamp("ns")),
            "text": pa.array([TEXT, None, UNICODE[0]]).dictionary_encode(),
            "raw": [b"\xff", b"", None],
            "large": pa.array(["a", None, "b"], pa.large_string()),
            "view": pa.array([None, "a", "b"], pa.string_view()),
            "field": [{"large": "c"}] * 3,
            "entities": ["gold", "", ""],
        }
    )
    parquet.write_table(table, tmp_path / "in.parquet")
    assert annotate_file(model, tmp_path / "in.parquet", tmp_path / "out.parquet") == (2, 1, 0)
    out = parquet.read_table(tmp_path / "out.parquet")
    kept = ["time", "raw", "large", "view", "field"]
    assert out.column_names == ["time", "text", *kept[1:], "entities", "relations"]
    assert out.schema.types[:-2] == table.schema.types[:-1]
    assert out.select(kept).to_pylist() == table.select(kept).to_pylist()[::2]
    rows = out.to_pylist()
    assert get_names(rows[0]) == FOUND
    assert rows[1]["text"] == UNICODE[0]


def test_rejects_of_parquet_keep_the_id(model, tmp_path, read_jsonl):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pa.table({"id": ["a", "b"], "text": [TEXT, None]}), tmp_path / "in.parquet")
    for suffix in ("jsonl", "parquet"):
        annotate_file(model, tmp_path / "in.parquet", tmp_path / f"out.{suffix}")
        [reject] = read_jsonl(tmp_path / f"out.{suffix}.rejects.jsonl")
        assert (reject["line"], reject["id"]) == (2, "b")


def test_parquet_to_jsonl(model, tmp_path, read_jsonl):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pa.table({"text": [TEXT], "time": [datetime(2024, 1, 2)], "number": [float("nan")]})
    parquet.write_table(table, tmp_path / "in.parquet")
    annotate_file(model, tmp_path / "in.parquet", tmp_path / "out.jsonl")
    [row] = read_jsonl(tmp_path / "out.jsonl")
    assert get_names(row) == FOUND
    assert (row["time"], row["number"]) == ("2024-01-02T00:00:00", None)


def test_jsonl_to_parquet_finds_types_and_falls_back_to_json(model, tmp_path, write_jsonl):
    parquet = pytest.importorskip("pyarrow.parquet")
    records = [
        {
            "text": TEXT,
            "flag": True,
            "int": 1,
            "float": 1,
            "mixed": 1,
            "list": [1],
            "long": 2**70,
            "none": None,
        },
        {
            "text": UNICODE[1],
            "int": 2**60,
            "float": 0.5,
            "mixed": "a",
            "list": [],
            "relations": 3,
            "late": "é",
        },
    ]
    source = write_jsonl(tmp_path / "in.jsonl", records)
    annotate_file(model, source, tmp_path / "out.parquet")
    first, second = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert get_names(first) == FOUND
    names = ("flag", "int", "float", "mixed", "list", "long", "none", "late")
    assert [first[name] for name in names] == [True, 1, 1.0, "1", "[1]", str(2**70), None, None]
    assert [second[name] for name in names] == [None, 2**60, 0.5, '"a"', "[]", None, None, "é"]
    assert second["text"] == UNICODE[1] and isinstance(second["relations"], list)


def test_an_empty_file_to_parquet(model, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    (tmp_path / "in.txt").touch()
    annotate_file(model, tmp_path / "in.txt", tmp_path / "out.parquet")
    table = parquet.read_table(tmp_path / "out.parquet")
    assert table.num_rows == 0 and table.column_names == ["text", "entities", "relations"]


@pytest.fixture
def many(tmp_path, write_jsonl):
    """A file of 120 documents that differ, three of them bad."""
    draw = random.Random(1)
    words = [*TEXT.split(), *UNICODE]
    texts = [" ".join(draw.choices(words, k=draw.randint(0, 12))) for _ in range(120)]
    records = [{"id": i, "text": i if i % 50 == 7 else text} for i, text in enumerate(texts)]
    return write_jsonl(tmp_path / "in.jsonl", records)


def wait_for_parts(n_parts, output, is_alive):
    deadline = time.monotonic() + 240
    while (
        is_alive()
        and len(list(output.parent.glob(f"{output.name}.parts/tabcnn-0*.jsonl"))) < n_parts
    ):
        assert time.monotonic() < deadline, "the process makes no parts"
        time.sleep(0.001)


def kill_after(n_parts, delay, arguments, options):
    """Annotate in another process, kill it once it has made some parts, and return whether it was
    killed before it was done."""
    process = fork(annotate_file, *arguments, **options)
    try:
        wait_for_parts(n_parts, arguments[2], process.is_alive)
        time.sleep(delay)
    finally:
        process.kill()
        process.join(10)
    return process.exitcode == -signal.SIGKILL


def assert_same_files(output, expected):
    for suffix in ("", ".rejects.jsonl"):
        one, other = (path.with_name(f"{path.name}{suffix}") for path in (output, expected))
        assert one.read_bytes() == other.read_bytes()
    assert not [*output.parent.glob("*.parts"), *output.parent.glob("*.lock")]


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="needs fork")
@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_run_that_is_killed_at_ten_random_moments_gives_the_same_rows(
    model, many, tmp_path, suffix
):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    draw = random.Random(suffix)
    options = {"batch_size": 1, "part_size": 2}  # 60 parts
    undisturbed = tmp_path / f"undisturbed.{suffix}"
    output = tmp_path / f"killed.{suffix}"
    annotate_file(model, many, undisturbed, **options)
    # Far enough from the end for all to be kills, whatever the machine.
    moments = [(draw.randint(0, 40), draw.uniform(0, 0.02)) for _ in range(10)]
    for n_parts, delay in sorted(moments):
        assert kill_after(n_parts, delay, (model, many, output), options)
    # And while the output is written, or just before or after.
    for _ in range(2):
        if not output.exists():
            kill_after(60, draw.uniform(0, 0.005), (model, many, output), options)
    if not output.exists():
        summary = annotate_file(model, many, output, **options)
        assert summary is None or summary.n_resumed >= 40
    elif output.with_name(f"{output.name}.parts").exists():
        assert annotate_file(model, many, output, **options) is None
    output.with_name(f"{output.name}.lock").unlink(
        missing_ok=True
    )  # a kill after all else was done leaves it
    assert_same_files(output, undisturbed)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_run_in_two_processes_that_is_killed_takes_its_workers_with_it_and_goes_on(
    model, many, tmp_path
):
    options = {"batch_size": 4, "part_size": 8}
    annotate_file(model, many, tmp_path / "undisturbed.jsonl", **options)
    output = tmp_path / "killed.jsonl"
    command = [
        sys.executable,
        "-m",
        "spacy",
        "tabcnn",
        "annotate",
        model,
        many,
        output,
        "--n-process",
        "2",
    ]
    command += ["--batch-size", "4", "--part-size", "8"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        try:
            wait_for_parts(1, output, lambda: process.poll() is None)
        finally:
            process.kill()
        process.communicate(timeout=30)  # waits for all that write there, the workers too
        assert process.returncode == -signal.SIGKILL
    assert annotate_file(model, many, output, **options).n_resumed >= 8
    assert_same_files(output, tmp_path / "undisturbed.jsonl")


def test_a_second_run_on_one_output_is_refused(model, many, tmp_path):
    arguments = (model, many, tmp_path / "out.jsonl")

    def start_another(results, total, n_done):
        with pytest.raises(BlockingIOError, match=r"out.jsonl: another run is writing it. Wait"):
            annotate_file(*arguments, overwrite=True)
        return results

    assert annotate_file(*arguments, progress=start_another) == (117, 3, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "in.jsonl",
        "out.jsonl",
        "out.jsonl.rejects.jsonl",
    ]


@pytest.fixture
def stopped(model, many, tmp_path):
    """The arguments of a run that was stopped after two parts."""
    arguments = (model, many, tmp_path / "out.jsonl")

    def stop_after_two(results, total, n_done):
        for index, result in enumerate(results):
            if index == 17:
                raise KeyboardInterrupt
            yield result

    with pytest.raises(KeyboardInterrupt):
        annotate_file(*arguments, part_size=8, progress=stop_after_two)
    return arguments


def test_a_stopped_run_goes_on_with_the_next_part(stopped):
    calls = []

    def watch(results, total, n_done):
        calls.append((total, n_done))
        return results

    assert annotate_file(*stopped, part_size=8, batch_size=2, progress=watch) == (117, 3, 16)
    assert calls == [(120, 16)]


def test_a_run_stopped_when_its_output_was_complete_is_only_cleaned_up(
    many, tmp_path, stopped, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(Parts, "remove", stop)
        with pytest.raises(KeyboardInterrupt):
            annotate_file(*stopped, part_size=8)
    complete = stopped[2].read_bytes()
    assert list(tmp_path.glob("*.parts"))
    assert annotate_file(*stopped, part_size=8) is None
    assert stopped[2].read_bytes() == complete and not list(tmp_path.glob("*.parts"))


def stop(*arguments):
    raise KeyboardInterrupt


@pytest.mark.parametrize("options", [{"part_size": 9}, {"part_size": 8, "text_field": "body"}])
def test_other_settings_are_refused(stopped, options):
    with pytest.raises(
        ValueError,
        match=r"made with other settings \((part_size|text_field): .*, now .*--overwrite",
    ):
        annotate_file(*stopped, **options)
    annotate_file(*stopped, **options, overwrite=True)


def test_another_input_is_refused(stopped):
    with stopped[1].open("ab") as file_:
        file_.write(b'{"text": "more"}\n')
    with pytest.raises(ValueError, match=r"other settings \(input_size"):
        annotate_file(*stopped, part_size=8)


def test_another_model_is_refused(stopped, tmp_path):
    nlp = spacy.load(stopped[0])
    nlp.to_disk(tmp_path / "other")
    with pytest.raises(ValueError, match=r"other settings \(model"):
        annotate_file(tmp_path / "other", *stopped[1:], part_size=8)


def test_an_input_that_changes_meanwhile_is_refused(model, many, tmp_path):
    def change(results, total, n_done):
        yield from results
        many.write_bytes(b"")

    with pytest.raises(ValueError, match=r"in.jsonl: changed while it was annotated"):
        annotate_file(model, many, tmp_path / "out.jsonl", progress=change)


def test_an_input_that_changes_at_the_end_is_refused(model, many, tmp_path, monkeypatch):
    read = Parts.read

    def change(parts):
        many.write_text('{"text": "one"}\n')
        return read(parts)

    monkeypatch.setattr(Parts, "read", change)
    with pytest.raises(ValueError, match=r"in.jsonl: changed while it was annotated"):
        annotate_file(model, many, tmp_path / "out.jsonl")
    assert not list(tmp_path.glob("out.jsonl*l"))


def test_a_complete_output_is_replaced_only_if_asked(model, many, tmp_path):
    (tmp_path / "out.jsonl").write_text("precious")
    with pytest.raises(
        ValueError, match=r"out.jsonl: exists and is complete. Annotate again with --overwrite"
    ):
        annotate_file(model, many, tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text() == "precious"
    assert annotate_file(model, many, tmp_path / "out.jsonl", overwrite=True) == (117, 3, 0)


def test_an_output_that_is_replaced_stays_until_the_new_one_is_complete(model, many, tmp_path):
    output = tmp_path / "out.jsonl"
    output.write_text("old")
    output.with_name("out.jsonl.rejects.jsonl").write_text("old rejects")

    def stop_early(results, total, n_done):
        yield from islice(results, 20)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        annotate_file(model, many, output, part_size=8, overwrite=True, progress=stop_early)
    assert output.read_text() == "old"
    assert annotate_file(model, many, output, part_size=8) == (117, 3, 16)
    assert output.read_text() != "old"
    assert output.with_name("out.jsonl.rejects.jsonl").read_text() != "old rejects"


@pytest.mark.parametrize(
    "texts,reason",
    [
        ([5, 6], "the field 'text' is int; expected a string"),
        ([5, None], None),
        ([TOO_LONG, f"{TOO_LONG} a"], "[E088]"),
    ],
)
def test_one_reason_for_all_rejects_is_found(model, tmp_path, write_jsonl, texts, reason):
    source = write_jsonl(tmp_path / "in.jsonl", [{"text": text} for text in texts])
    assert annotate_file(model, source, tmp_path / "out.jsonl") == (0, 2, 0)
    found = find_common_reason(tmp_path / "out.jsonl")
    assert found == reason or reason in found


def test_the_folder_of_the_pipeline_is_no_place_for_the_output(model, many):
    with pytest.raises(ValueError, match=r"out.jsonl: is in the folder of the pipeline"):
        annotate_file(model, many, model / "sub" / "out.jsonl")


@pytest.mark.skipif(os.name != "posix", reason="needs links")
@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.rejects.jsonl", "out.jsonl.lock"])
def test_no_file_of_a_run_is_its_input(model, many, tmp_path, name):
    content = many.read_bytes()
    for link in (os.link, os.symlink):
        link(many, tmp_path / name)
        with pytest.raises(ValueError, match=rf"{name}: is the input too"):
            annotate_file(model, many, tmp_path / "out.jsonl", overwrite=True)
        (tmp_path / name).unlink()
    (tmp_path / "out.jsonl.parts").mkdir()
    many.rename(tmp_path / "out.jsonl.parts" / "in.jsonl")
    many.symlink_to(tmp_path / "out.jsonl.parts" / "in.jsonl")
    with pytest.raises(ValueError, match=r"out.jsonl.parts: the input .* is in this folder"):
        annotate_file(model, many, tmp_path / "out.jsonl", overwrite=True)
    assert many.read_bytes() == content


def test_what_cannot_work_is_refused_at_once(model, many, tmp_path):
    with pytest.raises(
        ValueError, match=r"expected one of \.jsonl, \.ndjson, \.csv, \.tsv, \.parquet"
    ):
        annotate_file(model, many, tmp_path / "out.txt")
    with pytest.raises(ValueError, match="is the input too"):
        annotate_file(model, many, many)
    rejects = tmp_path / "out.jsonl.rejects.jsonl"
    many.rename(rejects)
    with pytest.raises(ValueError, match=r"out.jsonl.rejects.jsonl: is the input too"):
        annotate_file(model, rejects, tmp_path / "out.jsonl")
    rejects.rename(many)
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(ValueError, match=r"folder.jsonl: is a folder"):
        annotate_file(model, many, tmp_path / "folder.jsonl")
    (tmp_path / "folder.jsonl").rmdir()
    with pytest.raises(ValueError, match="none: neither an installed pipeline nor a folder of one"):
        annotate_file(tmp_path / "none", many, tmp_path / "out.jsonl")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl"]
