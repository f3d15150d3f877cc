"""The benchmark of long documents and long streams."""

import itertools

import pytest
import spacy

from benchmarks.pipelines import read_corpus
from benchmarks.scaling import make_document, measure_stream, scaling_cli, up_to


def test_sizes_end_with_the_greatest():
    assert up_to((10, 100, 1000), 200) == [10, 100, 200]
    assert up_to((10, 100, 1000), 1000) == [10, 100, 1000]
    assert up_to((10, 100), 5) == [5]


def test_a_document_repeats_the_corpus_without_sentence_boundaries(tiny_corpus):
    docs = read_corpus(tiny_corpus)
    words = [token.text for doc in docs for token in doc]
    document = make_document(spacy.blank("en"), docs, len(words) + 3)
    assert [token.text for token in document] == words + words[:3]
    assert not document.has_annotation("SENT_START")


def test_a_stream_is_measured_between_sizes(clock):
    # The texts of the second part take twice as long each.
    texts = (clock.sleep(1 if i < 4 else 2) or "Two words" for i in itertools.count())
    rows = measure_stream(spacy.blank("en"), texts, [4, 10], clock=clock)
    for row in rows:
        del row["memory_MiB"]
    assert rows == [
        {"sentences": 4, "sentences/s": 1.0, "words/s": 2.0},
        {"sentences": 10, "sentences/s": 0.5, "words/s": 1.0},
    ]


def test_the_command_reports_documents_and_a_stream(run_benchmark, tiny_options, tiny_corpus):
    sizes = ("--max-words", 40, "--max-sentences", 110)
    saved = run_benchmark(scaling_cli, *tiny_options, "--data", tiny_corpus, *sizes)
    documents, stream = saved["tables"].values()
    assert [row["words"] for row in documents] == [10, 30, 40]
    assert min(row["relative_to_minimum"] for row in documents) == 1
    assert [row["sentences"] for row in stream] == [100, 110]
    ratio = saved["headline"]["memory after 110 sentences, relative to the memory after 100"]
    if stream[0]["memory_MiB"] is not None:
        assert ratio == pytest.approx(stream[1]["memory_MiB"] / stream[0]["memory_MiB"])
