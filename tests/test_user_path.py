"""The path of a user: from the export of an annotation tool to a graph of annotated texts.

The folder `exports` has one small export of each tool. An export holds everything that the tool
writes, next to entities and relations.
"""

import csv
import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

import pytest
import spacy
import srsly
from spacy.tokens import DocBin

from spacy_tabcnn.corpora.reader import RelationCorpus

ROOT = Path(__file__).parents[1]
EXPORTS = ROOT / "tests" / "exports"


class Tool(NamedTuple):
    """The export of an annotation tool.

    name (str): Name of the format.
    export (str): Path of the export, in `exports`.
    documents (list): The documents as (text, entities, relations).
    messages (list[str]): The messages of `convert` about everything else in the export.
    """

    name: str
    export: str
    documents: list
    messages: list[str]


TOOLS = [
    Tool(
        "labelstudio",
        "labelstudio.json",
        [
            (
                "Katherine Johnson worked for NASA in Hampton.",
                {("Katherine Johnson", "Person"), ("NASA", "Organisation"), ("Hampton", "Place")},
                {("Katherine Johnson", "worked_for", "NASA")},
            ),
            (
                "🛰 Langley lies in Hampton,\nVirginia.",
                {("Hampton", "Place"), ("Virginia", "Place")},
                {("Hampton", "located_in", "Virginia")},  # the arrow points to the left
            ),
            (
                "Wole Soyinka was born in Abeokuta.",
                {("Wole Soyinka", "Person"), ("Abeokuta", "Place")},
                {("Wole Soyinka", "born_in", "Abeokuta")},
            ),
        ],
        [
            "No entity or relation left out",
            "further annotations of a task (1)",
            "results of the type 'choices' (1)",
            "tasks without a completed annotation (1)",
        ],
    ),
    Tool(
        "prodigy",
        "prodigy.jsonl",
        [
            (
                "Wole Soyinka was born in Abeokuta, Nigeria.",
                {("Wole Soyinka", "Person"), ("Abeokuta", "Place"), ("Nigeria", "Place")},
                {("Wole Soyinka", "born_in", "Abeokuta"), ("Abeokuta", "located_in", "Nigeria")},
            ),
            (
                "Things Fall Apart is a novel by Chinua Achebe 📖.",
                {("Things Fall Apart", "Work"), ("Chinua Achebe", "Person")},
                {("Chinua Achebe", "created", "Things Fall Apart")},
            ),
            ("It rained all day.", set(), set()),
        ],
        ["No entity or relation left out", "ignored documents (1)", "rejected documents (1)"],
    ),
    Tool(
        "brat",
        "brat",
        [
            (
                "NASA hired Katherine Johnson in Hampton, Virginia.\n"
                "She was born in West\nVirginia and not in North or South Carolina.\n",
                {
                    ("NASA", "Organisation"),
                    ("hired", "Hire"),  # the trigger of an event is an entity
                    ("Katherine Johnson", "Person"),
                    ("Hampton", "Place"),
                    ("Virginia", "Place"),
                    ("West\nVirginia", "Place"),
                    ("South Carolina", "Place"),
                },
                {
                    ("Katherine Johnson", "worked_for", "NASA"),
                    ("Hampton", "located_in", "Virginia"),
                    ("Katherine Johnson", "born_in", "West\nVirginia"),
                },
            ),
            ("It rained all day in Lagos.", set(), set()),
        ],
        [
            "johnson.ann, line 12: 'North Carolina' (Place)",
            "relation has an entity that was left out 1",
            "arguments of events (2), attributes (2), equivalences (1), modifications (1), "
            "normalizations (1), notes (1)",
            "texts without an .ann file (1)",
        ],
    ),
]


@pytest.fixture(scope="module", params=TOOLS, ids=lambda tool: tool.name)
def tool(request):
    return request.param


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Make a virtual environment that needs no download, and return the path of its Python.

    The environment can import the packages of the environment that runs the tests. It installs
    packages into its own folder.
    """
    folder = tmp_path_factory.mktemp("environment") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    paths = json.loads(
        subprocess.run(
            [python, "-c", "import json, sysconfig; print(json.dumps(sysconfig.get_paths()))"],
            capture_output=True,
            check=True,
        ).stdout
    )
    lines = [
        f"import site; site.addsitedir({sysconfig.get_path(name)!r})\n"
        for name in ("purelib", "platlib")
    ]
    Path(paths["purelib"], "packages_of_the_tests.pth").write_text(
        "".join(dict.fromkeys(lines)), encoding="utf-8"
    )
    return python


@pytest.fixture
def run_elsewhere(environment, tmp_path):
    """Run a Python module in the other environment, and return its output."""

    def run(*command):
        result = subprocess.run(
            [environment, "-m", *map(str, command)], cwd=tmp_path, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    return run


def read_corpus(path):
    """Read the documents of a .spacy file as (text, entities, relations)."""
    documents = []
    for doc in DocBin().from_disk(path).get_docs(spacy.blank("en").vocab):
        entities = {(ent.text, ent.label_) for ent in doc.ents}
        relations = {(head.text, label, tail.text) for head, tail, label, _ in doc._.relations}
        documents.append((doc.text, entities, relations))
    return documents


def read_annotated(path):
    """Read the output of `annotate` as (text, entities, relations)."""
    documents = []
    for row in srsly.read_jsonl(path):
        names = [row["text"][entity["start"] : entity["end"]] for entity in row["entities"]]
        labels = [entity["label"] for entity in row["entities"]]
        relations = set()
        for item in row["relations"]:
            relations.add((names[item["head"]], item["label"], names[item["tail"]]))
        documents.append((row["text"], set(zip(names, labels, strict=True)), relations))
    return documents


def read_edges(path):
    """Read the relations in the output of `graph`."""
    with path.open(encoding="utf-8", newline="") as file_:
        rows = list(csv.DictReader(file_))
    return {(row["head_text"], row["relation"], row["tail_text"]) for row in rows}


def test_exports_are_read_with_everything_that_the_tools_write(run, tool, tmp_path):
    printed = run("tabcnn", "convert", EXPORTS / tool.export, tmp_path / "corpus.spacy")
    assert read_corpus(tmp_path / "corpus.spacy") == tool.documents
    for message in tool.messages:
        assert message in printed


def test_from_an_export_to_a_graph(run, tool, tiny_config, tiny_corpus, tmp_path):
    # The small export is joined with a larger export, made of sentences of the sample corpus.
    larger = tmp_path / Path(tool.export).with_stem("larger")
    train, dev = tmp_path / "train.spacy", tmp_path / "dev.spacy"
    run("tabcnn", "convert", tiny_corpus, larger, "--format", tool.name)
    run("tabcnn", "convert", larger, EXPORTS / tool.export, train)
    run("tabcnn", "convert", larger, dev)
    gold = read_corpus(train)
    assert sorted(gold[:10]) == sorted(read_corpus(tiny_corpus)) and gold[10:] == tool.documents

    run("tabcnn", "debug-data", train, dev, "--output", tmp_path / "figures.json")
    assert srsly.read_json(tmp_path / "figures.json")["train"]["sizes"]["documents"] == len(gold)

    paths = ("--paths.train", train, "--paths.dev", dev)
    run("train", tiny_config, "--output", tmp_path / "training", *paths, "--training.max_steps", 80)
    model = tmp_path / "training" / "model-last"
    run("tabcnn", "evaluate", model, train, "--output", tmp_path / "scores.json")
    assert srsly.read_json(tmp_path / "scores.json")["rels_strict_f"] > 0.9

    texts = tmp_path / "texts.jsonl"
    srsly.write_jsonl(texts, [{"text": text} for text, *_ in gold])
    annotated, graph = tmp_path / "annotated.jsonl", tmp_path / "graph.csv"
    run("tabcnn", "annotate", model, texts, annotated)
    run("tabcnn", "graph", annotated, graph)

    found = read_annotated(annotated)
    assert [text for text, *_ in found] == [text for text, *_ in gold]
    n_relations = sum(len(relations) for *_, relations in gold)
    n_correct = 0
    for (*_, relations), (*_, others) in zip(gold, found, strict=True):
        n_correct += len(relations & others)
    assert n_correct > 0.8 * n_relations
    assert read_edges(graph) == set().union(*(relations for *_, relations in found))


def test_from_an_export_to_a_pipeline_that_learns_on(
    run, tiny_encoder, build_wheel, run_elsewhere, tmp_path, monkeypatch
):
    """40 sentences in Label Studio, then ten more, which have a new label."""
    monkeypatch.chdir(tmp_path)
    lines = (ROOT / "assets" / "sample" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    Path("first.jsonl").write_text("\n".join(lines[:40]), encoding="utf-8")
    Path("more.jsonl").write_text(
        "\n".join(lines[40:50]).replace("Person", "Human"), encoding="utf-8"
    )
    run("tabcnn", "convert", "first.jsonl", "export.json", "--to", "labelstudio")
    run("tabcnn", "convert", "export.json", "corpus/all.spacy")
    run("tabcnn", "split", "corpus/all.spacy", "corpus", "--dev", 0.15)
    run("tabcnn", "init-config", "mine.cfg", "--frozen", "--encoder", tiny_encoder)
    run("train", "mine.cfg", "--output", "training", "--training.max_epochs", 1)
    run("tabcnn", "evaluate", "training/model-best", "corpus/dev.spacy")

    run("tabcnn", "convert", "more.jsonl", "corpus/more.spacy")
    nlp = spacy.load("training/model-best")
    examples = list(RelationCorpus("corpus/more.spacy")(nlp))
    assert nlp.get_pipe("relation_table").add_labels(examples) == ["Human"]
    optimizer = nlp.resume_training()
    losses = []
    for _ in range(5):
        losses.append(nlp.update(examples, sgd=optimizer)["relation_table"])
        optimizer.step_schedules()
    assert losses[-1] < losses[0]
    nlp.to_disk("training/continued")
    assert "Human" in spacy.load("training/continued").get_pipe("relation_table").labels

    wheel = build_wheel(Path("training/continued"), tmp_path / "packages", "mine")
    run_elsewhere("pip", "install", "--quiet", "--no-deps", "--no-index", wheel)
    # Loaded by its name, which only the folder of the environment provides.
    text = "Ada Lovelace was born in London. Emmy Noether taught in Göttingen."
    srsly.write_jsonl("texts.jsonl", [{"text": text}])
    run_elsewhere("spacy", "tabcnn", "annotate", "en_mine", "texts.jsonl", "annotated.jsonl")
    [(annotated, *_)] = read_annotated(Path("annotated.jsonl"))
    assert annotated == text
