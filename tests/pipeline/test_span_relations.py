"""The component with spaCy's own trainable tok2vec; with a transformer, see
test_span_relations_transformer.py. What it shares with `relation_table` is tested there at
length."""

import pickle
import warnings

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import DocBin, Span
from spacy.util import fix_random_seed
from thinc.api import Adam

from spacy_tabcnn.pipeline.span_relations import SpanRelations
from spacy_tabcnn.relations import has_relations
from spacy_tabcnn.sentences import Sentences
from spacy_tabcnn.spans.logits import SpanLogits
from spacy_tabcnn.training.optimizer import AdamW

from .conftest import TRAIN_DATA
from .test_relation_table import (
    FULL_TOK2VEC,
    LABEL_DATA,
    TEXTS,
    TINY_TOK2VEC,
    are_equal,
    assert_close,
    describe,
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


def test_replaced_entities_are_warned_of(learner):
    doc = learner.make_doc("Ada Lovelace lived in London")
    doc.set_ents([Span(doc, 0, 1, label="NAME")])
    with pytest.warns(
        UserWarning, match=r"'spert' replaces .* 'Ada' \(NAME\)\. .* always predicts"
    ):
        learner(doc)
    assert facts(learner(doc)) == facts(learner("Ada Lovelace lived in London"))


@pytest.mark.parametrize("name", ["span_relations", "spert"])
def test_factories(name):
    component = spacy.blank("en").add_pipe(name)
    assert isinstance(component, SpanRelations)
    assert component.name == name
    meta = Language.get_factory_meta(name)
    assert {"doc.ents", "doc.spans", "doc._.relations", "span._.entity_score"} <= set(meta.assigns)
    assert sum(weight or 0.0 for weight in meta.default_score_weights.values()) == 1.0


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


def test_labels_from_the_data(make_examples):
    nlp = make_nlp()
    nlp.initialize(lambda: make_examples(nlp))
    assert nlp.get_pipe("spert").label_data == LABEL_DATA


def test_given_labels(make_examples):
    nlp = make_nlp()
    nlp.config["initialize"]["components"]["spert"] = {"labels": LABEL_DATA}
    nlp.initialize(lambda: make_examples(nlp, TRAIN_DATA[:2]))
    assert nlp.get_pipe("spert").label_data == LABEL_DATA


def test_added_labels(make_examples):
    nlp = make_nlp()
    component = nlp.get_pipe("spert")
    assert component.add_label("PER") == 1
    assert component.add_label("LiveIn", kind="relation") == 1
    nlp.initialize()
    assert component.labels == ("PER", "LiveIn")
    assert has_relations(nlp("Ada lives in London"))


def test_no_label():
    with pytest.raises(ValueError, match="Component 'spert': the training data holds no entities"):
        make_nlp().initialize()


def test_no_relation_label(make_examples):
    nlp = make_nlp()
    examples = make_examples(nlp, [(words, entities, []) for words, entities, _ in TRAIN_DATA])
    assert train(nlp, examples, steps=2)["spert"] > 0.0
    assert nlp(TEXTS[0])._.relations == ()


# Predicting


def test_predictions(trained):
    doc = trained("Grace Hopper of the Navy lived in New York City .")
    assert [(ent.text, ent.label_) for ent in doc.ents] == [
        ("Grace Hopper", "PER"),
        ("Navy", "ORG"),
        ("New York City", "LOC"),
    ]
    assert facts(doc) == [
        ("Grace Hopper", "WorkFor", "Navy"),
        ("Grace Hopper", "LiveIn", "New York City"),
    ]
    assert all(0.0 < ent._.entity_score <= 1.0 for ent in doc.ents)
    assert all(0.4 <= relation.score <= 1.0 for relation in doc._.relations)
    assert set(doc.ents) <= set(doc.spans["spert"])


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


def test_untrained_component_is_refused(make_examples):
    nlp = make_nlp()
    with pytest.raises(ValueError, match=r"E109.*spert"):
        nlp("Ada lives in London")
    with pytest.raises(ValueError, match="E109"):
        nlp.get_pipe("spert").update(make_examples(nlp))


@pytest.mark.parametrize("texts", [[], [""], ["", "Ada", "", "It rained all day ."]])
def test_empty_documents(trained, texts):
    docs = list(trained.pipe(texts))
    assert [doc.text for doc in docs] == texts
    assert all(has_relations(doc) and "spert" in doc.spans for doc in docs)


def test_former_annotation_is_replaced(trained):
    doc = trained.make_doc(TEXTS[3])
    doc.ents = [doc.char_span(0, 2, "PER")]
    doc._.relations = [(doc.ents[0], doc.ents[0], "Old")]
    doc = trained(doc)
    assert (doc.ents, doc._.relations, len(doc.spans["spert"])) == ((), (), 0)


def test_sentences_are_annotated_as_if_alone(trained):
    doc = trained.make_doc(f"{TEXTS[0]} {TEXTS[1]}")
    doc[6].is_sent_start = True
    doc = trained(doc)
    alone = [trained(TEXTS[0]), trained(TEXTS[1])]
    assert facts(doc) == [fact for one in alone for fact in facts(one)]


@pytest.mark.parametrize("batch_size", [3, 100])
def test_batches_and_their_order_do_not_change_predictions(trained, batch_size):
    for texts in (TEXTS, TEXTS[::-1]):
        for doc, text in zip(trained.pipe(texts, batch_size=batch_size), texts, strict=True):
            assert_close(describe(doc), describe(trained(text)))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.usefixtures("fork_guard")
def test_worker_processes(trained):
    docs = list(trained.pipe(TEXTS, n_process=2, batch_size=4))
    for doc, text in zip(docs, TEXTS, strict=True):
        assert_close(describe(doc), describe(trained(text)))
        assert len(doc.spans["spert"]) >= len(doc.ents)


# Learning


def test_overfitting_IO(learner, make_examples, tmp_path):
    examples = make_examples(learner)
    assert learner.get_pipe("spert").update(examples)["spert"] < 0.01
    scores = learner.evaluate(examples)
    for key in (
        "ents_f",
        "rels_boundaries_f",
        "rels_strict_f",
        "ents_macro_f",
        "rels_strict_macro_f",
    ):
        assert scores[key] == 1.0
    learner.to_disk(tmp_path)
    copies = {
        "disk": spacy.load(tmp_path),
        "bytes": make_nlp().from_bytes(learner.to_bytes()),
        "pickle": pickle.loads(pickle.dumps(learner)),
    }
    for how, copy in copies.items():
        for text in TEXTS:
            assert describe(copy(text)) == describe(learner(text)), how


def test_annotations_survive_a_docbin(trained):
    docs = list(trained.pipe(TEXTS))
    copies = (
        DocBin()
        .from_bytes(DocBin(docs=docs, store_user_data=True).to_bytes())
        .get_docs(trained.vocab)
    )
    for doc, copy in zip(docs, copies, strict=True):
        assert describe(copy) == describe(doc)


def test_saving_before_initialisation(tmp_path):
    nlp = make_nlp()
    nlp.get_pipe("spert").add_label("PER")
    nlp.to_disk(tmp_path)
    assert spacy.load(tmp_path).get_pipe("spert").labels == ("PER",)


def test_config_overrides_settings_of_a_saved_pipeline(trained, tmp_path):
    trained.to_disk(tmp_path)
    loaded = spacy.load(tmp_path, config={"components": {"spert": {"min_score": 0.25}}})
    assert loaded.get_pipe("spert").cfg == {**trained.get_pipe("spert").cfg, "min_score": 0.25}


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


def test_update_on_empty_documents(learner, make_examples):
    assert learner.get_pipe("spert").update([]) == {"spert": 0.0}
    before = parameters_of(learner.get_pipe("spert"))
    assert learner.update(make_examples(learner, [("", [], [])]), sgd=Adam(0.01)) == {"spert": 0.0}
    assert are_equal(parameters_of(learner.get_pipe("spert")), before)
    data = [("", [], []), *TRAIN_DATA[:1], ("London", [(0, 1, "LOC")], []), ("", [], [])]
    assert learner.update(make_examples(learner, data), sgd=Adam(0.01))["spert"] > 0.0


def test_documents_without_annotation_teach_nothing(learner, make_examples):
    before = parameters_of(learner.get_pipe("spert"))
    losses = learner.update(
        make_examples(learner, [("Ada lives in Rome", None, None)]), sgd=Adam(0.01)
    )
    assert losses == {"spert": 0.0}
    assert are_equal(parameters_of(learner.get_pipe("spert")), before)


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


def test_config_scorer(make_examples):
    nlp = make_nlp(scorer=None)
    nlp.initialize(lambda: make_examples(nlp))
    assert nlp.get_pipe("spert").score(make_examples(nlp)) == {}


@pytest.mark.parametrize("rates, changes", [((0.0, 0.1), True), ((0.1, 0.0), False)])
def test_head_learn_rate(learner, make_examples, rates, changes):
    component = learner.get_pipe("spert")
    before = parameters_of(component)
    sgd = AdamW(rates[0], head_learn_rate=rates[1], weight_decay=0.0)
    learner.update(make_examples(learner, TRAIN_DATA[:1]), sgd=sgd)
    sgd.step_schedules()
    assert are_equal(parameters_of(component), before) != changes


# With other components


def test_components_that_share_a_tok2vec(make_examples):
    """The table and the spans listen to one tok2vec and learn from its two listeners' gradients."""
    nlp = spacy.blank("en")
    nlp.add_pipe(
        "tok2vec", config={"model": {"@architectures": "spacy.HashEmbedCNN.v2", **FULL_TOK2VEC}}
    )
    listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": 16, "upstream": "tok2vec"}
    nlp.add_pipe("tabcnn", config={"model": {"tok2vec": listener, "head": {"hidden": [16]}}})
    nlp.add_pipe("spert", config={"model": {**TINY_MODEL, "tok2vec": listener}})
    losses = train(nlp, make_examples(nlp), steps=N_STEPS)
    assert losses["tabcnn"] < 0.01 and losses["spert"] < 0.01
    assert nlp.evaluate(make_examples(nlp))["rels_strict_f"] == 1.0
    nlp.replace_listeners("tok2vec", "spert", ["model.tok2vec"])
    assert [facts(doc) for doc in nlp.pipe(TEXTS[:2])] == [
        [("Ada Lovelace", "LiveIn", "London")],
        [("Marie Curie", "LiveIn", "Paris")],
    ]
