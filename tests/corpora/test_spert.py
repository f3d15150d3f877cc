import copy

import pytest
from spacy.tokens import Doc, DocBin

from spacy_tabcnn.corpora.conversion import Reason
from spacy_tabcnn.corpora.gold import UNSET_RELATIONS
from spacy_tabcnn.corpora.spert import docs_to_spert, spert_to_docs
from spacy_tabcnn.relations import has_relations

CURIE = {
    "tokens": ["Marie", "Curie", "worked", "in", "Paris", "for", "the", "Sorbonne", "."],
    "entities": [
        {"type": "Peop", "start": 0, "end": 2},
        {"type": "Loc", "start": 4, "end": 5},
        {"type": "Org", "start": 7, "end": 8},
    ],
    "relations": [
        {"type": "Work_For", "head": 0, "tail": 2},
        {"type": "Live_In", "head": 0, "tail": 1},
        {"type": "Born_In", "head": 0, "tail": 1},
    ],
    "orig_id": 17,
}


def edited(**changes):
    """CURIE with some fields replaced."""
    return {**copy.deepcopy(CURIE), **changes}


def entities_of(doc):
    return [(ent.text, ent.label_) for ent in doc.ents]


def relations_of(doc):
    return [(head.text, tail.text, label) for head, tail, label, _ in doc._.relations]


def test_entities_and_relations_are_read(nlp):
    [doc], report = spert_to_docs([CURIE], nlp)
    assert [token.text for token in doc] == CURIE["tokens"]
    assert entities_of(doc) == [("Marie Curie", "Peop"), ("Paris", "Loc"), ("Sorbonne", "Org")]
    assert relations_of(doc) == [
        ("Marie Curie", "Sorbonne", "Work_For"),
        ("Marie Curie", "Paris", "Live_In"),
        ("Marie Curie", "Paris", "Born_In"),
    ]
    assert (report.n_docs, report.n_entities_read, report.n_relations_read) == (1, 3, 3)
    assert report.entities == {"Peop": 1, "Loc": 1, "Org": 1}
    assert not report.dropped


def test_arguments_carry_the_entity_types(nlp):
    [doc], _ = spert_to_docs([CURIE], nlp)
    first = doc._.relations[0]
    assert (first.head.label_, first.tail.label_, first.score) == ("Peop", "Org", 1.0)


def test_the_corpus_id_is_kept(nlp):
    [doc], _ = spert_to_docs([CURIE], nlp)
    assert doc.user_data["orig_id"] == 17


@pytest.mark.parametrize("tokens", [["Nothing", "here"], []])
def test_a_sentence_without_annotations_counts_as_annotated(nlp, tokens):
    [doc], _ = spert_to_docs([{"tokens": tokens, "entities": [], "relations": []}], nlp)
    assert doc.has_annotation("ENT_IOB")
    assert has_relations(doc)
    assert doc._.relations == ()
    assert "orig_id" not in doc.user_data


def test_round_trip_is_identical(nlp):
    sentences = [CURIE, {"tokens": ["Hm"], "entities": [], "relations": []}]
    docs, _ = spert_to_docs(sentences, nlp)
    written, report = docs_to_spert(docs)
    assert written == sentences
    assert not report.dropped


def test_round_trip_through_docbin_is_identical(nlp):
    docs, _ = spert_to_docs([CURIE], nlp)
    data = DocBin(docs=docs, store_user_data=True).to_bytes()
    assert docs_to_spert(DocBin().from_bytes(data).get_docs(nlp.vocab))[0] == [CURIE]


def test_entities_are_written_in_text_order_and_relations_follow(nlp):
    shuffled = edited(
        entities=[CURIE["entities"][2], CURIE["entities"][0], CURIE["entities"][1]],
        relations=[
            {"type": "Work_For", "head": 1, "tail": 0},
            {"type": "Live_In", "head": 1, "tail": 2},
        ],
    )
    docs, _ = spert_to_docs([shuffled], nlp)
    [written], _ = docs_to_spert(docs)
    assert written["entities"] == CURIE["entities"]
    assert written["relations"] == CURIE["relations"][:2]


def test_of_two_overlapping_entities_the_smaller_goes_with_its_relations(nlp):
    entities = [*CURIE["entities"], {"type": "Peop", "start": 1, "end": 2}]
    relations = [*CURIE["relations"], {"type": "Live_In", "head": 3, "tail": 1}]
    [doc], report = spert_to_docs(
        [edited(entities=entities, relations=relations)], nlp, source="a.json"
    )
    assert entities_of(doc)[0] == ("Marie Curie", "Peop")
    assert len(doc.ents) == len(doc._.relations) == 3
    assert report.dropped == {Reason.OVERLAP: 1, Reason.LOST_ARGUMENT: 1}
    assert (report.n_entities_read, report.n_relations_read) == (4, 4)
    assert report.examples[Reason.OVERLAP] == (
        "a.json, sentence 0 (orig_id 17): 'Curie' (Peop, tokens 1-2); "
        "'Marie Curie' (Peop, tokens 0-2)"
    )


@pytest.mark.parametrize(
    "spans,kept",
    [
        ([(1, 3), (0, 2)], (0, 2)),
        ([(0, 2), (1, 3)], (0, 2)),
        ([(0, 1), (0, 2)], (0, 2)),
        # The middle one overlaps both others, is the largest and wins against each.
        ([(0, 2), (1, 4), (3, 5)], (1, 4)),
    ],
)
def test_which_of_overlapping_entities_stays(nlp, spans, kept):
    entities = [{"type": "Peop", "start": start, "end": end} for start, end in spans]
    [doc], _ = spert_to_docs([edited(entities=entities, relations=[])], nlp)
    assert [(ent.start, ent.end) for ent in doc.ents] == [kept]


def test_of_two_labels_on_one_span_the_first_stays(nlp):
    entities = [{"type": "Org", "start": 4, "end": 5}, {"type": "Loc", "start": 4, "end": 5}]
    [doc], report = spert_to_docs([edited(entities=entities, relations=[])], nlp)
    assert entities_of(doc) == [("Paris", "Org")]
    assert report.dropped == {Reason.OVERLAP: 1}


def test_a_dropped_entity_does_not_drop_what_it_alone_overlaps(nlp):
    # (2, 4) loses against (0, 3); then nothing covers token 3.
    entities = [
        {"type": "Peop", "start": start, "end": end} for start, end in [(0, 3), (2, 4), (3, 4)]
    ]
    [doc], _ = spert_to_docs([edited(entities=entities, relations=[])], nlp)
    assert [(ent.start, ent.end) for ent in doc.ents] == [(0, 3), (3, 4)]


def test_a_repeated_entity_is_merged_and_keeps_its_relations(nlp):
    entities = [*CURIE["entities"], CURIE["entities"][0]]
    relations = [{"type": "Live_In", "head": 3, "tail": 1}]
    [doc], report = spert_to_docs([edited(entities=entities, relations=relations)], nlp)
    assert relations_of(doc) == [("Marie Curie", "Paris", "Live_In")]
    assert report.dropped == {Reason.DUPLICATE_ENTITY: 1}


@pytest.mark.parametrize(
    "extra,reason",
    [
        ({"type": "Live_In", "head": 1, "tail": 1}, Reason.SELF_RELATION),
        ({"type": "Live_In", "head": 0, "tail": 1}, Reason.DUPLICATE_RELATION),
    ],
)
def test_relations_that_make_no_sense_are_dropped(nlp, extra, reason):
    [doc], report = spert_to_docs([edited(relations=[*CURIE["relations"], extra])], nlp)
    assert len(doc._.relations) == 3
    assert report.dropped == {reason: 1}


def test_strict_mode_names_the_first_problem(nlp):
    relations = [{"type": "Live_In", "head": 1, "tail": 1}]
    with pytest.raises(
        ValueError, match=r"a\.json, sentence 1 \(orig_id 17\): relation Live_In .* itself"
    ):
        spert_to_docs([CURIE, edited(relations=relations)], nlp, source="a.json", strict=True)


@pytest.mark.parametrize(
    "data,message",
    [
        ({"tokens": []}, r"a\.json: holds an object, .* expected a JSON array"),
        (
            ["text"],
            r"a\.json, sentence 0: found a string, .* expected an object with the field 'tokens'",
        ),
        (
            [{"entities": []}],
            r"a\.json, sentence 0: the field 'tokens' is missing; found \['entities'\]",
        ),
        ([edited(tokens="Marie Curie")], "sentence 0 .* the field 'tokens' is a string"),
        (
            [edited(tokens=["Marie", None])],
            "token 1 is null; expected a non-empty string",
        ),
        ([edited(tokens=["Marie", ""])], 'token 1 is a string, ""; expected a non-empty string'),
        ([edited(entities=None)], "the field 'entities' is null; expected a list"),
        ([edited(entities=[[0, 2]])], "entity 0: found a list"),
        ([edited(entities=[{"type": "Loc", "start": 0}])], "entity 0: the field 'end' is missing"),
        ([edited(entities=[{"type": "Loc", "start": "0", "end": 1}])], "'start' is a string"),
        (
            [edited(entities=[{"type": "Loc", "start": False, "end": 1}])],
            "is a truth value",
        ),
        ([edited(entities=[{"type": "Loc", "start": 8, "end": 10}])], "8 to 10 .* has 9 tokens"),
        ([edited(entities=[{"type": "Loc", "start": -1, "end": 1}])], "-1 to 1 .* has 9 tokens"),
        ([edited(entities=[{"type": "Loc", "start": 2, "end": 2}])], "at least one"),
        (
            [edited(entities=[{"type": " ", "start": 0, "end": 2}])],
            "'type' is ' '; expected a label",
        ),
        (
            [edited(relations=[{"type": "Kill", "head": 0, "tail": 3}])],
            "relation 0: its tail is entity 3",
        ),
        (
            [edited(relations=[{"type": "Kill", "head": -1, "tail": 1}])],
            "relation 0: its head is entity -1",
        ),
        ([edited(relations=[{"head": 0, "tail": 1}])], "relation 0: the field 'type' is missing"),
    ],
)
def test_malformed_input_names_the_place_and_the_fix(nlp, data, message):
    with pytest.raises(ValueError, match=message):
        spert_to_docs(data, nlp, source="a.json")


def test_a_relation_between_spans_that_are_no_entities_is_not_written(nlp):
    [doc], _ = spert_to_docs([CURIE], nlp)
    doc._.relations = [*doc._.relations, (doc[0:1], doc[4:5], "Live_In")]
    [written], report = docs_to_spert([doc])
    assert written["relations"] == CURIE["relations"]
    assert report.dropped == {Reason.NOT_AN_ENTITY: 1}
    assert report.n_relations_read == 4


def test_an_argument_of_another_type_is_no_entity(nlp):
    [doc], _ = spert_to_docs([CURIE], nlp)
    doc.ents = [doc.char_span(0, 11, label="Loc")]
    _, report = docs_to_spert([doc])
    assert report.dropped == {Reason.NOT_AN_ENTITY: 3}


def test_relations_set_with_unlabelled_spans_are_written(nlp):
    [doc], _ = spert_to_docs([CURIE], nlp)
    doc._.relations = [(doc[0:2], doc[4:5], "Live_In")]
    [written], _ = docs_to_spert([doc])
    assert written["relations"] == [{"type": "Live_In", "head": 0, "tail": 1}]


def test_writing_counts_documents_without_annotation(nlp):
    [written], report = docs_to_spert([Doc(nlp.vocab, words=["Hello", "there"])])
    assert written == {"tokens": ["Hello", "there"], "entities": []}
    assert report.dropped == {Reason.NO_ENTITY_ANNOTATION: 1}
    assert report.noted == {UNSET_RELATIONS: 1}


def test_strict_mode_applies_to_writing(nlp):
    with pytest.raises(
        ValueError, match=r"out\.spacy, sentence 0: document 'Hello' has no annotation"
    ):
        docs_to_spert([Doc(nlp.vocab, words=["Hello"])], source="out.spacy", strict=True)
