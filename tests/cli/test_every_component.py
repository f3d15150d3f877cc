"""Commands do not ask which component a pipeline has."""

import json

import pytest
import spacy
from thinc.api import Config

TEXT = "The Rite of Spring by Igor Stravinsky caused a riot on its first night in Paris."
# The model of each component, without its tok2vec.
MODELS = {
    "spert": {"@architectures": "spacy-tabcnn.SpERT.v1", "sentence_embedding": "max"},
    "pfn": {"@architectures": "spacy-tabcnn.PFN.v1", "hidden": 48, "nested": True},
}


@pytest.fixture(scope="module", params=MODELS)
def folder(request, run, tiny_config, tiny_corpus, tmp_path_factory):
    """A folder with a config, a pipeline that was trained by it, and texts."""
    folder = tmp_path_factory.mktemp(request.param)
    config = Config().from_disk(tiny_config, interpolate=False)
    tok2vec = config["components"].pop("tabcnn")["model"]["tok2vec"]
    model = MODELS[request.param] | {"tok2vec": tok2vec}
    config["components"]["relations"] = {"factory": request.param, "model": model}
    config["nlp"]["pipeline"] = ["relations"]
    config["training"]["max_steps"], config["training"]["eval_frequency"] = 150, 50
    config.to_disk(folder / "config.cfg")
    paths = ("--paths.train", tiny_corpus, "--paths.dev", tiny_corpus)
    run("tabcnn", "train", folder / "config.cfg", "--output", folder, *paths)
    (folder / "texts.jsonl").write_text(json.dumps({"id": 1, "text": TEXT}) + "\n")
    return folder


def test_evaluate(run, folder, tiny_corpus):
    output = folder / "metrics.json"
    run("tabcnn", "evaluate", folder / "model-last", tiny_corpus, "--output", output)
    assert json.loads(output.read_text(encoding="utf-8"))["rels_strict_f"] > 0.7


def test_calibration_and_errors(run, folder, tiny_corpus):
    model = folder / "model-last"
    output = run("tabcnn", "calibration", model, tiny_corpus, folder / "calibration.json")
    assert "Expected calibration error" in output
    run("tabcnn", "errors", model, tiny_corpus, folder / "errors.html")
    assert (folder / "errors.html").is_file()


def test_show_and_annotate(run, folder):
    assert "--created-->" in run("tabcnn", "show", folder / "model-last", TEXT)
    run(
        "tabcnn",
        "annotate",
        folder / "model-last",
        folder / "texts.jsonl",
        folder / "annotated.jsonl",
    )
    (row,) = (folder / "annotated.jsonl").read_text(encoding="utf-8").splitlines()
    assert [relation["label"] for relation in json.loads(row)["relations"]] == ["created"]


def test_model_card(run, folder):
    run("tabcnn", "model-card", folder / "model-last")
    card = (folder / "model-last" / "README.md").read_text(encoding="utf-8")
    assert "| `created` | `Person` → `Work` |" in card and "| `min_score` |" in card


def test_the_threshold_of_a_saved_pipeline(folder):
    nlp = spacy.load(
        folder / "model-last", config={"components": {"relations": {"min_score": 1.0}}}
    )
    assert nlp(TEXT).ents and not nlp(TEXT)._.relations


def test_cross_validate(run, folder, tiny_corpus):
    folds = folder / "folds"
    for part in ("train", "test"):
        (folds / "0").mkdir(parents=True, exist_ok=True)
        (folds / "0" / f"{part}.spacy").write_bytes(tiny_corpus.read_bytes())
    steps = ("--n-folds", 1, "--training.max_steps", 2)
    output = run("tabcnn", "cross-validate", folder / "config.cfg", folds, folder / "out", *steps)
    assert "NER" in output
