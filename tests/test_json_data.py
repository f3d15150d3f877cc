"""Relations and scores through spaCy's own route to JSON and back."""

import json

import pytest
from spacy.tokens import Doc, Span

from spacy_tabcnn.relations import has_relations, set_entity_scores

JSON = ["relations_json", "entity_scores_json"]


@pytest.fixture
def doc(make_doc):
    doc = make_doc("Ada Lovelace lived in London .", [(0, 2, "PER"), (4, 5, "LOC")])
    doc._.relations = [(*doc.ents, "LiveIn", 0.5)]
    set_entity_scores(doc, doc.ents, [0.75, 0.25])
    return doc


def test_relations_become_plain_data(doc):
    assert doc._.relations_json == [
        {
            "head": {"start": 0, "end": 12, "label": "PER"},
            "tail": {"start": 22, "end": 28, "label": "LOC"},
            "label": "LiveIn",
            "score": 0.5,
        }
    ]


def test_scores_become_plain_data(doc):
    assert doc._.entity_scores_json == [
        {"start": 0, "end": 12, "label": "PER", "score": 0.75},
        {"start": 22, "end": 28, "label": "LOC", "score": 0.25},
    ]


def test_scores_of_what_is_no_whole_word_are_left_out(doc):
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[1:3])
    doc._.relations = []
    assert [score["label"] for score in doc._.entity_scores_json] == ["LOC"]
    assert through_json(doc)._.entity_scores_json == doc._.entity_scores_json


def through_json(doc):
    text = json.dumps(doc.to_json(underscore=JSON))
    return Doc(doc.vocab).from_json(json.loads(text), validate=True)


def test_relations_and_scores_survive_json(doc):
    other = through_json(doc)
    [(head, tail, label, score)] = other._.relations
    assert (head.text, head.label_, tail.text, tail.label_) == (
        "Ada Lovelace",
        "PER",
        "London",
        "LOC",
    )
    assert (label, score) == ("LiveIn", 0.5)
    assert head.doc is other
    assert [ent._.entity_score for ent in other.ents] == [0.75, 0.25]


def test_unset_and_empty_relations_survive_json(make_doc):
    assert not has_relations(through_json(make_doc("It rained .")))
    assert has_relations(through_json(make_doc("It rained .", [], [])))


def test_json_without_the_attributes_has_no_relations(doc):
    assert not has_relations(Doc(doc.vocab).from_json(doc.to_json()))


def test_spans_cannot_be_written(doc):
    with pytest.raises(ValueError, match="E107"):
        doc.to_json(underscore=["relations"])


def test_relations_can_be_set_from_plain_data(doc, make_doc):
    other = make_doc("Ada Lovelace lived in London .")
    other._.relations_json = doc._.relations_json
    other._.entity_scores_json = doc._.entity_scores_json
    assert other._.relations[0].label == "LiveIn"
    assert Span(other, 4, 5, "LOC")._.entity_score == 0.25


@pytest.mark.parametrize("name", JSON)
def test_plain_data_of_another_text_is_an_error(doc, make_doc, name):
    other = make_doc("Ada lived in London .")
    with pytest.raises(ValueError, match=r"the characters 0 to 12 are 'Ada lived in'|whole words"):
        setattr(other._, name, getattr(doc._, name))


@pytest.mark.parametrize("name", JSON)
@pytest.mark.parametrize("value", [7, [7], [{}], [{"head": 0, "tail": 1, "label": "R"}], "text"])
def test_another_form_is_an_error(doc, name, value):
    with pytest.raises(ValueError, match=f"doc._.{name}: .* has another form"):
        setattr(doc._, name, value)


ODD_VALUES = [None, -1, 10**30, 10**400, 1.5, float("nan"), "\ud800", [], {}, True]


@pytest.mark.parametrize("value", [5, "abc", {"a": 1}, [5], ["x"], [[]], [{}], [None], 1.5])
@pytest.mark.parametrize("name", JSON)
def test_values_of_another_form_are_refused(doc, name, value):
    with pytest.raises(ValueError, match=rf"doc\._\.{name}: .* has another form"):
        setattr(doc._, name, value)


@pytest.mark.parametrize("key", ["start", "end", "label", "score"])
@pytest.mark.parametrize("value", ODD_VALUES)
def test_odd_values_of_an_entity_are_refused(doc, key, value):
    if (key, value) == ("score", True):
        return  # a number, as everywhere in Python
    entity = {"start": 0, "end": 12, "label": "PER", "score": 1.0, key: value}
    with pytest.raises(ValueError, match=r"doc\._\.entity_scores_json"):
        doc._.entity_scores_json = [entity]


@pytest.mark.parametrize("key", ["head", "tail", "label", "score"])
@pytest.mark.parametrize("value", ODD_VALUES)
def test_odd_values_of_a_relation_are_refused(doc, key, value):
    if (key, value) == ("score", True):
        return
    [relation] = doc._.relations_json
    with pytest.raises(ValueError, match=r"doc\._\.relations"):
        doc._.relations_json = [{**relation, key: value}]


def test_a_message_shows_the_beginning_of_a_value_of_another_form(doc):
    with pytest.raises(ValueError) as caught:
        doc._.relations_json = ["x" * 100_000]
    assert len(str(caught.value)) < 400
