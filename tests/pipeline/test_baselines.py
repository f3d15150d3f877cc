"""SpERT and PFN: spans that may overlap in `doc.spans`, and the best spans in `doc.ents`.

The components have spaCy's own trainable tok2vec here. The tests of `relation_table` cover the
base class at length."""

import pickle
from typing import NamedTuple

import pytest
import spacy
from spacy.language import Language
from spacy.tokens import DocBin, Span
from thinc.api import Adam

from spacy_tabcnn.relations import has_relations
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

N_STEPS = 200


class System(NamedTuple):
    """A component with a small model.

    name (str): The name of its factory, and of its spans.
    model (dict): The settings of its model, without the tok2vec.
    """

    name: str
    model: dict

    def make_nlp(self, *, tok2vec=None, **config):
        nlp = spacy.blank("en")
        model = {"tok2vec": tok2vec or TINY_TOK2VEC, **self.model}
        nlp.add_pipe(self.name, config={"model": model, **config})
        return nlp


SYSTEMS = {
    "SpERT": System("spert", {"width_embedding": 5}),
    "PFN": System("pfn", {"hidden": 24, "dropconnect": 0.0}),
    "PFN, nested": System("pfn", {"hidden": 24, "dropconnect": 0.0, "nested": True}),
}


@pytest.fixture(scope="module", params=SYSTEMS)
def system(request):
    return SYSTEMS[request.param]


@pytest.fixture(scope="module")
def trained(system, make_examples):
    """A pipeline that has learned TRAIN_DATA by heart, for tests that leave it as it is."""
    nlp = system.make_nlp()
    train(nlp, make_examples(nlp), steps=N_STEPS)
    return nlp


@pytest.fixture
def learner(system, trained):
    """A copy of `trained`, for tests that change it."""
    return system.make_nlp().from_bytes(trained.to_bytes())


# Creating


def test_factories(system):
    meta = Language.get_factory_meta(system.name)
    assert {"doc.ents", "doc.spans", "doc._.relations", "span._.entity_score"} <= set(meta.assigns)
    assert sum(weight or 0.0 for weight in meta.default_score_weights.values()) == 1.0


def test_replaced_entities_are_warned_of(system, learner):
    doc = learner.make_doc("Ada Lovelace lived in London")
    doc.set_ents([Span(doc, 0, 1, label="NAME")])
    with pytest.warns(
        UserWarning, match=rf"'{system.name}' replaces .* 'Ada' \(NAME\)\. .* entities"
    ):
        learner(doc)
    assert facts(learner(doc)) == facts(learner("Ada Lovelace lived in London"))


def test_labels_from_the_data(system, make_examples):
    nlp = system.make_nlp()
    nlp.initialize(lambda: make_examples(nlp))
    assert nlp.get_pipe(system.name).label_data == LABEL_DATA


def test_given_labels(system, make_examples):
    nlp = system.make_nlp()
    nlp.config["initialize"]["components"][system.name] = {"labels": LABEL_DATA}
    nlp.initialize(lambda: make_examples(nlp, TRAIN_DATA[:2]))
    assert nlp.get_pipe(system.name).label_data == LABEL_DATA


def test_added_labels(system, make_examples):
    nlp = system.make_nlp()
    component = nlp.get_pipe(system.name)
    assert component.add_label("PER") == 1
    assert component.add_label("LiveIn", kind="relation") == 1
    nlp.initialize()
    assert component.labels == ("PER", "LiveIn")
    assert has_relations(nlp("Ada lives in London"))


def test_no_label(system):
    with pytest.raises(
        ValueError, match=f"Component '{system.name}': the training data holds no entities"
    ):
        system.make_nlp().initialize()


def test_no_relation_label(system, make_examples):
    nlp = system.make_nlp()
    examples = make_examples(nlp, [(words, entities, []) for words, entities, _ in TRAIN_DATA])
    assert train(nlp, examples, steps=2)[system.name] > 0.0
    assert nlp(TEXTS[0])._.relations == ()


def test_predictions(system, trained):
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
    assert set(doc.ents) <= set(doc.spans[system.name])


def test_untrained_component_is_refused(system, make_examples):
    nlp = system.make_nlp()
    with pytest.raises(ValueError, match=rf"E109.*{system.name}"):
        nlp("Ada lives in London")
    with pytest.raises(ValueError, match="E109"):
        nlp.get_pipe(system.name).update(make_examples(nlp))


@pytest.mark.parametrize("texts", [[], [""], ["", "Ada", "", "It rained all day ."]])
def test_empty_documents(system, trained, texts):
    docs = list(trained.pipe(texts))
    assert [doc.text for doc in docs] == texts
    assert all(has_relations(doc) and system.name in doc.spans for doc in docs)


def test_former_annotation_is_replaced(system, trained):
    doc = trained.make_doc(TEXTS[3])
    doc.ents = [doc.char_span(0, 2, "PER")]
    doc._.relations = [(doc.ents[0], doc.ents[0], "Old")]
    doc = trained(doc)
    assert (doc.ents, doc._.relations, len(doc.spans[system.name])) == ((), (), 0)


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
def test_worker_processes(system, trained):
    docs = list(trained.pipe(TEXTS, n_process=2, batch_size=4))
    for doc, text in zip(docs, TEXTS, strict=True):
        assert_close(describe(doc), describe(trained(text)))
        assert len(doc.spans[system.name]) >= len(doc.ents)


def test_overfitting_IO(system, learner, make_examples, tmp_path):
    examples = make_examples(learner)
    assert learner.get_pipe(system.name).update(examples)[system.name] < 0.01
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
        "bytes": system.make_nlp().from_bytes(learner.to_bytes()),
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


def test_saving_before_initialisation(system, tmp_path):
    nlp = system.make_nlp()
    nlp.get_pipe(system.name).add_label("PER")
    nlp.to_disk(tmp_path)
    assert spacy.load(tmp_path).get_pipe(system.name).labels == ("PER",)


def test_config_overrides_settings_of_a_saved_pipeline(system, trained, tmp_path):
    trained.to_disk(tmp_path)
    loaded = spacy.load(tmp_path, config={"components": {system.name: {"min_score": 0.25}}})
    assert loaded.get_pipe(system.name).cfg == {
        **trained.get_pipe(system.name).cfg,
        "min_score": 0.25,
    }


def test_update_on_empty_documents(system, learner, make_examples):
    assert learner.get_pipe(system.name).update([]) == {system.name: 0.0}
    before = parameters_of(learner.get_pipe(system.name))
    assert learner.update(make_examples(learner, [("", [], [])]), sgd=Adam(0.01)) == {
        system.name: 0.0
    }
    assert are_equal(parameters_of(learner.get_pipe(system.name)), before)
    data = [("", [], []), *TRAIN_DATA[:1], ("London", [(0, 1, "LOC")], []), ("", [], [])]
    assert learner.update(make_examples(learner, data), sgd=Adam(0.01))[system.name] > 0.0


def test_documents_without_annotation_teach_nothing(system, learner, make_examples):
    before = parameters_of(learner.get_pipe(system.name))
    losses = learner.update(
        make_examples(learner, [("Ada lives in Rome", None, None)]), sgd=Adam(0.01)
    )
    assert losses == {system.name: 0.0}
    assert are_equal(parameters_of(learner.get_pipe(system.name)), before)


def test_config_scorer(system, make_examples):
    nlp = system.make_nlp(scorer=None)
    nlp.initialize(lambda: make_examples(nlp))
    assert nlp.get_pipe(system.name).score(make_examples(nlp)) == {}


@pytest.mark.parametrize("rates, changes", [((0.0, 0.1), True), ((0.1, 0.0), False)])
def test_head_learn_rate(system, learner, make_examples, rates, changes):
    component = learner.get_pipe(system.name)
    before = parameters_of(component)
    sgd = AdamW(rates[0], head_learn_rate=rates[1], weight_decay=0.0)
    learner.update(make_examples(learner, TRAIN_DATA[:1]), sgd=sgd)
    sgd.step_schedules()
    assert are_equal(parameters_of(component), before) != changes


def test_components_that_share_a_tok2vec(system, make_examples):
    """The table and the spans listen to one tok2vec and learn from its two listeners' gradients."""
    nlp = spacy.blank("en")
    nlp.add_pipe(
        "tok2vec", config={"model": {"@architectures": "spacy.HashEmbedCNN.v2", **FULL_TOK2VEC}}
    )
    listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": 16, "upstream": "tok2vec"}
    nlp.add_pipe("tabcnn", config={"model": {"tok2vec": listener, "head": {"hidden": [16]}}})
    nlp.add_pipe(system.name, config={"model": {**system.model, "tok2vec": listener}})
    losses = train(nlp, make_examples(nlp), steps=N_STEPS)
    assert losses["tabcnn"] < 0.01 and losses[system.name] < 0.01
    assert nlp.evaluate(make_examples(nlp))["rels_strict_f"] == 1.0
    nlp.replace_listeners("tok2vec", system.name, ["model.tok2vec"])
    assert [facts(doc) for doc in nlp.pipe(TEXTS[:2])] == [
        [("Ada Lovelace", "LiveIn", "London")],
        [("Marie Curie", "LiveIn", "Paris")],
    ]
