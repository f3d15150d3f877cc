"""Pipelines that predict no relations are refused."""

import pytest
import spacy

from spacy_tabcnn.pipeline.loading import (
    check_pipeline,
    check_pipelines,
    load_pipeline,
    split_sentences,
)


@pytest.fixture(scope="module")
def model_without(tmp_path_factory):
    """A pipeline with entities and without relations."""
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "PER", "pattern": "Ada"}])
    folder = tmp_path_factory.mktemp("models") / "ruler"
    nlp.to_disk(folder)
    return folder


@pytest.fixture(scope="module")
def disabled_model(tiny_run, tmp_path_factory):
    """A pipeline whose component for relations is disabled."""
    nlp = spacy.load(tiny_run / "model-last")
    nlp.disable_pipe("tabcnn")
    folder = tmp_path_factory.mktemp("models") / "disabled"
    nlp.to_disk(folder)
    return folder


@pytest.mark.parametrize("load", [load_pipeline, check_pipeline])
class TestPipelines:
    def test_a_pipeline_with_the_component_is_accepted(self, load, tiny_run):
        load(tiny_run / "model-last")

    def test_a_pipeline_without_the_component_is_refused(self, load, model_without):
        message = r"ruler: this pipeline predicts no relations.*its components: entity_ruler\)"
        with pytest.raises(ValueError, match=message):
            load(model_without)

    def test_a_pipeline_with_a_disabled_component_is_refused(self, load, disabled_model):
        with pytest.raises(ValueError, match=r"predicts no relations.*disabled: tabcnn"):
            load(disabled_model)

    def test_a_missing_pipeline_is_refused(self, load, tmp_path):
        with pytest.raises((OSError, ValueError), match="none"):
            load(tmp_path / "none")


def test_a_loaded_pipeline_is_returned(tiny_run):
    assert "tabcnn" in load_pipeline(str(tiny_run / "model-last")).pipe_names


def test_an_installed_pipeline_is_found(tiny_run, tmp_path, monkeypatch):
    package = tmp_path / "en_tiny"
    package.mkdir()
    spacy.load(tiny_run / "model-last").to_disk(package / "en_tiny-1.0.0")
    monkeypatch.setattr("spacy_tabcnn.pipeline.loading.is_package", lambda name: name == "en_tiny")
    monkeypatch.setattr("spacy_tabcnn.pipeline.loading.get_package_path", lambda name: package)
    check_pipeline("en_tiny")


def test_one_of_several_pipelines_is_enough(model_without, tiny_run):
    check_pipelines([model_without, tiny_run / "model-last"])
    with pytest.raises(ValueError, match="ruler: this pipeline predicts no relations"):
        check_pipelines([model_without, model_without])


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "MODEL", "Ada lived."),
        ("annotate", "MODEL", "in.txt", "out.jsonl"),
        ("annotate", "MODEL", "in.txt", "out.jsonl", "--n-process", "2"),
        ("errors", "MODEL", "CORPUS", "errors.html"),
        ("evaluate", "MODEL", "CORPUS"),
        ("calibration", "MODEL", "CORPUS", "out.json"),
        ("serve", "MODEL"),
        ("model-card", "MODEL"),
    ],
    ids=" ".join,
)
def test_commands_refuse_it(
    arguments, model_without, tiny_corpus, run_spacy, tmp_path, monkeypatch
):
    if arguments[0] == "calibration":
        pytest.importorskip("matplotlib")
    if arguments[0] == "serve":
        pytest.importorskip("streamlit")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.txt").write_text("Ada lived in London.\n")
    values = {"MODEL": model_without, "CORPUS": tiny_corpus}
    result = run_spacy("tabcnn", *(values.get(argument, argument) for argument in arguments))
    assert result.exit_code == 1
    assert "this pipeline predicts no relations" in " ".join(result.output.split())
    assert [path.name for path in tmp_path.iterdir()] == ["in.txt"]


def make_trained(trained_on):
    nlp = spacy.blank("en")
    nlp.add_pipe("tabcnn").cfg["trained_on"] = trained_on
    return nlp


SINGLE_SENTENCES = {"documents": 100, "bounded": 0, "several": 0}
PARAGRAPHS = {"documents": 100, "bounded": 0, "several": 90}


def test_a_pipeline_that_does_not_split_texts_gets_a_sentencizer():
    nlp = make_trained(SINGLE_SENTENCES)
    split_sentences(nlp)
    assert nlp.pipe_names == ["sentencizer", "tabcnn"]


@pytest.mark.parametrize("component", ["sentencizer", "senter", "sentence_starts", "parser"])
def test_a_pipeline_that_splits_texts_stays_as_it_is(component):
    nlp = make_trained(SINGLE_SENTENCES)
    nlp.add_pipe(component, first=True)
    split_sentences(nlp)
    assert nlp.pipe_names == [component, "tabcnn"]


def test_a_pipeline_trained_on_whole_paragraphs_stays_as_it_is():
    nlp = make_trained(PARAGRAPHS)
    split_sentences(nlp)
    assert nlp.pipe_names == ["tabcnn"]
