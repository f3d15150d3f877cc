"""The benchmark of all systems."""

import pytest

from benchmarks.systems import SYSTEMS, list_configs, make_sentence, systems_cli
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
