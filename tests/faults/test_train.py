"""Kills of training: a pipeline that was saved loads, and --resume comes to the same bytes.

`pytest tests/faults/test_train.py --kills 20` kills more often.
"""

import io
import shutil
import time
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import spacy
from spacy.util import load_config

from spacy_tabcnn.training import loop
from spacy_tabcnn.training.loop import train

from .kills import call_and_kill, draw_moments, kill_at_steps, needs_kills

CONFIGS = Path(__file__).parents[2] / "configs"
MODELS = ("model-best", "model-last")

pytestmark = needs_kills


@pytest.fixture(params=["test/tiny", "conll04_uncased", "conll04_frozen"])
def training(request, tiny_corpus, tiny_encoder):
    """A function that trains for three epochs into a folder: with spaCy's embeddings; with a tiny
    encoder, averages and sentence starts; with a frozen encoder and its cache."""
    name = request.param
    n_kills = request.getfixturevalue("n_kills")
    if name == "conll04_frozen" and n_kills < 5:
        pytest.skip("for --kills 5 or more")
    overrides = {
        "paths.train": str(tiny_corpus),
        "paths.dev": str(tiny_corpus),
        "training.batcher.size": 5,
        "training.max_steps": 7,
        "training.eval_frequency": 2,
    }
    if name != "test/tiny":
        overrides["paths.encoder"] = str(tiny_encoder)
    if name == "conll04_frozen":
        layers = "components.relation_table.model.tok2vec.*.encoder.pooling.n_layers"
        overrides[layers] = 2
    config = load_config(CONFIGS / f"{name}.cfg", overrides=overrides, interpolate=False)
    return partial(train, config, stdout=io.StringIO(), stderr=io.StringIO())


def read_models(folder):
    """The contents of all files of the pipelines in a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for name in MODELS
        for path in (folder / name).rglob("*")
        if path.is_file()
    }


def check_models(folder):
    """Check that the pipelines that exist can be used, and that a checkpoint implies both."""
    for name in MODELS:
        if (folder / name).exists() or (folder / "checkpoint").exists():
            spacy.load(folder / name)("Ada founded Acme.")


def test_kills_at_random_moments(training, n_kills, tmp_path):
    start = time.monotonic()
    training(tmp_path / "whole")
    duration = time.monotonic() - start
    whole = read_models(tmp_path / "whole")
    n_killed = 0
    for number, moment in enumerate(draw_moments("train", n_kills, duration)):
        folder = tmp_path / str(number)
        for _ in range(2):  # the start is killed, and then what goes on
            n_killed += call_and_kill(training, folder, resume=True, kill_after=moment)
            check_models(folder)
        training(folder, resume=True)
        assert read_models(folder) == whole, f"killed after {moment} s"
        shutil.rmtree(folder)
    print(f"{n_killed} kills")
    assert n_killed


def test_a_kill_at_each_step_on_disk(training, n_kills, tmp_path, request):
    if n_kills < 20 or "tiny" not in request.node.name:
        pytest.skip("takes minutes: --kills 20")
    training.args[0]["training"]["max_steps"] = 2  # two evaluations
    training(tmp_path / "whole")
    whole = read_models(tmp_path / "whole")
    folder = tmp_path / "killed"
    n_kills = 0
    for place in kill_at_steps(training, folder, resume=True):
        n_kills += 1
        check_models(folder)
        training(folder, resume=True)
        assert read_models(folder) == whole, place
        shutil.rmtree(folder)
    print(f"{n_kills} kills")


@contextmanager
def limit_files(n_bytes):
    """Let no file be larger than a number of bytes, as if the disk were full."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class Stopped(Exception):
    """In place of a kill."""


@pytest.mark.parametrize("share", [0.2, 0.9])
def test_a_full_disk_ends_with_a_message_and_keeps_what_there_is(training, share, tmp_path):
    training(tmp_path / "whole")
    folder = tmp_path / "full"
    write = loop._Training._write_checkpoint

    def write_and_stop(self, *arguments):
        write(self, *arguments)
        raise Stopped

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(loop._Training, "_write_checkpoint", write_and_stop)
        training(folder)
    largest = max(path.stat().st_size for path in (folder / "checkpoint").iterdir())
    with (
        limit_files(int(share * largest)),
        pytest.raises(OSError, match=f"{folder}.* cannot be written"),
    ):
        training(folder, resume=True)
    check_models(folder)
    training(folder, resume=True)
    assert read_models(folder) == read_models(tmp_path / "whole")
