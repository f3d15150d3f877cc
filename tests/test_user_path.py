"""The path of a user: from the export of an annotation tool to a graph of what was found in new texts.

`exports` has one small export of each tool, with all that the tool writes beside entities and relations.
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

EXPORTS = Path(__file__).parent / "exports"


class Tool(NamedTuple):
    """The export of a tool: its format and path, its documents as (text, entities, relations), and what `convert` has
    to say of the rest."""

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
                    ("hired", "Hire"),  # what triggers an event is an entity
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
            "attributes (2), equivalences (1), events (1), modifications (1), normalizations (1), notes (1)",
            "texts without an .ann file (1)",
        ],
    ),
]


@pytest.fixture(scope="module", params=TOOLS, ids=lambda tool: tool.name)
def tool(request):
    return request.param


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """The Python of a new virtual environment. It has the packages of this one, since nothing can be downloaded, but
    what it installs is its own."""
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


def read_corpus(path):
    """The documents of a .spacy file as (text, entities, relations)."""
    return [
        (
            doc.text,
            {(ent.text, ent.label_) for ent in doc.ents},
            {
                (relation.head.text, relation.label, relation.tail.text)
                for relation in doc._.relations
            },
        )
        for doc in DocBin().from_disk(path).get_docs(spacy.blank("en").vocab)
    ]


def read_annotated(path):
    """The rows that `annotate` wrote, likewise."""
    documents = []
    for row in srsly.read_jsonl(path):
        names = [row["text"][entity["start"] : entity["end"]] for entity in row["entities"]]
        entities = {
            (name, entity["label"]) for name, entity in zip(names, row["entities"], strict=True)
        }
        relations = {
            (names[item["head"]], item["label"], names[item["tail"]]) for item in row["relations"]
        }
        documents.append((row["text"], entities, relations))
    return documents


def test_exports_are_read_with_all_that_the_tools_write(run, tool, tmp_path):
    printed = run("tabcnn", "convert", EXPORTS / tool.export, tmp_path / "corpus.spacy")
    assert read_corpus(tmp_path / "corpus.spacy") == tool.documents
    for message in tool.messages:
        assert message in printed


def test_from_an_export_to_a_graph(
    run, tool, tiny_config, tiny_corpus, build_wheel, environment, tmp_path
):
    # A larger export, of sentences of the sample corpus, joins the small one.
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

    name = f"from_{tool.name}"
    wheel = build_wheel(model, tmp_path / "packages", name)
    texts = tmp_path / "texts.jsonl"
    srsly.write_jsonl(texts, [{"text": text} for text, *_ in gold])
    annotated, graph = tmp_path / "annotated.jsonl", tmp_path / "graph.csv"
    for command in (
        ("pip", "install", "--quiet", "--no-deps", "--no-index", wheel),
        # By its name, which no other folder than that of the environment can provide.
        ("spacy", "tabcnn", "annotate", f"en_{name}", texts, annotated),
    ):
        result = subprocess.run(
            [environment, "-m", *command], cwd=tmp_path, capture_output=True, text=True
        )
        assert result.returncode == 0, result.stdout + result.stderr
    run("tabcnn", "graph", annotated, graph)

    found = read_annotated(annotated)
    assert [text for text, *_ in found] == [text for text, *_ in gold]
    n_relations = sum(len(relations) for *_, relations in gold)
    n_correct = sum(
        len(relations & other) for (*_, relations), (*_, other) in zip(gold, found, strict=True)
    )
    assert n_correct > 0.8 * n_relations
    with graph.open(encoding="utf-8", newline="") as file_:
        edges = {
            (row["head_text"], row["relation"], row["tail_text"]) for row in csv.DictReader(file_)
        }
    assert edges == set().union(*(relations for *_, relations in found))
