"""The benchmark of a pipeline."""

import pytest
import torch
from transformers import AutoTokenizer

from benchmarks.pipeline import (
    copy_words,
    encoded_subwords,
    join_texts,
    length_sorted_batches,
    make_limit,
    pipeline_cli,
)
from benchmarks.pipelines import find_transformer, load_pipeline, read_corpus

from ..conftest import ROOT

PARTS = {"other", "head forward", "decode", "annotation", "other embeddings"}
ENCODER_PARTS = {"sub-word tokenisation", "alignment", "encoder forward", "pooling"}


@pytest.fixture
def transformer_nlp(tiny_corpus, tiny_encoder):
    config = ROOT / "configs" / "conll04.cfg"
    return load_pipeline(None, config=config, encoder=str(tiny_encoder), train=tiny_corpus)[0]


def test_sequences_of_a_batch_are_of_about_the_same_length():
    batches = length_sorted_batches([[1] * 5, [2], [3] * 4, [4, 4]], max_subwords=10)
    assert [ids.tolist() for ids, _ in batches] == [
        [[2, 0], [4, 4]],
        [[3, 3, 3, 3, 0], [1, 1, 1, 1, 1]],
    ]
    assert [mask.tolist() for _, mask in batches] == [
        [[1, 0], [1, 1]],
        [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]],
    ]


def test_batches_do_not_exceed_their_size_but_for_one_long_sequence():
    batches = length_sorted_batches([[1] * n for n in (3, 3, 3, 3, 12)], max_subwords=9)
    assert [tuple(ids.shape) for ids, _ in batches] == [(3, 3), (1, 3), (1, 12)]


def test_the_limit_gets_the_sub_words_that_the_pipeline_encodes(
    transformer_nlp, tiny_corpus, tiny_encoder
):
    docs = read_corpus(tiny_corpus)
    encoder = find_transformer(transformer_nlp).model.transformer
    recorded = encoded_subwords(transformer_nlp, encoder, copy_words(transformer_nlp, docs))
    expected = AutoTokenizer.from_pretrained(tiny_encoder)([doc.text for doc in docs])["input_ids"]
    assert sorted(recorded) == sorted(expected)


def test_the_limit_runs_the_encoder_over_all_batches():
    shapes = []

    class Encoder(torch.nn.Linear):
        def forward(self, input_ids, attention_mask):
            assert not self.training
            shapes.append((tuple(input_ids.shape), int(attention_mask.sum())))

    make_limit(Encoder(1, 1), length_sorted_batches([[1], [2, 2, 2]], max_subwords=3))()
    assert shapes == [((1, 1), 1), ((1, 3), 3)]


def test_neighbouring_texts_make_a_paragraph():
    assert join_texts(["a", "b", "c", "d", "e", "f"]) == ["a b c d e", "f"]


def test_copies_have_the_words_and_no_annotation(transformer_nlp, tiny_corpus):
    docs = read_corpus(tiny_corpus)
    copies = copy_words(transformer_nlp, docs)
    assert [[token.text for token in doc] for doc in copies] == [
        [token.text for token in doc] for doc in docs
    ]
    assert not any(doc.ents or doc.user_data for doc in copies)


def test_the_command_reports_speed_against_the_limit_and_by_part(
    run_benchmark, transformer_options, tiny_corpus
):
    saved = run_benchmark(pipeline_cli, *transformer_options, "--data", tiny_corpus)
    speed, raw_parts, gold_parts = saved["tables"].values()
    assert [row["input"] for row in speed] == [
        "raw text",
        "paragraphs of 5",
        "gold tokens",
        "limit",
    ]
    assert speed[3]["time/limit"] == 1
    assert saved["headline"]["time/limit, gold tokens"] == speed[2]["time/limit"]
    assert saved["headline"]["words/s, paragraphs/raw text"] > 0
    assert {row["part"] for row in raw_parts} == PARTS | ENCODER_PARTS | {"tokeniser"}
    assert {row["part"] for row in gold_parts} == PARTS | ENCODER_PARTS
    assert sum(row["percent"] for row in gold_parts) == pytest.approx(100)
    assert {"data", "pipeline", "encoder", "batch_size", "subwords", "limit", "predicted"} <= set(
        saved["settings"]
    )


@pytest.mark.filterwarnings("ignore:.* was trained on single sentences")
def test_without_a_transformer_there_is_no_limit(run_benchmark, tiny_run, tiny_corpus):
    saved = run_benchmark(pipeline_cli, "--model", tiny_run / "model-last", "--data", tiny_corpus)
    speed, raw_parts, _ = saved["tables"].values()
    assert [(row["input"], row["time/limit"]) for row in speed] == [
        ("raw text", None),
        ("paragraphs of 5", None),
        ("gold tokens", None),
    ]
    assert {row["part"] for row in raw_parts} == PARTS | {"tokeniser"}
    n_entities = sum(len(doc.ents) for doc in read_corpus(tiny_corpus))
    assert saved["settings"]["predicted"] == f"{n_entities} entities, 9 relations"


@pytest.mark.usefixtures("_any_bfloat16")
def test_the_command_times_mixed_precision(run_benchmark, transformer_options, tiny_corpus):
    saved = run_benchmark(
        pipeline_cli, *transformer_options, "--data", tiny_corpus, "--mixed-precision"
    )
    names = ["raw text", "paragraphs of 5", "gold tokens", "gold tokens, bfloat16", "limit"]
    names += ["limit, bfloat16", "limit, converted"]
    assert [row["input"] for row in next(iter(saved["tables"].values()))] == names
    assert saved["headline"]["words/s, gold tokens, bfloat16"] > 0
    assert saved["headline"]["converted encoder/gold tokens, bfloat16"] > 0
