"""Predictions for Label Studio over HTTP."""

import sys
import warnings
from types import SimpleNamespace

import pytest
import spacy

from spacy_tabcnn.app.label_studio import (
    Interface,
    find_texts,
    make_prediction,
    make_predictions,
    read_interface,
)
from spacy_tabcnn.app.label_studio_backend import make_backend
from spacy_tabcnn.corpora.docbin import read_docbin

INTERFACE = """
<View>
  <Relations><Relation value="founded"/></Relations>
  <Labels name="types" toName="passage">
    <Label value="Person"/><Label value="Organisation"/><Label value="Place"/>
  </Labels>
  <Text name="passage" value="$body"/>
</View>
"""
ANNOTATION = {
    "entities": [
        {"start": 0, "end": 3, "label": "Date", "score": 0.5},
        {"start": 4, "end": 8, "label": "Person", "score": 0.75},
        {"start": 9, "end": 13, "label": "Place", "score": None},
    ],
    "relations": [
        {"head": 0, "tail": 1, "label": "a", "score": 0.5},
        {"head": 1, "tail": 2, "label": "b", "score": 0.25},
    ],
}


def annotate(texts):
    """Find one entity in each text, its first four characters; fail on some texts."""
    results = []
    for text in texts:
        if text == "fails":
            results.append({"reason": "ValueError: too long"})
        else:
            entity = {"start": 0, "end": 4, "label": "Person", "score": 0.5}
            results.append({"entities": [entity], "relations": []})
    return results


def test_the_interface_names_the_tags_the_field_and_the_labels():
    tags = dict.fromkeys(("Person", "Organisation", "Place"), "types")
    assert read_interface(INTERFACE) == Interface("passage", "body", tags, None)


def test_a_project_without_an_interface_has_the_names_of_the_documentation():
    assert read_interface(None) == Interface("text", "text", None, "label")


def test_a_label_with_an_alias_has_the_name_that_results_hold():
    aliased = INTERFACE.replace('<Label value="Person"/>', '<Label value="Person" alias="PER"/>')
    assert set(read_interface(aliased).tags) == {"PER", "Organisation", "Place"}


TWO_TAGS = """
<View>
  <Labels name="people" toName="t"><Label value="Person"/></Labels>
  <Labels name="boxes" toName="picture"><Label value="Date"/></Labels>
  <Labels name="places" toName="t"><Label value="Place"/><Label value="Person"/></Labels>
  <Text name="t" value="$text"/><Image name="picture" value="$url"/>
</View>
"""


def test_all_tags_for_the_labels_of_a_text_count():
    interface = read_interface(TWO_TAGS)
    assert interface == Interface("t", "text", {"Person": "people", "Place": "places"}, None)
    result = make_prediction("the Anna Rome.", ANNOTATION, interface, model_version="m")["result"]
    assert [item.get("from_name") for item in result] == ["people", "places", None]


def test_a_tag_that_lists_no_labels_takes_all_others():
    interface = read_interface(TWO_TAGS.replace("<View>", '<View><Labels name="a" toName="t"/>'))
    result = make_prediction("the Anna Rome.", ANNOTATION, interface, model_version="m")["result"]
    assert [item.get("from_name") for item in result[:3]] == ["a", "people", "places"]


def test_labels_of_another_kind_of_object_are_passed_over():
    image = '<Labels name="boxes" toName="picture"/><Image name="picture" value="$url"/>'
    interface = read_interface(INTERFACE.replace("<View>", f"<View>{image}"))
    assert interface == read_interface(INTERFACE)


@pytest.mark.parametrize(
    ("label_config", "message"),
    [
        ("<View>", "is no XML"),
        ("", None),
        ("<View/>", "has no tag Labels for a tag Text"),
        ('<View><Labels name="a" toName="b"/></View>', "has no tag Labels for a tag Text"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><View>&b;</View>', "which it cannot have"),
        ("<View>\0</View>", "is no XML"),
    ],
)
def test_interfaces_that_cannot_be_used_are_refused(label_config, message):
    if message is None:
        assert read_interface(label_config) == Interface()
        return
    with pytest.raises(ValueError, match=message):
        read_interface(label_config)


@pytest.mark.parametrize("value", ["Title: $body", "$title $body", "body", "$"])
def test_a_text_that_is_no_field_is_refused(value):
    with pytest.raises(ValueError, match="expected one field of a task, such as"):
        read_interface(INTERFACE.replace("$body", value))


def test_a_field_within_a_field_is_found():
    interface = read_interface(INTERFACE.replace("$body", "$mail.body"))
    tasks = [{"data": {"mail": {"body": "Ann"}}}, {"data": {"mail.body": "Bob"}}, {"data": {}}]
    assert find_texts(tasks, interface) == {0: "Ann", 1: "Bob"}


def test_a_prediction_has_regions_relations_scores_and_the_model():
    prediction = make_prediction("the Anna Rome.", ANNOTATION, Interface(), model_version="m-1")
    assert prediction["model_version"] == "m-1"
    assert prediction["score"] == pytest.approx(0.5)
    assert [item["type"] for item in prediction["result"]] == ["labels"] * 3 + ["relation"] * 2
    assert prediction["result"][1] == {
        "id": "T1",
        "from_name": "label",
        "to_name": "text",
        "type": "labels",
        "value": {"start": 4, "end": 8, "text": "Anna", "labels": ["Person"]},
        "score": 0.75,
    }


def test_labels_that_the_interface_does_not_have_are_left_out_with_their_relations(caplog):
    interface = read_interface(INTERFACE)
    texts, results = {0: "the Anna Rome."}, [ANNOTATION]
    [prediction] = make_predictions(1, texts, results, interface, model_version="m")
    result = prediction["result"]
    assert [item["value"]["text"] for item in result[:2]] == ["Anna", "Rome"]
    assert {item["from_name"] for item in result[:2]} == {"types"}
    assert {item["to_name"] for item in result[:2]} == {"passage"}
    assert [(item["from_id"], item["to_id"]) for item in result[2:]] == [("T0", "T1")]
    assert "lacks labels, whose entities are left out: Date" in caplog.text


@pytest.mark.parametrize(
    "task", [{"data": {"text": "fails"}}, {"data": {"body": "a"}}, {"data": {"text": 1}}, {}, None]
)
def test_a_task_that_cannot_be_annotated_has_no_results(task):
    tasks = [{"data": {"text": "Anna"}}, task, {"data": {"text": "Marie"}}]
    texts = find_texts(tasks, Interface())
    results = annotate(texts.values())
    first, empty, last = make_predictions(3, texts, results, Interface(), model_version="m")
    assert empty == {"model_version": "m", "result": []}
    assert first["result"][0]["value"]["text"] == "Anna"
    assert last["result"][0]["value"]["text"] == "Mari"


def test_the_log_has_a_line_for_all_tasks_of_a_kind(caplog):
    interface = Interface(text_field="a\nERROR forged")
    assert find_texts([{}] * 1000, interface) == {}
    results = [{"reason": "ValueError: a\nERROR forged"}, ANNOTATION] * 500
    named = read_interface(INTERFACE)
    make_predictions(1000, dict.fromkeys(range(1000), "x" * 20), results, named, model_version="m")
    assert [record.getMessage() for record in caplog.records] == [
        "tasks without a string in the field 'a\\nERROR forged': 1,000 (0, 1, 2, ...)",
        "tasks on which the pipeline failed: 500 (0, 2, 4, ...); the reason of the first: "
        "'ValueError: a\\nERROR forged'",
        "the labelling interface lacks labels, whose entities are left out: Date",
    ]


def test_a_missing_sdk_is_named_with_the_way_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "label_studio_ml", None)
    with pytest.raises(ImportError, match="pip install --no-deps label-studio-ml"):
        make_backend("model")


@pytest.fixture(scope="module")
def learned_text(tiny_corpus):
    """A text with relations that the tiny pipeline has learned."""
    for doc in read_docbin(tiny_corpus, spacy.blank("en").vocab):
        if doc._.relations:
            return doc.text


@pytest.fixture
def newer_sdk(monkeypatch):
    """A stand-in for the newer versions of the SDK, which are not on PyPI."""

    class Base:
        def __init__(self, project_id=None, label_config=None):
            self.label_config = label_config
            self.settings = {}
            self.setup()

        def set(self, key, value):
            self.settings[key] = value

    module = SimpleNamespace(LabelStudioMLBase=Base)
    monkeypatch.setitem(sys.modules, "label_studio_ml", SimpleNamespace(model=module))
    monkeypatch.setitem(sys.modules, "label_studio_ml.model", module)


def test_newer_versions_of_the_sdk_get_the_version_and_pass_a_context(
    newer_sdk, tiny_run, learned_text
):
    with pytest.warns(UserWarning, match="no component sets sentence boundaries"):
        backend_type = make_backend(str(tiny_run / "model-last"))
    backend = backend_type(project_id="1", label_config=INTERFACE)
    assert backend.settings == {"model_version": "en_pipeline-0.0.0"}
    [prediction] = backend.predict([{"data": {"body": learned_text}}], context={}, login=None)
    assert {item["type"] for item in prediction["result"]} == {"labels", "relation"}


@pytest.fixture(scope="module")
def client(tiny_run):
    """A client of the SDK's HTTP server."""
    with warnings.catch_warnings():
        # The SDK requires old versions of Flask and its parts.
        warnings.simplefilter("ignore")
        pytest.importorskip("label_studio_ml.api", reason="needs label-studio-ml (docs/loop.md)")
        from label_studio_ml.api import init_app

        yield init_app(make_backend(str(tiny_run / "model-last"))).test_client()


def test_the_server_is_healthy(client):
    response = client.get("/health")
    assert response.status_code == 200 and response.json["status"] == "UP"


def test_the_server_can_be_set_up_for_a_project(client):
    response = client.post("/setup", json={"project": "1.17", "schema": INTERFACE})
    assert response.status_code == 200 and response.json["model_version"]


def test_the_server_predicts_tasks(client, learned_text):
    tasks = [{"id": 1, "data": {"body": learned_text}}, {"id": 2, "data": {"body": ""}}]
    request = {"tasks": tasks, "project": "1.17", "label_config": INTERFACE, "params": {}}
    client.post("/setup", json={"project": "1.17", "schema": INTERFACE})
    response = client.post("/predict", json=request)
    assert response.status_code == 200
    full, empty = response.json["results"]
    assert full["model_version"] == "en_pipeline-0.0.0" == empty["model_version"]
    assert 0 < full["score"] <= 1 and empty["result"] == []
    regions = {item["id"]: item for item in full["result"] if item["type"] == "labels"}
    for region in regions.values():
        value = region["value"]
        assert learned_text[value["start"] : value["end"]] == value["text"]
        assert (region["from_name"], region["to_name"]) == ("types", "passage")
    arrows = [item for item in full["result"] if item["type"] == "relation"]
    assert regions and arrows and all(0 < arrow["score"] <= 1 for arrow in arrows)
    assert {arrow["from_id"] for arrow in arrows} <= set(regions)
