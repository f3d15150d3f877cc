"""The benchmark of all systems."""

from functools import partial

import pytest
import spacy

from benchmarks.pipelines import read_corpus
from benchmarks.reference import find_encoder, recorded
from benchmarks.systems import (
    SYSTEMS,
    copy_sentences,
    count_predicted,
    list_configs,
    make_sentence,
    make_system,
    systems_cli,
    train_batches,
)
from experiments.results import SYSTEMS as REPORTED
from spacy_tabcnn.relations import get_relations, has_relations

from ..conftest import ROOT


@pytest.mark.parametrize("system", ["conll04_pfn", "conll04_tabert"])
def test_the_command_reports_time_and_memory(
    run_benchmark, tiny_corpus, tiny_encoder, monkeypatch, system
):
    # New processes take seconds to start.
    monkeypatch.setattr(
        "benchmarks.systems.in_fresh_process", lambda function, *args: function(*args)
    )
    given = ("--system", f"A={ROOT / 'configs' / system}.cfg", "--encoder", tiny_encoder)
    saved = run_benchmark(
        systems_cli, *given, "--train", tiny_corpus, "--length", 9, "--batches", 1
    )
    [times], [peaks] = saved["tables"].values()
    assert times["system"] == peaks["system"] == "A"
    assert all(times[name] > 0 for name in ("step, ms", "step/encoder", "pipe/encoder"))
    assert set(peaks) == {"system", "n = 9, MiB"}
    assert saved["headline"]["A, step/encoder"] == times["step/encoder"]


def make(system, tiny_encoder, tiny_corpus):
    config = ROOT / "configs" / f"conll04_{system}.cfg"
    return make_system(config, str(tiny_encoder), tiny_corpus)


def test_a_frozen_encoder_computes_each_step_and_each_prediction(tiny_encoder, tiny_corpus):
    trainee = make("table_sequence", tiny_encoder, tiny_corpus)
    docs = read_corpus(tiny_corpus)[:4]
    for run in (
        partial(train_batches, trainee, [docs]),
        partial(count_predicted, trainee.nlp, docs),
    ):
        for _ in range(2):
            with recorded(find_encoder(trainee.nlp)) as batches:
                run()
            assert sum(len(batch.input_ids) for batch in batches) == 4


def test_systems_train_at_their_full_rate(tiny_encoder, tiny_corpus):
    trainee = make("tabert", tiny_encoder, tiny_corpus)
    before = trainee.optimizer.learn_rate, trainee.optimizer.head_learn_rate
    train_batches(trainee, [read_corpus(tiny_corpus)[:2]])
    assert before == (5e-5, 1e-3)
    assert (trainee.optimizer.learn_rate, trainee.optimizer.head_learn_rate) == before


def test_schedules_of_another_form_are_stepped(tiny_encoder, tiny_corpus):
    trainee = make("tabert", tiny_encoder, tiny_corpus)
    trainee.optimizer.schedules = {"learn_rate": iter([0.5, 0.25])}
    train_batches(trainee, [read_corpus(tiny_corpus)[:2]] * 2)
    assert trainee.optimizer.learn_rate == 0.25


def test_sentences_are_those_of_the_corpus(vocab, make_doc):
    doc = make_doc("Ada lives . Bob works .")
    nlp = spacy.blank("en", vocab=vocab)
    (copy,) = copy_sentences(nlp, [doc])
    assert [len(sent) for sent in copy.sents] == [6]
    doc[3].is_sent_start = True
    (copy,) = copy_sentences(nlp, [doc])
    assert [len(sent) for sent in copy.sents] == [3, 3]


def test_all_systems_of_the_report_are_measured():
    assert set(SYSTEMS) == set(REPORTED)
    assert all((ROOT / config).is_file() for config in list_configs(None).values())


@pytest.mark.parametrize("text", ["A", "=a.cfg", "A="])
def test_a_system_without_a_name_or_a_config(text):
    with pytest.raises(ValueError, match="expected NAME=CONFIG"):
        list_configs([text])


def test_a_sentence_has_the_wanted_length_and_annotation(make_doc, vocab):
    docs = [make_doc("Ada lives in London")]
    doc = make_sentence(vocab, docs, 6)
    assert [token.text for token in doc] == ["Ada", "lives", "in", "London", "Ada", "lives"]
    assert doc.has_annotation("ENT_IOB") and has_relations(doc) and not get_relations(doc)
