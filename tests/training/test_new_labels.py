"""`spacy train` with a trained component, on a corpus with labels that the component lacks."""

import pytest
import spacy
from spacy.tokens import Span
from spacy.util import load_config
from thinc.api import Config

from spacy_tabcnn.corpora.docbin import read_docbin, write_docbin


@pytest.fixture
def corpus(tiny_corpus, tmp_path):
    """The documents of `tiny_corpus`, and one with new labels."""
    vocab = spacy.blank("en").vocab
    docs = list(read_docbin(tiny_corpus, vocab))
    doc = docs[0].copy()
    doc.ents = [Span(doc, 0, 1, "Planet"), Span(doc, 2, 3, "Moon")]
    doc._.relations = [(doc.ents[0], doc.ents[1], "orbits")]
    write_docbin(tmp_path / "new.spacy", [*docs, doc])
    return tmp_path / "new.spacy"


@pytest.fixture
def config(tiny_config, tiny_run, corpus):
    config = load_config(tiny_config, overrides={"paths.train": str(corpus)})
    config["paths"]["dev"] = str(corpus)
    config["components"] = {"tabcnn": {"source": str(tiny_run / "model-last")}}
    config["training"] |= {"max_steps": 1, "eval_frequency": 1}
    config["initialize"]["after_init"] = {"@callbacks": "spacy-tabcnn.add_labels.v1"}
    return config


def train(run, config, folder):
    Config(config).to_disk(folder / "source.cfg")
    run("train", folder / "source.cfg", "--output", folder)
    return spacy.load(folder / "model-last").get_pipe("tabcnn")


def test_a_sourced_component_gets_the_labels_of_the_corpus(run, config, tiny_run, tmp_path):
    before = spacy.load(tiny_run / "model-last").get_pipe("tabcnn").label_data
    after = train(run, config, tmp_path).label_data
    assert after["entities"] == [*before["entities"], "Moon", "Planet"]
    assert after["relations"] == {**before["relations"], "orbits": [["Planet", "Moon"]]}


def test_a_frozen_component_keeps_its_labels(run, config, tiny_run, tmp_path):
    before = spacy.load(tiny_run / "model-last").get_pipe("tabcnn").label_data
    config["nlp"]["pipeline"].append("tok2vec")  # something to train
    config["components"]["tok2vec"] = {"factory": "tok2vec"}
    config["training"]["frozen_components"] = ["tabcnn"]
    assert train(run, config, tmp_path).label_data == before


def test_without_the_callback_the_warning_names_it(run_spacy, config, tmp_path):
    del config["initialize"]["after_init"]
    config.to_disk(tmp_path / "source.cfg")
    with pytest.warns(UserWarning, match=r"unknown type 'Planet'.*spacy-tabcnn\.add_labels\.v1"):
        run_spacy("train", tmp_path / "source.cfg", "--output", tmp_path)
