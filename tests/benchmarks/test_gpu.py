"""The benchmark of a GPU, tried on the CPU."""

import json
import os

import pytest
import typer
from typer.testing import CliRunner

from benchmarks import gpu
from benchmarks.pipelines import find_transformer

from ..conftest import ROOT


@pytest.fixture
def run(tiny_encoder, tiny_corpus, tmp_path):
    def run(*options):
        app = typer.Typer()
        app.command()(gpu.gpu_cli)
        paths = ("--train", tiny_corpus, "--data", tiny_corpus, "--encoder", tiny_encoder)
        sizes = [
            "--gpu",
            "-1",
            "--repeats",
            "1",
            "--batches",
            "4",
            "--sentences",
            "6",
            "--steps",
            "1",
            "--run-steps",
            "2",
        ]
        arguments = [*sizes, "--run-steps", 2, *paths, "--output", tmp_path / "gpu.json", *options]
        result = CliRunner().invoke(app, [*map(str, arguments)])
        assert result.exit_code == 0, result.output
        return result.output, json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))

    return run


@pytest.mark.filterwarnings("ignore")
def test_tables(run):
    output, report = run("--no-head")
    assert "| precision | batch | sentences/s |" in output
    assert [*report["tables"]][1] == gpu.PREDICTION
    rows = report["tables"][gpu.PREDICTION]
    assert rows[0]["batch"] == 4
    assert rows[0][gpu.OF_BARE] > 0.0
    assert report["headline"]["step, times the bare encoder, float32"] > 0.0


@pytest.mark.filterwarnings("ignore")
def test_nothing_is_measured_from_the_cache_of_a_frozen_encoder(run, monkeypatch):
    sizes = []

    def measure(nlp, *arguments):
        shim = find_transformer(nlp).model.layers[0].shims[0]
        sizes.append(shim.cache_size)

    for name in ("measure_prediction", "measure_training", "measure_waits"):
        monkeypatch.setattr(gpu, name, measure)
    run("--no-head", "--config", ROOT / "configs" / "conll04_table_sequence.cfg")
    assert sizes == [0, 0, 0]


@pytest.mark.parametrize("before", ["false", None])
def test_parallel_tokenizers_end_with_the_block(monkeypatch, before):
    """Forked processes of the same program would wait for the threads without end."""
    name = "TOKENIZERS_PARALLELISM"
    monkeypatch.delenv(name, raising=False)
    if before is not None:
        monkeypatch.setenv(name, before)
    with pytest.raises(KeyError), gpu.parallel_tokenizers():
        assert os.environ[name] == "true"
        raise KeyError
    assert os.environ.get(name) == before


def test_a_table_is_printed_line_by_line(capsys):
    printer = gpu.Printer()
    printer.add("Title", {"a": 1, "b": 0.12345})
    first = capsys.readouterr().out
    assert first == "\n### Title\n\n| a | b |\n| --- | --- |\n| 1 | 0.123 |\n"
    printer.add("Title", {"a": 2, "b": 1234.5})
    assert capsys.readouterr().out == "| 2 | 1234 |\n"
