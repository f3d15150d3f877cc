"""The benchmark of other runtimes for the encoder."""

import pytest
import torch

from benchmarks.runtimes import runtimes_cli


def refuse(*args, **kwargs):
    raise RuntimeError("no compiler")


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
