import json

import pytest
import spacy
import srsly
from spacy.tokens import Span

from spacy_tabcnn.corpora.annotators import list_annotators
from spacy_tabcnn.corpora.docbin import read_docbin, write_docbin
from spacy_tabcnn.corpora.formats import write_annotations

TEXT = "Ann lives in Rome."


def make_annotation(annotator, tail="LOC", **fields):
    """Return an annotation of TEXT by an annotator."""
    results = []
    for name, start, end, label in (("a", 0, 3, "PER"), ("b", 13, 17, tail)):
        value = {"start": start, "end": end, "text": TEXT[start:end], "labels": [label]}
        results.append({"id": name, "to_name": "text", "type": "labels", "value": value})
    results.append({"type": "relation", "from_id": "a", "to_id": "b", "labels": ["LiveIn"]})
    return {"completed_by": annotator, "result": results, **fields}


@pytest.fixture
def export(tmp_path):
    """Label Studio's export of two texts, of which three annotators annotated parts."""
    ada = {"id": 1, "email": "ada@x.org"}
    tasks = [
        {
            "id": 1,
            "data": {"text": TEXT},
            "annotations": [make_annotation(ada), make_annotation(2, "ORG"), make_annotation(3)],
        },
        {"id": 2, "data": {"text": f"{TEXT}!"}, "annotations": [make_annotation(ada)]},
    ]
    srsly.write_json(tmp_path / "export.json", tasks)
    return tmp_path / "export.json"


@pytest.fixture
def two_files(tiny_corpus, tmp_path):
    """A corpus, and a file without one of its documents and without one of its entities."""
    docs = list(read_docbin(tiny_corpus, spacy.blank("en").vocab))[1:]
    doc = docs[0].copy()
    doc._.relations = []
    doc.set_ents([Span(doc, ent.start, ent.end, label=ent.label_) for ent in doc.ents[1:]])
    write_annotations(tmp_path / "b.json", [doc, *docs[1:]], format_name="spert")
    return tiny_corpus, tmp_path / "b.json"


def test_two_files_are_compared(run, two_files, tmp_path):
    files = ("--output", tmp_path / "out.json", "--page", tmp_path / "page.html")
    printed = run("tabcnn", "agreement", *two_files, *files)
    assert "9 documents compared" in printed
    assert "1 documents only in" in printed
    (pair,) = json.loads((tmp_path / "out.json").read_text())["pairs"]
    entities = pair["agreement"]["entities"]
    assert entities["kinds"]["missed"] == 1
    assert entities["strict"]["p"] == 1.0 > entities["strict"]["r"]
    assert 0.9 < pair["agreement"]["kappa"] < 1.0
    page = (tmp_path / "page.html").read_text()
    assert f"only {two_files[0]}" in page and page.count('data-kind="entity missed"') == 1


def test_the_annotators_of_an_export_are_compared(run, export, tmp_path):
    files = ("--output", tmp_path / "out.json", "--page", tmp_path / "page.html")
    printed = run("tabcnn", "agreement", export, *files)
    assert "1 documents only in ada@x.org: 2" in printed
    pairs = json.loads((tmp_path / "out.json").read_text())["pairs"]
    names = [(pair["first"], pair["second"]) for pair in pairs]
    assert names == [("ada@x.org", "2"), ("ada@x.org", "3"), ("2", "3")]
    strict = [pair["agreement"]["entities"]["strict"]["f"] for pair in pairs]
    assert strict == [0.5, 1.0, 0.5]
    assert (tmp_path / "page-ada@x.org-2.html").exists()


def test_annotators_can_be_chosen(run, export):
    printed = run("tabcnn", "agreement", export, "-a", "1", "-a", "3")
    assert "1 and 3" in printed and "all, strict 100.0 100.0 100.0" in printed


def test_annotators_of_two_files_are_chosen(run, export):
    printed = run("tabcnn", "agreement", export, export, "-a", "1", "-a", "2")
    assert "all, strict 50.0 50.0 50.0" in printed


def test_annotators_are_listed_with_their_numbers(export):
    assert list_annotators(export) == {"ada@x.org": 2, "2": 1, "3": 1}


def test_cancelled_and_nameless_annotations(tmp_path):
    annotations = [make_annotation(1, was_cancelled=True), make_annotation(None)]
    srsly.write_json(tmp_path / "a.json", [{"data": {"text": TEXT}, "annotations": annotations}])
    assert list_annotators(tmp_path / "a.json") == {"": 1}


def test_sessions_of_prodigy_are_compared(run, tmp_path):
    lines = []
    for name, label in (("ada", "PER"), ("bob", "LOC")):
        spans = [{"start": 0, "end": 3, "label": label}]
        task = {"text": TEXT, "spans": spans, "relations": [], "_input_hash": 1}
        lines.append({**task, "_session_id": f"set-{name}", "answer": "accept"})
    srsly.write_jsonl(tmp_path / "sessions.jsonl", lines)
    printed = run("tabcnn", "agreement", tmp_path / "sessions.jsonl")
    assert "all, strict 0.0 0.0 0.0 all, boundaries 100.0 100.0 100.0" in printed


def test_what_cannot_be_compared_is_a_message(run_spacy, export, tiny_corpus, tiny_run, tmp_path):
    nlp = spacy.blank("en")
    write_docbin(tmp_path / "other.spacy", [nlp.make_doc("another text")])
    for arguments, message in (
        ((tiny_corpus,), "names no annotators"),
        ((tiny_corpus, tmp_path / "other.spacy"), "have no text in common"),
        ((tiny_corpus, tmp_path / "none.json"), "no such file"),
        ((tiny_run / "model-last", tiny_corpus), "is a pipeline"),
        ((export, "-a", "1", "-a", "9"), "no annotation of '9'"),
        ((export, "-a", "1"), "name at least two different ones of"),
        ((export, "-a", "1", "-a", "1"), "name at least two different ones of"),
        ((export, export, "-a", "1"), "--annotator is given 1 times"),
        ((export, "--output", export), "Name another file"),
    ):
        result = run_spacy("tabcnn", "agreement", *arguments)
        assert result.exit_code == 1, result.output
        assert message in " ".join(result.output.split())


def test_each_pair_of_annotators_has_a_page(run, tmp_path):
    annotators = ("ann x", "ann_x", "Z", "z")
    tasks = []
    for number, annotator in enumerate(annotators):
        annotation = make_annotation({"id": number, "email": annotator})
        tasks.append({"id": 1, "data": {"text": TEXT}, "annotations": [annotation]})
    joined = [{**tasks[0], "annotations": [task["annotations"][0] for task in tasks]}]
    srsly.write_json(tmp_path / "export.json", joined)
    run("tabcnn", "agreement", tmp_path / "export.json", "--page", tmp_path / "p.html")
    names = sorted(path.name.casefold() for path in tmp_path.glob("p-*.html"))
    assert len(set(names)) == len(names) == 6


def test_annotators_who_share_no_text_do_not_stop_the_others(run, tmp_path):
    tasks = []
    for number, pair in enumerate([("ann", "bob"), ("bob", "cy")]):
        annotations = [make_annotation({"id": name, "email": name}) for name in pair]
        tasks.append({"id": number, "data": {"text": TEXT + "!" * number}})
        tasks[-1]["annotations"] = annotations
    srsly.write_json(tmp_path / "export.json", tasks)
    output = tmp_path / "out.json"
    printed = run("tabcnn", "agreement", tmp_path / "export.json", "--output", output)
    assert "ann and cy: the annotations have no text in common" in " ".join(printed.split())
    pairs = [(pair["first"], pair["second"]) for pair in srsly.read_json(output)["pairs"]]
    assert pairs == [("ann", "bob"), ("bob", "cy")]


def test_figures_of_nothing_are_not_defined(run, tmp_path):
    doc = spacy.blank("en").make_doc("Nothing here.")
    doc.set_ents([], default="outside")
    for name in ("a", "b"):
        write_docbin(tmp_path / f"{name}.spacy", [doc])
    paths = tmp_path / "a.spacy", tmp_path / "b.spacy"
    printed = run("tabcnn", "agreement", *paths, "--output", tmp_path / "out.json")
    assert "0.0" not in printed
    [pair] = srsly.read_json(tmp_path / "out.json")["pairs"]
    for kind in ("strict", "boundaries"):
        assert pair["agreement"]["entities"][kind]["f"] is None
