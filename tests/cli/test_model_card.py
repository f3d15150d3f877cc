"""The card of a trained pipeline, and what it takes from whom."""

import shutil

import pytest
import spacy
import srsly
from spacy.schemas import ModelMetaSchema, validate

from spacy_tabcnn.pipeline.model_card import make_model_card

STATED = (
    *("--name", "facts", "--version", "1.2.0", "--description", "Finds facts."),
    *(
        "--intended-use",
        "Plain English.",
        "--limits",
        "No long texts.",
        "--author",
        "Ann",
        "--url",
        "https://a.org",
    ),
    *("--license", "MIT", "--source", "Sample=https://b.org", "--source", "Letters"),
)


@pytest.fixture
def model(tiny_run, tmp_path):
    """A trained pipeline in a folder of its own."""
    shutil.copytree(tiny_run / "model-last", tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def write_card(run_spacy, model):
    """Run the command with some options, and return what it printed and the card."""

    def write(*options):
        result = run_spacy("tabcnn", "model-card", model, *options)
        assert result.exit_code == 0, result.output
        return " ".join(result.output.split()), (model / "README.md").read_text(encoding="utf-8")

    return write


def test_the_pipeline_says_its_labels_and_scores(write_card):
    _, card = write_card()
    assert card.startswith("# en_pipeline\n")
    assert "Entities: `Date`, `Organisation`, `Person`, `Place`, `Work`." in card
    assert "| `born_in` | `Person` → `Place` |" in card
    assert "| Relations, strict (RE+) | 100.0 | 100.0 | 100.0 |" in card
    assert "| `min_score` | `null` |" in card
    assert "Encoder" not in card  # spaCy's own tok2vec


def test_what_nobody_has_said_is_left_out_and_listed(write_card):
    output, card = write_card()
    assert "--description, --author, --license, --source, --intended-use, --limits" in output
    for word in ("Licence", "Intended use", "Limits", "Trained on", "Author"):
        assert word not in card


def test_people_say_the_rest(write_card):
    output, card = write_card(*STATED)
    assert "Left out" not in output
    assert card.startswith("# en_facts\n\nFinds facts.\n")
    assert "| Version | 1.2.0 |" in card and 'spacy.load("en_facts")' in card
    assert "## Intended use\n\nPlain English.\n" in card and "## Limits\n\nNo long texts.\n" in card
    assert "| Author | [Ann](https://a.org) |" in card and "| Licence | MIT |" in card
    assert "| Trained on | [Sample](https://b.org), Letters |" in card


def test_what_was_said_is_kept(write_card, model):
    _, first = write_card(*STATED)
    meta = srsly.read_json(model / "meta.json")
    assert (meta["license"], meta["intended_use"], meta["version"]) == (
        "MIT",
        "Plain English.",
        "1.2.0",
    )
    assert meta["performance"]["rels_strict_f"] == 1.0
    assert validate(ModelMetaSchema, meta) == []
    output, again = write_card()
    assert again == first and "Left out" not in output


# spaCy leaves it to the garbage collector to close what it writes.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_spacy_package_takes_the_card_along(write_card, run_spacy, model, tmp_path):
    _, card = write_card(*STATED)
    (tmp_path / "packages").mkdir()
    result = run_spacy("package", model, tmp_path / "packages", "--build", "none")
    assert result.exit_code == 0, result.output
    package = tmp_path / "packages" / "en_facts-1.2.0"
    # The page of the wheel, and what pipelines' hubs read inside it.
    for path in (package, package / "en_facts" / "en_facts-1.2.0"):
        assert (path / "README.md").read_text(encoding="utf-8") == card
    assert srsly.read_json(package / "meta.json")["intended_use"] == "Plain English."


def test_the_folder_of_an_encoder_is_named_without_its_place(model, tiny_encoder):
    nlp = spacy.load(model)
    nlp.add_pipe("transformer", config={"model": {"name": str(tiny_encoder)}})
    assert f"| Encoder | `{tiny_encoder.name}` |" in make_model_card(nlp)
    nlp.remove_pipe("transformer")
    nlp.add_pipe("transformer", config={"model": {"name": "google/bert_tiny"}})
    assert "| Encoder | `google/bert_tiny` |" in make_model_card(nlp)


def test_an_encoder_named_by_a_variable_of_the_config(model):
    nlp = spacy.load(model)
    nlp.add_pipe("transformer")
    nlp.config["paths"]["encoder"] = "google/bert_tiny"
    nlp.config["components"]["transformer"]["model"]["name"] = "${paths.encoder}"
    assert "| Encoder | `google/bert_tiny` |" in make_model_card(nlp)


def test_a_table_holds_any_text(model):
    nlp = spacy.load(model)
    nlp.meta["author"] = "A|B\nC"
    assert "| Author | A\\|B C |" in make_model_card(nlp)


def test_a_pipeline_of_another_kind_has_no_labels_of_ours():
    card = make_model_card(spacy.blank("en"))
    assert "## Labels" not in card and "## Scores" not in card


def test_a_folder_without_a_pipeline_is_refused(run_spacy, tmp_path):
    result = run_spacy("tabcnn", "model-card", tmp_path)
    assert result.exit_code == 1
    assert "no meta.json in it" in " ".join(result.output.split())
