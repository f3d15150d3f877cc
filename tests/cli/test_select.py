import json
import shutil

import pytest
import spacy
import srsly

from spacy_tabcnn.corpora.docbin import read_docbin, write_docbin
from spacy_tabcnn.corpora.formats import read_annotations, write_annotations
from spacy_tabcnn.corpora.preannotation import is_predicted
from spacy_tabcnn.relations import has_relations

TEXTS = [
    "Emmy Noether was born in Erlangen.",
    "Nothing happened here today.",
    "Soichiro Honda founded the Honda Motor Company in Hamamatsu.",
    "Ada met Charles in London, and Grace met Howard in Cambridge.",
]


@pytest.fixture(scope="module")
def model(tiny_run):
    return tiny_run / "model-last"


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    """A file of raw texts."""
    path = tmp_path_factory.mktemp("pool") / "texts.jsonl"
    srsly.write_jsonl(path, [{"text": text, "id": f"t{k}"} for k, text in enumerate(TEXTS)])
    return path


def read_scores(output):
    lines = output.with_name(f"{output.name}.scores.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in lines.splitlines()]


def fail(run_spacy, *arguments):
    """Run a command that must fail, and return its message on one line."""
    result = run_spacy("tabcnn", "select", *arguments)
    assert result.exit_code == 1, result.output
    assert "Could not select" in result.output
    return " ".join(result.output.split())


def test_raw_texts_are_selected_by_score(run, model, pool, tmp_path):
    output = tmp_path / "next.spacy"
    assert "2 documents in" in run("tabcnn", "select", model, pool, output, "-n", 2)
    docs = list(read_docbin(output, spacy.blank("en").vocab))
    scores = read_scores(output)
    assert [doc.user_data["orig_id"] for doc in docs] == [row["id"] for row in scores]
    assert [doc.user_data["selection_score"] for doc in docs] == [row["score"] for row in scores]
    assert scores[0]["score"] >= scores[1]["score"] > 0
    assert TEXTS[scores[0]["position"]] == scores[0]["text"] == docs[0].text
    assert not docs[0].has_annotation("ENT_IOB")


def test_the_same_command_selects_the_same(run, model, pool, tmp_path):
    for name in ("a.spacy", "b.spacy"):
        run("tabcnn", "select", model, pool, tmp_path / name, "-n", 3, "--measure", "entropy")
    assert (tmp_path / "a.spacy").read_bytes() == (tmp_path / "b.spacy").read_bytes()
    assert read_scores(tmp_path / "a.spacy") == read_scores(tmp_path / "b.spacy")


def test_all_are_selected_of_a_small_pool(run, model, pool, tmp_path):
    printed = run("tabcnn", "select", model, pool, tmp_path / "next.spacy")
    assert "The pool has 4 documents to select, fewer than 50" in printed


def test_label_studio_gets_tasks_without_annotation(run, model, pool, tmp_path):
    output = tmp_path / "next.json"
    run("tabcnn", "select", model, pool, output, "--to", "labelstudio")
    for task, row in zip(json.loads(output.read_text()), read_scores(output), strict=True):
        data = {"text": row["text"], "selection_score": row["score"]}
        assert task == {"id": row["id"], "data": data}


def test_label_studio_gets_predictions(run, model, tiny_corpus, tmp_path):
    output = tmp_path / "next.json"
    run("tabcnn", "select", model, tiny_corpus, output, "--to", "labelstudio", "-p", "-n", 1)
    (task,) = srsly.read_json(output)
    assert "annotations" not in task
    [prediction] = task["predictions"]
    assert prediction["model_version"] == "en_pipeline-0.0.0" and "score" in prediction
    assert all("score" in region for region in prediction["result"])


def test_prodigy_gets_predictions_that_are_not_answered(run, model, tiny_corpus, tmp_path):
    output = tmp_path / "next.jsonl"
    run("tabcnn", "select", model, tiny_corpus, output, "--to", "prodigy", "-p", "-n", 1)
    (task,) = srsly.read_jsonl(output)
    assert "answer" not in task and task["meta"]["model_version"] == "en_pipeline-0.0.0"
    assert task["spans"] and all("score" in span for span in task["spans"])
    [doc], _ = read_annotations(output, spacy.blank("en"), format_name="prodigy")
    assert is_predicted(doc)


@pytest.mark.parametrize("format_name", ["dygiepp", "prodigy"])
def test_documents_to_annotate_are_not_read_as_holding_nothing(
    run, model, pool, tmp_path, format_name
):
    output = tmp_path / "next.jsonl"
    run("tabcnn", "select", model, pool, output, "--to", format_name)
    docs, _ = read_annotations(output, spacy.blank("en"), format_name=format_name)
    assert docs and not any(doc.has_annotation("ENT_IOB") for doc in docs)
    assert not any(map(has_relations, docs))


@pytest.mark.parametrize(
    "format_name", ["spert", "tablert", "dygiepp", "doccano", "prodigy", "brat"]
)
def test_every_format_is_written_and_read(run, model, pool, tmp_path, format_name):
    output = tmp_path / ("out" if format_name == "brat" else "next.json")
    run("tabcnn", "select", model, pool, output, "--to", format_name)
    docs, _ = read_annotations(output, spacy.blank("en"), format_name=format_name)
    assert len(docs) == 4
    if format_name != "brat":
        scores = sorted(row["score"] for row in read_scores(output))
        text = output.read_text()
        assert all(f'"selection_score": {score}' in text for score in scores)


@pytest.mark.parametrize("format_name", ["spert", "doccano", "labelstudio", "prodigy", "brat"])
def test_annotation_files_are_pools(run, model, tiny_corpus, tmp_path, format_name):
    docs = list(read_docbin(tiny_corpus, spacy.blank("en").vocab))
    source = tmp_path / ("pool" if format_name == "brat" else "pool.json")
    write_annotations(source, docs, format_name=format_name)
    options = () if format_name in ("labelstudio", "brat") else ("--format", format_name)
    printed = run("tabcnn", "select", model, source, tmp_path / "next.spacy", "-n", 3, *options)
    assert "3 documents in" in printed


def test_tasks_without_annotation_are_in_the_pool(run, model, tmp_path):
    tasks = [{"id": 7, "data": {"text": TEXTS[0]}}, {"id": 8, "data": {"text": TEXTS[2]}}]
    tasks[1]["annotations"] = [{"result": []}]
    srsly.write_json(tmp_path / "tasks.json", tasks)
    arguments = (model, tmp_path / "tasks.json", tmp_path / "next.spacy")
    run("tabcnn", "select", *arguments)
    assert {row["id"] for row in read_scores(tmp_path / "next.spacy")} == {7, 8}
    printed = run("tabcnn", "select", *arguments, "--unannotated")
    assert "1 documents left out: with annotation" in printed
    assert [row["id"] for row in read_scores(tmp_path / "next.spacy")] == [7]


def test_annotated_texts_are_excluded(run, model, pool, tmp_path):
    nlp = spacy.blank("en")
    write_docbin(tmp_path / "known.spacy", [nlp.make_doc(TEXTS[0].upper())])
    srsly.write_jsonl(tmp_path / "known.jsonl", [{"text": TEXTS[1]}])
    options = ("--exclude", tmp_path / "known.spacy", "-x", tmp_path / "known.jsonl")
    printed = run("tabcnn", "select", model, pool, tmp_path / "next.spacy", *options)
    assert "2 documents left out: with a text of --exclude" in printed
    rows = read_scores(tmp_path / "next.spacy")
    assert {(row["id"], row["position"]) for row in rows} == {("t2", 2), ("t3", 3)}


def test_repeated_and_unreadable_texts_are_counted(run, model, tmp_path):
    lines = [json.dumps({"text": TEXTS[0]}), json.dumps({"text": TEXTS[0]}), "{}", '{"text": ""}']
    (tmp_path / "pool.jsonl").write_text("\n".join(lines))
    printed = run("tabcnn", "select", model, tmp_path / "pool.jsonl", tmp_path / "next.spacy")
    assert "1 documents left out: with the text of an earlier document" in printed
    assert "1 documents left out: cannot be read" in printed and "line 3" in printed
    assert "1 documents left out: without words" in printed
    assert [row["position"] for row in read_scores(tmp_path / "next.spacy")] == [0]


def test_a_quota_changes_the_selection(run, model, tiny_corpus, tmp_path):
    label = spacy.load(model).get_pipe("tabcnn").labels[-1]
    output = tmp_path / "next.spacy"
    run("tabcnn", "select", model, tiny_corpus, output, "-n", 1, "--quota", f"{label}=1")
    (row,) = read_scores(output)
    assert label in row["labels"]


def test_a_quota_that_is_not_filled_is_reported(run, model, pool, tmp_path):
    label = spacy.load(model).get_pipe("tabcnn").labels[-1]
    options = ("--quota", f"{label}=9")
    printed = run("tabcnn", "select", model, pool, tmp_path / "next.spacy", *options)
    assert f"The quota of '{label}' lacks" in printed


def test_models_that_agree_give_scores_of_0(run, model, pool, tmp_path):
    output = tmp_path / "next.spacy"
    run("tabcnn", "select", model, pool, output, "--committee", model)
    assert [row["score"] for row in read_scores(output)] == [0.0] * 4
    assert [row["position"] for row in read_scores(output)] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--quota", "nothing=1"), "no model predicts this label"),
        (("--quota", "10"), "expected LABEL=N"),
        (("--measure", "luck"), "expected margin or entropy"),
        (("--to", "word"), "unknown annotation format 'word'"),
        (("--format", "word"), "unknown annotation format 'word'"),
    ],
)
def test_malformed_options_are_messages(run_spacy, model, pool, tmp_path, options, message):
    assert message in fail(run_spacy, model, pool, tmp_path / "next.spacy", *options)


def test_files_that_do_not_fit_are_messages(run_spacy, model, pool, tmp_path):
    output = tmp_path / "next.spacy"
    assert "no such file" in fail(run_spacy, model, tmp_path / "none.jsonl", output)
    assert "Name it with --to" in fail(run_spacy, model, pool, tmp_path / "next.json")
    assert "Did you swap the arguments?" in fail(run_spacy, pool, model, output)
    assert "Name another file" in fail(run_spacy, model, pool, pool)
    (tmp_path / "empty.txt").write_text("\n")
    assert "holds no document" in fail(run_spacy, model, tmp_path / "empty.txt", output)


def test_folders_of_corpora_and_plain_texts_are_pools(run, model, tiny_corpus, tmp_path):
    (tmp_path / "corpus").mkdir()
    shutil.copy(tiny_corpus, tmp_path / "corpus" / "a.spacy")
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS))
    for source, number in ((tmp_path / "corpus", 10), (tmp_path / "texts.txt", 4)):
        printed = run("tabcnn", "select", model, source, tmp_path / "next.spacy")
        assert f"{number} documents in" in printed


@pytest.mark.parametrize("field", ["body", "text"])
@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_the_text_of_excluded_rows_is_in_the_field_of_the_pool_or_in_text(
    run, model, tmp_path, field, suffix
):
    pool, known = tmp_path / "pool.jsonl", tmp_path / f"known.{suffix}"
    srsly.write_jsonl(pool, [{"body": TEXTS[0]}, {"body": TEXTS[1]}])
    if suffix == "csv":
        known.write_text(f"{field}\n{TEXTS[0]}\n", encoding="utf-8")
    else:
        srsly.write_jsonl(known, [{field: TEXTS[0]}])
    options = ("--text-field", "body", "--exclude", known)
    printed = run("tabcnn", "select", model, pool, tmp_path / "next.spacy", *options)
    assert "1 documents left out: with a text of --exclude" in printed
    assert [row["text"] for row in read_scores(tmp_path / "next.spacy")] == [TEXTS[1]]


def test_excluded_rows_that_cannot_be_read_are_reported(run, run_spacy, model, pool, tmp_path):
    known = tmp_path / "known.jsonl"
    srsly.write_jsonl(known, [{"text": TEXTS[0]}, {"text": None}])
    printed = run("tabcnn", "select", model, pool, tmp_path / "next.spacy", "--exclude", known)
    assert "1 documents of --exclude" in printed and "known.jsonl, line 2" in printed
    srsly.write_jsonl(known, [{"title": TEXTS[0]}])
    message = fail(run_spacy, model, pool, tmp_path / "other.spacy", "--exclude", known)
    assert "none of its documents can be read" in message and "no field 'text'" in message
