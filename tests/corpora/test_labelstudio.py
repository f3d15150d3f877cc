import copy

import pytest

from spacy_tabcnn.corpora.conversion import Reason
from spacy_tabcnn.corpora.labelstudio import docs_to_labelstudio, labelstudio_to_docs
from spacy_tabcnn.corpora.options import ReadingOptions

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


def with_data(data, *results, **fields):
    """A task with this data and one annotation."""
    return {"id": 7, "data": data, "annotations": [{"result": list(results)}], **fields}


def html_region(region_id, start, end, quoted, label="PERSON"):
    return {
        "id": region_id,
        "to_name": "text",
        "type": "hypertextlabels",
        "value": {
            "start": "/p[1]/text()[1]",
            "end": "/p[1]/text()[1]",
            "startOffset": 0,
            "endOffset": 1,
            "globalOffsets": {"start": start, "end": end},
            "text": quoted,
            "hypertextlabels": [label],
        },
    }


def link(from_id, to_id):
    return {"type": "relation", "from_id": from_id, "to_id": to_id, "labels": ["in"]}


def test_hypertext_is_read_without_its_mark_up(nlp):
    html = "<p>Zoë &amp; <b>Bo</b> left.</p>"
    regions = [html_region("a", 0, 3, "Zoë"), html_region("b", 6, 8, "Bo")]
    [doc], report = labelstudio_to_docs([with_data({"text": html}, *regions, link("a", "b"))], nlp)
    assert doc.text == "Zoë & Bo left."
    assert relations_of(doc) == [("Zoë", "Bo", "in")]
    assert not report.dropped and not report.ignored


def test_offsets_in_hypertext_count_scripts_and_line_breaks(nlp):
    html = "<style>p {}</style><table><tr><td>Ada</td><td>Oslo</td></tr></table>So<br>it is"
    regions = [
        html_region("a", 4, 7, "Ada"),
        html_region("b", 7, 11, "Oslo"),
        html_region("c", 14, 16, "it"),
    ]
    [doc], _ = labelstudio_to_docs([with_data({"text": html}, *regions)], nlp)
    assert doc.text == "Ada\nOslo\nSo\nit is"
    assert [ent.text for ent in doc.ents] == ["Ada", "Oslo", "it"]


def test_texts_without_regions_are_hypertext_like_the_others_of_the_file(nlp):
    tasks = [with_data({"text": "<i>None</i>"}), with_data({"text": "<p>Bo</p>"})]
    tasks[1]["annotations"][0]["result"] = [html_region("a", 0, 2, "Bo")]
    docs, _ = labelstudio_to_docs(tasks, nlp)
    assert [doc.text for doc in docs] == ["None", "Bo"]
    [doc], _ = labelstudio_to_docs(tasks[:1], nlp)
    assert doc.text == "<i>None</i>"


def test_offsets_in_hypertext_that_mark_other_text_are_refused(nlp):
    task = with_data({"text": "<p>Ada left</p>"}, html_region("a", 1, 4, "Ada"))
    with pytest.raises(ValueError, match="its offsets mark 'da ', but it quotes 'Ada'"):
        labelstudio_to_docs([task], nlp)


def test_hypertext_without_global_offsets_is_refused_with_the_reason(nlp):
    result = html_region("a", 0, 3, "Ada")
    del result["value"]["globalOffsets"]
    with pytest.raises(
        ValueError, match="a path in the HTML, and the region has no 'globalOffsets'"
    ):
        labelstudio_to_docs([with_data({"text": "<p>Ada</p>"}, result)], nlp)


DIALOGUE = [{"author": "A", "text": "Hi, I am Ada."}, {"author": "B", "text": "From Oslo?"}]


def paragraph_region(region_id, start, end, quoted):
    (first, start_offset), (last, end_offset) = start, end
    value = {
        "start": str(first),
        "end": str(last),
        "startOffset": start_offset,
        "endOffset": end_offset,
        "paragraphlabels": ["PERSON"],
        "text": quoted,
    }
    return {"id": region_id, "to_name": "chat", "type": "paragraphlabels", "value": value}


@pytest.mark.parametrize(
    "field,inner,text_field",
    [("chat", "text", None), ("lines", "text", None), ("lines", "said", "lines.said")],
)
def test_paragraphs_are_joined_and_read_by_their_numbers(nlp, field, inner, text_field):
    dialogue = [{"author": item["author"], inner: item["text"]} for item in DIALOGUE]
    regions = [
        paragraph_region("a", (0, 9), (0, 12), "Ada"),
        paragraph_region("b", (1, 5), (1, 9), "Oslo"),
    ]
    task = with_data({field: dialogue, "title": "Chat"}, *regions, link("a", "b"))
    [doc], _ = labelstudio_to_docs([task], nlp, options=ReadingOptions(text_field=text_field))
    assert doc.text == "Hi, I am Ada.\nFrom Oslo?"
    assert relations_of(doc) == [("Ada", "Oslo", "in")]


@pytest.mark.parametrize(
    "start,end,message",
    [
        ((2, 0), (2, 1), "'start' is paragraph 2, but the text has 2 paragraphs"),
        ((0, 0), (0, 99), "the offset is 99, but the text has 13 characters"),
        ((1, 0), (0, 1), "the region ends before it begins"),
        (("/p[1]", 0), (0, 1), "'start' is a string, \"/p.*expected the number of a paragraph"),
    ],
)
def test_malformed_paragraph_regions_are_refused(nlp, start, end, message):
    task = with_data({"chat": DIALOGUE}, paragraph_region("a", start, end, "?"))
    with pytest.raises(ValueError, match=message):
        labelstudio_to_docs([task], nlp)


@pytest.mark.parametrize(
    "data,text_field",
    [
        ({"Full_Text": "Ann left"}, None),
        ({"Full_Text": "Ann left", "pages": 2}, None),
        ({"other": "x", "title": "Ann left"}, None),  # the name of the tag
        ({"text": "x", "title": "Ann left"}, None),
        ({"Full_Text": "Ann left", "other": "x"}, "Full_Text"),
        ({"Full_Text": "Ann left", "text": "x"}, "Full_Text"),
        ({"mail": {"body": "Ann left"}, "text": "x"}, "mail.body"),
        ({"mail.body": "Ann left", "text": "x"}, "mail.body"),
    ],
)
def test_the_text_may_have_any_field(nlp, data, text_field):
    result = region(start=0, end=3)
    result["to_name"] = "title"
    [doc], _ = labelstudio_to_docs(
        [with_data(data, result)], nlp, options=ReadingOptions(text_field=text_field)
    )
    assert (doc.text, doc.ents[0].text) == ("Ann left", "Ann")


def test_regions_of_another_text_of_the_task_are_left_out(nlp):
    title, body = region("a", start=0, end=3), region("b", start=0, end=2)
    title["to_name"], body["to_name"] = "title", "body"
    task = with_data({"title": "Ann", "body": "Bo left"}, title, body, link("a", "b"))
    [doc], report = labelstudio_to_docs([task], nlp, options=ReadingOptions(text_field="body"))
    assert [ent.text for ent in doc.ents] == ["Bo"]
    assert report.dropped == {Reason.OTHER_TEXT: 1, Reason.LOST_ARGUMENT: 1}


def test_regions_of_several_texts_without_a_field_of_their_name_are_refused(nlp):
    title, body = region("a", start=0, end=3), region("b", start=0, end=2)
    title["to_name"], body["to_name"] = "t", "b"
    with pytest.raises(ValueError, match=r"the regions mark several texts \(t, b\)"):
        labelstudio_to_docs([with_data({"text": "Ann"}, title, body)], nlp)


def test_the_old_key_completions_is_read(nlp):
    old = {**TASK, "completions": TASK["annotations"]}
    del old["annotations"]
    [doc], _ = labelstudio_to_docs([old], nlp)
    assert len(doc.ents) == 2


ANNOTATIONS = [
    {"completed_by": 1, "result": [PERSON]},
    {"completed_by": {"id": 2, "email": "bo@example.org"}, "result": [PERSON, PLACE]},
    {"completed_by": 3, "was_cancelled": True, "result": []},
]


@pytest.mark.parametrize(
    "annotator,n_entities,ignored",
    [
        ("first", [1], {"further annotations of a task": 1}),
        ("all", [1, 2], {}),
        ("1", [1], {"annotations of other annotators": 1}),
        ("2", [2], {"annotations of other annotators": 1}),
        ("bo@example.org", [2], {"annotations of other annotators": 1}),
        (
            "3",
            [],
            {"annotations of other annotators": 2, "tasks without a completed annotation": 1},
        ),
    ],
)
def test_annotations_of_several_annotators(nlp, annotator, n_entities, ignored):
    docs, report = labelstudio_to_docs(
        [{**TASK, "annotations": ANNOTATIONS}], nlp, options=ReadingOptions(annotator=annotator)
    )
    assert [len(doc.ents) for doc in docs] == n_entities
    assert report.ignored == ignored
    assert report.n_docs == len(n_entities)


def test_predictions_are_read_when_asked_for(nlp):
    predictions = [{"result": [PERSON, PLACE, RELATION], "score": 0.9}, {"result": []}]
    tasks = [
        {"id": 1, "data": TASK["data"], "predictions": predictions},
        {**TASK, "annotations": [], "predictions": predictions},
        {**TASK, "predictions": [{"result": []}]},
    ]
    docs, report = labelstudio_to_docs(tasks, nlp, options=ReadingOptions(predictions=True))
    assert [len(doc._.relations) for doc in docs] == [1, 1, 1]
    assert report.noted == {"documents with predictions as their annotation": 2}
    docs, report = labelstudio_to_docs(tasks, nlp)
    assert len(docs) == 1
    assert report.ignored == {"predictions": 4, "tasks without a completed annotation": 2}


def test_predictions_do_not_stand_for_the_annotation_of_another_person(nlp):
    done = {**TASK, "annotations": ANNOTATIONS, "predictions": [{"result": []}]}
    options = ReadingOptions(predictions=True, annotator="Bo")
    docs, report = labelstudio_to_docs([done], nlp, options=options)
    assert not docs and not report.noted


def test_a_relation_of_a_result_that_is_no_entity_is_left_out_with_the_reason(nlp):
    choice = {"id": "x", "type": "choices", "value": {"choices": ["good"]}}
    box = {"id": "y", "type": "rectanglelabels", "value": {"x": 1, "rectanglelabels": ["CAR"]}}
    _, report = labelstudio_to_docs(
        [task(PERSON, choice, box, link("hs8Xa", "x"), link("y", "hs8Xa"))], nlp
    )
    assert report.dropped == {Reason.NOT_AN_ENTITY: 2, Reason.NOT_IN_TEXT: 1}
    assert "x is of the type 'choices'" in report.examples[Reason.NOT_AN_ENTITY]


def test_offsets_may_count_utf16(nlp):
    # The woman with a microscope before the name has three characters, and five code units.
    [doc], _ = labelstudio_to_docs(
        [task(region(start=6, end=17))], nlp, options=ReadingOptions(utf16=True)
    )
    assert doc.ents[0].text == "Marie Curie"


@pytest.mark.parametrize(
    "content,message",
    [
        ({}, "holds an object"),
        (
            [{**TASK, "data": {"my_text": "a", "title": "b"}}],
            r"task 0 \(id 7\): the field 'text' is missing, and the text may be any of the fields "
            "my_text, title",
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


@pytest.mark.parametrize("markup", ["<![x[", "<!x[y", "<![if x]>"])
def test_mark_up_that_python_cannot_parse_names_its_task(nlp, markup):
    region = {"id": "a", "type": "hypertextlabels", "value": {"start": "/p[1]", "labels": ["X"]}}
    task = {"id": 3, "data": {"text": f"{markup}Ann"}, "annotations": [{"result": [region]}]}
    with pytest.raises(ValueError, match=r"<data>, task 0"):
        labelstudio_to_docs([task], nlp)


def test_a_relation_of_no_entity_counts_with_all_its_labels_and_directions(nlp):
    result = [
        {"id": "a", "type": "labels", "value": {"start": 0, "end": 3, "labels": ["X"]}},
        {"id": "b", "type": "choices", "value": {}},
        {"type": "relation", "from_id": "a", "to_id": "b", "direction": "bi", "labels": ["R", "S"]},
    ]
    _, report = labelstudio_to_docs(
        [{"data": {"text": "Ann"}, "annotations": [{"result": result}]}], nlp
    )
    assert report.dropped == {Reason.NOT_AN_ENTITY: 4}


def test_a_task_with_regions_of_plain_text_is_no_html_beside_one_of_html(nlp):
    plain = {"id": "a", "type": "labels", "value": {"start": 0, "end": 3, "labels": ["X"]}}
    html = {"id": "a", "type": "hypertextlabels", "value": {"start": "/p[1]", "labels": ["X"]}}
    html["value"]["globalOffsets"] = {"start": 0, "end": 3}
    tasks = [
        {"data": {"text": "Ann <b>"}, "annotations": [{"result": [plain]}]},
        {"data": {"text": "<p>Ann</p>"}, "annotations": [{"result": [html]}]},
    ]
    docs, _ = labelstudio_to_docs(tasks, nlp)
    assert [doc.text for doc in docs] == ["Ann <b>", "Ann"]


def make_quoting_task(quoted, **data):
    value = {"start": 14, "end": 20, "text": quoted, "labels": ["L"]}
    region = {"id": "a", "from_name": "l", "to_name": "headline", "type": "labels", "value": value}
    return {"data": data, "annotations": [{"result": [region]}]}


def test_a_region_that_quotes_another_field_is_refused(nlp):
    data = {"text": "Alice saw the Louvre and left", "title": "Bob likes all Romans today"}
    task = make_quoting_task("Romans", **data)
    with pytest.raises(ValueError, match=r"mark 'Louvre', but it quotes 'Romans'.*--text-field"):
        labelstudio_to_docs([task], nlp, strict=True)
    options = ReadingOptions(text_field="title")
    [doc], _ = labelstudio_to_docs([task], nlp, options=options)
    assert [ent.text for ent in doc.ents] == ["Romans"]


@pytest.mark.parametrize("quoted", ["Louvre", "Lou vre", "Louvre\\n", None])
def test_a_quote_may_differ_in_white_space(nlp, quoted):
    task = make_quoting_task(quoted, text="Alice saw the Louvre and left")
    [doc], _ = labelstudio_to_docs([task], nlp, strict=True)
    assert [ent.text for ent in doc.ents] == ["Louvre"]
