"""Predictions as tasks of annotation tools, and back."""

import json

import pytest
import spacy

from spacy_tabcnn.corpora.conversion import Alignment
from spacy_tabcnn.corpora.formats import read_annotations, write_annotations
from spacy_tabcnn.corpora.labelstudio import labelstudio_to_docs
from spacy_tabcnn.corpora.options import ReadingOptions
from spacy_tabcnn.corpora.preannotation import (
    Written,
    compute_score,
    docs_to_labelstudio_predictions,
    docs_to_prodigy_predictions,
    is_predicted,
    make_prodigy_task,
)
from spacy_tabcnn.corpora.prodigy import prodigy_to_docs
from spacy_tabcnn.relations import set_entity_scores

TEXT = '👩‍🔬 Marie Curie,\r\nlived in "Zürich" <b>.'
PREDICTIONS = ReadingOptions(predictions=True)
# The interface that the documentation names.
INTERFACE = """
<View>
  <Relations><Relation value="LiveIn"/></Relations>
  <Labels name="label" toName="text"><Label value="PER"/><Label value="LOC"/></Labels>
  <Text name="text" value="$text"/>
</View>
"""


@pytest.fixture(scope="module")
def nlp():
    return spacy.blank("en")


@pytest.fixture
def predicted(nlp):
    """A document with the predictions of a model."""
    doc = nlp.make_doc(TEXT)
    doc.ents = [
        doc.char_span(TEXT.index("Marie"), TEXT.index(","), label="PER"),
        doc.char_span(TEXT.index("Zürich"), TEXT.index('" <'), label="LOC"),
    ]
    set_entity_scores(doc, doc.ents, [0.875, 0.5])
    doc._.relations = [(doc.ents[0], doc.ents[1], "LiveIn", 0.25)]
    doc.user_data["orig_id"] = "a2"
    return doc


@pytest.fixture
def empty(nlp):
    """A document in which the model found nothing."""
    doc = nlp.make_doc("Nothing.")
    doc.ents = []
    doc._.relations = []
    return doc


def describe(doc):
    entities = [(ent.start_char, ent.end_char, ent.label_, ent._.entity_score) for ent in doc.ents]
    relations = [
        (head.start_char, tail.start_char, label, score)
        for head, tail, label, score in doc._.relations
    ]
    return doc.text, entities, relations, doc.user_data.get("orig_id")


def test_a_task_of_label_studio_has_predictions_and_no_annotations(predicted):
    [task], report = docs_to_labelstudio_predictions([predicted], model_version="m-1")
    assert set(task) == {"id", "data", "predictions"}
    assert task["data"] == {"text": TEXT, "id": "a2"}
    [prediction] = task["predictions"]
    assert (prediction["model_version"], prediction["score"]) == ("m-1", pytest.approx(1.625 / 3))
    person, place, relation = prediction["result"]
    assert person["value"] == {"start": 4, "end": 15, "text": "Marie Curie", "labels": ["PER"]}
    assert (person["score"], place["score"], relation["score"]) == (0.875, 0.5, 0.25)
    assert (relation["from_id"], relation["to_id"]) == (person["id"], place["id"])
    assert report.noted == {"documents written as predictions": 1}


def test_a_task_for_prodigy_has_scores_and_no_answer(predicted):
    [line], _ = docs_to_prodigy_predictions([predicted], model_version="m-1")
    task = json.loads(line)
    assert "answer" not in task
    assert task["meta"] == {"id": "a2", "model_version": "m-1", "score": pytest.approx(1.625 / 3)}
    assert [span["score"] for span in task["spans"]] == [0.875, 0.5]
    [relation] = task["relations"]
    assert (relation["label"], relation["score"]) == ("LiveIn", 0.25)
    assert task["tokens"][relation["head"]]["text"] == "Curie"


def test_label_studio_reads_the_tasks(predicted, empty):
    sdk = pytest.importorskip("label_studio_sdk.label_interface", reason="needs label-studio-sdk")
    objects = pytest.importorskip("label_studio_sdk.label_interface.objects")
    interface = sdk.LabelInterface(INTERFACE)
    interface.validate()
    tasks, _ = docs_to_labelstudio_predictions([predicted, empty])
    for task in tasks:
        value = objects.TaskValue.model_validate(task)
        assert value.annotations == [] and len(value.predictions) == 1
        assert interface.validate_task({"data": task["data"]})
        assert interface.validate_prediction(task["predictions"][0], return_errors=True) == []


def test_label_studio_would_refuse_another_label(predicted):
    sdk = pytest.importorskip("label_studio_sdk.label_interface", reason="needs label-studio-sdk")
    [task], _ = docs_to_labelstudio_predictions([predicted])
    interface = sdk.LabelInterface(INTERFACE.replace("LOC", "GPE"))
    assert interface.validate_prediction(task["predictions"][0], return_errors=True)


@pytest.mark.parametrize(
    "write,read",
    [
        (docs_to_labelstudio_predictions, labelstudio_to_docs),
        (docs_to_prodigy_predictions, prodigy_to_docs),
    ],
)
def test_the_readers_read_predictions_with_their_scores(nlp, predicted, empty, write, read):
    content, _ = write([predicted, empty])
    docs, report = read(content, nlp, strict=True, options=PREDICTIONS)
    assert describe(docs[0]) == describe(predicted)
    assert describe(docs[1])[:3] == describe(empty)[:3]
    assert not report.dropped


def test_predictions_are_not_read_as_annotations(nlp, predicted):
    tasks, _ = docs_to_labelstudio_predictions([predicted])
    docs, report = labelstudio_to_docs(tasks, nlp)
    assert docs == [] and report.ignored["predictions"] == 1


def test_an_annotation_has_no_scores(nlp, predicted):
    [task], _ = docs_to_labelstudio_predictions([predicted])
    # A person accepted the prediction: Label Studio copies its results.
    task["annotations"] = [{"result": task["predictions"][0]["result"]}]
    [doc], _ = labelstudio_to_docs([task], nlp, options=PREDICTIONS)
    assert [ent._.entity_score for ent in doc.ents] == [None, None]
    assert [relation.score for relation in doc._.relations] == [1.0]


def test_an_accepted_task_of_prodigy_has_no_scores(nlp, predicted):
    [line], _ = docs_to_prodigy_predictions([predicted])
    task = {**json.loads(line), "answer": "accept"}
    [doc], _ = prodigy_to_docs([task], nlp)
    assert [ent._.entity_score for ent in doc.ents] == [None, None]
    assert [relation.score for relation in doc._.relations] == [1.0]


@pytest.mark.parametrize("score", ["0.5", True, -0.1, 1.5, 10**400, [1], {}, float("nan")])
def test_a_score_that_is_no_probability_is_counted(nlp, predicted, score):
    [task], _ = docs_to_labelstudio_predictions([predicted])
    person, _, relation = task["predictions"][0]["result"]
    person["score"] = relation["score"] = score
    [doc], report = labelstudio_to_docs([task], nlp, options=PREDICTIONS)
    assert [ent._.entity_score for ent in doc.ents] == [None, 0.5]
    assert [rel.score for rel in doc._.relations] == [1.0]
    assert report.ignored["scores that are no probabilities"] == 2


def test_the_score_of_an_entity_that_is_widened_stays(nlp, predicted):
    [task], _ = docs_to_labelstudio_predictions([predicted])
    value = task["predictions"][0]["result"][0]["value"]
    value["end"] -= 1
    value["text"] = value["text"][:-1]
    options = ReadingOptions(predictions=True, align=Alignment.EXPAND)
    [doc], _ = labelstudio_to_docs([task], nlp, options=options)
    assert describe(doc) == describe(predicted)


@pytest.mark.parametrize("format_name,suffix", [("labelstudio", "json"), ("prodigy", "jsonl")])
def test_documents_of_a_model_are_written_as_predictions(
    nlp, predicted, empty, tmp_path, format_name, suffix
):
    path = tmp_path / f"out.{suffix}"
    write_annotations(path, [empty, predicted], format_name=format_name)
    assert '"annotations"' not in path.read_text(encoding="utf-8")
    assert '"answer"' not in path.read_text(encoding="utf-8")
    docs, _ = read_annotations(path, nlp, options=PREDICTIONS)
    assert describe(docs[1]) == describe(predicted)


def test_the_form_can_be_chosen(make_doc, predicted, tmp_path):
    path = tmp_path / "out.json"
    write_annotations(path, [predicted], format_name="labelstudio", written_as=Written.ANNOTATIONS)
    assert '"predictions"' not in path.read_text(encoding="utf-8")
    gold = make_doc("Ann", [(0, 1, "PER")], [])
    write_annotations(path, [gold], format_name="labelstudio")
    assert '"annotations"' in path.read_text(encoding="utf-8")
    write_annotations(path, [gold], format_name="labelstudio", written_as=Written.PREDICTIONS)
    [task] = json.loads(path.read_text(encoding="utf-8"))
    assert "score" not in task["predictions"][0]


def test_other_formats_have_no_place_for_predictions(predicted, tmp_path):
    with pytest.raises(ValueError, match="the format spert has no place for predictions"):
        write_annotations(
            tmp_path / "out.json",
            [predicted],
            format_name="spert",
            written_as=Written.PREDICTIONS,
        )
    assert not (tmp_path / "out.json").exists()


def test_a_relation_below_1_shows_a_model(make_doc):
    doc = make_doc("Ann in Rome", [(0, 1, "PER"), (2, 3, "LOC")], [(0, 1, "LiveIn")])
    assert not is_predicted(doc)
    doc._.relations = [relation._replace(score=0.5) for relation in doc._.relations]
    assert is_predicted(doc)


def test_the_score_of_a_document_is_the_mean():
    entity = {"start": 0, "end": 1, "label": "A"}
    annotation = {"entities": [{**entity, "score": 0.5}, {**entity, "score": None}]}
    relations = [{"head": 0, "tail": 1, "label": "R", "score": 1.0}]
    assert compute_score({**annotation, "relations": relations}) == 0.75
    assert compute_score({"entities": [], "relations": []}) is None


def test_an_entity_inside_a_token_keeps_its_characters(nlp):
    annotation = {
        "entities": [{"start": 1, "end": 3, "label": "A", "score": 0.5}],
        "relations": [],
    }
    doc = nlp.make_doc("abcd ef")
    task = make_prodigy_task(doc, annotation, identifier=None, model_version="m")
    [span] = task["spans"]
    assert (span["text"], span["start"], span["end"]) == ("bc", 1, 3)
    assert (span["token_start"], span["token_end"]) == (0, 0)
