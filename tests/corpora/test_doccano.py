import json

import pytest

from spacy_tabcnn.corpora.conversion import Reason
from spacy_tabcnn.corpora.doccano import doccano_to_docs, docs_to_doccano
from spacy_tabcnn.corpora.gold import UNSET_RELATIONS
from spacy_tabcnn.corpora.options import Overlap, ReadingOptions
from spacy_tabcnn.corpora.spert import spert_to_docs
from spacy_tabcnn.relations import has_relations

CURIE = {
    "id": 3,
    "text": "Marie Curie's lab,  in Zürich.",
    "entities": [
        {"id": 0, "start_offset": 0, "end_offset": 11, "label": "PERSON"},
        {"id": 1, "start_offset": 23, "end_offset": 29, "label": "PLACE"},
    ],
    "relations": [{"id": 0, "from_id": 0, "to_id": 1, "type": "WORKED_IN"}],
}


def line(**changes):
    """CURIE as a line of JSON, with some fields replaced."""
    return json.dumps({**CURIE, **changes})


def test_character_offsets_become_entities_and_relations(nlp):
    [doc], report = doccano_to_docs([line()], nlp)
    assert doc.text == CURIE["text"]
    assert [(ent.text, ent.label_) for ent in doc.ents] == [
        ("Marie Curie", "PERSON"),
        ("Zürich", "PLACE"),
    ]
    assert [(rel.head.text, rel.tail.text, rel.label) for rel in doc._.relations] == [
        ("Marie Curie", "Zürich", "WORKED_IN")
    ]
    assert doc.user_data["orig_id"] == 3
    assert not report.dropped


def test_the_tokenizer_of_the_pipeline_makes_the_tokens(nlp):
    [doc], _ = doccano_to_docs([line()], nlp)
    assert [token.text for token in doc] == [token.text for token in nlp.make_doc(CURIE["text"])]


def test_round_trip_is_identical(nlp):
    docs, _ = doccano_to_docs([line()], nlp)
    lines, report = docs_to_doccano(docs)
    assert [json.loads(line) for line in lines] == [CURIE]
    assert not report.dropped


def test_ids_are_numbered_through_the_file(nlp):
    docs, _ = doccano_to_docs([line(), line(id=4)], nlp)
    second = json.loads(docs_to_doccano(docs)[0][1])
    assert [entity["id"] for entity in second["entities"]] == [2, 3]
    assert second["relations"] == [{"id": 1, "from_id": 2, "to_id": 3, "type": "WORKED_IN"}]


def test_a_document_without_an_id_is_numbered(nlp):
    docs, _ = spert_to_docs([{"tokens": ["Hello", "!"], "entities": [], "relations": []}], nlp)
    assert json.loads(docs_to_doccano(docs)[0][0]) == {
        "id": 0,
        "text": "Hello ! ",
        "entities": [],
        "relations": [],
    }


def test_an_unaligned_entity_is_dropped_with_its_relations(nlp):
    entities = [
        CURIE["entities"][0],
        {"id": 1, "start_offset": 23, "end_offset": 26, "label": "PLACE"},
    ]
    [doc], report = doccano_to_docs(["", line(entities=entities)], nlp, source="a.jsonl")
    assert [ent.text for ent in doc.ents] == ["Marie Curie"]
    assert doc._.relations == ()
    assert report.dropped == {Reason.UNALIGNED: 1, Reason.LOST_ARGUMENT: 1}
    assert (
        report.examples[Reason.UNALIGNED]
        == "a.jsonl, line 2, entity 1: 'Zür' (PLACE, characters 23-26)"
    )


def test_strict_mode_names_the_line(nlp):
    entities = [{"id": 1, "start_offset": 23, "end_offset": 26, "label": "PLACE"}]
    with pytest.raises(
        ValueError, match=r"a\.jsonl, line 2, entity 0: entity 'Zür' .* token boundaries"
    ):
        doccano_to_docs(
            [line(), line(entities=entities, relations=[])], nlp, source="a.jsonl", strict=True
        )


def test_ids_may_be_strings(nlp):
    entities = [{**CURIE["entities"][0], "id": "T1"}, {**CURIE["entities"][1], "id": "T2"}]
    relations = [{"from_id": "T2", "to_id": "T1", "type": "HOME_OF"}]
    [doc], _ = doccano_to_docs([line(entities=entities, relations=relations)], nlp)
    assert [(rel.head.text, rel.label) for rel in doc._.relations] == [("Zürich", "HOME_OF")]


def test_a_document_without_the_key_relations_has_no_annotation_of_relations(nlp):
    record = {key: value for key, value in CURIE.items() if key != "relations"}
    [doc], report = doccano_to_docs([json.dumps(record)], nlp)
    assert len(doc.ents) == 2 and not has_relations(doc)
    assert report.noted == {UNSET_RELATIONS: 1}


def test_an_array_of_documents_is_read(nlp):
    docs, _ = doccano_to_docs([CURIE, {**CURIE, "id": 4}], nlp)
    assert [doc.user_data["orig_id"] for doc in docs] == [3, 4]


@pytest.mark.parametrize("field,name", [("body", None), ("body", "body"), ("text", "text")])
def test_the_text_may_have_another_field(nlp, field, name):
    record = {field: CURIE["text"], **{key: CURIE[key] for key in ("entities", "relations")}}
    [doc], _ = doccano_to_docs([json.dumps(record)], nlp, options=ReadingOptions(text_field=name))
    assert doc.text == CURIE["text"]


def test_a_text_that_cannot_be_found_is_asked_for(nlp):
    record = {"title": "Marie", "body": "Marie Curie", "entities": [], "relations": []}
    message = "may be any of the fields title, body. Name its field with --text-field"
    with pytest.raises(ValueError, match=message):
        doccano_to_docs([json.dumps(record)], nlp)


def test_offsets_may_count_utf16(nlp):
    text = "🧪🧪 Marie Curie"
    entity = {"id": 1, "start_offset": 5, "end_offset": 16, "label": "PERSON"}
    record = line(text=text, entities=[entity], relations=[])
    [doc], _ = doccano_to_docs([record], nlp, options=ReadingOptions(utf16=True))
    assert doc.ents[0].text == "Marie Curie"
    record = line(text=text, entities=[{**entity, "start_offset": 1}], relations=[])
    with pytest.raises(ValueError, match="the offset 1 lies inside a character"):
        doccano_to_docs([record], nlp, options=ReadingOptions(utf16=True))


BAD = {"id": 9, "text": "It rained.", "entities": [{"id": 1, "label": "X"}], "relations": []}


def test_all_bad_records_are_named_in_one_run(nlp):
    lines = [line(), json.dumps(BAD), "null", line(id=4), '{"id": 5']
    with pytest.raises(ValueError) as error:
        doccano_to_docs(lines, nlp, source="a.jsonl")
    title, *problems = str(error.value).splitlines()
    assert title == "a.jsonl: 3 records cannot be read."
    assert [problem[:17] for problem in problems] == [
        f"- a.jsonl, line {number}" for number in (2, 3, 5)
    ]


def test_bad_records_may_be_left_out(nlp):
    lines = [line(), json.dumps(BAD), line(id=4)]
    docs, report = doccano_to_docs(
        lines, nlp, source="a.jsonl", options=ReadingOptions(skip_bad=True)
    )
    assert [doc.user_data["orig_id"] for doc in docs] == [3, 4]
    [problem] = report.bad_records
    assert problem.startswith("a.jsonl, line 2, entity 0: the field 'start_offset' is missing")
    assert (report.n_docs, report.entities.total()) == (2, 4)


def test_parts_of_a_bad_record_are_not_counted(nlp):
    entities = [{"id": 1, "start_offset": 1, "end_offset": 3, "label": "X"}]
    bad = line(entities=entities, relations=[{"from_id": 1, "to_id": 7, "type": "X"}])
    _, report = doccano_to_docs([bad], nlp, options=ReadingOptions(skip_bad=True))
    assert report.n_entities_read == 0
    assert len(report.bad_records) == 1


def test_strict_mode_leaves_out_bad_records_only_when_asked_for(nlp):
    entities = [{"id": 1, "start_offset": 1, "end_offset": 3, "label": "X"}]
    unaligned = line(entities=entities, relations=[])
    options = ReadingOptions(skip_bad=True)
    with pytest.raises(ValueError, match="line 1, entity 0: entity 'ar'"):
        doccano_to_docs([unaligned, json.dumps(BAD)], nlp, strict=True, options=options)


NESTED = [
    {"id": 0, "start_offset": 12, "end_offset": 16, "label": "PLACE"},
    {"id": 1, "start_offset": 0, "end_offset": 16, "label": "ORG"},
    {"id": 2, "start_offset": 20, "end_offset": 23, "label": "PERSON"},
]


@pytest.mark.parametrize(
    "overlap,kept,reason",
    [
        (Overlap.LONGEST, "Universidad Lima", Reason.OVERLAP),
        (Overlap.SHORTEST, "Lima", Reason.OVERLAP_SMALLER),
        (Overlap.FIRST, "Lima", Reason.OVERLAP_EARLIER),
    ],
)
def test_the_entity_that_stays_of_nested_ones_is_chosen(nlp, overlap, kept, reason):
    text = "Universidad Lima of Ana"
    relations = [{"from_id": 2, "to_id": 1, "type": "IN"}, {"from_id": 2, "to_id": 0, "type": "IN"}]
    [doc], report = doccano_to_docs(
        [line(text=text, entities=NESTED, relations=relations)],
        nlp,
        options=ReadingOptions(overlap=overlap),
    )
    assert [ent.text for ent in doc.ents] == [kept, "Ana"]
    assert [relation.tail.text for relation in doc._.relations] == [kept]
    assert report.dropped == {reason: 1, Reason.LOST_ARGUMENT: 1}


def test_the_first_entity_of_the_file_may_be_the_longer_one(nlp):
    entities = [NESTED[1], NESTED[0]]
    [doc], _ = doccano_to_docs(
        [line(text="Universidad Lima", entities=entities, relations=[])],
        nlp,
        options=ReadingOptions(overlap=Overlap.FIRST),
    )
    assert [ent.label_ for ent in doc.ents] == ["ORG"]


@pytest.mark.parametrize("orig_id", [2**64, [1], {"a": 1}, True])
def test_ids_that_no_file_can_hold_are_refused(nlp, orig_id):
    with pytest.raises(
        ValueError, match=r"line 1: the field 'id' is .* expected a string or a number"
    ):
        doccano_to_docs([line(id=orig_id)], nlp)


@pytest.mark.parametrize(
    "text,message",
    [
        ('{"id": 3,', r"line 1, column 10: invalid JSON \(.*\). Expected one object a line"),
        ("[]", "line 1: found a list, .* expected an object with the field 'text'"),
        (line(text=None), "line 1: the field 'text' is null"),
        (
            line(entities=[{"id": 1, "start_offset": 0, "end_offset": 99, "label": "X"}]),
            "0 to 99 .* has 30 char",
        ),
        (
            line(entities=[{"id": 1, "start_offset": 4, "end_offset": 4, "label": "X"}]),
            "entity 0: .* at least one",
        ),
        (
            line(entities=[{"start_offset": 0, "end_offset": 5, "label": "X"}]),
            "entity 0: the field 'id' is missing",
        ),
        (
            line(entities=[CURIE["entities"][0]] * 2),
            "entity 1: the id 0 is also the id of entity 0",
        ),
        (
            line(relations=[{"from_id": 0, "to_id": 7, "type": "X"}]),
            "relation 0: to_id is 7, the id of no entity",
        ),
        (line(relations=[{"from_id": 0, "type": "X"}]), "relation 0: the field 'to_id' is missing"),
    ],
)
def test_malformed_lines_name_the_place(nlp, text, message):
    with pytest.raises(ValueError, match=message):
        doccano_to_docs([text], nlp, source="a.jsonl")
