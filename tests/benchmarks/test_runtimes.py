"""The benchmark of other runtimes for the encoder."""

import pytest
import torch
from transformers import AutoModel

from benchmarks.pipelines import load_pipeline
from benchmarks.runtimes import OnnxEncoder, export, runtimes_cli

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


def test_an_exported_encoder_has_the_states_of_all_layers(tiny_encoder, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    encoder = AutoModel.from_pretrained(tiny_encoder).eval()
    exported = OnnxEncoder(export(encoder, tmp_path))
    ids = torch.randint(5, 20, (3, 6), generator=torch.Generator().manual_seed(0))
    mask = torch.arange(6).expand(3, 6) < torch.tensor([[6], [2], [4]])
    with torch.no_grad():
        expected = encoder(input_ids=ids, attention_mask=mask.long(), output_hidden_states=True)
    found = exported(ids, mask, output_hidden_states=True)
    assert len(found.hidden_states) == len(expected.hidden_states)
    for layer, other in zip(found.hidden_states, expected.hidden_states, strict=True):
        assert torch.allclose(layer[mask], other[mask], atol=1e-5)
    assert torch.equal(exported(ids, mask).last_hidden_state, found.hidden_states[-1])


def test_a_trained_pipeline_is_scored(
    run_benchmark, tiny_corpus, tiny_encoder, tmp_path, monkeypatch
):
    monkeypatch.setattr(torch, "compile", refuse)
    config = ROOT / "configs" / "conll04.cfg"
    nlp, _ = load_pipeline(None, config=config, encoder=str(tiny_encoder), train=tiny_corpus)
    nlp.to_disk(tmp_path / "model")
    saved = run_benchmark(runtimes_cli, "--data", tiny_corpus, "--model", tmp_path / "model")
    rows = saved["tables"]["nlp.pipe, trained"]
    assert [row["precision"] for row in rows[:2]] == ["float32", "int8, torch"]
    for row in rows:
        assert row["speed"] > 0 and 0 <= row["RE+, F1"] <= row["entities, F1"] <= 100
