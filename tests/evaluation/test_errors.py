from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spacy.tokens import Doc, Span
from spacy.training import Example
from spacy.vocab import Vocab

from spacy_tabcnn.evaluation.errors import (
    ErrorFinding,
    compare_entities,
    compare_relations,
    count_errors,
    find_errors,
)
from spacy_tabcnn.evaluation.items import EntityItem, RelationItem
from spacy_tabcnn.evaluation.scoring import score_relations
from spacy_tabcnn.relations import set_relations


def ent(start, end, label="PER"):
    return EntityItem(start, end, label)


def rel(head, tail, label="R"):
    return RelationItem(head, tail, label)


ANN, BOB, ROME = ent(0, 3), ent(10, 13), ent(20, 24, "LOC")


def kinds(findings):
    return [(finding.kind, finding.gold, finding.predicted) for finding in findings]


# Entities


@pytest.mark.parametrize(
    "predicted,kind",
    [
        (ent(0, 3), "correct"),
        (ent(0, 3, "LOC"), "wrong type"),
        (ent(0, 2), "wrong boundary"),
        (ent(0, 9), "wrong boundary"),
    ],
)
def test_an_entity_with_one_thing_wrong(predicted, kind):
    assert kinds(compare_entities([ANN], [predicted])) == [(kind, ANN, predicted)]


@pytest.mark.parametrize("predicted", [ent(0, 2, "LOC"), ent(3, 5), ent(10, 13)])
def test_an_entity_with_more_wrong_is_another_one(predicted):
    found = sorted(kinds(compare_entities([ANN], [predicted])))
    assert found == [("missed", ANN, None), ("spurious", None, predicted)]


def test_entities_that_are_not_there():
    assert kinds(compare_entities([ANN], [])) == [("missed", ANN, None)]
    assert kinds(compare_entities([], [ANN])) == [("spurious", None, ANN)]
    assert compare_entities([], []) == []


def test_each_entity_is_compared_once():
    one, other = ent(0, 5), ent(6, 9)
    findings = compare_entities([ent(0, 9)], [one, other])
    assert kinds(findings) == [("wrong boundary", ent(0, 9), one), ("spurious", None, other)]
    findings = compare_entities([one, other], [ent(0, 9)])
    assert kinds(findings) == [("wrong boundary", one, ent(0, 9)), ("missed", other, None)]


def test_the_greatest_overlap_counts():
    small, large = ent(0, 2), ent(3, 9)
    findings = compare_entities([ent(1, 9)], [small, large])
    assert kinds(findings) == [("spurious", None, small), ("wrong boundary", ent(1, 9), large)]


def test_duplicates_count_once():
    assert kinds(compare_entities([ANN, ANN], [ANN])) == [("correct", ANN, ANN)]


# Relations


@pytest.mark.parametrize(
    "predicted,kind",
    [
        (rel(ANN, ROME), "correct"),
        (rel(ANN, ROME, "S"), "wrong type"),
        (rel(ANN._replace(label="ORG"), ROME), "wrong type"),
        (rel(ROME, ANN), "wrong direction"),
        (rel(ent(1, 3), ROME), "wrong boundary"),
        (rel(ANN, ent(20, 30, "LOC")), "wrong boundary"),
    ],
)
def test_a_relation_with_one_thing_wrong(predicted, kind):
    gold = rel(ANN, ROME)
    assert kinds(compare_relations([gold], [predicted])) == [(kind, gold, predicted)]


@pytest.mark.parametrize(
    "predicted",
    [
        rel(ROME, ANN, "S"),
        rel(ent(1, 3), ROME, "S"),
        rel(ANN, BOB),
        rel(ent(1, 3, "ORG"), ROME),
        rel(ROME, ent(1, 3)),
    ],
)
def test_a_relation_with_more_wrong_is_another_one(predicted):
    findings = compare_relations([rel(ANN, ROME)], [predicted])
    assert sorted(finding.kind for finding in findings) == ["missed", "spurious"]


def test_what_is_correct_explains_nothing_else():
    gold, other = rel(ANN, ROME), rel(ROME, ANN)
    assert kinds(compare_relations([gold], [gold, other])) == [
        ("correct", gold, gold),
        ("spurious", None, other),
    ]


# Examples


def test_an_example_is_compared_in_text_order_with_scores(make_doc):
    entities = [(0, 1, "PER"), (3, 4, "LOC")]
    gold = make_doc("Ann lives in Rome", entities, [(0, 1, "LivesIn")])
    predicted = make_doc("Ann lives in Rome", [(0, 1, "PER"), (3, 4, "ORG")], [])
    predicted._.relations = [(*predicted.ents, "LivesIn", 0.75)]
    ann, rome, org = ent(0, 3), ent(10, 14, "LOC"), ent(10, 14, "ORG")
    assert find_errors(Example(predicted, gold)) == [
        ErrorFinding("entity", "correct", ann, ann),
        ErrorFinding("entity", "wrong type", rome, org),
        ErrorFinding(
            "relation", "wrong type", rel(ann, rome, "LivesIn"), rel(ann, org, "LivesIn"), 0.75
        ),
    ]


def test_findings_are_counted_by_unit_and_kind():
    findings = compare_entities([ANN, BOB], [ANN]) + compare_relations([rel(ANN, ROME)], [])
    assert count_errors(findings) == {
        ("entity", "correct"): 1,
        ("entity", "missed"): 1,
        ("relation", "missed"): 1,
    }


def test_what_is_not_annotated_is_not_compared(make_doc):
    predicted = make_doc("Ann Rome", [(0, 1, "PER"), (1, 2, "LOC")], [(0, 1, "R")])
    assert find_errors(Example(predicted, make_doc("Ann Rome"))) == []
    findings = find_errors(Example(predicted, make_doc("Ann Rome", [])))
    assert {finding.unit for finding in findings} == {"entity"}


def test_documents_may_differ_in_tokens_and_whitespace(vocab):
    gold = Doc(vocab, words=["U.S.", "Army"], spaces=[True, False])
    predicted = Doc(vocab, words=["U.", "S.", " ", "Army"], spaces=[False, True, False, False])
    gold.ents, predicted.ents = [Span(gold, 0, 2, "ORG")], [Span(predicted, 0, 4, "ORG")]
    assert [finding.kind for finding in find_errors(Example(predicted, gold))] == ["correct"]


@st.composite
def documents(draw):
    """A document of eight words with entities and relations between them."""
    doc = Doc(Vocab(), words=list("abcdefgh"))
    cuts = sorted(draw(st.sets(st.integers(0, 8), min_size=2)))
    bounds = [pair for pair in pairwise(cuts) if draw(st.booleans())]
    doc.set_ents([Span(doc, *pair, label=draw(st.sampled_from("XY"))) for pair in bounds])
    pairs = [(head, tail) for head in doc.ents for tail in doc.ents if head != tail]
    chosen = draw(st.lists(st.sampled_from(pairs), max_size=4)) if pairs else []
    set_relations(doc, [(head, tail, draw(st.sampled_from("RS"))) for head, tail in chosen])
    return doc


@given(documents(), documents())
def test_the_counts_are_those_of_the_scores(gold, predicted):
    example = Example(predicted, gold)
    findings, scores = find_errors(example), score_relations([example])
    for unit, prefix in (("entity", "ents"), ("relation", "rels_strict")):
        found = [finding for finding in findings if finding.unit == unit]
        correct = sum(finding.kind == "correct" for finding in found)
        n_gold = sum(finding.gold is not None for finding in found)
        n_predicted = sum(finding.predicted is not None for finding in found)
        assert scores[f"{prefix}_p"] == pytest.approx(correct / max(n_predicted, 1))
        assert scores[f"{prefix}_r"] == pytest.approx(correct / max(n_gold, 1))
