import json

import pytest

from spacy_tabcnn.evaluation.decisions import Decisions
from spacy_tabcnn.evaluation.items import entity_items, relation_items
from spacy_tabcnn.evaluation.suspects import describe_suspect, find_suspects
from spacy_tabcnn.predictions import DecodedProbabilities, EntityPrediction
from spacy_tabcnn.relations import set_entity_scores, set_relations

WORDS = "Ann met Bob in Rome"
ANN, BOB, ROME = (0, 1, "PER"), (2, 3, "PER"), (4, 5, "LOC")


@pytest.fixture
def decided(make_doc):
    """Make the decisions of a model: entities, relations, and their scores."""

    def make(entities, relations, scores=None, relation_score=0.9, unlikely=()):
        doc = make_doc(WORDS, entities, relations)
        scores = scores or [0.9] * len(entities)
        set_entity_scores(doc, doc.ents, scores)
        scored = [(*relation[:3], relation_score) for relation in doc._.relations]
        set_relations(doc, scored)
        predictions = [
            EntityPrediction(*ent, score) for ent, score in zip(entities, scores, strict=True)
        ]
        predictions += [EntityPrediction(*ent, 0.1) for ent in unlikely]
        probabilities = DecodedProbabilities(predictions)
        return Decisions(doc, probabilities, entity_items(doc), relation_items(doc), None)

    return make


def find(gold, *decisions, min_confidence=0.5):
    """Return unit, kind, confidence and whether it follows, of each suspect."""
    found = find_suspects([gold], [decisions], min_confidence=min_confidence)
    rows = []
    for suspect in found:
        rows.append((suspect.finding.unit, suspect.kind, round(suspect.confidence, 2)))
    return rows


def test_what_models_confirm_is_no_suspect(make_doc, decided):
    annotation = [ANN, ROME], [(0, 1, "in")]
    assert find(make_doc(WORDS, *annotation), decided(*annotation), min_confidence=0) == []


@pytest.mark.parametrize(
    ("gold", "predicted", "kind"),
    [
        ([ANN], [ANN, BOB], "missing"),
        ([(0, 1, "LOC")], [ANN], "wrong type"),
        ([(0, 2, "PER")], [ANN], "wrong boundary"),
    ],
)
def test_entities_of_each_kind(make_doc, decided, gold, predicted, kind):
    assert find(make_doc(WORDS, gold, []), decided(predicted, [])) == [("entity", kind, 0.9)]


def test_an_extra_entity_is_as_sure_as_it_is_unlikely(make_doc, decided):
    gold = make_doc(WORDS, [ANN, BOB], [])
    assert find(gold, decided([ANN], [], unlikely=[BOB])) == [("entity", "extra", 0.9)]
    # Without a figure, it may be as likely as not.
    assert find(gold, decided([ANN], [])) == [("entity", "extra", 0.5)]


@pytest.mark.parametrize(
    ("gold", "predicted", "kind"),
    [
        ([], [(0, 1, "in")], "missing"),
        ([(0, 1, "of")], [(0, 1, "in")], "wrong type"),
        ([(1, 0, "in")], [(0, 1, "in")], "wrong direction"),
    ],
)
def test_relations_of_each_kind(make_doc, decided, gold, predicted, kind):
    doc = make_doc(WORDS, [ANN, ROME], gold)
    # The relation is as sure as its score times the score of its less sure argument.
    found = find(doc, decided([ANN, ROME], predicted, scores=[0.9, 0.8]))
    assert found == [("relation", kind, 0.72)]


def test_an_extra_relation_between_sure_entities(make_doc, decided):
    gold = make_doc(WORDS, [ANN, ROME], [(0, 1, "in")])
    assert find(gold, decided([ANN, ROME], [])) == [("relation", "extra", 1.0)]


def test_an_extra_relation_is_less_sure_if_the_model_nearly_predicted_it(make_doc, decided):
    gold = make_doc(WORDS, [ANN, ROME], [(0, 1, "in")])
    near = decided([ANN, ROME], [(0, 1, "in")], relation_score=0.3)
    set_relations(near.doc, [])
    assert find(gold, near) == [("relation", "extra", 0.7)]


def test_relations_that_follow_from_an_entity_come_last(make_doc, decided):
    gold = make_doc(WORDS, [ANN, BOB, ROME], [(0, 2, "in")])
    model = decided([ANN, (4, 5, "ORG")], [(0, 1, "in")], scores=[0.9, 0.6], unlikely=[BOB])
    found = find_suspects([gold], [[model]])
    rows = [(suspect.finding.unit, suspect.follows) for suspect in found]
    assert rows == [("entity", False), ("entity", False), ("relation", True)]


def test_models_that_agree_with_gold_lower_the_confidence(make_doc, decided):
    gold = make_doc(WORDS, [ANN], [])
    models = decided([ANN], []), decided([ANN, BOB], [])
    assert find(gold, *models) == []
    assert find(gold, *models, min_confidence=0.4) == [("entity", "missing", 0.45)]


def test_the_most_confident_suspect_comes_first(make_doc, decided):
    docs = [make_doc(WORDS, [ANN], []) for _ in range(3)]
    models = [[decided([ANN, BOB], [], [0.9, score])] for score in (0.6, 0.8, 0.6)]
    assert [suspect.position for suspect in find_suspects(docs, models)] == [1, 0, 2]


def test_a_kind_with_fewer_suspects_comes_first(make_doc, decided):
    """Of a model that misses many entities, a missed one says less than a wrong type."""
    extra = make_doc(WORDS, [ANN, BOB], [])
    wrong = make_doc(WORDS, [ANN, (2, 3, "LOC")], [])
    docs = [extra, extra, wrong, extra]
    missing_bob = [[decided([ANN], [], unlikely=[BOB])]]
    models = [*missing_bob * 2, [decided([ANN, BOB], [], [0.9, 0.6])], *missing_bob]
    found = find_suspects(docs, models)
    kinds = [(suspect.kind, suspect.position) for suspect in found]
    assert kinds == [("wrong type", 2), ("extra", 0), ("extra", 1), ("extra", 3)]
    assert found[0].confidence < found[1].confidence


def test_annotation_that_is_missing_is_no_suspect(make_doc, decided):
    assert find(make_doc(WORDS), decided([ANN, ROME], [(0, 1, "in")])) == []


def test_suspects_are_plain_data_in_characters(make_doc, decided):
    gold = make_doc(WORDS, [ANN, ROME], [])
    gold.user_data["orig_id"] = 7
    (suspect,) = find_suspects([gold], [[decided([ANN, ROME], [(0, 1, "in")])]])
    record = json.loads(json.dumps(describe_suspect(suspect, gold)))
    assert (record["id"], record["unit"], record["kind"]) == (7, "relation", "missing")
    assert record["gold"] is None
    tail = {"start": 15, "end": 19, "label": "LOC", "text": "Rome"}
    assert record["predicted"]["tail"] == tail
    assert WORDS[15:19] == "Rome"
