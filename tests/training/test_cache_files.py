"""The cached output of frozen encoders in the files of checkpoints."""

from types import SimpleNamespace

import pytest
import torch

from spacy_tabcnn.runtime.output_cache import OutputCache
from spacy_tabcnn.training import cache_files
from spacy_tabcnn.training.cache_files import CacheFiles


class Shim(SimpleNamespace):
    """An encoder with a cache."""

    device = torch.device("cpu")

    def get_cache(self):
        return self.cache


def make_shim(*keys, size=10_000):
    shim = Shim(cache=OutputCache(size))
    for key in keys:
        add(shim, key)
    return shim


def add(shim, key):
    layers = torch.full((2, 3), float(key)), torch.full((2, 3), key + 0.5)
    shim.cache.add(bytes([key]), {"last_hidden_state": layers[0], "hidden_states": layers})


def test_outputs_come_back_in_their_order(tmp_path):
    shims = {"encoder": make_shim(3, 1, 2)}
    files = CacheFiles()
    assert files.write(shims, tmp_path) == ["outputs-0.safetensors"]
    others = {"encoder": make_shim()}
    CacheFiles().read(files.get_order(shims), others, tmp_path)
    cache = others["encoder"].cache
    assert cache.get_keys() == [b"\3", b"\1", b"\2"]
    assert cache.n_bytes == shims["encoder"].cache.n_bytes
    outputs = cache.get_outputs(b"\1")
    assert outputs["last_hidden_state"].tolist() == [[1.0] * 3] * 2
    assert [layer[0, 0].item() for layer in outputs["hidden_states"]] == [1.0, 1.5]


def test_only_new_outputs_are_written(tmp_path):
    shims = {"encoder": make_shim(1, 2)}
    files = CacheFiles()
    files.write(shims, tmp_path)
    (tmp_path / "outputs-0.safetensors").unlink()  # in the folder of the next checkpoint
    add(shims["encoder"], 3)
    names = ["outputs-0.safetensors", "outputs-1.safetensors"]
    assert files.write(shims, tmp_path) == names
    assert [path.name for path in tmp_path.iterdir()] == names[1:]
    assert files.write(shims, tmp_path) == names


def test_a_later_process_adds_to_the_files(tmp_path):
    shims = {"encoder": make_shim(1)}
    first = CacheFiles()
    first.write(shims, tmp_path)
    others = {"encoder": make_shim()}
    second = CacheFiles()
    second.read(first.get_order(shims), others, tmp_path)
    add(others["encoder"], 2)
    assert second.write(others, tmp_path) == ["outputs-0.safetensors", "outputs-1.safetensors"]


def test_forgotten_outputs_do_not_pile_up(tmp_path):
    """A cache that is too small for the corpus adds outputs in each epoch."""
    shims = {"encoder": make_shim(1, 2)}
    files = CacheFiles()
    for key in range(3, 40):
        shims["encoder"].cache = OutputCache(10_000)
        add(shims["encoder"], key)
        used = files.write(shims, tmp_path)
        assert len(used) == 1
    assert len(files._places) < 4


def test_large_caches_are_divided_into_files(tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache_files, "FILE_SIZE", 100)  # the outputs of a sequence have 72
        assert len(CacheFiles().write({"encoder": make_shim(1, 2, 3, 4, 5)}, tmp_path)) == 3
