import json

import pytest

from spacy_tabcnn.bulk.parts import lock_output

TEXT = "Soichiro Honda founded the company in Japan."


@pytest.fixture
def source(tmp_path):
    lines = [json.dumps({"id": "a", "body": TEXT}), "{", json.dumps({"id": "b", "body": TEXT})]
    (tmp_path / "in.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path / "in.jsonl"


def test_annotate_writes_rows_and_rejects(run_spacy, tiny_run, source, tmp_path):
    output = tmp_path / "out.jsonl"
    result = run_spacy("tabcnn", "annotate", tiny_run / "model-last", source, output, "-t", "body")
    assert result.exit_code == 0, result.output
    printed = " ".join(result.output.split())
    assert (
        "2 rows in" in printed and "3 documents in" in printed and "1 documents rejected" in printed
    )
    rows = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    assert [(row["id"], row["body"]) for row in rows] == [("a", TEXT), ("b", TEXT)]
    assert rows[0]["entities"] == rows[1]["entities"]
    assert json.loads((tmp_path / "out.jsonl.rejects.jsonl").read_text())["line"] == 2


def test_annotate_refuses_an_output_that_exists(run_spacy, tiny_run, source, tmp_path):
    (tmp_path / "out.jsonl").touch()
    arguments = (
        "tabcnn",
        "annotate",
        tiny_run / "model-last",
        source,
        tmp_path / "out.jsonl",
        "-t",
        "body",
    )
    result = run_spacy(*arguments)
    assert result.exit_code == 1 and "--overwrite" in result.output
    assert run_spacy(*arguments, "--overwrite").exit_code == 0


def test_annotate_refuses_an_output_that_another_run_writes(run_spacy, tiny_run, source, tmp_path):
    with lock_output(tmp_path / "out.jsonl"):
        result = run_spacy(
            "tabcnn", "annotate", tiny_run / "model-last", source, tmp_path / "out.jsonl"
        )
    assert result.exit_code == 1 and "another run is writing it" in " ".join(result.output.split())


def test_a_file_that_does_not_fit_into_memory_is_named(
    run_spacy, tiny_run, source, tmp_path, monkeypatch
):
    def annotate_file(*_, **options):
        raise MemoryError

    monkeypatch.setattr("spacy_tabcnn.bulk.annotate.annotate_file", annotate_file)
    result = run_spacy(
        "tabcnn", "annotate", tiny_run / "model-last", source, tmp_path / "out.jsonl"
    )
    assert result.exit_code == 1
    assert "in.jsonl: does not fit into memory" in " ".join(result.output.split())


def test_annotate_refuses_a_missing_model(run_spacy, source, tmp_path):
    result = run_spacy("tabcnn", "annotate", tmp_path / "none", source, tmp_path / "out.jsonl")
    assert result.exit_code == 1 and "Could not annotate" in result.output


def test_two_processes_give_what_one_gives(run_spacy, tiny_run, tmp_path):
    source, output, expected = (
        tmp_path / "in.txt",
        tmp_path / "out.jsonl",
        tmp_path / "expected.jsonl",
    )
    source.write_text("".join(f"{TEXT[: 3 * length]}\n" for length in range(20)), encoding="utf-8")
    arguments = ["tabcnn", "annotate", tiny_run / "model-last", source]
    options = ["--batch-size", "3", "--part-size", "10"]
    assert run_spacy(*arguments, expected, *options).exit_code == 0
    result = run_spacy(*arguments, output, *options, "--n-process", "2")
    assert result.exit_code == 0, result.output
    assert output.read_bytes() == expected.read_bytes()


def test_one_reason_for_all_rejects_sets_the_exit_code(run_spacy, tiny_run, source, tmp_path):
    arguments = ("tabcnn", "annotate", tiny_run / "model-last", source, tmp_path / "out.jsonl")
    source.write_text('{"id": 1}\n{"id": 2}\n')
    result = run_spacy(*arguments)
    assert result.exit_code == 1 and (tmp_path / "out.jsonl").is_file()
    printed = " ".join(result.output.split())
    assert "rejected for one reason" in printed and "there is no field 'text'" in printed
    source.write_text('{"id": 1}\n{"text": null}\n')
    assert run_spacy(*arguments, "--overwrite").exit_code == 0


@pytest.mark.parametrize("options,exit_code", [([], 0), (["--fail-on-rejects"], 3)])
def test_rejects_can_set_the_exit_code(run_spacy, tiny_run, source, tmp_path, options, exit_code):
    arguments = ("tabcnn", "annotate", tiny_run / "model-last", source, tmp_path / "out.jsonl")
    result = run_spacy(*arguments, "-t", "body", *options)
    assert result.exit_code == exit_code
    assert (tmp_path / "out.jsonl").is_file()


def test_without_rejects_the_exit_code_is_0(run_spacy, tiny_run, tmp_path):
    (tmp_path / "in.csv").write_text(f"id,text\n1,{TEXT}\n", encoding="utf-8")
    arguments = ("tabcnn", "annotate", tiny_run / "model-last", tmp_path / "in.csv")
    result = run_spacy(*arguments, tmp_path / "out.csv", "--fail-on-rejects")
    assert result.exit_code == 0, result.output


def test_annotate_writes_tasks(run_spacy, tiny_run, source, tmp_path):
    arguments = ("tabcnn", "annotate", tiny_run / "model-last", source, tmp_path / "out.json")
    result = run_spacy(*arguments, "-t", "body", "--format", "labelstudio")
    assert result.exit_code == 0, result.output
    tasks = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert [task["data"]["id"] for task in tasks] == ["a", "b"]
    assert all(set(task) == {"data", "predictions"} for task in tasks)
