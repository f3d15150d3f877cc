import numpy as np
import pytest
import spacy
from spacy.tokens import Span

from spacy_tabcnn.corpora.docbin import read_docbin
from spacy_tabcnn.documents import copy_words
from spacy_tabcnn.evaluation.decisions import Decisions, _hash_words, decide
from spacy_tabcnn.evaluation.items import EntityItem, RelationItem
from spacy_tabcnn.evaluation.selection import (
    choose_documents,
    list_labels,
    measure_disagreement,
    measure_uncertainty,
)
from spacy_tabcnn.predictions import DecodedProbabilities, EntityPrediction

EAST, NORTH, WEST = np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array([-1.0, 0.0])
SAME = [EAST] * 9


def make_decisions(doc, entities=(), relations=()):
    """Return decisions with the probabilities of entities and relations."""
    predictions = [EntityPrediction(k, k + 1, "A", score) for k, score in enumerate(entities)]
    ent = EntityItem(0, 1, "A")
    items = {RelationItem(ent, ent, str(k)): score for k, score in enumerate(relations)}
    return Decisions(doc, DecodedProbabilities(predictions), {}, items, EAST)


@pytest.mark.parametrize(("measure", "expected"), [("margin", 1.0), ("entropy", 1.0)])
def test_an_even_decision_has_the_uncertainty_1(make_doc, measure, expected):
    found = measure_uncertainty(make_decisions(make_doc("a"), [0.5]), measure)
    assert found == (pytest.approx(expected), 0.0)


@pytest.mark.parametrize("measure", ["margin", "entropy"])
def test_a_sure_decision_has_no_uncertainty(make_doc, measure):
    found = measure_uncertainty(make_decisions(make_doc("a"), [1.0], [0.0]), measure)
    assert found.score == 0.0


def test_uncertainty_is_divided_by_the_root_of_the_number_of_words(make_doc):
    found = measure_uncertainty(make_decisions(make_doc("a b c d"), [0.5, 0.5], [0.5]))
    assert found == (1.0, 0.5)


def test_a_document_without_words_or_decisions_is_sure(make_doc):
    assert measure_uncertainty(make_decisions(make_doc([]))).score == 0.0


def test_models_that_agree_have_no_disagreement(make_doc):
    doc = make_doc("a b", [(0, 1, "A"), (1, 2, "B")], [(0, 1, "r")])
    assert measure_disagreement([doc, doc]).score == 0.0


def test_models_disagree_about_entities_and_relations(make_doc):
    one = make_doc("a b", [(0, 1, "A"), (1, 2, "B")], [(0, 1, "r")])
    other = make_doc("a b", [(0, 1, "A"), (1, 2, "C")], [])
    # Of the types of "b", each has half of the votes; so has the relation.
    assert measure_disagreement([one, other]) == pytest.approx((2 / 2**0.5, 1 / 2**0.5))


def test_the_highest_scores_are_chosen_without_diversity():
    assert choose_documents([0.1, 0.3, 0.2], SAME, 2, diversity=1).positions == [1, 2]


def test_ties_go_to_the_first_document():
    assert choose_documents([0.5] * 4, SAME, 2).positions == [0, 1]


def test_all_are_chosen_of_too_few():
    assert choose_documents([0.1, 0.2], SAME, 5).positions == [1, 0]


def test_nothing_is_chosen_of_nothing():
    assert choose_documents([], [], 5).positions == []


def test_candidates_far_from_chosen_ones_are_preferred():
    scores, vectors = [0.9, 0.8, 0.7, 0.1], [EAST, EAST, NORTH, WEST]
    assert choose_documents(scores, vectors, 2, diversity=1.5).positions == [0, 2]
    assert choose_documents(scores, vectors, 2, diversity=2).positions == [0, 3]


def test_a_quota_takes_the_documents_of_a_label_first():
    labels = [{"A"}, {"A"}, {"B"}, {"B"}]
    choice = choose_documents([0.4, 0.3, 0.1, 0.2], SAME, 2, labels=labels, quotas={"B": 1})
    assert choice == ([0, 3], {})


def test_a_document_counts_for_all_of_its_quotas():
    labels = [{"A", "B"}, {"A"}, set()]
    choice = choose_documents([0.1, 0.2, 0.3], SAME, 2, labels=labels, quotas={"B": 1, "A": 1})
    assert choice == ([2, 0], {})


def test_a_quota_that_cannot_be_filled_is_reported():
    labels = [{"A"}, set()]
    choice = choose_documents([0.1, 0.2], SAME, 2, labels=labels, quotas={"A": 3, "B": 1})
    assert choice.lacking == {"A": 2, "B": 1}


@pytest.mark.parametrize("diversity", [0.5, float("inf"), float("nan")])
def test_diversity_is_a_number_from_1_on(diversity):
    with pytest.raises(ValueError, match=f"diversity is {diversity}"):
        choose_documents([0.1], SAME, 1, diversity=diversity)


def test_labels_of_entities_and_relations_are_listed(make_doc):
    doc = make_doc("a b", [(0, 1, "A"), (1, 2, "B")], [(0, 1, "r")])
    assert list_labels(doc) == {"A", "B", "r"}


@pytest.fixture(scope="module")
def trained(tiny_run, tiny_corpus):
    """A pipeline, and the documents that it was trained on."""
    nlp = spacy.load(tiny_run / "model-last")
    return nlp, list(read_docbin(tiny_corpus, nlp.vocab))


def predict(nlp, docs):
    return decide(nlp, [copy_words(doc, nlp.vocab) for doc in docs], batch_size=4)


def test_decisions_have_the_annotation_of_the_pipeline(trained, assert_same_annotations):
    nlp, docs = trained
    expected = list(nlp.pipe([copy_words(doc, nlp.vocab) for doc in docs]))
    assert_same_annotations([found.doc for found in predict(nlp, docs)], expected)


def test_candidates_below_the_threshold_have_probabilities(trained):
    nlp, docs = trained
    found = list(predict(nlp, docs))
    n_predicted = sum(len(decisions.doc._.relations) for decisions in found)
    assert sum(len(decisions.relations) for decisions in found) > n_predicted
    assert nlp.get_pipe("tabcnn").cfg["min_score"] is None


def test_gold_entities_are_probable_and_others_are_not(trained):
    nlp, docs = trained
    decisions = next(predict(nlp, docs[:1]))
    ent = docs[0].ents[0]
    assert decisions.entities.score(ent.start, ent.end, ent.label_) > 0.8
    assert decisions.entities.score(0, len(docs[0]), ent.label_) < 0.1
    assert decisions.entities.score(ent.start, ent.end, "unknown") == 0.0


def test_vectors_have_length_1_and_documents_without_words_have_none(trained):
    nlp, docs = trained
    found = list(decide(nlp, [nlp.make_doc(""), copy_words(docs[0], nlp.vocab)]))
    lengths = [float(np.linalg.norm(decisions.vector)) for decisions in found]
    assert lengths == [0.0, pytest.approx(1.0)]
    assert found[0].vector.shape == found[1].vector.shape
    assert measure_uncertainty(found[0]).score == 0.0


def test_a_pipeline_without_relations_is_refused():
    with pytest.raises(ValueError, match=r"no component that predicts relations"):
        list(decide(spacy.blank("en"), []))


def test_spert_rates_all_spans(tiny_corpus):
    nlp = spacy.blank("en")
    docs = list(read_docbin(tiny_corpus, nlp.vocab))
    nlp.add_pipe("spert")
    examples = [spacy.training.Example(copy_words(doc, nlp.vocab), doc) for doc in docs]
    nlp.initialize(lambda: examples)
    decisions = list(predict(nlp, docs[:2]))
    n_types = 1 + len(nlp.get_pipe("spert").label_scheme.entities)
    for found, doc in zip(decisions, docs[:2], strict=True):
        shape = found.entities.decisions.shape
        assert shape[0] > len(doc) and shape[1] == n_types
        ent = doc.ents[0]
        assert 0.0 < found.entities.score(ent.start, ent.end, ent.label_) < 1.0
        assert measure_uncertainty(found, "entropy").entities > 0.0


def test_given_entities_are_no_decisions(trained, monkeypatch):
    nlp, docs = trained
    monkeypatch.setitem(nlp.get_pipe("tabcnn").cfg, "entities", "given")
    doc = copy_words(docs[0], nlp.vocab)
    doc.ents = [Span(doc, ent.start, ent.end, label=ent.label_) for ent in docs[0].ents]
    (decisions,) = decide(nlp, [doc])
    assert measure_uncertainty(decisions).entities == 0.0
    assert len(decisions.entities.decisions) == len(doc.ents)


def test_texts_without_embeddings_are_compared_by_words(make_doc):
    vectors = [_hash_words(make_doc(text)) for text in ("a b c", "C b a", "x y z")]
    assert vectors[0] @ vectors[1] == pytest.approx(1.0)
    assert vectors[0] @ vectors[2] < 0.5
