"""The component with spaCy's own trainable tok2vec; with a transformer, see
test_baselines_transformer.py. What it shares with `relation_table` is tested there at
length."""

import warnings

import numpy as np
import pytest
import spacy
from spacy.util import fix_random_seed
from thinc.api import Adam

from spacy_tabcnn.pipeline.span_relations import SpanRelations
from spacy_tabcnn.sentences import Sentences
from spacy_tabcnn.spans.logits import SpanLogits

from .conftest import TRAIN_DATA
from .test_relation_table import (
    TEXTS,
    TINY_TOK2VEC,
    are_equal,
    facts,
    parameters_of,
    train,
)

TINY_MODEL = {"tok2vec": TINY_TOK2VEC, "width_embedding": 5}
N_STEPS = 150


def make_nlp(name="spert", **config):
    nlp = spacy.blank("en")
    nlp.add_pipe(name, config={"model": TINY_MODEL, **config})
    return nlp


@pytest.fixture(scope="module")
def trained(make_examples):
    """A pipeline that has learned TRAIN_DATA by heart, for tests that leave it as it is."""
    nlp = make_nlp()
    train(nlp, make_examples(nlp), steps=N_STEPS)
    return nlp


@pytest.fixture
def learner(trained):
    """A copy of `trained`, for tests that change it."""
    return make_nlp().from_bytes(trained.to_bytes())


# Creating


@pytest.mark.parametrize("name", ["span_relations", "spert"])
def test_factories(name):
    component = spacy.blank("en").add_pipe(name)
    assert isinstance(component, SpanRelations)
    assert component.name == name


def test_defaults_are_those_of_the_paper():
    component = spacy.blank("en").add_pipe("spert")
    assert (
        component.cfg.items()
        >= {
            "min_score": 0.4,
            "max_length": 256,
            "negative_entities": 100,
            "negative_relations": 100,
        }.items()
    )
    assert component.model.attrs["max_width"] == 10


@pytest.mark.parametrize(
    "config, message",
    [
        ({"min_score": 1.5}, "Component 'mine': min_score is 1.5; expected a probability"),
        ({"max_length": 1}, "Component 'mine': max_length is 1; expected at least 2 words"),
        (
            {"negative_entities": -1},
            "Component 'mine': negative_entities is -1; expected 0 or more",
        ),
        (
            {"negative_relations": -1},
            "Component 'mine': negative_relations is -1; expected 0 or more",
        ),
    ],
)
def test_values_out_of_range_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        spacy.blank("en").add_pipe("spert", name="mine", config={"model": TINY_MODEL, **config})


# Labels


# Predicting


def make_logits(component, doc, entities, relations):
    """Logits of given spans [(start, end, type, probability)] and pairs [(head, tail,
    probability)]."""
    scheme = component.label_scheme
    probs = np.full((len(entities), 1 + len(scheme.entities)), 1e-6)
    for i, (_, _, label, prob) in enumerate(entities):
        probs[i, 0], probs[i, 1 + scheme.entities.index(label)] = 1 - prob, prob
    scores = np.array([[prob] * len(scheme.relations) for _, _, prob in relations])
    return SpanLogits(
        np.array([(start, end, 0) for start, end, _, _ in entities]),
        np.log(probs),
        np.array([(head, tail) for head, tail, _ in relations]),
        np.log(scores / (1 - scores)),
        Sentences.of_docs([doc]),
    )


@pytest.mark.parametrize(
    "min_score, expected", [(0.4, [("Lovelace", "LiveIn", "Rome")]), (0.6, [])]
)
def test_overlapping_entities(make_doc, min_score, expected):
    """`doc.spans` has all, `doc.ents` and the relations the best, and all have a score."""
    component = make_nlp(min_score=min_score).get_pipe("spert")
    component.cfg["labels"] = {"entities": ["PER", "LOC"], "relations": {"LiveIn": []}}
    doc = make_doc("Ada Lovelace Rome", vocab=component.vocab)
    entities = [(0, 2, "PER", 0.6), (1, 2, "PER", 0.8), (2, 3, "LOC", 0.7)]
    component.set_annotations([doc], make_logits(component, doc, entities, [(1, 2, 0.5)]))
    assert [(span.text, span.label_) for span in doc.spans["spert"]] == [
        ("Ada Lovelace", "PER"),
        ("Lovelace", "PER"),
        ("Rome", "LOC"),
    ]
    assert [span._.entity_score for span in doc.spans["spert"]] == pytest.approx(
        [0.6, 0.8, 0.7], abs=1e-4
    )
    assert [ent.text for ent in doc.ents] == ["Lovelace", "Rome"]
    assert facts(doc) == expected


# Learning


def test_same_seed_same_model(make_examples):
    """Also where negatives are sampled."""
    models = []
    for seed in (0, 0, 1):
        nlp = make_nlp(negative_entities=5, negative_relations=1)
        nlp.initialize(lambda nlp=nlp: make_examples(nlp))
        nlp.from_bytes(make_initialised(make_examples))
        fix_random_seed(seed)
        sgd = Adam(0.01)
        for _ in range(2):
            nlp.update(make_examples(nlp), sgd=sgd, drop=0.0)
        models.append(parameters_of(nlp.get_pipe("spert")))
    assert are_equal(models[0], models[1]) and not are_equal(models[0], models[2])


def make_initialised(make_examples):
    fix_random_seed(0)
    nlp = make_nlp(negative_entities=5, negative_relations=1)
    nlp.initialize(lambda: make_examples(nlp))
    return nlp.to_bytes()


@pytest.mark.parametrize("config", [{"negative_entities": 0}, {"negative_relations": 0}])
def test_negatives_are_learned_from(learner, make_examples, config):
    """Without them less is scored, so another loss comes out."""
    fewer = make_nlp(**config).from_bytes(learner.to_bytes())
    examples = make_examples(
        learner,
        [
            (words, [], []) if "rained" in words else (words, ents, rels)
            for words, ents, rels in TRAIN_DATA
        ],
    )
    losses = [nlp.get_pipe("spert").update(examples)["spert"] for nlp in (learner, fewer)]
    assert losses[0] != losses[1]


def test_loss_of_predictions(learner, make_examples):
    """`get_loss` scores whatever candidates it is given, here all spans."""
    component, examples = learner.get_pipe("spert"), make_examples(learner)
    logits = component.predict([eg.predicted for eg in examples])
    loss, gradient = component.get_loss(examples, logits)
    assert 0.0 < loss < 0.05
    assert (
        gradient.entities.shape == logits.entities.shape
        and gradient.relations.shape == logits.relations.shape
    )


def test_entities_can_be_learned_where_relations_are_not_annotated(learner, make_examples):
    words, entities, relations = TRAIN_DATA[0]
    relation_layer = (
        learner.get_pipe("spert").model.get_ref("head").shims[0]._model.relation_classifier
    )
    for annotation, is_learned in ((None, False), (relations, True)):
        learner.get_pipe("spert").update(make_examples(learner, [(words, entities, annotation)]))
        assert bool(relation_layer.weight.grad.any()) == is_learned


def test_wide_entities_are_warned_about_once(make_examples):
    nlp = make_nlp(model={**TINY_MODEL, "max_width": 2})
    message = (
        "Component 'spert' cannot learn from: 1 entities of more than 2 words; "
        "1 relations of a span"
    )
    with pytest.warns(UserWarning, match=message):
        nlp.initialize(lambda: make_examples(nlp))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nlp.update(make_examples(nlp), sgd=Adam(0.01))


def test_config_max_length(make_examples):
    """Relations over more words are neither learned nor found."""
    nlp = make_nlp(max_length=6)
    with pytest.warns(UserWarning, match="cannot learn from: 1 relations over more than 6 words"):
        train(nlp, make_examples(nlp), steps=N_STEPS)
    doc = nlp(TEXTS[2])
    assert len(doc.ents) == 3
    assert facts(doc) == [("Grace Hopper", "WorkFor", "Navy")]


# With other components
