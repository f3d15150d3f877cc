"""New labels for a trained component: the old ones stay, the new ones are learned."""

import warnings

import numpy as np
import pytest
import spacy
import torch
from spacy.tokens import Doc
from thinc.api import Adam

from spacy_tabcnn.models.table_model import find_heads
from spacy_tabcnn.training.optimizer import AdamW

from .conftest import TRAIN_DATA

TOK2VEC = {
    "@architectures": "spacy.HashEmbedCNN.v2",
    "pretrained_vectors": None,
    "width": 32,
    "depth": 1,
    "embed_size": 200,
    "window_size": 1,
    "maxout_pieces": 2,
    "subword_features": True,
}
# Each component, with a small head.
COMPONENTS = {
    "cnn": ("tabcnn", {"head": {"@architectures": "spacy-tabcnn.TableCNN.v1", "hidden": [32]}}),
    "separable": (
        "tabcnn",
        {
            "head": {
                "@architectures": "spacy-tabcnn.TableCNN.v1",
                "hidden": [32, 16],
                "separable": True,
            }
        },
    ),
    "biaffine": (
        "tabcnn",
        {"head": {"@architectures": "spacy-tabcnn.TableBiaffine.v1", "tag_width": 8, "rank": 8}},
    ),
    "sequence": (
        "tabcnn",
        {
            "head": {
                "@architectures": "spacy-tabcnn.TableSequence.v1",
                "hidden": 32,
                "n_layers": 2,
                "n_heads": 4,
            }
        },
    ),
    "pairs": (
        "tabcnn",
        {
            "head": {
                "@architectures": "spacy-tabcnn.TablePairs.v1",
                "table": {"@architectures": "spacy-tabcnn.TableCNN.v1", "hidden": [32]},
            }
        },
    ),
    "lstm": (
        "tabcnn",
        {
            "head": {
                "@architectures": "spacy-tabcnn.TableLSTM.v1",
                "table": {"@architectures": "spacy-tabcnn.TableCNN.v1", "hidden": [32]},
                "units": 16,
            }
        },
    ),
    "spert": ("spert", {"@architectures": "spacy-tabcnn.SpERT.v1", "sentence_embedding": "max"}),
    "pfn": ("pfn", {"@architectures": "spacy-tabcnn.PFN.v1", "hidden": 32}),
    "nested pfn": ("pfn", {"@architectures": "spacy-tabcnn.PFN.v1", "hidden": 32, "nested": True}),
}
NEW_DATA = [
    ("Ada met Bob in 1843", [(0, 1, "PER"), (2, 3, "PER"), (4, 5, "DATE")], [(0, 1, "Met")]),
    ("In 1901 Ada met Eve", [(1, 2, "DATE"), (2, 3, "PER"), (4, 5, "PER")], [(1, 2, "Met")]),
]
TEXTS = [words for words, _, _ in TRAIN_DATA]
TEXTS += ["Alan Turing lived in Paris .", "The Navy was home to Ada", "word"]


def make_nlp(name):
    factory, model = COMPONENTS[name]
    nlp = spacy.blank("en")
    architecture = {"@architectures": "spacy-tabcnn.TableModel.v1"}
    nlp.add_pipe(
        factory, name="pipe", config={"model": architecture | model | {"tok2vec": TOK2VEC}}
    )
    return nlp


def train(nlp, examples, n_steps, optimizer=None):
    optimizer = optimizer or AdamW(0.01)
    for _ in range(n_steps):
        nlp.update(examples, sgd=optimizer)
        optimizer.step_schedules()
    return optimizer


@pytest.fixture(scope="module", params=COMPONENTS)
def saved(request, make_examples):
    """The name of a component, and a pipeline with it that knows TRAIN_DATA by heart."""
    spacy.util.fix_random_seed(0)
    nlp = make_nlp(request.param)
    examples = make_examples(nlp)
    nlp.initialize(lambda: examples)
    train(nlp, examples, 60)
    return request.param, nlp.to_bytes()


@pytest.fixture
def nlp(saved):
    name, data = saved
    return make_nlp(name).from_bytes(data)


@pytest.fixture
def new_examples(nlp, make_examples):
    return make_examples(nlp, [*TRAIN_DATA, *NEW_DATA])


def annotate(nlp, texts=TEXTS):
    return list(nlp.pipe([Doc(nlp.vocab, words=text.split()) for text in texts]))


def facts(docs):
    return [
        (
            [(ent.start, ent.end, ent.label_) for ent in doc.ents],
            [(rel.head.start, rel.label, rel.tail.start) for rel in doc._.relations],
        )
        for doc in docs
    ]


def logits_of(nlp):
    """The logits of the labels that the trained component has."""
    arrays = []
    for text in TEXTS:
        logits = nlp.get_pipe("pipe").predict([Doc(nlp.vocab, words=text.split())])
        labels = [value for value in logits if isinstance(value, np.ndarray) and value.ndim == 2]
        arrays.append([array for array in labels if array.dtype == np.float32])
    return arrays


def parameters_of(nlp):
    parameters = {}
    for number, head in enumerate(find_heads(nlp.get_pipe("pipe").model)):
        for name, parameter in head.shims[0]._model.named_parameters():
            parameters[f"{number}.{name}"] = parameter
    return parameters


def test_labels_of_examples_are_added(nlp, new_examples):
    pipe = nlp.get_pipe("pipe")
    assert pipe.add_labels(new_examples) == ["DATE", "Met"]
    assert pipe.labels == ("LOC", "ORG", "PER", "DATE", "LiveIn", "WorkFor", "Met")
    assert pipe.label_data["relations"]["Met"] == [["PER", "PER"]]
    assert pipe.add_labels(new_examples) == []


def test_logits_of_the_old_labels_are_unchanged(saved, nlp, new_examples):
    """Where a table and a classifier of pairs are averaged, these are probabilities: the new labels
    take their share of both."""
    tolerance = 0.02 if saved[0] == "pairs" else 1e-5
    before = logits_of(nlp)
    nlp.get_pipe("pipe").add_labels(new_examples)
    for old, new in zip(before, logits_of(nlp), strict=True):
        for one, other in zip(old, new, strict=True):
            assert len(one) == len(other)
            assert np.allclose(one, other[:, : one.shape[1]], atol=tolerance)
            assert other.shape[1] > one.shape[1]


def test_predictions_stay(nlp, new_examples):
    before = annotate(nlp)
    nlp.get_pipe("pipe").add_labels(new_examples)
    after = annotate(nlp)
    assert facts(after) == facts(before)
    for old, new in zip(before, after, strict=True):
        for one, other in zip(old._.relations, new._.relations, strict=True):
            assert other.score == pytest.approx(one.score, abs=0.03)


def test_weights_of_the_old_labels_are_kept_bit_for_bit(nlp, new_examples):
    before = {name: weight.detach().clone() for name, weight in parameters_of(nlp).items()}
    nlp.get_pipe("pipe").add_labels(new_examples)
    for name, weight in parameters_of(nlp).items():
        old = before[name]
        if name.endswith("tag_embedding.weight"):
            # The last row stands for the place before the first word.
            assert torch.equal(weight[-1], old[-1])
            weight, old = weight[:-1], old[:-1]
        assert torch.equal(weight[tuple(map(slice, old.shape))], old), name


def test_new_labels_are_learned_and_the_old_ones_stay(nlp, new_examples, make_examples):
    nlp.get_pipe("pipe").add_labels(new_examples)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(nlp, new_examples, 60)
    gold = make_examples(nlp, [*TRAIN_DATA, *NEW_DATA])
    predicted = annotate(nlp, [words for words, _, _ in [*TRAIN_DATA, *NEW_DATA]])
    assert facts(predicted) == facts([eg.reference for eg in gold])


@pytest.mark.parametrize("make_optimizer", [AdamW, Adam])
def test_an_optimizer_goes_on_after_new_labels(nlp, new_examples, make_optimizer):
    """Its moments and averages have the shapes of the weights before."""
    optimizer = make_optimizer(0.01, use_averages=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the labels that are still unknown
        train(nlp, new_examples, 2, optimizer)
    nlp.get_pipe("pipe").add_labels(new_examples)
    with nlp.use_params(optimizer.averages):
        annotate(nlp)
    train(nlp, new_examples, 60, optimizer)
    with nlp.use_params(optimizer.averages):
        annotate(nlp)
    learned = annotate(nlp, [words for words, _, _ in NEW_DATA])
    assert facts(learned) == facts([eg.reference for eg in new_examples[-2:]])


def test_a_grown_pipeline_is_saved_and_loaded(
    nlp, saved, new_examples, make_examples, assert_same_annotations
):
    nlp.get_pipe("pipe").add_labels(new_examples)
    train(nlp, new_examples, 5)
    loaded = make_nlp(saved[0]).from_bytes(nlp.to_bytes())
    assert loaded.get_pipe("pipe").label_data == nlp.get_pipe("pipe").label_data
    assert_same_annotations(annotate(loaded), annotate(nlp))


@pytest.mark.parametrize("kind", ["entity", "relation"])
def test_one_label_is_added(nlp, kind):
    before = annotate(nlp)
    pipe = nlp.get_pipe("pipe")
    assert pipe.add_label("New", kind=kind) == 1
    assert pipe.add_label("New", kind=kind) == 0
    assert "New" in pipe.labels and "New" in nlp.vocab.strings
    assert facts(annotate(nlp)) == facts(before)


def test_a_component_without_relations_gets_the_first(saved, make_examples):
    nlp = make_nlp(saved[0])
    data = [(words, entities, []) for words, entities, _ in TRAIN_DATA]
    nlp.initialize(lambda: make_examples(nlp, data))
    train(nlp, make_examples(nlp, data), 20)
    before = facts(annotate(nlp))
    examples = make_examples(nlp)
    assert nlp.get_pipe("pipe").add_labels(examples) == ["LiveIn", "WorkFor"]
    assert facts(annotate(nlp)) == before
    train(nlp, examples, 60)
    assert facts(annotate(nlp))[:4] == facts([eg.reference for eg in examples])


def test_the_warning_about_a_new_label_says_how_to_add_it(nlp, new_examples):
    with pytest.warns(UserWarning, match="of the unknown type 'DATE'.*") as caught:
        nlp.update(new_examples, sgd=AdamW(0.01))
    message = str(caught[0].message)
    assert "nlp.get_pipe('pipe').add_labels(examples)" in message
    assert "spacy-tabcnn.add_labels.v1" in message
