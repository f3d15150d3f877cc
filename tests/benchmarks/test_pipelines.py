"""Corpora and pipelines for the benchmarks."""

from pathlib import Path

import pytest
import spacy
from spacy.tokens import Doc, DocBin
from spacy.util import load_config
from spacy.vocab import Vocab

from benchmarks.pipelines import (
    MINILM,
    find_component,
    find_transformer,
    load_pipeline,
    mixed_precision,
    read_config,
    read_corpus,
    sample_batches,
)

from ..conftest import ROOT


def test_documents_without_words_are_left_out(tmp_path):
    docs = [Doc(Vocab(), words=["a"]), Doc(Vocab(), words=[])]
    DocBin(docs=docs).to_disk(tmp_path / "corpus.spacy")
    assert [doc.text for doc in read_corpus(tmp_path / "corpus.spacy")] == ["a "]


def test_a_corpus_without_words_is_refused(tmp_path):
    DocBin(docs=[Doc(Vocab(), words=[])]).to_disk(tmp_path / "corpus.spacy")
    with pytest.raises(ValueError, match=r"corpus\.spacy: no document with words"):
        read_corpus(tmp_path / "corpus.spacy")


def test_batches_are_full_and_share_no_document():
    batches = sample_batches(list(range(20)), n_batches=5, size=8, seed=0)
    assert [len(batch) for batch in batches] == [8, 8]
    assert len(set(batches[0]) | set(batches[1])) == 16


def test_batches_depend_on_the_seed():
    first, second, again = (
        sample_batches(list(range(50)), n_batches=1, size=8, seed=seed) for seed in (0, 1, 0)
    )
    assert first != second
    assert first == again


def test_a_corpus_smaller_than_a_batch_is_refused():
    with pytest.raises(ValueError, match="has 7 documents; expected at least 8"):
        sample_batches(list(range(7)), n_batches=1, size=8, seed=0)


def test_a_missing_encoder_is_named_with_the_command_that_makes_it(
    tiny_corpus, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="python -m spacy tabcnn encoder encoders/minilm"):
        read_config(ROOT / "configs" / "conll04.cfg", encoder=MINILM, train=tiny_corpus)


def test_a_missing_config_is_named(tiny_corpus):
    with pytest.raises(OSError, match=r"missing\.cfg"):
        read_config(Path("missing.cfg"), encoder=MINILM, train=tiny_corpus)


def test_an_initialised_pipeline_has_the_labels_of_the_training_corpus(tiny_config, tiny_corpus):
    nlp, description = load_pipeline(None, config=tiny_config, encoder=MINILM, train=tiny_corpus)
    assert "born_in" in find_component(nlp).labels
    assert description["pipeline"] == f"{tiny_config}, initialised on {tiny_corpus}, not trained"


def test_a_trained_pipeline_needs_neither_config_nor_corpus(tiny_run):
    nlp, description = load_pipeline(
        tiny_run / "model-last", config=Path("missing.cfg"), encoder="", train=Path("missing.spacy")
    )
    assert nlp("Ada Lovelace was born in London.").has_annotation("ENT_IOB")
    assert description == {
        "pipeline": f"{tiny_run / 'model-last'}, trained",
        "encoder": "none: the component's own tok2vec",
    }
    assert find_transformer(nlp) is None


def test_a_pipeline_without_the_component_is_refused():
    with pytest.raises(ValueError, match=r"has the components \[\]; expected 'tabcnn'"):
        find_component(spacy.blank("en"))


def shims_of(nlp):
    models = [nlp.get_pipe(name).model for name in nlp.pipe_names]
    return [shim for model in models for node in model.walk() for shim in node.shims]


@pytest.mark.usefixtures("_any_bfloat16")
def test_mixed_precision_is_for_encoder_and_head_and_for_a_block(tiny_corpus, tiny_encoder):
    config = ROOT / "configs" / "conll04.cfg"
    nlp, _ = load_pipeline(None, config=config, encoder=str(tiny_encoder), train=tiny_corpus)
    with mixed_precision(nlp):
        assert [shim.use_bfloat16 for shim in shims_of(nlp)] == [True, True]
    assert [shim.use_bfloat16 for shim in shims_of(nlp)] == [False, False]


def test_mixed_precision_is_refused_where_it_is_slower(tiny_config, tiny_corpus, monkeypatch):
    monkeypatch.setattr("benchmarks.pipelines.has_bfloat16", lambda device: False)
    nlp, _ = load_pipeline(None, config=tiny_config, encoder=MINILM, train=tiny_corpus)
    with pytest.raises(ValueError, match="computes no faster in bfloat16"), mixed_precision(nlp):
        pass


def test_nothing_is_measured_from_a_cache(tiny_corpus, tiny_encoder, tmp_path):
    config = load_config(ROOT / "configs" / "conll04_frozen.cfg")
    # The tiny encoder has one layer.
    config["components"]["relation_table"]["model"]["tok2vec"]["*"]["encoder"]["pooling"][
        "n_layers"
    ] = 2
    config.to_disk(tmp_path / "frozen.cfg")
    nlp, _ = load_pipeline(
        None, config=tmp_path / "frozen.cfg", encoder=str(tiny_encoder), train=tiny_corpus
    )
    assert find_transformer(nlp).model.layers[0].shims[0].cache_size == 0
