from pathlib import Path

import pytest
from spacy.util import load_config_from_str, load_model_from_config
from thinc.api import Config

from spacy_tabcnn.cli.config_text import fill_text, replace_header, set_value
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


# A config for a corpus of one's own

TEXT = """# A header.
# Of two lines.
[paths]
# The training corpus.
train = null

# A block.
[nlp]
lang = "en"
pipeline = []
"""


@pytest.mark.parametrize(
    "options, encoder",
    [
        ((), "encoders/minilm"),
        (("--frozen",), "encoders/minilm"),
        (("--gpu",), "bert-base-cased"),
        (("--encoder", "roberta-base", "--gpu"), "roberta-base"),
    ],
)
def test_a_config_for_an_own_corpus_has_all_settings(run, options, encoder):
    run("tabcnn", "init-config", "mine.cfg", *options)
    config = Config().from_disk("mine.cfg", interpolate=False)
    assert load_model_from_config(config).config == config  # nothing is left to fill in
    assert config["paths"] == {
        "train": "corpus/train.spacy",
        "dev": "corpus/dev.spacy",
        "encoder": encoder,
        "vectors": None,
        "init_tok2vec": None,
    }
    transformer = config["components"]["transformer"]["model"]
    assert transformer["frozen"] is ("--frozen" in options)
    assert config["system"]["mixed_precision"] is ("--gpu" in options)


def test_a_config_for_an_own_corpus_keeps_its_comments(run):
    run("tabcnn", "init-config", "mine.cfg", "--frozen", "--lang", "de", "--train", "a.spacy")
    text = Path("mine.cfg").read_text(encoding="utf-8")
    assert text.startswith("# TabERT-CNN on a corpus of your own. Encoder: encoders/minilm, frozen")
    assert "CoNLL04 over" not in text
    assert text.count("#") > 10
    assert 'lang = "de"' in text and 'train = "a.spacy"' in text


def test_the_layers_of_a_frozen_encoder_need_no_number(run):
    run("tabcnn", "init-config", "mine.cfg", "--frozen", "--encoder", "any/encoder")
    text = Path("mine.cfg").read_text(encoding="utf-8")
    assert "n_layers = null" in text and "cache_mb = null" in text


def test_a_shipped_config_is_not_changed_by_options(run_spacy):
    result = run_spacy("tabcnn", "init-config", "conll04", "mine.cfg", "--frozen")
    assert result.exit_code == 1 and "Give one file" in " ".join(result.output.split())


def test_a_config_for_an_own_corpus_trains(run, tiny_corpus, tiny_encoder):
    paths = ("--train", tiny_corpus, "--dev", tiny_corpus)
    printed = run("tabcnn", "init-config", "my.cfg", "--frozen", "--encoder", tiny_encoder, *paths)
    assert "spacy train my.cfg --output training/mine" in printed
    run("train", "my.cfg", "--output", "training", "--training.max_epochs", 1)
    trained = Config().from_disk("training/model-last/config.cfg")["training"]
    assert (trained["max_steps"], trained["eval_frequency"]) == (2, 2)


def test_a_value_is_set_below_its_comment():
    text = set_value(TEXT, "paths", "train", '"a.spacy"', comment="Mine.")
    assert text == TEXT.replace("The training corpus", "Mine").replace("null", '"a.spacy"')
    assert set_value(TEXT, "nlp", "lang", '"de"') == TEXT.replace('"en"', '"de"')
    with pytest.raises(ValueError, match=r"no setting nlp\.train"):
        set_value(TEXT, "nlp", "train", "1")


def test_a_header_is_replaced():
    assert replace_header(TEXT, "Mine.").startswith("# Mine.\n[paths]\n# The training")


def test_a_filled_text_keeps_what_it_has():
    lines = fill_text(TEXT).splitlines()
    assert set(TEXT.splitlines()) <= set(lines)
    assert fill_text(fill_text(TEXT)) == fill_text(TEXT)


def test_an_unknown_language_is_a_message(run_spacy):
    result = run_spacy("tabcnn", "init-config", "mine.cfg", "--lang", "qq")
    assert result.exit_code == 1 and "Could not make the config" in result.output


def test_a_folder_that_holds_no_encoder_is_refused(run_spacy, tiny_run):
    result = run_spacy("tabcnn", "init-config", "mine.cfg", "--encoder", tiny_run / "model-last")
    assert result.exit_code == 1 and "holds no encoder" in " ".join(result.output.split())
