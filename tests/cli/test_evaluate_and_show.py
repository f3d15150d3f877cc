import pytest
import spacy
import srsly
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example

WORDS = ["Ann", "lives", "in", "Rome", "."]


@pytest.fixture(scope="module")
def gold():
    doc = Doc(spacy.blank("en").vocab, words=WORDS, spaces=[True, True, True, False, False])
    doc.ents = [Span(doc, 0, 1, label="PER"), Span(doc, 3, 4, label="LOC")]
    doc._.relations = [(doc.ents[0], doc.ents[1], "LiveIn")]
    return doc


@pytest.fixture(scope="module")
def folder(gold, tmp_path_factory):
    """A folder with a pipeline that has learned one sentence, and that sentence as a corpus."""
    folder = tmp_path_factory.mktemp("evaluate")
    nlp = spacy.blank("en")
    nlp.add_pipe("tabcnn", config={"model": {"tok2vec": {"width": 16}, "head": {"hidden": [16]}}})
    spacy.util.fix_random_seed(0)
    examples = [Example(nlp.make_doc(gold.text), gold)]
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(60):
        nlp.update(examples, sgd=optimizer)
    nlp.to_disk(folder / "model")
    DocBin(docs=[gold], store_user_data=True).to_disk(folder / "dev.spacy")
    return folder


@pytest.mark.parametrize("options", [[], ["--raw-text"]])
def test_evaluate_prints_and_saves_scores(run_spacy, folder, options):
    metrics = folder / "metrics" / "dev.json"
    result = run_spacy(
        "tabcnn", "evaluate", folder / "model", folder / "dev.spacy", "-o", metrics, *options
    )
    assert result.exit_code == 0, result.output
    for title in (
        "Entities (NER)",
        "Relations, boundaries (RE)",
        "Relations, strict (RE+)",
        "LiveIn",
        "100.0",
    ):
        assert title in result.output
    assert srsly.read_json(metrics)["rels_strict_f"] == 1.0


def test_evaluate_says_what_is_not_annotated(run_spacy, folder, gold, tmp_path):
    doc = Doc(gold.vocab, words=WORDS)
    doc.ents = [Span(doc, 0, 1, label="PER")]
    DocBin(docs=[doc], store_user_data=True).to_disk(tmp_path / "ents.spacy")
    result = run_spacy("tabcnn", "evaluate", folder / "model", tmp_path / "ents.spacy")
    assert result.exit_code == 0, result.output
    assert "Relations, strict (RE+): not scored" in result.output


def test_evaluate_refuses_a_missing_corpus(run_spacy, folder):
    result = run_spacy("tabcnn", "evaluate", folder / "model", folder / "none.spacy")
    assert result.exit_code == 1 and "none.spacy" in result.output


def test_show_prints_entities_and_relations(run_spacy, folder):
    result = run_spacy("tabcnn", "show", folder / "model", "Ann lives in Rome.")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == [
        "Ann lives in Rome.",
        "  Ann [PER] 1.00",
        "  Rome [LOC] 1.00",
        "  Ann --LiveIn--> Rome 1.00",
        "",
    ]


def test_show_writes_a_page(run_spacy, folder, tmp_path):
    page = tmp_path / "new" / "arcs.html"
    result = run_spacy("tabcnn", "show", folder / "model", "Ann lives in Rome.", "--page", page)
    assert result.exit_code == 0, result.output
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_show_writes_no_page_over_a_corpus(run_spacy, folder, tmp_path):
    (tmp_path / "dev.spacy").touch()
    result = run_spacy("tabcnn", "show", folder / "model", "Ann", "--page", tmp_path / "dev.spacy")
    assert result.exit_code == 1 and "dev.spacy is a corpus" in " ".join(result.output.split())


def test_show_refuses_a_missing_model(run_spacy, tmp_path):
    result = run_spacy("tabcnn", "show", tmp_path / "none", "Ann")
    assert result.exit_code == 1 and "Could not load the model" in result.output


def test_show_splits_running_text_by_default(run_spacy, folder, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "spacy_tabcnn.cli.show._print_annotation", lambda doc: seen.append(len(list(doc.sents)))
    )
    text = "Ann lives in Rome. Ann lives in Rome."
    run_spacy("tabcnn", "show", folder / "model", text)
    assert seen == [2]


def test_evaluate_joins_documents_to_texts(run_spacy, folder, gold, tmp_path):
    DocBin(docs=[gold] * 4, store_user_data=True).to_disk(tmp_path / "four.spacy")
    metrics = tmp_path / "joined.json"
    arguments = (folder / "model", tmp_path / "four.spacy", "-o", metrics, "--join", 2)
    with pytest.warns(UserWarning, match="texts of several sentences without boundaries"):
        result = run_spacy("tabcnn", "evaluate", *arguments)
    assert result.exit_code == 0, result.output
    assert srsly.read_json(metrics)["rels_strict_r"] <= 1.0


def test_evaluate_takes_a_minimum_score(run_spacy, folder, tmp_path):
    metrics = tmp_path / "sure.json"
    arguments = (folder / "model", folder / "dev.spacy", "-o", metrics, "--min-score", 1.0)
    assert run_spacy("tabcnn", "evaluate", *arguments).exit_code == 0
    assert srsly.read_json(metrics)["rels_strict_r"] == 0.0


def test_a_text_that_is_too_long_is_a_message(run_spacy, folder):
    result = run_spacy("tabcnn", "show", folder / "model", "a " * 500_001)
    assert result.exit_code == 1 and "Could not annotate the texts" in result.output


def test_a_gpu_that_does_not_exist_is_an_error_of_one_message(run_spacy, tiny_run, tiny_corpus):
    options = (tiny_run / "model-best", tiny_corpus, "--gpu-id", 99)
    result = run_spacy("tabcnn", "evaluate", *options)
    assert result.exit_code == 1 and isinstance(result.exception, SystemExit)
    assert "Cannot use the GPU 99" in " ".join(result.output.split())
