"""PFN with spaCy's own trainable tok2vec. What it shares with the other components is tested in
test_baselines.py and test_relation_table.py."""

import warnings

import numpy as np
import pytest
import spacy
from spacy.tokens import Span
from spacy.util import fix_random_seed
from thinc.api import Adam

from spacy_tabcnn.evaluation.decisions import decide
from spacy_tabcnn.pipeline import word_pair_relations
from spacy_tabcnn.pipeline.word_pair_relations import WordPairRelations
from spacy_tabcnn.relations import set_entity_scores
from spacy_tabcnn.sentences import Sentences, Windows
from spacy_tabcnn.word_pairs.cells import CellFinder
from spacy_tabcnn.word_pairs.logits import WordPairLogits

from .conftest import TRAIN_DATA
from .test_relation_table import TEXTS, TINY_TOK2VEC, are_equal, facts, parameters_of, train

TINY_MODEL = {"tok2vec": TINY_TOK2VEC, "hidden": 24}
N_STEPS = 200


def make_nlp(name="pfn", model=(), **config):
    nlp = spacy.blank("en")
    nlp.add_pipe(name, config={"model": TINY_MODEL | dict(model), **config})
    return nlp


@pytest.fixture(scope="module")
def trained(make_examples):
    """A pipeline that has learned TRAIN_DATA by heart, for tests that leave it as it is."""
    nlp = make_nlp(model={"dropconnect": 0.0})
    train(nlp, make_examples(nlp), steps=N_STEPS)
    return nlp


@pytest.fixture
def learner(trained):
    """A copy of `trained`, for tests that change it."""
    return make_nlp(model={"dropconnect": 0.0}).from_bytes(trained.to_bytes())


# Creating


@pytest.mark.parametrize("name", ["word_pair_relations", "pfn"])
def test_factories(name):
    component = spacy.blank("en").add_pipe(name)
    assert isinstance(component, WordPairRelations)
    assert component.name == name


def test_defaults_are_those_of_the_authors(make_examples):
    nlp = spacy.blank("en")
    component = nlp.add_pipe("pfn")
    expected = {
        "entity_threshold": 0.5,
        "min_score": 0.5,
        "type_constraints": False,
        "max_length": 256,
        "entities": "predict",
    }
    assert component.cfg.items() >= expected.items()
    nlp.initialize(lambda: make_examples(nlp))
    module = component.model.get_ref("head").shims[0]._model
    assert module.cell.transformation.weight.shape == (300, 900)
    assert module.cell.dropconnect == 0.1 and module.last_words is None


@pytest.mark.parametrize(
    "config, message",
    [
        ({"min_score": 1.5}, "Component 'mine': min_score is 1.5; expected a probability"),
        ({"entity_threshold": -1.0}, "Component 'mine': entity_threshold is -1.0; expected"),
        ({"max_length": 1}, "Component 'mine': max_length is 1; expected at least 2 words"),
    ],
)
def test_values_out_of_range_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        spacy.blank("en").add_pipe("pfn", name="mine", config={"model": TINY_MODEL, **config})


def test_another_value_of_entities_is_refused():
    model = make_nlp().get_pipe("pfn").model
    with pytest.raises(ValueError, match="entities is 'some'; expected 'predict', 'given' or"):
        WordPairRelations(spacy.blank("en").vocab, model, entities="some")


# Predicting


def make_logits(component, doc, entities, relations):
    """Logits of given spans [(first, last, type, probability)] and pairs [(i, j, probability)]."""
    scheme, windows = component.label_scheme, Windows(Sentences.of_docs([doc]), 256)
    finder = CellFinder(windows)
    spans = np.full((finder.n_spans, len(scheme.entities)), 0.01)
    for first, last, label, prob in entities:
        cell = finder.find_spans(np.array([0]), np.array([first]), np.array([last]))
        spans[cell, scheme.entities.index(label)] = prob
    pairs = np.full((finder.n_pairs, len(scheme.relations)), 0.01)
    for i, j, prob in relations:
        pairs[finder.find_pairs(np.array([0]), np.array([i]), np.array([j]))] = prob
    logits = [np.log(probs / (1 - probs)) for probs in (spans, pairs)]
    return WordPairLogits(*logits, windows)


@pytest.fixture
def annotate(make_doc):
    """Annotate a document by logits in which two entities overlap."""

    def annotate(given=(), **config):
        component = make_nlp(**config).get_pipe("pfn")
        component.cfg["labels"] = {
            "entities": ["PER", "LOC"],
            "relations": {"LiveIn": [["LOC", "PER"]]},
        }
        doc = make_doc("Ada Lovelace Rome", vocab=component.vocab)
        if given:
            doc.set_ents([Span(doc, *bounds, label=label) for *bounds, label in given])
        entities = [(0, 1, "PER", 0.6), (1, 1, "PER", 0.8), (2, 2, "LOC", 0.7)]
        relations = [(0, 2, 0.9), (1, 2, 0.55), (2, 1, 0.6)]
        component.set_annotations([doc], make_logits(component, doc, entities, relations))
        return doc

    return annotate


def test_overlapping_entities(annotate):
    """`doc.spans` has all, `doc.ents` and the relations the best, and all have a score."""
    doc = annotate()
    spans = doc.spans["pfn"]
    assert [span.text for span in spans] == ["Ada Lovelace", "Lovelace", "Rome"]
    assert [span._.entity_score for span in spans] == pytest.approx([0.6, 0.8, 0.7])
    assert [ent.text for ent in doc.ents] == ["Lovelace", "Rome"]
    assert facts(doc) == [("Lovelace", "LiveIn", "Rome"), ("Rome", "LiveIn", "Lovelace")]
    assert [relation.score for relation in doc._.relations] == pytest.approx([0.55, 0.6])


@pytest.mark.parametrize(
    "config, ents, relations",
    [
        ({"entity_threshold": 0.75}, ["Lovelace"], []),
        ({"min_score": 0.58}, ["Lovelace", "Rome"], [("Rome", "LiveIn", "Lovelace")]),
        ({"type_constraints": True}, ["Lovelace", "Rome"], [("Rome", "LiveIn", "Lovelace")]),
    ],
)
def test_settings_of_the_decision(annotate, config, ents, relations):
    doc = annotate(**config)
    assert [ent.text for ent in doc.ents] == ents and facts(doc) == relations


def test_every_span_is_rated(trained):
    """Not only the predicted ones, so that a gold entity that is missed has a probability."""
    nlp = trained
    (found,) = decide(nlp, [nlp.make_doc("Ada Lovelace lived in London .")])
    assert found.entities.score(0, 2, "PER") == pytest.approx(found.doc.ents[0]._.entity_score)
    assert found.entities.score(2, 3, "PER") < 0.1
    n_types = len(nlp.get_pipe("pfn").label_scheme.entities)
    assert found.entities.decisions.shape == (21 * n_types, 2)


def test_given_entities_are_rated_alone(trained, monkeypatch):
    nlp = trained
    monkeypatch.setitem(nlp.get_pipe("pfn").cfg, "entities", "given")
    doc = nlp.make_doc("Ada Lovelace lived in London .")
    doc.ents = [Span(doc, 4, 5, label="LOC")]
    (found,) = decide(nlp, [doc])
    assert found.entities.decisions.tolist() == [[1.0, 0.0]]


def test_given_entities(annotate):
    doc = annotate([(0, 2, "NAME"), (2, 3, "LOC")], entities="given")
    assert [ent.label_ for ent in doc.ents] == ["NAME", "LOC"]
    assert facts(doc) == [("Ada Lovelace", "LiveIn", "Rome")]
    assert "pfn" not in doc.spans and doc.ents[0]._.entity_score is None


def test_merged_entities(annotate):
    doc = annotate([(0, 1, "NAME")], entities="merge")
    assert [(ent.text, ent.label_) for ent in doc.ents] == [
        ("Ada", "NAME"),
        ("Lovelace", "PER"),
        ("Rome", "LOC"),
    ]
    assert facts(doc) == [
        ("Ada", "LiveIn", "Rome"),
        ("Lovelace", "LiveIn", "Rome"),
        ("Rome", "LiveIn", "Lovelace"),
    ]
    assert [ent._.entity_score for ent in doc.ents] == [
        None,
        pytest.approx(0.8),
        pytest.approx(0.7),
    ]


def test_merged_entities_keep_their_scores(trained, learner):
    learner.get_pipe("pfn").cfg["entities"] = "merge"
    doc = learner.make_doc(TEXTS[0])
    doc.set_ents([Span(doc, 4, 5, label="LOC")])
    set_entity_scores(doc, doc.ents, [0.25])
    doc = learner(doc)
    assert [ent.text for ent in doc.ents] == ["Ada Lovelace", "London"]
    assert doc.ents[1]._.entity_score == 0.25 and facts(doc) == facts(trained(TEXTS[0]))


def test_a_given_entity_across_sentences_gets_no_relations(learner):
    learner.get_pipe("pfn").cfg["entities"] = "given"
    doc = learner.make_doc(TEXTS[0])
    doc[1].is_sent_start = True
    doc.set_ents([Span(doc, 0, 2, label="PER"), Span(doc, 4, 5, label="LOC")])
    with pytest.warns(UserWarning, match="'Ada Lovelace', crosses a sentence boundary"):
        assert learner(doc)._.relations == ()


@pytest.mark.parametrize("max_logits", [1, 5 * (6 * 6 + 7 * 7)])
def test_large_batches_are_divided(trained, monkeypatch, max_logits):
    expected = [facts(doc) for doc in trained.pipe(TEXTS)]
    monkeypatch.setattr(word_pair_relations, "MAX_LOGITS", max_logits)
    assert [facts(doc) for doc in trained.pipe(TEXTS)] == expected


def test_windows_of_a_long_document(make_examples):
    """Texts without sentence boundaries are longer than a table."""
    nlp = make_nlp(max_length=8, model={"dropconnect": 0.0})
    data = [
        (f"{one} {other}", [*ents, *[(s + 6, e + 6, label) for s, e, label in others]], rels)
        for (one, ents, rels), (other, others, _) in [(TRAIN_DATA[0], TRAIN_DATA[1])]
    ]
    examples = make_examples(nlp, data)
    train(nlp, examples, steps=N_STEPS)
    assert nlp.evaluate(examples)["rels_strict_f"] == 1.0
    assert len(nlp(data[0][0]).ents) == 4


# Learning


def test_same_seed_same_model(make_examples):
    """Also with dropout and DropConnect."""
    models = []
    for seed in (0, 0, 1):
        fix_random_seed(0)
        nlp = make_nlp(model={"dropconnect": 0.5})
        nlp.initialize(lambda nlp=nlp: make_examples(nlp))
        fix_random_seed(seed)
        sgd = Adam(0.01)
        for _ in range(2):
            nlp.update(make_examples(nlp), sgd=sgd, drop=0.3)
        models.append(parameters_of(nlp.get_pipe("pfn")))
    assert are_equal(models[0], models[1]) and not are_equal(models[0], models[2])


@pytest.mark.parametrize("config", [{"dropout": 0.5}, {"dropconnect": 0.5}])
def test_dropout_of_the_config(learner, make_examples, config):
    nlp = make_nlp(model={"dropconnect": 0.0, **config}).from_bytes(learner.to_bytes())
    losses = [nlp.get_pipe("pfn").update(make_examples(nlp))["pfn"] for _ in range(2)]
    assert losses[0] != losses[1]


def test_loss_of_predictions(learner, make_examples):
    component, examples = learner.get_pipe("pfn"), make_examples(learner)
    logits = component.predict([eg.predicted for eg in examples])
    loss, gradient = component.get_loss(examples, logits)
    assert 0.0 < loss < 0.05
    assert gradient.entities.shape == logits.entities.shape
    assert gradient.relations.shape == logits.relations.shape


def test_the_loss_of_a_sentence_does_not_depend_on_its_batch(learner, make_examples):
    component, examples = learner.get_pipe("pfn"), make_examples(learner)
    together = component.update(examples)["pfn"]
    alone = sum(component.update([eg])["pfn"] for eg in examples)
    assert together == pytest.approx(alone, rel=1e-4)


def test_entities_can_be_learned_where_relations_are_not_annotated(learner, make_examples):
    words, entities, relations = TRAIN_DATA[0]
    module = learner.get_pipe("pfn").model.get_ref("head").shims[0]._model
    for annotation, is_learned in ((None, False), (relations, True)):
        module.zero_grad()
        learner.get_pipe("pfn").update(make_examples(learner, [(words, entities, annotation)]))
        assert module.entities.label.weight.grad.any()
        assert bool(module.relations.label.weight.grad.any()) == is_learned


def test_relations_across_windows_are_warned_about_once(make_examples):
    nlp = make_nlp(max_length=6)
    message = r"'pfn' cannot learn from: 1 relations across windows \(max_length is 6\)"
    with pytest.warns(UserWarning, match=message):
        nlp.initialize(lambda: make_examples(nlp))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nlp.update(make_examples(nlp), sgd=Adam(0.01))


def test_a_loss_out_of_all_proportion_stops_training(learner, make_examples):
    module = learner.get_pipe("pfn").model.get_ref("head").shims[0]._model
    module.entities.label.bias.data += 1000.0
    with pytest.raises(ValueError, match="Component 'pfn': the loss has grown to"):
        learner.update(make_examples(learner))
