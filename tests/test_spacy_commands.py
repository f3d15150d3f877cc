"""spaCy's own commands on a pipeline with the component."""

import json

import pytest
import spacy
import srsly
from spacy.tokens import DocBin
from thinc.api import Config


@pytest.fixture
def paths(tiny_corpus):
    """Options that every command with a config needs."""
    return ("--paths.train", tiny_corpus, "--paths.dev", tiny_corpus)


@pytest.fixture
def model(tiny_run):
    return tiny_run / "model-last"


@pytest.fixture
def texts(tiny_corpus):
    return [doc.text for doc in DocBin().from_disk(tiny_corpus).get_docs(spacy.blank("en").vocab)]


def read_weights(folder):
    return (folder / "model-last" / "tabcnn" / "model").read_bytes()


def test_init_fill_config_adds_the_defaults(run, tiny_config, tmp_path):
    run("init", "fill-config", tiny_config, tmp_path / "filled.cfg")
    component = Config().from_disk(tmp_path / "filled.cfg")["components"]["tabcnn"]
    assert component["aggregation"] == "mean"
    assert component["min_score"] is None
    assert component["type_constraints"] is True
    assert component["scorer"] == {"@scorers": "spacy-tabcnn.relation_scorer.v1"}
    assert component["model"]["head"]["hidden"] == [32]
    again = run("init", "fill-config", tmp_path / "filled.cfg", tmp_path / "again.cfg")
    assert "Nothing to auto-fill" in again


def test_debug_config(run, tiny_config, paths, tmp_path):
    run("init", "fill-config", tiny_config, tmp_path / "filled.cfg")
    assert "Config is valid" in run("debug", "config", tmp_path / "filled.cfg", *paths)


def test_init_fill_config_names_a_setting_that_does_not_exist(run_spacy, tiny_config, tmp_path):
    config = tiny_config.read_text(encoding="utf-8").replace("kernel_size", "kernel_width")
    (tmp_path / "wrong.cfg").write_text(config, encoding="utf-8")
    result = run_spacy("init", "fill-config", tmp_path / "wrong.cfg", tmp_path / "filled.cfg")
    assert result.exit_code == 1
    assert "kernel_width" in result.output


def test_train_lowers_the_loss_and_learns_the_corpus(tiny_run):
    rows = list(srsly.read_jsonl(tiny_run / "log.jsonl"))
    # The first row is the loss of a single step, the others that of ten.
    losses = [row["losses"]["tabcnn"] for row in rows[1:]]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] / 10
    assert rows[-1]["scores"]["ents_f"] == rows[-1]["scores"]["rels_strict_f"] == 100.0


def test_one_seed_gives_identical_weights(run, tiny_config, paths, tmp_path):
    for name, seed in (("one", 7), ("same", 7), ("other", 8)):
        options = ("--system.seed", seed, "--training.max_steps", 3)
        run("train", tiny_config, "--output", tmp_path / name, *paths, *options)
    assert read_weights(tmp_path / "one") == read_weights(tmp_path / "same")
    assert read_weights(tmp_path / "one") != read_weights(tmp_path / "other")


def test_init_labels_writes_the_labels_of_the_data(run, tiny_config, paths, model, tmp_path):
    run("init", "labels", tiny_config, tmp_path / "labels", *paths)
    labels = srsly.read_json(tmp_path / "labels" / "tabcnn.json")
    assert labels["entities"] == ["Date", "Organisation", "Person", "Place", "Work"]
    assert labels["relations"]["born_in"] == [["Person", "Place"]]
    assert labels == json.loads(json.dumps(spacy.load(model).get_pipe("tabcnn").label_data))


def test_train_with_labels_from_a_file(run, tiny_config, paths, tmp_path):
    run("init", "labels", tiny_config, tmp_path, *paths)
    labels = srsly.read_json(tmp_path / "tabcnn.json")
    labels["entities"].append("Event")
    srsly.write_json(tmp_path / "tabcnn.json", labels)
    config = Config().from_disk(tiny_config, interpolate=False)
    reader = {
        "@readers": "spacy.read_labels.v1",
        "path": str(tmp_path / "tabcnn.json"),
        "require": True,
    }
    config["initialize"] = {"components": {"tabcnn": {"labels": reader}}}
    config.to_disk(tmp_path / "labels.cfg")
    run("train", tmp_path / "labels.cfg", "--output", tmp_path, *paths, "--training.max_steps", 1)
    assert (
        json.loads(json.dumps(spacy.load(tmp_path / "model-last").get_pipe("tabcnn").label_data))
        == labels
    )


@pytest.mark.parametrize("command", [("evaluate",), ("benchmark", "accuracy")])
def test_evaluate(run, tiny_corpus, model, tmp_path, command):
    output = run(*command, model, tiny_corpus, "--output", tmp_path / "scores.json")
    assert "NER F 100.00" in output
    scores = srsly.read_json(tmp_path / "scores.json")
    assert scores["ents_f"] == scores["rels_strict_f"] == scores["rels_boundaries_macro_f"] == 1.0
    assert scores["rels_strict_per_type"]["born_in"] == {"p": 1.0, "r": 1.0, "f": 1.0}


def test_evaluate_per_component(run, tiny_corpus, model, tmp_path):
    run("evaluate", model, tiny_corpus, "--output", tmp_path / "scores.json", "--per-component")
    assert srsly.read_json(tmp_path / "scores.json")["tabcnn"]["rels_strict_f"] == 1.0


def test_benchmark_speed(run, tiny_corpus, model):
    assert "words/s" in run(
        "benchmark", "speed", model, tiny_corpus, "--batches", 30, "--warmup", 0
    )


def test_find_threshold_of_the_least_score(run, tiny_corpus, model):
    arguments = (model, tiny_corpus, "tabcnn", "min_score", "rels_strict_f", "--n_trials", 3)
    output = run("find-threshold", *arguments)
    # A threshold of 1 keeps no relation, one of 0 a relation for every pair of entities that the
    # types allow.
    assert "0.5 1.0 1.0 0.0 Best threshold: 0.5 with rels_strict_f value of 1.0" in output


@pytest.mark.parametrize("suffix", [".spacy", ".jsonl"])
def test_apply_keeps_relations(run, assert_same_annotations, model, texts, tmp_path, suffix):
    source = tmp_path / f"texts{suffix}"
    if suffix == ".jsonl":
        srsly.write_jsonl(source, [{"text": text} for text in texts])
    else:
        DocBin(docs=map(spacy.blank("en"), texts)).to_disk(source)
    run("apply", model, source, tmp_path / "annotated.spacy")
    nlp = spacy.load(model)
    applied = list(DocBin().from_disk(tmp_path / "annotated.spacy").get_docs(nlp.vocab))
    assert_same_annotations(applied, nlp.pipe(texts))
    assert sum(len(doc._.relations) for doc in applied) == 9


def test_assemble_with_a_trained_component(run, assert_same_annotations, model, texts, tmp_path):
    config = {
        "nlp": {"lang": "en", "pipeline": ["tabcnn", "doc_cleaner"]},
        "components": {"tabcnn": {"source": str(model)}, "doc_cleaner": {"factory": "doc_cleaner"}},
    }
    Config(config).to_disk(tmp_path / "assemble.cfg")
    run("assemble", tmp_path / "assemble.cfg", tmp_path / "assembled")
    assembled = spacy.load(tmp_path / "assembled")
    assert assembled.pipe_names == ["tabcnn", "doc_cleaner"]
    assert_same_annotations(assembled.pipe(texts), spacy.load(model).pipe(texts))


def test_assemble_with_labels_and_no_data(run, tiny_config, tmp_path):
    config = Config().from_disk(tiny_config, interpolate=False)
    labels = {"entities": ["Person", "Place"], "relations": {"born_in": [["Person", "Place"]]}}
    config["initialize"] = {"components": {"tabcnn": {"labels": labels}}}
    config.to_disk(tmp_path / "assemble.cfg")
    run("assemble", tmp_path / "assemble.cfg", tmp_path / "assembled")
    nlp = spacy.load(tmp_path / "assembled")
    assert nlp.get_pipe("tabcnn").labels == ("Person", "Place", "born_in")
    assert nlp("Ada was born in London.").has_annotation("ENT_IOB")


@pytest.fixture
def spacy_config(run, tiny_config, tmp_path):
    """A config with spaCy's own reader, as `spacy init config` writes it."""
    run("init", "config", tmp_path / "spacy.cfg", "--pipeline", "tabcnn")
    config = Config().from_disk(tmp_path / "spacy.cfg", interpolate=False)
    config["components"] = Config().from_disk(tiny_config)["components"]
    config["training"] |= {"max_steps": 1, "eval_frequency": 1}
    config.to_disk(tmp_path / "spacy.cfg")
    return tmp_path / "spacy.cfg"


def test_init_config_makes_a_config_that_trains_on_whole_documents(
    run, spacy_config, paths, tmp_path
):
    run("train", spacy_config, "--output", tmp_path, *paths)
    assert "born_in" in spacy.load(tmp_path / "model-last").get_pipe("tabcnn").labels


@pytest.mark.parametrize("part", ["train", "dev"])
def test_spacys_reader_is_refused_where_it_splits_documents(
    run_spacy, spacy_config, tiny_corpus, tmp_path, part
):
    vocab = spacy.blank("en").vocab
    docs = list(DocBin().from_disk(tiny_corpus).get_docs(vocab))
    for doc in docs:
        for token in doc:
            token.is_sent_start = token.i == 0
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "sents.spacy")
    paths = ("--paths.train", tmp_path / "sents.spacy", "--paths.dev", tmp_path / "sents.spacy")
    option = (f"--corpora.{part}.gold_preproc", "true")
    result = run_spacy("train", spacy_config, "--output", tmp_path, *paths, *option)
    message = str(result.exception)
    assert f"[corpora.{part}] reads it with spacy.Corpus.v1" in message
    assert "spacy tabcnn init-config" in message


def test_spacys_reader_is_refused_for_a_corpus_without_relations(
    run_spacy, spacy_config, tiny_corpus, tmp_path
):
    docs = list(DocBin().from_disk(tiny_corpus).get_docs(spacy.blank("en").vocab))
    DocBin(docs=docs, store_user_data=False).to_disk(tmp_path / "none.spacy")
    paths = ("--paths.train", tmp_path / "none.spacy", "--paths.dev", tmp_path / "none.spacy")
    result = run_spacy("train", spacy_config, "--output", tmp_path, *paths)
    assert "10 documents with entities and without relations" in str(result.exception)


def test_info_lists_the_component(run, model):
    assert "pipeline ['tabcnn']" in run("info", model)
