import json

import pytest

from spacy_tabcnn.corpora.conversion import Reason
from spacy_tabcnn.corpora.doccano import doccano_to_docs, docs_to_doccano
from spacy_tabcnn.corpora.spert import spert_to_docs

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


@pytest.mark.parametrize(
    "text,message",
    [
        ('{"id": 3,', r"line 1, column 10: invalid JSON \(.*\). Expected one object a line"),
        ("[]", "line 1: found a list, .* expected an object with the field 'text'"),
        (line(text=None), "line 1: the field 'text' is NoneType"),
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
