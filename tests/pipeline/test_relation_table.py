"""The component with spaCy's own trainable tok2vec; with a transformer, see
test_relation_table_transformer.py."""

import pickle
import warnings

import numpy as np
import pytest
import spacy
from spacy.cli.find_threshold import find_threshold
from spacy.language import Language
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from spacy.util import fix_random_seed, load_model_from_config
from thinc.api import Adam, Config

from spacy_tabcnn.models.table_model import find_heads
from spacy_tabcnn.pipeline import relation_table
from spacy_tabcnn.pipeline.relation_table import RelationTable
from spacy_tabcnn.relations import has_relations, set_entity_scores
from spacy_tabcnn.sentences import Sentences, Windows
from spacy_tabcnn.table.logits import TableLogits
from spacy_tabcnn.training.optimizer import AdamW

from .conftest import TRAIN_DATA

TINY_TOK2VEC = {"width": 16, "depth": 1, "embed_size": 100}
TINY_HEAD = {"hidden": [16]}
TINY_MODEL = {"tok2vec": TINY_TOK2VEC, "head": TINY_HEAD}

LABEL_DATA = {
    "entities": ["LOC", "ORG", "PER"],
    "relations": {"LiveIn": [["PER", "LOC"]], "WorkFor": [["PER", "ORG"]]},
}
TEXTS = [words for words, _, _ in TRAIN_DATA] + [
    "Marie Curie of Paris lived in London",
    "Rain .",
    "Ada",
    "",
]


def make_nlp(name="tabcnn", **config):
    nlp = spacy.blank("en")
    nlp.add_pipe(name, config={"model": TINY_MODEL, **config})
    return nlp


def train(nlp, examples, *, steps=40, drop=0.0, **options):
    """Initialise a pipeline and train it: the losses of the last step."""
    fix_random_seed(0)
    nlp.initialize(lambda: examples)
    sgd = Adam(0.01)
    for _ in range(steps):
        losses = nlp.update(examples, sgd=sgd, drop=drop, **options)
    return losses


def module_of(component):
    """The torch module of its table head."""
    heads = find_heads(component.model)
    return next(head for head in heads if head.has_dim("n_tags")).shims[0]._model


@pytest.fixture(scope="module")
def model_config(head_config):
    """The config of a small model, with each head in turn."""
    return {"tok2vec": TINY_TOK2VEC, "head": head_config}


@pytest.fixture(scope="module")
def trained(make_examples, model_config):
    """A pipeline that has learned TRAIN_DATA by heart, for tests that leave it as it is."""
    nlp = make_nlp(model=model_config)
    train(nlp, make_examples(nlp))
    return nlp


@pytest.fixture
def learner(trained, model_config):
    """A copy of `trained`, for tests that change it."""
    return make_nlp(model=model_config).from_bytes(trained.to_bytes())


def describe(doc):
    """All that the component sets, as plain data."""
    return {
        "entities": [(ent.start, ent.end, ent.label_, ent._.entity_score) for ent in doc.ents],
        "relations": [
            (head.start, head.end, head.label_, tail.start, tail.end, tail.label_, label, score)
            for head, tail, label, score in doc._.relations
        ],
        "is_annotated": doc.has_annotation("ENT_IOB") or not len(doc),
        "has_relations": has_relations(doc),
    }


def facts(doc):
    """The relations of a document as text."""
    return [(head.text, label, tail.text) for head, tail, label, _ in doc._.relations]


def assert_close(actual, expected):
    """Assert that two descriptions agree, scores to 1e-5."""
    assert [len(actual[key]) for key in ("entities", "relations")] == [
        len(expected[key]) for key in ("entities", "relations")
    ]
    for key in ("entities", "relations"):
        for one, other in zip(actual[key], expected[key], strict=True):
            assert one[:-1] == other[:-1]
            assert one[-1] == pytest.approx(other[-1], abs=1e-5)


def parameters_of(component):
    """Copies of all parameters of a component: thinc's and torch's."""
    arrays = [
        node.get_param(name).copy()
        for node in component.model.walk()
        for name in node.param_names
        if node.has_param(name)
    ]
    for node in component.model.walk():
        for shim in node.shims:
            arrays.extend(
                parameter.detach().numpy().copy() for parameter in shim._model.parameters()
            )
    return arrays


def are_equal(arrays, others):
    return all(np.array_equal(one, other) for one, other in zip(arrays, others, strict=True))


# Creating


@pytest.mark.parametrize("name", ["tabcnn", "relation_table"])
def test_factories_by_name_alone(name):
    """Found through entry points, in a blank pipeline, without a transformer."""
    component = spacy.blank("en").add_pipe(name)
    assert isinstance(component, RelationTable)
    assert component.name == name
    assert component.is_trainable


def test_pipeline_analysis_knows_what_is_assigned():
    meta = Language.get_factory_meta("tabcnn")
    assert {"doc.ents", "doc._.relations", "span._.entity_score"} <= set(meta.assigns)
    assert meta.default_score_weights["rels_strict_f"] == 0.5
    assert sum(weight or 0.0 for weight in meta.default_score_weights.values()) == 1.0


@pytest.mark.parametrize(
    "config, message",
    [
        ({"min_score": 1.5}, "Component 'mine': min_score is 1.5; expected a probability or null"),
        ({"min_score": -0.1}, "Component 'mine': min_score is -0.1"),
        ({"max_length": 1}, "Component 'mine': max_length is 1; expected at least 2 words"),
        ({"relation_weight": 0.0}, "Component 'mine': relation_weight is 0.0; expected a number"),
    ],
)
def test_values_out_of_range_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        spacy.blank("en").add_pipe("tabcnn", name="mine", config={"model": TINY_MODEL, **config})


def test_a_table_is_at_most_as_long_as_its_head_takes():
    head = {"@architectures": "spacy-tabcnn.TableSequence.v1", "max_words": 100}
    config = {"model": {"tok2vec": TINY_TOK2VEC, "head": head}}
    message = "Component 'tabcnn': max_length is 256, but its head, table_sequence, takes tables of"
    with pytest.raises(ValueError, match=message):
        spacy.blank("en").add_pipe("tabcnn", config=config)
    spacy.blank("en").add_pipe("tabcnn", config={**config, "max_length": 100})


@pytest.mark.parametrize(
    "saved, config",
    [((256, 0.5), (300, 0.1)), ((256, 0.5), (300, None)), ((300, None), (256, 0.1))],
)
def test_a_saved_pipeline_takes_a_limit_and_a_dropout_from_its_config(saved, config):
    """No weight depends on them."""

    def make(max_words, dropout):
        head = {"@architectures": "spacy-tabcnn.TableSequence.v1", "hidden": 16}
        head |= {"max_words": max_words, "dropout": dropout}
        return make_nlp(model={"tok2vec": TINY_TOK2VEC, "head": head})

    nlp = make(*config).from_bytes(make(*saved).to_bytes())
    attrs = nlp.get_pipe("tabcnn").model.get_ref("head").attrs
    assert (attrs["max_words"], attrs.get("dropout")) == config


def test_config_relation_weight(make_examples):
    nlp = make_nlp()
    examples = make_examples(nlp)
    nlp.initialize(lambda: examples)
    component = nlp.get_pipe("tabcnn")
    logits = component.predict([eg.predicted for eg in examples])
    loss, gradient = component.get_loss(examples, logits)
    component.cfg["relation_weight"] = 3.0
    weighted_loss, weighted = component.get_loss(examples, logits)
    np.testing.assert_array_equal(weighted.tags, gradient.tags)
    np.testing.assert_allclose(weighted.relations, 3.0 * gradient.relations, rtol=1e-6)
    assert weighted_loss > loss


def test_entities_are_predicted_or_given():
    with pytest.raises(
        ValueError, match="Component 'mine': entities is 'gold'; expected 'predict', 'given' or"
    ):
        RelationTable(make_nlp().vocab, None, "mine", entities="gold")


def test_unknown_aggregation_is_refused():
    nlp = make_nlp()
    with pytest.raises(
        ValueError, match="Component 'mine': aggregation is 'max'; expected 'mean' or 'any'"
    ):
        RelationTable(nlp.vocab, nlp.get_pipe("tabcnn").model, "mine", aggregation="max")


# Labels


def test_no_label():
    with pytest.raises(ValueError, match="Component 'tabcnn': the training data holds no entities"):
        make_nlp().initialize()


def test_implicit_labels(make_examples):
    nlp = make_nlp()
    component = nlp.get_pipe("tabcnn")
    assert component.labels == ()
    nlp.initialize(lambda: make_examples(nlp))
    assert component.labels == ("LOC", "ORG", "PER", "LiveIn", "WorkFor")
    assert component.label_data == LABEL_DATA


def test_explicit_labels():
    nlp = make_nlp()
    component = nlp.get_pipe("tabcnn")
    assert component.add_label("PER") == 1
    assert component.add_label("PER") == 0
    assert component.add_label("LiveIn", kind="relation") == 1
    assert component.add_label("LiveIn", kind="relation") == 0
    nlp.initialize()
    assert component.labels == ("PER", "LiveIn")
    assert component.label_data == {"entities": ["PER"], "relations": {"LiveIn": []}}
    assert "LiveIn" in nlp.vocab.strings


def test_implicit_labels_follow_explicit_ones(make_examples):
    nlp = make_nlp()
    component = nlp.get_pipe("tabcnn")
    component.add_label("PER")
    component.add_label("Visit", kind="relation")
    nlp.initialize(lambda: make_examples(nlp))
    assert component.labels == ("PER", "LOC", "ORG", "Visit", "LiveIn", "WorkFor")


def test_explicit_relation_stays_unconstrained(make_examples):
    nlp = make_nlp()
    nlp.get_pipe("tabcnn").add_label("LiveIn", kind="relation")
    nlp.initialize(lambda: make_examples(nlp))
    assert nlp.get_pipe("tabcnn").label_data["relations"] == {
        "LiveIn": [],
        "WorkFor": [["PER", "ORG"]],
    }


def test_label_data_round_trip(make_examples):
    """As `spacy init labels` writes it and [initialize.components] reads it."""
    nlp, other = make_nlp(), make_nlp()
    nlp.initialize(lambda: make_examples(nlp))
    component = other.get_pipe("tabcnn")
    label_data = nlp.get_pipe("tabcnn").label_data
    other.config["initialize"]["components"]["tabcnn"] = {"labels": label_data}
    other.initialize(lambda: make_examples(other, TRAIN_DATA[:2]))
    assert component.label_data == label_data


def test_given_labels_in_another_form_are_refused(make_examples):
    nlp = make_nlp()
    with pytest.raises(ValueError, match=r"is not of the form .* `spacy init labels`"):
        nlp.get_pipe("tabcnn").initialize(lambda: make_examples(nlp), labels=["PER", "LOC"])


def test_a_label_that_the_component_has_is_not_added_again(trained):
    component = trained.get_pipe("tabcnn")
    assert component.add_label("PER") == component.add_label("LiveIn", kind="relation") == 0
    assert component.label_data == LABEL_DATA


@pytest.mark.parametrize("label, kind", [(3, "entity"), ("", "relation"), ("PER", "event")])
def test_bad_labels_are_refused(label, kind):
    with pytest.raises(ValueError):
        make_nlp().get_pipe("tabcnn").add_label(label, kind=kind)


def test_initialise_again(learner, make_examples):
    """With the same labels a pipeline can be started anew."""
    before = parameters_of(learner.get_pipe("tabcnn"))
    learner.initialize(lambda: make_examples(learner))
    assert not are_equal(parameters_of(learner.get_pipe("tabcnn")), before)
    assert learner.get_pipe("tabcnn").label_data == LABEL_DATA


def test_initialise_again_with_new_labels(learner, make_examples):
    data = [
        *TRAIN_DATA,
        ("Ada met Bob in 1843", [(0, 1, "PER"), (2, 3, "PER"), (4, 5, "DATE")], [(0, 1, "Met")]),
    ]
    learner.initialize(lambda: make_examples(learner, data))
    assert learner.get_pipe("tabcnn").labels == (
        "LOC",
        "ORG",
        "PER",
        "DATE",
        "LiveIn",
        "WorkFor",
        "Met",
    )
    assert learner.update(make_examples(learner, data), sgd=Adam(0.01))["tabcnn"] > 0.0


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


def test_arguments_of_a_relation_are_entities(trained):
    doc = trained(TEXTS[1])
    (relation,) = doc._.relations
    assert (relation.head, relation.tail) == (doc.ents[1], doc.ents[0])
    assert (relation.head.label_, relation.tail.label_) == ("PER", "LOC")


def test_scores_are_probabilities(trained):
    for doc in trained.pipe(TEXTS):
        assert all(0.0 < ent._.entity_score <= 1.0 for ent in doc.ents)
        assert all(0.0 < relation.score <= 1.0 for relation in doc._.relations)


def test_untrained_component_is_refused():
    for text in ("Ada lives in London", ""):
        with pytest.raises(ValueError, match=r"E109.*tabcnn"):
            make_nlp()(text)


def test_nothing_to_predict(trained):
    assert list(trained.pipe([])) == []
    assert trained.get_pipe("tabcnn").predict([]).windows.lengths.tolist() == []


@pytest.mark.parametrize("texts", [[""], ["", ""], ["", "Ada", "", "It rained all day .", ""]])
def test_empty_documents(trained, texts):
    docs = list(trained.pipe(texts))
    assert [doc.text for doc in docs] == texts
    assert all(has_relations(doc) for doc in docs)


def test_document_of_one_word(trained):
    doc = trained("London")
    assert doc.has_annotation("ENT_IOB")
    assert doc._.relations == () and has_relations(doc)


def test_predict_changes_no_document(trained):
    doc = trained.make_doc(TEXTS[0])
    trained.get_pipe("tabcnn").predict([doc])
    assert not doc.has_annotation("ENT_IOB") and not has_relations(doc)


def test_former_annotation_is_replaced(trained):
    doc = trained.make_doc(TEXTS[3])
    doc.ents = [doc.char_span(0, 2, "PER")]
    doc._.relations = [(doc.ents[0], doc.ents[0], "Old")]
    set_entity_scores(doc, doc.ents, [1.0])
    doc = trained(doc)
    assert (doc.ents, doc._.relations) == ((), ())
    assert doc[0:1]._.entity_score is None


def test_sentences_get_their_own_tables(trained):
    """No relation joins two sentences, and each is annotated as if alone."""
    text = f"{TEXTS[0]} {TEXTS[1]}"
    doc = trained.make_doc(text)
    doc[6].is_sent_start = True
    doc = trained(doc)
    alone = [trained(TEXTS[0]), trained(TEXTS[1])]
    assert facts(doc) == [fact for one in alone for fact in facts(one)]
    assert [relation.score for relation in doc._.relations] == pytest.approx(
        [relation.score for one in alone for relation in one._.relations], abs=1e-5
    )


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_batches_do_not_change_predictions(trained, batch_size):
    for doc, text in zip(trained.pipe(TEXTS, batch_size=batch_size), TEXTS, strict=True):
        assert_close(describe(doc), describe(trained(text)))


def test_batch_of_long_documents_is_scored_in_parts(trained, monkeypatch):
    """In order, and as many at once as the bound allows: here the five logits for each of 6 * 6 + 7
    * 7 cells."""
    sizes = []
    monkeypatch.setattr(relation_table, "MAX_LOGITS", 5 * (6 * 6 + 7 * 7))
    predict = RelationTable.predict
    monkeypatch.setattr(
        RelationTable, "predict", lambda self, docs: sizes.append(len(docs)) or predict(self, docs)
    )
    texts = [*TEXTS, "", TEXTS[0], TEXTS[1], TEXTS[1]]
    docs = list(trained.pipe(texts))
    assert [len(doc) for doc in docs] == [6, 7, 11, 5, 7, 2, 1, 0, 0, 6, 7, 7]
    assert sizes == [2, 1, 6, 2, 1]
    assert [doc.text for doc in docs] == texts
    for doc, text in zip(docs, texts, strict=True):
        assert_close(describe(doc), describe(trained(text)))


def test_order_does_not_change_predictions(trained):
    forwards = list(trained.pipe(TEXTS))
    backwards = list(trained.pipe(TEXTS[::-1]))[::-1]
    for one, other in zip(forwards, backwards, strict=True):
        assert_close(describe(one), describe(other))


def test_as_tuples(trained):
    pairs = list(trained.pipe([(text, index) for index, text in enumerate(TEXTS)], as_tuples=True))
    assert [context for _, context in pairs] == list(range(len(TEXTS)))
    assert facts(pairs[0][0]) == [("Ada Lovelace", "LiveIn", "London")]


def test_select_pipes(trained):
    with trained.select_pipes(disable="tabcnn"):
        doc = trained(TEXTS[0])
    assert not doc.has_annotation("ENT_IOB") and not has_relations(doc)
    assert facts(trained(TEXTS[0])) == [("Ada Lovelace", "LiveIn", "London")]


def test_error_handler_gets_the_documents_that_failed(learner, monkeypatch):
    failed = []
    monkeypatch.setattr(learner.get_pipe("tabcnn"), "predict", lambda docs: 1 / 0)
    learner.set_error_handler(
        lambda name, pipe, docs, error: failed.append((name, len(docs), type(error)))
    )
    assert list(learner.pipe(TEXTS[:2])) == []
    assert failed == [("tabcnn", 2, ZeroDivisionError)]


@pytest.mark.parametrize(
    "annotate", [lambda nlp: nlp(TEXTS[0]), lambda nlp: next(nlp.pipe(TEXTS[:1]))]
)
def test_extensions_are_registered_again_where_they_are_missing(trained, annotate):
    """As in a spawned worker process."""
    assert Doc.remove_extension("relations") and Span.remove_extension("entity_score")
    doc = annotate(trained)
    assert facts(doc) == [("Ada Lovelace", "LiveIn", "London")]
    assert doc.ents[0]._.entity_score > 0.5


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.usefixtures("fork_guard")
def test_worker_processes(trained):
    texts = TEXTS * 4
    docs = list(trained.pipe(texts, n_process=2, batch_size=4))
    for doc, text in zip(docs, texts, strict=True):
        assert_close(describe(doc), describe(trained(text)))


# Learning


def test_overfitting_IO(learner, model_config, make_examples, tmp_path):
    examples = make_examples(learner)
    assert learner.get_pipe("tabcnn").update(examples)["tabcnn"] < 0.01
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
        "bytes": make_nlp(model=model_config).from_bytes(learner.to_bytes()),
        "pickle": pickle.loads(pickle.dumps(learner)),
    }
    for how, copy in copies.items():
        for text in TEXTS:
            assert describe(copy(text)) == describe(learner(text)), how


def test_pickled_component(trained):
    component = pickle.loads(pickle.dumps(trained.get_pipe("tabcnn")))
    for text in TEXTS:
        doc = component(Doc(component.vocab, words=text.split()))
        assert_close(
            describe(doc),
            describe(trained.get_pipe("tabcnn")(Doc(trained.vocab, words=text.split()))),
        )


def test_saving_before_initialisation(make_examples, tmp_path):
    nlp = make_nlp()
    nlp.get_pipe("tabcnn").add_label("PER")
    nlp.to_disk(tmp_path)
    other = spacy.load(tmp_path)
    assert other.get_pipe("tabcnn").labels == ("PER",)
    other.initialize(lambda: make_examples(other))
    assert other.get_pipe("tabcnn").labels == ("PER", "LOC", "ORG", "LiveIn", "WorkFor")


def test_loaded_pipeline_learns_on(trained, make_examples, tmp_path):
    trained.to_disk(tmp_path)
    nlp = spacy.load(tmp_path)
    examples = make_examples(
        nlp, [("Alan Turing lived in Paris .", [(0, 2, "PER"), (4, 5, "LOC")], [(0, 1, "LiveIn")])]
    )
    sgd = nlp.resume_training()
    losses = [nlp.update(examples, sgd=sgd)["tabcnn"] for _ in range(5)]
    assert losses[-1] < losses[0]


def test_same_seed_same_model(make_examples, model_config):
    models = []
    for _ in range(2):
        nlp = make_nlp(model=model_config)
        train(nlp, make_examples(nlp), steps=4, drop=0.3)
        models.append(parameters_of(nlp.get_pipe("tabcnn")))
    assert are_equal(*models)


def test_loss_is_summed_over_examples(learner, make_examples):
    component = learner.get_pipe("tabcnn")
    examples = make_examples(learner)
    alone = [component.update([eg])["tabcnn"] for eg in examples]
    assert component.update(examples)["tabcnn"] == pytest.approx(sum(alone), rel=1e-3)


def test_losses_are_added_to(learner, make_examples):
    losses = {"tabcnn": 100.0, "other": 1.0}
    returned = learner.get_pipe("tabcnn").update(make_examples(learner), losses=losses)
    assert returned is losses
    assert losses["other"] == 1.0
    assert 100.0 < losses["tabcnn"] < 100.1


def test_update_on_empty_documents(learner, make_examples):
    assert learner.get_pipe("tabcnn").update([]) == {"tabcnn": 0.0}
    before = parameters_of(learner.get_pipe("tabcnn"))
    assert learner.update(make_examples(learner, [("", [], [])]), sgd=Adam(0.01)) == {"tabcnn": 0.0}
    assert are_equal(parameters_of(learner.get_pipe("tabcnn")), before)


def test_update_with_empty_and_one_word_documents(learner, make_examples):
    data = [("", [], []), *TRAIN_DATA[:1], ("London", [(0, 1, "LOC")], []), ("", [], [])]
    losses = learner.update(make_examples(learner, data), sgd=Adam(0.01))
    assert np.isfinite(losses["tabcnn"]) and losses["tabcnn"] > 0.0


def test_documents_without_annotation_teach_nothing(learner, make_examples):
    before = parameters_of(learner.get_pipe("tabcnn"))
    losses = learner.update(
        make_examples(learner, [("Ada lives in Rome", None, None)]), sgd=Adam(0.01)
    )
    assert losses == {"tabcnn": 0.0}
    assert are_equal(parameters_of(learner.get_pipe("tabcnn")), before)


def test_entities_can_be_learned_where_relations_are_not_annotated(learner, make_examples):
    words, entities, relations = TRAIN_DATA[0]
    losses = [
        learner.get_pipe("tabcnn").update(make_examples(learner, [(words, *annotation)]))["tabcnn"]
        for annotation in ((entities, relations), (entities, None), (None, None))
    ]
    assert losses[0] > losses[1] > losses[2] == 0.0


def test_head_knows_the_gold_tags_in_training_only(learner, make_examples):
    """Those of all words of a window, though each counts in one window only."""
    component, seen = learner.get_pipe("tabcnn"), []
    component.cfg["max_length"] = 4
    module = module_of(component)
    module.register_forward_pre_hook(lambda _, args: seen.append(args[2]))
    words, entities, _ = TRAIN_DATA[0]
    examples = make_examples(learner, [("", [], []), (words, entities, [])])
    component.update(examples)
    first, last = component.label_scheme.span_tags("PER", 2)
    (place,) = component.label_scheme.span_tags("LOC", 1)
    assert seen[0].tolist() == [first, last, 0, 0, *(0, 0, place, 0)]
    component.predict([eg.predicted for eg in examples])
    assert seen[1] is None


def test_batch_in_which_nothing_is_gold(learner, make_examples):
    """Annotated as holding no entity and no relation: that is learned."""
    data = [(words, [], []) for words, _, _ in TRAIN_DATA]
    examples, sgd = make_examples(learner, data), Adam(0.01)
    for _ in range(40):
        learner.update(examples, sgd=sgd)
    assert [describe(doc)["entities"] for doc in learner.pipe(TEXTS[:4])] == [[]] * 4


def test_untrained_component_cannot_learn(make_examples):
    nlp = make_nlp()
    with pytest.raises(ValueError, match="E109"):
        nlp.get_pipe("tabcnn").update(make_examples(nlp))


def test_dropout_of_the_training_block(learner, make_examples):
    examples, component = make_examples(learner), learner.get_pipe("tabcnn")
    assert component.update(examples, drop=0.0) == component.update(examples, drop=0.0)
    assert component.update(examples, drop=0.5) != component.update(examples, drop=0.5)


# Gold that the table cannot hold


def test_warning_at_initialisation_counts(make_examples):
    """A label that is not wanted is left out, and so are the relations of its entities."""
    nlp = make_nlp()
    labels = {"entities": ["PER", "ORG"], "relations": ["LiveIn", "WorkFor"]}
    with pytest.warns(UserWarning) as caught:
        nlp.get_pipe("tabcnn").initialize(lambda: make_examples(nlp), labels=labels)
    (warning,) = caught
    assert str(warning.message) == (
        "Component 'tabcnn' cannot learn from: 3 entities of the unknown type 'LOC'; "
        "3 relations of a span that is not a usable entity"
    )


def test_warning_comes_once(learner, make_examples):
    words, entities, relations = TRAIN_DATA[0]
    examples = make_examples(learner, [(words, entities, [*relations, (0, 1, "WorkFor")])] * 2)
    with pytest.warns(
        UserWarning, match="cannot learn from: 2 relations beyond the first of a pair of entities"
    ):
        learner.update(examples)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        learner.update(examples)


def test_warning_of_another_reason_comes_after(learner, make_examples):
    words, entities, relations = TRAIN_DATA[0]
    with pytest.warns(UserWarning, match="1 relations beyond the first"):
        learner.update(make_examples(learner, [(words, entities, [*relations, (0, 1, "WorkFor")])]))
    with pytest.warns(UserWarning, match="1 relations of an entity with itself"):
        learner.update(make_examples(learner, [(words, entities, [(0, 0, "LiveIn")])]))


def test_warning_of_relations_that_were_never_set(make_examples):
    nlp = make_nlp()
    data = [(words, entities, None) for words, entities, _ in TRAIN_DATA]
    with pytest.warns(
        UserWarning, match=r"3 documents with entities whose doc\._\.relations was never set"
    ):
        nlp.initialize(lambda: make_examples(nlp, data))


def test_representable_gold_causes_no_warning(make_examples):
    nlp = make_nlp()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(nlp, make_examples(nlp), steps=1)


# The config's arguments


def annotate(words, tag_probs, relation_probs, make_doc, **config):
    """Let a component decode given probabilities, for entities PER and LOC and relations LiveIn and
    Knows: (doc, component)."""
    nlp = make_nlp(**config)
    component = nlp.get_pipe("tabcnn")
    component.cfg["labels"] = {
        "entities": ["PER", "LOC"],
        "relations": {"LiveIn": [["PER", "LOC"]], "Knows": []},
    }
    doc = make_doc(words, vocab=nlp.vocab)
    logits = TableLogits(
        np.log(np.array(tag_probs)),
        np.log(np.array(relation_probs)),
        Windows(Sentences.of_docs([doc]), 256),
    )
    component.set_annotations([doc], logits)
    return doc


B_PER, L_PER, U_PER, U_LOC = (np.where(np.arange(9) == tag, 0.92, 0.01) for tag in (1, 3, 4, 8))
# none, LiveIn, LiveIn backwards, Knows, Knows backwards
NONE, LIKELY, UNLIKELY = (
    [0.9, 0.06, 0.02, 0.01, 0.01],
    [0.3, 0.6, 0.04, 0.03, 0.03],
    [0.5, 0.4, 0.04, 0.03, 0.03],
)


@pytest.mark.parametrize(
    "aggregation, expected", [("mean", []), ("any", [("Ada Lovelace", "LiveIn", "Rome")])]
)
def test_config_aggregation(make_doc, aggregation, expected):
    cells = [NONE, NONE, LIKELY]
    doc = annotate(
        "Ada Lovelace Rome", [B_PER, L_PER, U_LOC], cells, make_doc, aggregation=aggregation
    )
    assert facts(doc) == expected


@pytest.mark.parametrize(
    "min_score, expected", [(None, []), (0.3, [("Ada", "LiveIn", "Rome")]), (0.5, [])]
)
def test_config_min_score(make_doc, min_score, expected):
    doc = annotate("Ada Rome", [U_PER, U_LOC], [UNLIKELY], make_doc, min_score=min_score)
    assert facts(doc) == expected


@pytest.mark.parametrize(
    "type_constraints, expected", [(True, []), (False, [("Rome", "LiveIn", "London")])]
)
def test_config_type_constraints(make_doc, type_constraints, expected):
    doc = annotate(
        "Rome London", [U_LOC, U_LOC], [LIKELY], make_doc, type_constraints=type_constraints
    )
    assert facts(doc) == expected


# Given entities


@pytest.fixture
def given(trained, tmp_path):
    """The trained pipeline, loaded to relate given entities."""
    trained.to_disk(tmp_path)
    return spacy.load(tmp_path, config={"components": {"tabcnn": {"entities": "given"}}})


def give(nlp, words, entities, **options):
    doc = Doc(nlp.vocab, words=words.split(), **options)
    doc.set_ents([Span(doc, *entity) for entity in entities])
    return doc


def test_relations_join_the_entities_that_are_given(trained, given):
    text = TEXTS[2]
    assert len(trained(text)._.relations) == 2
    doc = given(give(given, text, [(0, 2, "PER"), (7, 10, "LOC")]))
    assert [(ent.text, ent.label_) for ent in doc.ents] == [
        ("Grace Hopper", "PER"),
        ("New York City", "LOC"),
    ]
    assert [ent._.entity_score for ent in doc.ents] == [None, None]
    assert facts(doc) == [("Grace Hopper", "LiveIn", "New York City")]
    assert facts(given(give(given, text, [(0, 2, "PER")]))) == facts(given(text)) == []


def test_given_entities_of_all_sentences_and_documents(given):
    texts, entities = zip(*(data[:2] for data in TRAIN_DATA), strict=True)
    singles = [facts(given(give(given, *data))) for data in zip(texts, entities, strict=True)]
    joined, starts, offset = [], [], 0
    for text, spans in zip(texts, entities, strict=True):
        joined += [(offset + start, offset + end, label) for start, end, label in spans]
        starts += [True, *[False] * (len(text.split()) - 1)]
        offset = len(starts)
    docs = [give(given, *data) for data in zip(texts, entities, strict=True)]
    docs.append(give(given, " ".join(texts), joined, sent_starts=starts))
    assert [facts(doc) for doc in given.pipe(docs)] == [
        *singles,
        [fact for facts_ in singles for fact in facts_],
    ]
    assert len(singles[2]) == 2


def test_given_entities_of_an_unknown_type(given):
    entities = [(0, 2, "PER"), (7, 10, "CITY")]
    assert facts(given(give(given, TEXTS[2], entities))) == []
    given.get_pipe("tabcnn").cfg["type_constraints"] = False
    doc = given(give(given, TEXTS[2], entities))
    assert [ent.label_ for ent in doc.ents] == ["PER", "CITY"]
    assert all(fact == ("Grace Hopper", "LiveIn", "New York City") for fact in facts(doc))


def test_a_given_entity_across_sentences_is_kept_without_relations(given):
    doc = give(
        given,
        "Ada Lovelace lived in London",
        [(0, 2, "PER"), (4, 5, "LOC")],
        sent_starts=[1, 1, 0, 0, 0],
    )
    with pytest.warns(UserWarning, match="'Ada Lovelace', crosses a sentence boundary"):
        assert facts(given(doc)) == []
    assert [ent.text for ent in doc.ents] == ["Ada Lovelace", "London"]


def test_tags_of_given_entities_reach_the_head(given):
    seen = []
    component = given.get_pipe("tabcnn")
    module = module_of(component)
    module.register_forward_pre_hook(lambda _, args: seen.extend(args[2].tolist()))
    first, last = component.label_scheme.span_tags("PER", 2)
    given(give(given, "Ada Lovelace met Bob", [(0, 2, "PER"), (3, 4, "ALIEN")]))
    assert seen == [first, last, 0, -1]


def test_replaced_entities_are_warned_of_once(learner):
    docs = [give(learner, TEXTS[2], [(7, 10, "GPE")]) for _ in range(2)]
    message = r"Component 'tabcnn' replaces .* 'New York City' \(GPE\)\. Set entities = \"given\""
    with pytest.warns(UserWarning, match=message):
        learner(docs[0])
    assert docs[0].ents[-1].label_ == "LOC"
    learner(docs[1])


def test_entities_of_an_earlier_component_are_warned_of(learner):
    ruler = learner.add_pipe("entity_ruler", first=True)
    ruler.add_patterns([{"label": "ALIEN", "pattern": "Hopper"}])
    with pytest.warns(UserWarning, match=r"replaces the entities .* 'Hopper' \(ALIEN\)"):
        list(learner.pipe(TEXTS))


def test_replacing_its_own_entities_is_no_reason_to_warn(learner):
    assert facts(learner(learner(TEXTS[2]))) == facts(learner(TEXTS[2]))


def test_evaluation_of_annotated_documents_is_no_reason_to_warn(learner, make_examples):
    references = [eg.reference for eg in make_examples(learner)]
    examples = [Example(doc.copy(), doc) for doc in references]
    assert learner.evaluate(examples)["ents_f"] == 1.0


# Given and predicted entities


@pytest.fixture
def merging(trained, tmp_path):
    """The trained pipeline, loaded to add predicted entities to given ones."""
    trained.to_disk(tmp_path)
    return spacy.load(tmp_path, config={"components": {"tabcnn": {"entities": "merge"}}})


def test_predicted_entities_are_added_to_given_ones(merging):
    doc = merging(give(merging, TEXTS[2], [(3, 5, "ARMY"), (5, 6, "EVENT")]))
    assert [(ent.text, ent.label_) for ent in doc.ents] == [
        ("Grace Hopper", "PER"),
        ("the Navy", "ARMY"),
        ("lived", "EVENT"),
        ("New York City", "LOC"),
    ]
    assert facts(doc) == [("Grace Hopper", "LiveIn", "New York City")]


def test_relations_join_given_and_predicted_entities(merging):
    doc = merging(give(merging, TEXTS[2], [(4, 5, "ORG")]))
    assert facts(doc) == [
        ("Grace Hopper", "WorkFor", "Navy"),
        ("Grace Hopper", "LiveIn", "New York City"),
    ]


def test_only_predicted_entities_have_scores(merging):
    doc = merging(give(merging, TEXTS[2], [(3, 5, "ORG")]))
    assert [ent._.entity_score is None for ent in doc.ents] == [False, True, False]


def test_without_given_entities_all_are_predicted(merging, trained):
    for text in TEXTS:
        assert_close(describe(merging(text)), describe(trained(text)))


def test_given_entities_stay_as_they_are(merging):
    doc = Doc(merging.vocab, words=TEXTS[2].split())
    doc.set_ents([Span(doc, 7, 10, "CITY", kb_id="Q60", span_id="rule")])
    merging(doc)
    assert [(ent.label_, ent.kb_id_, ent.id_) for ent in doc.ents if ent.start == 7] == [
        ("CITY", "Q60", "rule")
    ]


def test_given_entities_keep_their_scores(merging):
    doc = give(merging, TEXTS[2], [(7, 10, "LOC")])
    set_entity_scores(doc, doc.ents, [0.125])
    assert merging(doc).ents[-1]._.entity_score == 0.125


def test_entities_are_merged_in_all_sentences_and_documents(merging):
    texts = [data[0] for data in TRAIN_DATA]
    docs = [give(merging, text, []) for text in texts]
    lengths = [len(text.split()) for text in texts]
    starts = [index == 0 for length in lengths for index in range(length)]
    last = (sum(lengths) - 1, sum(lengths), "END")
    docs.append(give(merging, " ".join(texts), [last], sent_starts=starts))
    *singles, joined = merging.pipe(docs)
    expected = [ent.text for doc in singles for ent in doc.ents]
    assert [ent.text for ent in joined.ents if ent.label_ != "END"] == expected


def test_a_given_entity_across_sentences_is_not_overlapped(merging):
    words = "Grace Hopper of the Navy lived in New York City ."
    doc = give(merging, words, [(0, 2, "X")], sent_starts=[1, 1, *[0] * 9])
    with pytest.warns(UserWarning, match="'Grace Hopper', crosses a sentence boundary"):
        merging(doc)
    assert (doc.ents[0].text, doc.ents[0].label_) == ("Grace Hopper", "X")


def test_tags_of_given_entities_reach_the_head_of_a_merging_component(merging):
    seen = []
    component = merging.get_pipe("tabcnn")
    module = module_of(component)
    module.register_forward_pre_hook(lambda _, args: seen.extend(args[2].tolist()))
    first, last = component.label_scheme.span_tags("PER", 2)
    merging(give(merging, "Ada Lovelace met Bob", [(0, 2, "PER")]))
    assert seen == [first, last, -1, -1]


def test_training_is_the_same_with_given_entities(make_examples, model_config):
    losses = []
    for entities in ("predict", "given", "merge"):
        nlp = make_nlp(model=model_config, entities=entities)
        losses.append(train(nlp, make_examples(nlp), steps=3))
    assert losses[0] == losses[1] == losses[2]


LONG_TEXT = (
    "Ada Lovelace , who was born long before anyone had heard of computers , lived in London ."
)


@pytest.mark.parametrize(
    "max_length, expected", [(64, [("Ada Lovelace", "LiveIn", "London")]), (8, [])]
)
def test_config_max_length(make_examples, model_config, max_length, expected):
    """Entities are found in windows, relations over more words than a window are neither learned
    nor found."""
    nlp = make_nlp(model=model_config, max_length=max_length)
    examples = make_examples(
        nlp, [*TRAIN_DATA, (LONG_TEXT, [(0, 2, "PER"), (16, 17, "LOC")], [(0, 1, "LiveIn")])]
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert train(nlp, examples, steps=60)["tabcnn"] < 0.1
    doc = nlp(LONG_TEXT)
    assert [ent.text for ent in doc.ents] == ["Ada Lovelace", "London"]
    assert facts(doc) == expected
    assert [str(warning.message) for warning in caught] == (
        []
        if expected
        else ["Component 'tabcnn' cannot learn from: 2 relations across windows (max_length is 8)"]
    )


@pytest.mark.filterwarnings("ignore:.* was trained on single sentences")
def test_windows_find_what_a_whole_table_finds(trained, tmp_path):
    """In a pipeline that is loaded with another max_length."""
    trained.to_disk(tmp_path)
    windowed = spacy.load(tmp_path, config={"components": {"tabcnn": {"max_length": 20}}})
    text = " ".join(TEXTS[:3] * 2)
    doc, whole = windowed(text), trained(text)
    assert windowed.get_pipe("tabcnn").predict([doc]).windows.lengths.tolist() == [20, 20, 20, 18]
    assert [(ent.text, ent.label_) for ent in doc.ents] == [
        (ent.text, ent.label_) for ent in whole.ents
    ]
    near = [
        fact
        for fact, (head, tail, _, _) in zip(facts(whole), whole._.relations, strict=True)
        if max(head.end, tail.end) - min(head.start, tail.start) <= 10
    ]
    assert len(near) > 3
    assert set(near) <= set(facts(doc))


def test_config_scorer(make_examples):
    nlp = make_nlp(scorer=None)
    train(nlp, make_examples(nlp), steps=1)
    assert "ents_f" not in nlp.evaluate(make_examples(nlp))
    assert nlp.get_pipe("tabcnn").score(make_examples(nlp)) == {}


def test_config_model(make_examples):
    nlp = make_nlp(
        model={
            "tok2vec": TINY_TOK2VEC,
            "head": {"hidden": [8, 7], "kernel_size": 5, "dropout": 0.1},
        }
    )
    nlp.initialize(lambda: make_examples(nlp))
    nlp.update(make_examples(nlp), drop=0.5)
    module = module_of(nlp.get_pipe("tabcnn"))
    assert [conv.out_channels for conv in module.convs] == [8, 7, 5]
    assert (module.kernel_size, module.dropout) == (5, 0.1)


def test_settings_are_saved(tmp_path):
    nlp = make_nlp(
        aggregation="any",
        min_score=0.25,
        type_constraints=False,
        max_length=64,
        entities="given",
        relation_weight=2.0,
        temperature={"relations": 2.0},
    )
    nlp.get_pipe("tabcnn").add_label("PER")
    nlp.initialize()
    nlp.to_disk(tmp_path)
    cfg = spacy.load(tmp_path).get_pipe("tabcnn").cfg
    assert cfg == {
        "labels": {"entities": ["PER"], "relations": {}},
        "trained_on": {"documents": 0, "bounded": 0, "several": 0},
        "aggregation": "any",
        "min_score": 0.25,
        "type_constraints": False,
        "max_length": 64,
        "relation_weight": 2.0,
        "temperature": {"entities": 1.0, "relations": 2.0},
        "entities": "given",
    }


def test_config_overrides_settings_of_a_saved_pipeline(trained, tmp_path):
    trained.to_disk(tmp_path)
    loaded = spacy.load(
        tmp_path, config={"components": {"tabcnn": {"min_score": 0.25, "aggregation": "any"}}}
    )
    cfg = trained.get_pipe("tabcnn").cfg
    assert loaded.get_pipe("tabcnn").cfg == {**cfg, "min_score": 0.25, "aggregation": "any"}


def test_find_threshold(learner, make_examples, tmp_path):
    """`spacy find-threshold MODEL DATA tabcnn min_score rels_strict_f`."""
    learner.get_pipe_config("tabcnn")["type_constraints"] = False
    learner.to_disk(tmp_path / "model")
    docs = [eg.reference for eg in make_examples(learner)]
    DocBin(docs=docs, store_user_data=True).to_disk(tmp_path / "dev.spacy")
    best, score, scores = find_threshold(
        tmp_path / "model",
        tmp_path / "dev.spacy",
        "tabcnn",
        "min_score",
        "rels_strict_f",
        n_trials=3,
    )
    assert list(scores) == [0.0, 0.5, 1.0]
    assert (best, score) == (0.5, 1.0)
    # With a threshold of 0 every two entities are joined, with one of 1 at most those that are
    # certain to seven digits.
    assert scores[0.0] < 1.0 and scores[1.0] < 1.0


# With other components


def make_shared_nlp(*names, tagger=False):
    """A pipeline of components that listen to one tok2vec."""
    nlp = spacy.blank("en")
    nlp.add_pipe(
        "tok2vec", config={"model": {"@architectures": "spacy.HashEmbedCNN.v2", **FULL_TOK2VEC}}
    )
    listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": 16, "upstream": "tok2vec"}
    for name in names:
        nlp.add_pipe(
            "tabcnn", name=name, config={"model": {"tok2vec": listener, "head": TINY_HEAD}}
        )
    if tagger:
        nlp.add_pipe("tagger", config={"model": {"tok2vec": listener}})
    return nlp


FULL_TOK2VEC = {
    **TINY_TOK2VEC,
    "window_size": 1,
    "maxout_pieces": 3,
    "subword_features": True,
    "pretrained_vectors": None,
}


@pytest.fixture
def tagged_examples(make_examples):
    """Examples with a tag for each word besides."""

    def make(nlp):
        examples = make_examples(nlp)
        for eg in examples:
            for token in eg.reference:
                token.tag_ = "NAME" if token.text[0].isupper() else "WORD"
        return examples

    return make


def test_components_that_share_a_tok2vec(tagged_examples):
    nlp = make_shared_nlp("first", "second", tagger=True)
    examples = tagged_examples(nlp)
    losses = train(nlp, examples, steps=60)
    assert all(losses[name] < 0.01 for name in ("first", "second"))
    scores = nlp.evaluate(examples)
    assert (scores["rels_strict_f"], scores["tag_acc"]) == (1.0, 1.0)


def test_every_listener_teaches_the_shared_tok2vec(make_examples):
    """Its gradient is the sum of those of the components that listen."""
    both = make_shared_nlp("first", "second")
    both.initialize(lambda: make_examples(both))
    gradients = []
    for names in (("first", "second"), ("first",), ("second",)):
        nlp = make_shared_nlp(*names)
        for name in ("tok2vec", *names):
            nlp.get_pipe(name).from_bytes(both.get_pipe(name).to_bytes())
        nlp.update(make_examples(nlp), sgd=False, drop=0.0)
        nodes = nlp.get_pipe("tok2vec").model.walk()
        gradients.append(
            [
                node.get_grad(name)
                for node in nodes
                for name in node.param_names
                if node.has_grad(name)
            ]
        )
    assert gradients[0]
    for total, first, second in zip(*gradients, strict=True):
        np.testing.assert_allclose(total, first + second, atol=1e-4)


def test_shared_tok2vec_with_empty_documents(make_examples):
    nlp = make_shared_nlp("first", "second")
    examples = make_examples(nlp, [("", [], []), *TRAIN_DATA, ("", [], [])])
    losses = train(nlp, examples, steps=2)
    assert losses["tok2vec"] > 0.0
    assert [doc.text for doc in nlp.pipe(["", "Ada", ""])] == ["", "Ada", ""]


def test_frozen_tok2vec(make_examples):
    """In frozen_components and annotating_components of the [training] block."""
    nlp = make_shared_nlp("tabcnn")
    examples = make_examples(nlp)
    nlp.initialize(lambda: examples)
    before, sgd = parameters_of(nlp.get_pipe("tok2vec")), Adam(0.01)
    losses = [
        nlp.update(examples, sgd=sgd, exclude=["tok2vec"], annotates=["tok2vec"])["tabcnn"]
        for _ in range(20)
    ]
    assert losses[-1] < losses[0] / 2
    assert are_equal(parameters_of(nlp.get_pipe("tok2vec")), before)


def test_listener_can_be_replaced(make_examples, tmp_path):
    nlp = make_shared_nlp("tabcnn")
    train(nlp, make_examples(nlp), steps=5)
    expected = [describe(doc) for doc in nlp.pipe(TEXTS)]
    nlp.replace_listeners("tok2vec", "tabcnn", ["model.tok2vec"])
    nlp.remove_pipe("tok2vec")
    nlp.to_disk(tmp_path)
    for copy in (nlp, spacy.load(tmp_path)):
        for doc, same in zip(copy.pipe(TEXTS), expected, strict=True):
            assert_close(describe(doc), same)


def test_annotations_of_an_upstream_component_split_sentences(learner, make_examples):
    learner.add_pipe("sentencizer", first=True)
    doc = learner(f"{TEXTS[0]} {TEXTS[1]}")
    assert len(list(doc.sents)) == 2
    assert facts(doc) == [("Ada Lovelace", "LiveIn", "London"), ("Marie Curie", "LiveIn", "Paris")]
    assert learner.evaluate(make_examples(learner))["rels_strict_f"] == 1.0


# Optimisers


@pytest.mark.parametrize("rates, changes", [((0.0, 0.1), True), ((0.1, 0.0), False)])
def test_head_learn_rate(learner, make_examples, rates, changes):
    """An update without an optimiser, and a step of this package's AdamW later."""
    component = learner.get_pipe("tabcnn")
    before = parameters_of(component)
    learner.update(make_examples(learner, TRAIN_DATA[:1]), sgd=False)
    assert are_equal(parameters_of(component), before)
    sgd = AdamW(rates[0], head_learn_rate=rates[1], weight_decay=0.0)
    component.finish_update(sgd)
    sgd.step_schedules()
    assert are_equal(parameters_of(component), before) != changes


def test_update_with_adamw(make_examples):
    nlp = make_nlp()
    examples, sgd = make_examples(nlp), AdamW(0.0, head_learn_rate=0.01)
    nlp.initialize(lambda: examples)
    losses = []
    for _ in range(15):
        losses.append(nlp.update(examples, sgd=sgd, drop=0.0)["tabcnn"])
        sgd.step_schedules()
    assert losses[-1] < losses[0] / 2


def test_averaged_parameters(learner, make_examples):
    """As `spacy train` evaluates with them where the optimiser keeps averages."""
    sgd = Adam(0.01, use_averages=True)
    for _ in range(2):
        learner.update(make_examples(learner, TRAIN_DATA[3:]), sgd=sgd)
    before = parameters_of(learner.get_pipe("tabcnn"))
    with learner.use_params(sgd.averages):
        assert not are_equal(parameters_of(learner.get_pipe("tabcnn")), before)
        learner(TEXTS[0])
    assert are_equal(parameters_of(learner.get_pipe("tabcnn")), before)


# Configs


def test_config_of_a_pipeline_rebuilds_it(trained):
    nlp = load_model_from_config(Config().from_str(trained.config.to_str()))
    nlp.from_bytes(trained.to_bytes())
    assert describe(nlp(TEXTS[0])) == describe(trained(TEXTS[0]))
