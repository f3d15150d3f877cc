"""Wheels: of a trained pipeline, and of the project itself."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from spacy.tokens import DocBin
from spacy.vocab import Vocab

from spacy_tabcnn import __version__

ROOT = Path(__file__).parents[1]
# What a build may take from the source tree; some of it must stay out.
SOURCES = (
    "LICENSE",
    "MANIFEST.in",
    "README.md",
    "assets/sample",
    "benchmarks",
    "configs",
    "experiments",
    "pyproject.toml",
    "setup.cfg",
    "setup.py",
    "spacy_tabcnn",
    "tests",
)


def read_docs(path):
    return list(DocBin().from_disk(path).get_docs(Vocab()))


@pytest.fixture(scope="module")
def model_wheel(build_wheel, tiny_run, tmp_path_factory):
    """The wheel of a trained pipeline."""
    return build_wheel(tiny_run / "model-last", tmp_path_factory.mktemp("packages"), "tiny")


@pytest.fixture(scope="module")
def project_build(tmp_path_factory):
    """The folder with the sdist of the project and the wheel that is built from the sdist."""
    folder = tmp_path_factory.mktemp("project")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", folder],
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return folder / "dist"


@pytest.fixture(scope="module")
def sdist_names(project_build):
    [path] = project_build.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


@pytest.fixture(scope="module")
def wheel_names(project_build):
    [path] = project_build.glob("*.whl")
    with ZipFile(path) as archive:
        return set(archive.namelist())


def test_a_packaged_pipeline_requires_this_library(model_wheel):
    with ZipFile(model_wheel) as archive:
        metadata = archive.read("en_tiny-0.0.0.dist-info/METADATA").decode()
    lines = [line for line in metadata.splitlines() if line.startswith("Requires-Dist: ")]
    requirements = {
        item.name: item for item in (Requirement(line.partition(" ")[2]) for line in lines)
    }
    assert set(requirements) == {"spacy", "spacy-tabcnn"}
    assert __version__ in requirements["spacy-tabcnn"].specifier


def test_a_packaged_pipeline_predicts_the_same_where_it_is_installed(
    run_spacy, assert_same_annotations, model_wheel, tiny_run, tiny_corpus, tmp_path
):
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        tmp_path,
    ]
    subprocess.run([*pip, model_wheel], check=True)
    # By its name, which no other folder than that of the installation can provide.
    apply = [
        sys.executable,
        "-m",
        "spacy",
        "apply",
        "en_tiny",
        tiny_corpus,
        tmp_path / "installed.spacy",
    ]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    subprocess.run(apply, env=environment, cwd=tmp_path, capture_output=True, check=True)
    run_spacy("apply", tiny_run / "model-last", tiny_corpus, tmp_path / "trained.spacy")
    trained = read_docs(tmp_path / "trained.spacy")
    assert_same_annotations(read_docs(tmp_path / "installed.spacy"), trained)
    assert sum(len(doc._.relations) for doc in trained) == 9


def test_the_wheel_holds_the_package_and_nothing_else(wheel_names):
    assert {name.split("/")[0] for name in wheel_names} == {
        "spacy_tabcnn",
        f"spacy_tabcnn-{__version__}.dist-info",
    }
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "spacy_tabcnn").rglob("*.py")}
    assert {name for name in wheel_names if name.endswith(".py")} == modules


def test_the_wheel_says_that_the_package_is_typed(wheel_names):
    assert "spacy_tabcnn/py.typed" in wheel_names


def test_the_wheel_holds_the_configs_and_none_of_the_tests(wheel_names):
    shipped = [*(ROOT / "configs").glob("*.cfg"), ROOT / "configs" / "tune.json"]
    found = {name for name in wheel_names if name.startswith("spacy_tabcnn/configs/")}
    assert found == {f"spacy_tabcnn/configs/{path.name}" for path in shipped}


def test_the_wheel_holds_the_templates(wheel_names):
    folder = "spacy_tabcnn/visual/templates"
    found = {name for name in wheel_names if name.startswith(f"{folder}/")}
    assert found == {f"{folder}/{path.name}" for path in (ROOT / folder).iterdir()}


def test_the_wheel_holds_the_licence(wheel_names):
    assert f"spacy_tabcnn-{__version__}.dist-info/licenses/LICENSE" in wheel_names


def test_the_sdist_can_be_built_from_and_holds_no_tests(sdist_names):
    assert {
        "setup.cfg",
        "setup.py",
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "configs/sample.cfg",
        "spacy_tabcnn/py.typed",
    } <= sdist_names
    left_out = ("tests", "benchmarks", "experiments", "configs/test")
    assert not [name for name in sdist_names if name.startswith(left_out)]


def test_the_environment_of_the_readme_can_build_wheels():
    """`spacy package --build wheel` requires the package `build`."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("build==")]
