"""Timing, memory, and the two forms of a report."""

import os
import sys

import numpy as np
import pytest
import srsly

from benchmarks.common import (
    MEBIBYTE,
    OutputOption,
    Report,
    describe_environment,
    failures_named,
    in_fresh_process,
    interleave,
    median_ratio,
    peak_memory,
    publish,
    resident_memory,
    to_mebibytes,
)

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's /proc")


def test_contenders_take_turns_after_a_round_of_warm_up():
    calls = []
    contenders = {"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}
    interleave(contenders, repeats=2)
    assert calls == ["a", "b", "a", "b", "a", "b"]


def test_seconds_are_those_of_the_rounds_without_the_warm_up(clock):
    durations = iter([100.0, 1.0, 2.0, 3.0])
    seconds = interleave({"a": lambda: clock.sleep(next(durations))}, repeats=3, clock=clock)
    assert seconds == {"a": [1.0, 2.0, 3.0]}


def test_no_round_starts_when_time_is_up(clock):
    contenders = {"a": lambda: clock.sleep(1.0), "b": lambda: clock.sleep(2.0)}
    seconds = interleave(contenders, repeats=100, max_seconds=8.0, clock=clock)
    assert seconds == {"a": [1.0, 1.0], "b": [2.0, 2.0]}


def test_one_round_runs_however_short_the_time(clock):
    assert interleave({"a": lambda: clock.sleep(5.0)}, repeats=3, max_seconds=1.0, clock=clock) == {
        "a": [5.0]
    }


def test_the_ratio_is_the_median_of_the_rounds():
    # In the second round, the machine was ten times slower.
    assert median_ratio([2.0, 30.0, 3.0], [1.0, 10.0, 2.0]) == 2.0


@linux_only
def test_peak_memory_is_found_although_it_has_been_freed():
    before = resident_memory()
    peak = in_fresh_process(peak_memory_of_ones, 200)
    assert 200 <= to_mebibytes(peak) <= 200 + to_mebibytes(before)


@linux_only
def test_an_earlier_peak_is_forgotten():
    peak_memory_of_ones(200)
    assert to_mebibytes(peak_memory_of_ones(0) - resident_memory()) < 100


def peak_memory_of_ones(n_mebibytes):
    return peak_memory(lambda: np.ones(n_mebibytes * MEBIBYTE, dtype=np.int8).sum())


def test_memory_is_unknown_without_linux(tmp_path, monkeypatch):
    for name in ("_STATUS", "_CLEAR_REFS"):
        monkeypatch.setattr(f"benchmarks.common.{name}", tmp_path / "missing")
    assert resident_memory() is None
    assert peak_memory(lambda: None) is None
    assert to_mebibytes(None) is None


def test_a_fresh_process_is_another():
    assert in_fresh_process(os.getpid) != os.getpid()


def test_the_environment_names_the_machine_and_what_runs_on_it():
    environment = describe_environment()
    assert environment["cpu"]
    assert environment["cores"] == os.cpu_count()
    assert environment["threads"] == 1
    assert {"python", "torch", "spacy", "transformers", "spacy-tabcnn"} <= set(environment)


@pytest.fixture
def report():
    return Report(
        settings={"data": "train.spacy", "batch_size": 8},
        headline={"dense/head": 12.345},
        tables={"Speed": [{"input": "n = 10", "head_ms": 1234.5, "MiB": None}]},
    )


def test_a_report_is_printed(report, tmp_path, capsys):
    publish("head", report, tmp_path / "head.json")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["batch", "size", "8"] in lines
    assert ["input", "head", "ms", "MiB"] in lines
    assert ["n", "=", "10", "1234", "-"] in lines
    assert ["dense/head", "12.3"] in lines


def test_a_report_is_saved(report, tmp_path):
    publish("head", report, tmp_path / "new" / "head.json")
    assert srsly.read_json(tmp_path / "new" / "head.json") == {
        "benchmark": "head",
        "environment": describe_environment(),
        **report._asdict(),
    }


def test_a_report_goes_to_the_metrics_by_default(report, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    publish("head", report, None)
    assert (tmp_path / "metrics" / "head.json").is_file()


def test_a_wrong_setting_ends_the_command_with_a_message(capsys):
    with pytest.raises(SystemExit) as stop, failures_named("head"):
        raise ValueError("no such corpus")
    assert stop.value.code == 1
    assert "no such corpus" in capsys.readouterr().out


def test_no_benchmark_writes_over_a_corpus(run_command, tmp_path):
    def benchmark(output: OutputOption = None) -> None:
        output.write_text("scores")

    for name in ("dev.spacy", "train.cfg"):
        (tmp_path / name).write_text("corpus")
        assert run_command(benchmark, "--output", tmp_path / name).exit_code == 2
        assert (tmp_path / name).read_text() == "corpus"
    assert run_command(benchmark, "--output", tmp_path / "new.json").exit_code == 0
