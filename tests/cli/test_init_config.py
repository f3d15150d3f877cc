from pathlib import Path

import pytest
from spacy.util import load_config_from_str

from spacy_tabcnn.cli.init_config import describe_config, find_configs

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def read_shipped(name):
    return (CONFIGS / f"{name}.cfg").read_text(encoding="utf-8")


def test_all_configs_but_those_of_the_tests_are_found():
    assert list(find_configs()) == sorted(path.stem for path in CONFIGS.glob("*.cfg"))


def test_every_config_describes_itself_and_can_be_read():
    for text in find_configs().values():
        assert describe_config(text).endswith(".")
        assert "training" in load_config_from_str(text)


def test_the_description_is_the_first_sentence_of_the_comment():
    text = "# A config (section 2.1)\n# of two lines. More of it.\n[paths]\n# No part of it.\n"
    assert describe_config(text) == "A config (section 2.1) of two lines."


def test_the_description_ends_at_a_colon():
    assert describe_config("# SpERT: a system.\n") == "SpERT."


def test_a_config_without_a_comment_has_no_description():
    assert describe_config("[paths]\n") == ""


def test_without_a_name_the_configs_are_listed(run):
    output = run("tabcnn", "init-config")
    assert "sample TabERT-CNN on the sample corpus" in output
    assert "conll04_spert SpERT on CoNLL04" in output


@pytest.mark.parametrize("name", ["sample", "sample.cfg"])
def test_a_config_is_copied_under_its_name(run, name):
    assert "Config in sample.cfg" in run("tabcnn", "init-config", name)
    assert Path("sample.cfg").read_text(encoding="utf-8") == read_shipped("sample")


def test_a_config_is_copied_to_a_file(run):
    run("tabcnn", "init-config", "conll04", "new/mine.cfg")
    assert Path("new/mine.cfg").read_text(encoding="utf-8") == read_shipped("conll04")


def test_a_config_is_printed(run_spacy, tmp_path):
    result = run_spacy("tabcnn", "init-config", "ade", "-")
    assert result.exit_code == 0 and result.output == read_shipped("ade")
    assert not list(tmp_path.iterdir())


def test_a_file_is_replaced_only_if_asked(run_spacy):
    Path("sample.cfg").write_text("mine")
    result = run_spacy("tabcnn", "init-config", "sample")
    assert result.exit_code == 1 and "--force" in result.output
    assert Path("sample.cfg").read_text() == "mine"
    assert run_spacy("tabcnn", "init-config", "sample", "--force").exit_code == 0
    assert Path("sample.cfg").read_text(encoding="utf-8") == read_shipped("sample")


def test_an_unknown_name_is_an_error_with_the_known_ones(run_spacy):
    result = run_spacy("tabcnn", "init-config", "conll05")
    output = " ".join(result.output.split())
    assert result.exit_code == 1
    assert "there is no config 'conll05'; expected one of ace05, ade, conll04," in output
