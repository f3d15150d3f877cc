"""The benchmark of the API."""

import pytest

from benchmarks.serving import make_texts, serving_cli


def test_texts_are_different():
    texts = make_texts(["a b", "c"], 50)
    assert len(texts) == len(set(texts)) == 50


def test_the_command_reports_throughput_latency_and_the_check(run_benchmark, tiny_run, tiny_corpus):
    pytest.importorskip("fastapi", reason="needs the extra api")
    sizes = ("--requests", 8, "--check", 40, "--repeats", 1)
    saved = run_benchmark(
        serving_cli, "--model", tiny_run / "model-last", "--data", tiny_corpus, *sizes
    )
    assert [row["clients"] for row in saved["tables"]["API"]] == [1, 8, 32]
    assert all(row["failed"] == 0 for row in saved["tables"]["API"])
    assert (saved["headline"]["lost"], saved["headline"]["wrong"]) == (0, 0)


def test_a_missing_model_is_a_message(run_command, tiny_corpus, tmp_path):
    result = run_command(serving_cli, "--model", tmp_path / "none", "--data", tiny_corpus)
    assert result.exit_code == 1 and "Could not run the benchmark 'serving'" in result.output
