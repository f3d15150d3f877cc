"""The benchmark of other runtimes for the encoder."""

import pytest
import torch

from benchmarks.pipelines import load_pipeline
from benchmarks.runtimes import runtimes_cli

from ..conftest import ROOT


def refuse(*args, **kwargs):
    """Stands for torch.compile without a compiler, which fails at the first call."""

    def call(**inputs):
        raise RuntimeError("no compiler")

    return call


def test_the_command_compares_runtimes(run_benchmark, tiny_corpus, tiny_encoder, monkeypatch):
    monkeypatch.setattr(torch, "compile", refuse)  # takes a minute
    paths = ("--data", tiny_corpus, "--train", tiny_corpus, "--encoder", tiny_encoder)
    saved = run_benchmark(runtimes_cli, *paths)
    assert len(saved["tables"]) == 2
    for rows in saved["tables"].values():
        found = {row["runtime"]: row for row in rows}
        assert found["pipeline"]["speed"] == 1 and found["pipeline"]["difference"] == 0
        assert found["transformers"]["difference"] == pytest.approx(0, abs=1e-5)
        assert 1e-5 < found["torch int8"]["difference"] < 0.2
        assert "torch.compile" not in found
    assert saved["settings"]["torch.compile"] == "RuntimeError: no compiler"


def test_a_trained_pipeline_is_scored(
    run_benchmark, tiny_corpus, tiny_encoder, tmp_path, monkeypatch
):
    monkeypatch.setattr(torch, "compile", refuse)
    config = ROOT / "configs" / "conll04.cfg"
    nlp, _ = load_pipeline(None, config=config, encoder=str(tiny_encoder), train=tiny_corpus)
    nlp.to_disk(tmp_path / "model")
    saved = run_benchmark(runtimes_cli, "--data", tiny_corpus, "--model", tmp_path / "model")
    rows = saved["tables"]["nlp.pipe, trained"]
    assert [row["precision"] for row in rows[:2]] == ["float32", "int8"]
    for row in rows:
        assert row["speed"] > 0 and 0 <= row["RE+, F1"] <= row["entities, F1"] <= 100
