import pytest


def test_errors_writes_a_page_and_prints_counts(run_spacy, tiny_run, tiny_corpus, tmp_path):
    output = tmp_path / "new" / "errors.html"
    result = run_spacy("tabcnn", "errors", tiny_run / "model-last", tiny_corpus, output)
    assert result.exit_code == 0, result.output
    rows = {line[:14].strip(): line[14:].split() for line in result.output.splitlines()}
    assert rows["missed"] == rows["wrong type"] == ["0", "0"]
    n_entities, n_relations = map(int, rows["correct"])
    page = output.read_text(encoding="utf-8")
    assert page.count('data-kind="entity correct"') == n_entities > 10
    assert page.count('data-kind="relation correct"') == n_relations == 9


def test_raw_text_is_tokenised(run_spacy, tiny_run, tiny_corpus, tmp_path):
    result = run_spacy(
        "tabcnn",
        "errors",
        tiny_run / "model-last",
        tiny_corpus,
        tmp_path / "errors.html",
        "--raw-text",
    )
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    "model,data,output,message",
    [
        ("none", "corpus", "errors.html", "none"),
        ("model", "none.spacy", "errors.html", "none.spacy: no such file"),
        ("model", "corpus", ".", "directory"),
    ],
)
def test_what_cannot_be_read_or_written_is_a_message(
    run_spacy, tiny_run, tiny_corpus, tmp_path, model, data, output, message
):
    model = tiny_run / "model-last" if model == "model" else tmp_path / model
    data = tiny_corpus if data == "corpus" else tmp_path / data
    result = run_spacy("tabcnn", "errors", model, data, tmp_path / output)
    assert result.exit_code == 1
    assert "Could not compare" in result.output and message in " ".join(result.output.split())
