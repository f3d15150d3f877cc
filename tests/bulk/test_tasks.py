"""The output of `annotate` as tasks of annotation tools."""

import json

import pytest
import spacy

from spacy_tabcnn.bulk.annotate import annotate_file
from spacy_tabcnn.bulk.tasks import describe_version
from spacy_tabcnn.corpora.formats import read_annotations
from spacy_tabcnn.corpora.options import ReadingOptions

from .conftest import FOUND, TEXT, TOO_LONG, get_names

ROWS = [{"id": "a", "body": TEXT}, {"body": TOO_LONG}, {"id": 3, "body": "a"}, {"body": ""}]
FORMATS = [("labelstudio", "json"), ("prodigy", "jsonl")]


@pytest.fixture
def source(tmp_path, write_jsonl):
    return write_jsonl(tmp_path / "in.jsonl", ROWS)


def read_tasks(path):
    content = path.read_bytes().decode("utf-8")
    if path.suffix == ".json":
        return json.loads(content)
    return list(map(json.loads, content.splitlines()))


@pytest.mark.parametrize("format_name,suffix", FORMATS)
def test_rows_become_tasks_without_the_rejected_ones(model, source, tmp_path, format_name, suffix):
    output = tmp_path / f"out.{suffix}"
    summary = annotate_file(model, source, output, text_field="body", format_name=format_name)
    assert (summary.n_rows, summary.n_rejected) == (3, 1)
    tasks = read_tasks(output)
    assert len(tasks) == 3
    for task in tasks:
        assert not {"annotations", "answer"} & set(task)


def test_tasks_of_label_studio_have_the_id_the_model_and_scores(model, source, tmp_path):
    output = tmp_path / "out.json"
    annotate_file(model, source, output, text_field="body", format_name="labelstudio")
    first, second, third = read_tasks(output)
    assert first["data"] == {"text": TEXT, "id": "a"}
    assert second["data"] == {"text": "a", "id": 3} and third["data"] == {"text": ""}
    [prediction] = first["predictions"]
    assert prediction["model_version"] == "en_pipeline-0.0.0" == describe_version(model)
    assert 0 < prediction["score"] <= 1
    assert all(0 < result["score"] <= 1 for result in prediction["result"])


def test_tasks_for_prodigy_have_tokens_and_scores(model, source, tmp_path):
    output = tmp_path / "out.jsonl"
    annotate_file(model, source, output, text_field="body", format_name="prodigy")
    first, *_ = read_tasks(output)
    assert [token["text"] for token in first["tokens"]] == ["Ann", "lives", "in", "Rome", "."]
    assert first["meta"]["id"] == "a" and 0 < first["meta"]["score"] <= 1


@pytest.mark.parametrize("format_name,suffix", FORMATS)
def test_convert_reads_the_tasks(model, source, tmp_path, read_jsonl, format_name, suffix):
    output = tmp_path / f"out.{suffix}"
    annotate_file(model, source, output, text_field="body", format_name=format_name)
    annotate_file(model, source, tmp_path / "rows.jsonl", text_field="body")
    options = ReadingOptions(predictions=True)
    docs, _ = read_annotations(output, spacy.blank("en"), strict=True, options=options)
    row = read_jsonl(tmp_path / "rows.jsonl")[0]
    assert get_names(row, "body") == FOUND
    assert [(ent.start_char, ent.end_char, ent.label_) for ent in docs[0].ents] == [
        (ent["start"], ent["end"], ent["label"]) for ent in row["entities"]
    ]
    scores = [ent._.entity_score for ent in docs[0].ents]
    assert scores == [ent["score"] for ent in row["entities"]]
    assert [rel.score for rel in docs[0]._.relations] == [rel["score"] for rel in row["relations"]]


def test_an_array_without_tasks_is_json(model, tmp_path, write_jsonl):
    source = write_jsonl(tmp_path / "in.jsonl", [{"text": None}])
    annotate_file(model, source, tmp_path / "out.json", format_name="labelstudio")
    assert read_tasks(tmp_path / "out.json") == []


@pytest.mark.parametrize(
    "name,format_name,message",
    [
        ("out.json", None, "Give --format labelstudio"),
        ("out.jsonl", "labelstudio", "has the suffix .json"),
        ("out.json", "prodigy", "has the suffix .jsonl"),
        ("out.json", "doccano", "unknown format 'doccano'"),
    ],
)
def test_other_outputs_are_refused(model, source, tmp_path, name, format_name, message):
    with pytest.raises(ValueError, match=message):
        annotate_file(model, source, tmp_path / name, format_name=format_name)
    assert not (tmp_path / name).exists()


def test_a_run_goes_on_in_its_format_only(model, source, tmp_path):
    output = tmp_path / "out.jsonl"

    def stop(results, n_total, n_done):
        yield next(iter(results))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        annotate_file(model, source, output, text_field="body", part_size=1, progress=stop)
    with pytest.raises(ValueError, match="format"):
        annotate_file(model, source, output, text_field="body", part_size=1, format_name="prodigy")
