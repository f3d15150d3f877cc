import copy

import pytest

from spacy_tabcnn.corpora.conversion import Reason
from spacy_tabcnn.corpora.labelstudio import docs_to_labelstudio, labelstudio_to_docs

# As exported by Label Studio, save for the fields about users and times.
TASK = {
    "id": 7,
    "data": {"text": "👩‍🔬 Marie Curie,\r\nZürich"},
    "annotations": [
        {
            "id": 1,
            "was_cancelled": False,
            "result": [
                {
                    "type": "relation",
                    "from_id": "hs8Xa",
                    "to_id": "k2Lp0",
                    "direction": "right",
                    "labels": ["in"],
                },
                {
                    "id": "hs8Xa",
                    "from_name": "label",
                    "to_name": "text",
                    "type": "labels",
                    "value": {"start": 4, "end": 15, "text": "Marie Curie", "labels": ["PERSON"]},
                },
                {
                    "id": "k2Lp0",
                    "from_name": "label",
                    "to_name": "text",
                    "type": "labels",
                    "value": {"start": 18, "end": 24, "text": "Zürich", "labels": ["PLACE"]},
                },
            ],
        }
    ],
    "predictions": [],
}
RELATION, PERSON, PLACE = TASK["annotations"][0]["result"]


def task(*results):
    """TASK with other results."""
    return {**TASK, "annotations": [{"result": list(results)}]}


def region(region_id="a", **value):
    return {
        "id": region_id,
        "type": "labels",
        "value": {"start": 4, "end": 15, "labels": ["PERSON"], **value},
    }


def relations_of(doc):
    return [(head.text, tail.text, label) for head, tail, label, _ in doc._.relations]


def test_offsets_count_code_points_and_both_characters_of_a_line_end(nlp):
    [doc], report = labelstudio_to_docs([TASK], nlp)
    assert doc.text == TASK["data"]["text"]
    assert [(ent.text, ent.label_) for ent in doc.ents] == [
        ("Marie Curie", "PERSON"),
        ("Zürich", "PLACE"),
    ]
    assert relations_of(doc) == [("Marie Curie", "Zürich", "in")]
    assert doc.user_data["orig_id"] == 7
    assert not report.dropped and not report.ignored


@pytest.mark.parametrize(
    "direction,expected",
    [
        ("right", [("Marie Curie", "Zürich", "in")]),
        ("left", [("Zürich", "Marie Curie", "in")]),
        ("bi", [("Marie Curie", "Zürich", "in"), ("Zürich", "Marie Curie", "in")]),
    ],
)
def test_directions(nlp, direction, expected):
    [doc], _ = labelstudio_to_docs([task(PERSON, PLACE, {**RELATION, "direction": direction})], nlp)
    assert relations_of(doc) == expected


def test_a_relation_has_as_many_labels_as_there_are(nlp):
    [doc], report = labelstudio_to_docs(
        [task(PERSON, PLACE, {**RELATION, "labels": ["in", "near"]})], nlp
    )
    assert [relation.label for relation in doc._.relations] == ["in", "near"]
    assert report.n_relations_read == 2


def test_what_has_no_label_is_left_out(nlp):
    nothing = {key: value for key, value in RELATION.items() if key != "labels"}
    [doc], report = labelstudio_to_docs(
        [task(PERSON, PLACE, nothing, region(labels=[]))], nlp, source="a.json"
    )
    assert len(doc.ents) == 2 and doc._.relations == ()
    assert report.examples == {
        Reason.UNLABELLED_RELATION: "a.json, task 0 (id 7), result 2: hs8Xa -> k2Lp0",
        Reason.UNLABELLED_ENTITY: "a.json, task 0 (id 7), result 3: 'Marie Curie'",
    }


def test_of_several_labels_of_a_region_the_first_is_kept(nlp):
    other = region("hs8Xa", labels=["NAME"])
    [doc], report = labelstudio_to_docs(
        [task(region("hs8Xa", labels=["PERSON", "ORG"]), other, PLACE, RELATION)], nlp
    )
    assert [ent.label_ for ent in doc.ents] == ["PERSON", "PLACE"]
    assert len(doc._.relations) == 1
    assert report.dropped == {Reason.OVERLAP: 2}


def test_the_first_completed_annotation_is_read(nlp):
    cancelled, empty = {"was_cancelled": True, "result": []}, {"result": []}
    tasks = [
        {**TASK, "annotations": [cancelled, *TASK["annotations"], empty, cancelled]},
        {**TASK, "annotations": [cancelled]},
        {**TASK, "annotations": []},
    ]
    docs, report = labelstudio_to_docs(tasks, nlp, strict=True)
    assert [len(doc.ents) for doc in docs] == [2]
    assert report.ignored == {
        "further annotations of a task": 1,
        "tasks without a completed annotation": 2,
    }


def test_other_results_are_counted(nlp):
    choice = {"id": "x", "type": "choices", "value": {"choices": ["good"]}}
    _, report = labelstudio_to_docs([task(choice, choice)], nlp)
    assert report.ignored == {"results of the type 'choices'": 2}


def test_written_tasks_are_as_label_studio_exports_them(nlp):
    docs, _ = labelstudio_to_docs([TASK], nlp)
    [written], report = docs_to_labelstudio(docs)
    expected = copy.deepcopy(TASK)
    del (
        expected["predictions"],
        expected["annotations"][0]["id"],
        expected["annotations"][0]["was_cancelled"],
    )
    expected["annotations"][0]["result"] = [
        {**PERSON, "id": "T0"},
        {**PLACE, "id": "T1"},
        {**RELATION, "from_id": "T0", "to_id": "T1"},
    ]
    assert written == expected
    assert (report.n_docs, report.entities.total(), report.relations.total()) == (1, 2, 1)


def test_strict_mode_names_the_task_and_the_result(nlp):
    message = (
        r"a\.json, task 0 \(id 7\), result 0: entity 'Mar' \(PERSON, characters 4-7\) "
        "does not begin"
    )
    with pytest.raises(ValueError, match=message):
        labelstudio_to_docs([task(region(end=7))], nlp, source="a.json", strict=True)


@pytest.mark.parametrize(
    "content,message",
    [
        ({}, "holds an object"),
        (
            [{**TASK, "data": {"my_text": "a"}}],
            r"task 0 \(id 7\): the field 'text' is missing; found \['my_text'\]",
        ),
        ([task(region(start="/p[1]"))], "result 0: the field 'start' is a string"),
        ([task(region(end=99))], "result 0: it spans characters 4 to 99"),
        (
            [task(region(labels="X"))],
            "result 0: the field 'labels' is 'X'; expected a list of labels",
        ),
        ([task(PERSON, RELATION)], "result 1: to_id is 'k2Lp0', the id of no entity"),
        (
            [task(PERSON, PLACE, {**RELATION, "direction": "up"})],
            "the direction is 'up'; expected one of right, left",
        ),
        ([task({"value": {}})], "result 0: the field 'type' is missing"),
    ],
)
def test_malformed_tasks_name_the_place(nlp, content, message):
    with pytest.raises(ValueError, match=rf"a\.json.*{message}"):
        labelstudio_to_docs(content, nlp, source="a.json")
