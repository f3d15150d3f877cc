"""Trained models of two systems, compared on a corpus."""

import json
import shutil

import numpy as np
import pytest
import spacy
from spacy.tokens import Span

from experiments.comparison import (
    System,
    _check_listeners,
    compare,
    count_systems,
    find_systems,
)
from spacy_tabcnn.corpora.docbin import write_docbin
from spacy_tabcnn.corpora.reader import RelationCorpus
from spacy_tabcnn.evaluation.significance import micro_f1


@pytest.fixture(scope="module")
def models(tiny_run, tmp_path_factory):
    """Two trained models of one system, and one of another that finds no relations."""
    folder = tmp_path_factory.mktemp("models")
    for name in ("best", "last"):
        shutil.copytree(tiny_run / f"model-{name}", folder / f"seed-{name}")
    nlp = spacy.load(tiny_run / "model-best", config=NO_RELATIONS)
    nlp.to_disk(folder / "blind-1")
    return folder


NO_RELATIONS = {"components": {"tabcnn": {"min_score": 1.0}}}


def test_a_pattern_finds_the_models_of_a_system(models):
    tuned, blind = find_systems([f"A={models}/seed-*", f"B={models}/blind-*"])
    assert tuned.name == "A" and blind.name == "B"
    assert [path.rpartition("/")[2] for path in tuned.models] == ["seed-best", "seed-last"]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["A={}/seed-*"], "at least two systems"),
        (["A={}/seed-*", "B={}/none-*"], "expected NAME=MODELS and at least one such folder"),
        (["A={}/seed-*", "={}/blind-*"], "expected NAME=MODELS"),
        (["A={}/seed-*", "A={}/blind-*"], "two systems are named 'A'"),
    ],
)
def test_malformed_systems_are_refused(models, texts, message):
    with pytest.raises(ValueError, match=message):
        find_systems([text.format(models) for text in texts])


def test_counts_are_those_of_the_evaluation(models, tiny_corpus):
    model = models / "seed-best"
    counts = count_systems([System("A", [str(model)])], tiny_corpus)["A"]
    nlp = spacy.load(model)
    scores = nlp.evaluate(list(RelationCorpus(tiny_corpus)(nlp)))
    for measure, key in (("NER", "ents_f"), ("RE+", "rels_strict_f")):
        assert micro_f1(counts[measure][0].sum(axis=0)) == pytest.approx(scores[key])


def test_differences_are_those_of_the_means(models, tiny_corpus):
    systems = find_systems([f"A={models}/seed-*", f"B={models}/blind-*"])
    tuned, blind = count_systems(systems, tiny_corpus).values()
    found = compare(tuned, blind)
    expected = micro_f1(tuned["RE+"].sum(axis=1)).mean() - micro_f1(blind["RE+"].sum(axis=1)).mean()
    assert found["RE+"].difference == pytest.approx(expected) and expected > 0
    assert found["RE+"].low <= expected <= found["RE+"].high
    assert np.isclose(found["NER"].difference, 0.0, atol=0.5)


def test_the_command_prints_and_saves(run_experiments, models, tiny_corpus, tmp_path):
    result = run_experiments(
        "compare",
        tiny_corpus,
        f"A={models}/seed-*",
        f"B={models}/blind-*",
        "-o",
        tmp_path / "c.json",
    )
    assert result.exit_code == 0, result.output
    assert "A against B" in result.output and "95 % interval" in result.output
    saved = json.loads((tmp_path / "c.json").read_text())
    assert len(saved["systems"]["A"]["scores"]["RE+"]) == 2
    assert saved["differences"]["B"]["RE+"]["difference"] > 0


def test_an_unknown_component_cannot_be_left_out(run_experiments, models, tiny_corpus):
    result = run_experiments(
        "compare", tiny_corpus, f"A={models}/seed-*", f"B={models}/blind-*", "--without", "senter"
    )
    assert result.exit_code == 1
    assert "no model has the component 'senter'" in " ".join(result.output.split())


def test_a_component_is_left_out_where_a_model_has_it(models, tiny_corpus, tmp_path):
    nlp = spacy.load(models / "blind-1")
    nlp.add_pipe("sentencizer")
    nlp.to_disk(tmp_path / "split")
    systems = [System("A", [str(tmp_path / "split")]), System("B", [str(models / "blind-1")])]
    counts = count_systems(systems, tiny_corpus, without=["sentencizer"])
    np.testing.assert_array_equal(counts["A"]["NER"], counts["B"]["NER"])


def test_a_corpus_without_relations_is_refused(run_experiments, models, tmp_path):
    doc = spacy.blank("en")("Ada was born in London.")
    write_docbin(tmp_path / "words.spacy", [doc])
    systems = (f"A={models}/seed-*", f"B={models}/blind-*")
    result = run_experiments("compare", tmp_path / "words.spacy", *systems)
    assert result.exit_code == 1
    assert "no document is annotated with entities" in " ".join(result.output.split())
    doc.ents = [Span(doc, 0, 1, "Peop")]
    write_docbin(tmp_path / "words.spacy", [doc])
    result = run_experiments("compare", tmp_path / "words.spacy", *systems)
    assert "no document is annotated with relations" in " ".join(result.output.split())


def test_an_input_is_not_written(run_experiments, models, tiny_corpus, tmp_path):
    corpus = tmp_path / "corpus.spacy"
    shutil.copyfile(tiny_corpus, corpus)
    before = corpus.read_bytes()
    systems = (f"A={models}/seed-*", f"B={models}/blind-*")
    for output in (corpus, models / "blind-1" / "meta.json"):
        result = run_experiments("compare", corpus, *systems, "-o", output)
        assert result.exit_code == 1 and "Could not compare" in result.output
    assert corpus.read_bytes() == before
    assert "pipeline" in json.loads((models / "blind-1" / "meta.json").read_text())


def test_what_was_compared_is_printed_if_it_cannot_be_saved(
    run_experiments, models, tiny_corpus, tmp_path
):
    systems = (f"A={models}/seed-*", f"B={models}/blind-*")
    result = run_experiments("compare", tiny_corpus, *systems, "-o", tmp_path)
    assert result.exit_code == 1
    assert "A against B" in result.output and "Could not save" in result.output


def test_another_folder_is_refused(run_experiments, models, tiny_corpus, tmp_path):
    (tmp_path / "empty").mkdir()
    result = run_experiments("compare", tiny_corpus, f"A={models}/seed-*", f"B={tmp_path}/empty")
    assert result.exit_code == 1 and "Could not compare" in result.output


def test_an_encoder_that_others_read_is_not_left_out():
    nlp = spacy.blank("en")
    nlp.add_pipe("transformer")
    nlp.get_pipe("transformer").listener_map = {"tabcnn": ["a listener"]}
    with pytest.raises(ValueError, match="tabcnn reads its word embeddings"):
        _check_listeners(nlp, ["transformer"])
