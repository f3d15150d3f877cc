import subprocess
import sys

import numpy as np
import pytest
import spacy
from spacy.tokens import DocBin, Span

from spacy_tabcnn import Relation, doc_to_annotation
from spacy_tabcnn.relations import (
    get_entity_score,
    has_relations,
    set_entity_scores,
)

from .copies import COPIES

WORDS = "Ada Lovelace lived in London ."


@pytest.fixture
def doc(make_doc):
    return make_doc(WORDS, [(0, 2, "PER"), (4, 5, "LOC")])


def as_tuples(doc):
    return [
        (head.text, head.label_, tail.text, tail.label_, label, score)
        for head, tail, label, score in doc._.relations
    ]


ADA_LIVES_IN_LONDON = ("Ada Lovelace", "PER", "London", "LOC", "LiveIn", 0.5)


# Setting and reading


def test_set_from_relation(doc):
    person, place = doc.ents
    doc._.relations = [Relation(person, place, "LiveIn", 0.5)]
    assert as_tuples(doc) == [ADA_LIVES_IN_LONDON]


def test_set_from_tuple_with_score(doc):
    person, place = doc.ents
    doc._.relations = [(person, place, "LiveIn", 0.5)]
    assert as_tuples(doc) == [ADA_LIVES_IN_LONDON]


def test_set_from_tuple_without_score(doc):
    person, place = doc.ents
    doc._.relations = [(person, place, "LiveIn")]
    assert doc._.relations[0].score == 1.0


def test_set_from_any_iterable_of_sequences(doc):
    person, place = doc.ents
    doc._.relations = (relation for relation in [[person, place, "LiveIn", np.float32(0.5)]])
    assert as_tuples(doc) == [ADA_LIVES_IN_LONDON]


def test_setting_replaces_and_keeps_the_order(doc):
    person, place = doc.ents
    doc._.relations = [(person, place, "Old")]
    doc._.relations = [(place, person, "B"), (person, place, "A"), (person, place, "B")]
    assert [relation.label for relation in doc._.relations] == ["B", "A", "B"]
    assert doc._.relations[0].head.text == "London"


def test_getter_returns_spans_of_the_document(doc):
    doc._.relations = [(*doc.ents, "LiveIn")]
    relation = doc._.relations[0]
    assert isinstance(relation, Relation)
    for span, bounds in ((relation.head, (0, 2)), (relation.tail, (4, 5))):
        assert isinstance(span, Span) and span.doc is doc
        assert (span.start, span.end) == bounds


def test_unlabelled_span_takes_the_type_of_its_entity(doc):
    doc._.relations = [(doc[0:2], doc[4:5], "LiveIn", 0.5)]
    assert as_tuples(doc) == [ADA_LIVES_IN_LONDON]


def test_unlabelled_span_that_is_no_entity_stays_unlabelled(doc):
    doc._.relations = [(doc[0:1], doc[4:5], "LiveIn")]
    assert doc._.relations[0].head.label_ == ""


def test_label_of_a_span_is_kept_against_that_of_the_entity(doc):
    doc._.relations = [(Span(doc, 0, 2, label="Countess"), doc[4:5], "LiveIn")]
    assert doc._.relations[0].head.label_ == "Countess"


def test_unset_differs_from_empty(doc):
    assert doc._.relations == ()
    assert not has_relations(doc)
    doc._.relations = []
    assert doc._.relations == ()
    assert has_relations(doc)


# Relations of a span


@pytest.fixture
def two_sentences(make_doc):
    """Two sentences with a relation within each and one across them."""
    words = "Ada lived in London . Kim left Rome ."
    entities = [(0, 1, "PER"), (3, 4, "LOC"), (5, 6, "PER"), (7, 8, "LOC")]
    relations = [(0, 1, "LiveIn"), (2, 3, "Left"), (2, 1, "Visit")]
    starts = [index in (0, 5) for index in range(9)]
    return make_doc(words, entities, relations, sent_starts=starts)


def labels_of(relations):
    return [relation.label for relation in relations]


def test_a_sentence_has_the_relations_within_it(two_sentences):
    sentences = list(two_sentences.sents)
    assert [labels_of(sent._.relations) for sent in sentences] == [["LiveIn"], ["Left"]]


def test_an_entity_has_the_relations_in_which_it_takes_part(two_sentences):
    found = [labels_of(ent._.relations) for ent in two_sentences.ents]
    assert found == [["LiveIn"], ["LiveIn", "Visit"], ["Left", "Visit"], ["Left"]]


def test_the_label_of_a_span_does_not_decide_on_its_relations(two_sentences):
    assert labels_of(two_sentences[5:6]._.relations) == ["Left", "Visit"]


def test_a_span_around_one_argument_has_no_relation(two_sentences):
    assert two_sentences[0:3]._.relations == ()


def test_a_span_around_all_words_has_all_relations(two_sentences):
    assert two_sentences[:]._.relations == two_sentences._.relations


def test_relations_of_a_span_can_only_be_read(doc):
    with pytest.raises(ValueError, match=r"can only be read. Set .* with doc._.relations"):
        doc[0:2]._.relations = []


# Plain data


def test_a_document_becomes_plain_data(doc):
    doc._.relations = [(*doc.ents, "LiveIn", 0.5)]
    set_entity_scores(doc, doc.ents, [0.75, 0.5])
    assert doc_to_annotation(doc) == {
        "entities": [
            {"start": 0, "end": 12, "label": "PER", "score": 0.75},
            {"start": 22, "end": 28, "label": "LOC", "score": 0.5},
        ],
        "relations": [{"head": 0, "tail": 1, "label": "LiveIn", "score": 0.5}],
    }


def test_an_annotated_entity_has_no_score_as_plain_data(doc):
    assert [entity["score"] for entity in doc_to_annotation(doc)["entities"]] == [None, None]


def test_an_argument_that_is_no_entity_follows_the_entities(doc):
    doc._.relations = [(Span(doc, 2, 3, label="X"), doc.ents[0], "R")]
    annotation = doc_to_annotation(doc)
    assert [entity["label"] for entity in annotation["entities"]] == ["PER", "LOC", "X"]
    assert (annotation["relations"][0]["head"], annotation["relations"][0]["tail"]) == (2, 0)


@pytest.mark.parametrize(
    "text", ["👩‍🚀 Ann 😀", "Zoe\u0301 lives", "אן גרה ברומא", "one\u2028line\x85only\rhere"]
)
def test_offsets_count_characters(text):
    doc = spacy.blank("en").make_doc(text)
    doc.ents = [Span(doc, len(doc) - 1, len(doc), label="X")]
    [entity] = doc_to_annotation(doc)["entities"]
    assert text[entity["start"] : entity["end"]] == doc[-1].text


# Refusals


@pytest.mark.parametrize(
    "item", ["LiveIn", 7, (), ("Ada", "London"), ("Ada", "London", "LiveIn", 0.5, 1), {"head": 0}]
)
def test_other_forms_are_refused(doc, item):
    with pytest.raises(ValueError, match=r"item 0 is .*expected a Relation or a tuple"):
        doc._.relations = [item]


@pytest.mark.parametrize("relations", [None, 7])
def test_what_is_no_list_is_refused(doc, relations):
    with pytest.raises(ValueError, match=r"is no list of relations; set \[\]"):
        doc._.relations = relations


def test_argument_that_is_no_span_is_refused(doc):
    with pytest.raises(ValueError, match="the tail of item 0 is London; expected a Span"):
        doc._.relations = [(doc[0:2], doc[4], "LiveIn")]


def test_empty_span_is_refused(doc):
    with pytest.raises(ValueError, match="the head of item 0 is ; expected a Span of words"):
        doc._.relations = [(doc[0:0], doc[4:5], "LiveIn")]


def test_span_of_another_document_is_refused(doc, make_doc):
    other = make_doc(WORDS)
    with pytest.raises(
        ValueError, match="the head of item 1 is Ada Lovelace; expected a Span of words of this"
    ):
        doc._.relations = [(doc[0:2], doc[4:5], "LiveIn"), (other[0:2], doc[4:5], "LiveIn")]


@pytest.mark.parametrize("label", ["", None, 3])
def test_label_that_is_no_string_is_refused(doc, label):
    with pytest.raises(ValueError, match="the label of item 0"):
        doc._.relations = [(doc[0:2], doc[4:5], label)]


@pytest.mark.parametrize("score", ["high", None, -0.1, 1.1, float("nan")])
def test_score_that_is_no_probability_is_refused(doc, score):
    with pytest.raises(ValueError, match=r"the score of item 0 is .*expected a probability"):
        doc._.relations = [(doc[0:2], doc[4:5], "LiveIn", score)]


def test_a_tuple_cannot_be_appended_to(doc):
    with pytest.raises(AttributeError, match="append"):
        doc._.relations.append((*doc.ents, "LiveIn"))


def test_refusal_leaves_the_document_as_it_was(doc):
    doc._.relations = [(*doc.ents, "LiveIn", 0.5)]
    with pytest.raises(ValueError, match="item 1"):
        doc._.relations = [(*doc.ents, "Visit"), "LiveIn"]
    assert as_tuples(doc) == [ADA_LIVES_IN_LONDON]


# Entity scores


def test_entity_score(doc):
    set_entity_scores(doc, doc.ents, [0.75, 0.5])
    assert [ent._.entity_score for ent in doc.ents] == [0.75, 0.5]


def test_entity_score_belongs_to_boundaries_and_type(doc):
    set_entity_scores(doc, doc.ents, [0.75, 0.5])
    assert doc[0:1]._.entity_score is None
    assert get_entity_score(Span(doc, 0, 2, label="LOC")) is None


def test_entity_score_of_an_annotated_entity_is_none(doc):
    assert doc.ents[0]._.entity_score is None


# Storage


@pytest.mark.parametrize("through", COPIES)
def test_annotation_survives(doc, through):
    doc._.relations = [(doc[0:2], doc[4:5], "LiveIn", 0.5)]
    set_entity_scores(doc, doc.ents, [0.75, 0.5])
    other = through(doc)
    assert as_tuples(other) == [ADA_LIVES_IN_LONDON]
    assert other._.relations[0].head.doc is other
    assert [ent._.entity_score for ent in other.ents] == [0.75, 0.5]


@pytest.mark.parametrize("through", COPIES)
def test_empty_and_missing_annotation_survive(doc, through):
    assert not has_relations(through(doc))
    doc._.relations = []
    assert has_relations(through(doc))


def test_copy_is_independent(doc):
    doc._.relations = [(*doc.ents, "LiveIn", 0.5)]
    other = doc.copy()
    other._.relations = []
    assert as_tuples(doc) == [ADA_LIVES_IN_LONDON]


def test_docbin_without_user_data_loses_relations(doc):
    doc._.relations = [(*doc.ents, "LiveIn")]
    other = next(iter(DocBin(docs=[doc]).get_docs(doc.vocab)))
    assert len(other.ents) == 2
    assert not has_relations(other)


# Imports


def test_imports_are_light():
    """Importing the package loads only itself and spaCy. Loading all its entry points, as spaCy's
    discovery does, does not load transformers."""
    code = """
import sys
import spacy
before = set(sys.modules)
import spacy_tabcnn
loaded = {name for name in set(sys.modules) - before if name.split(".")[0] != "spacy_tabcnn"}
assert not loaded, loaded
from importlib.metadata import distribution
entry_points = [entry_point.load() for entry_point in distribution("spacy-tabcnn").entry_points]
assert len(entry_points) > 5
heavy = {"transformers", "spacy_transformers", "tokenizers"} & set(sys.modules)
assert not heavy, heavy
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
