"""Documents -> embeddings -> SpERT's classifiers, and the gradient's way back."""

import numpy as np
import pytest
import torch
from thinc.api import Adam, Model, set_dropout_rate

from spacy_tabcnn.models.span_model import Candidates, SpanInput, build_spert
from spacy_tabcnn.sentences import Sentences
from spacy_tabcnn.spans.logits import SpanLogits

WIDTH, N_TYPES, N_RELATIONS = 6, 3, 2
SPANS = np.array([[0, 1, 0], [2, 4, 0], [1, 3, 0], [5, 7, 2]])
PAIRS = np.array([[0, 1], [2, 0]])


def make_tok2vec():
    """A layer that gives each word a fixed vector and keeps the gradients that come back."""

    def forward(model, docs, is_train):
        def backprop(d_embeddings):
            model.attrs["gradients"] = d_embeddings
            return []

        return [embed(doc) for doc in docs], backprop

    def embed(doc):
        vectors = [np.random.default_rng(token.orth).standard_normal(WIDTH) for token in doc]
        return np.stack(vectors).astype("f") if vectors else np.zeros((0, 0), "f")

    return Model("fixed", forward)


def make_labels():
    spans, pairs = np.zeros((0, 3), np.int64), np.zeros((0, 2), np.int64)
    return SpanLogits(
        spans, np.zeros((0, N_TYPES), "f"), pairs, np.zeros((0, N_RELATIONS), "f"), Sentences([])
    )


def make_model(*, initialize=True, **options):
    torch.manual_seed(0)
    model = build_spert(
        make_tok2vec(),
        sentence_embedding="max",
        **{"max_width": 3, "width_embedding": 5, **options},
    )
    if initialize:
        model.initialize(Y=make_labels())
        with torch.no_grad():  # make entities likely
            module_of(model).entity_classifier.weight *= 50
    return model


def module_of(model):
    return model.get_ref("head").shims[0]._model


def cut(docs, candidates=None, *, max_length=256):
    return SpanInput(docs, Sentences.of_docs(docs), max_length, candidates)


@pytest.fixture
def docs(make_doc):
    """Documents of 4, 1, no and 2 + 3 words."""
    split = make_doc("it rained . all day", sent_starts=[True, False, True, False, False])
    return [make_doc("Ada lives in London"), make_doc("Ada"), make_doc(""), split]


def assert_same_logits(actual, expected):
    np.testing.assert_array_equal(actual.spans, expected.spans)
    np.testing.assert_array_equal(actual.pairs, expected.pairs)
    np.testing.assert_allclose(actual.entities, expected.entities, atol=1e-5)
    np.testing.assert_allclose(actual.relations, expected.relations, atol=1e-5)


def test_all_spans_are_scored_and_pairs_of_the_best(docs):
    logits = make_model().predict(cut(docs))
    assert np.bincount(logits.spans[:, 2]).tolist() == [9, 1, 3, 6]
    assert logits.entities.shape == (19, N_TYPES)
    assert logits.relations.shape == (len(logits.pairs), N_RELATIONS) and len(logits.pairs)
    heads, tails = logits.spans[logits.pairs.T]
    assert (heads[:, 2] == tails[:, 2]).all()
    assert ((heads[:, 1] <= tails[:, 0]) | (tails[:, 1] <= heads[:, 0])).all()
    assert logits.entities[logits.pairs.ravel()].argmax(axis=1).all()


def test_documents_do_not_change_each_other(docs):
    model = make_model()
    together = model.predict(cut(docs))
    alone = [model.predict(cut([doc])) for doc in docs if len(doc)]
    np.testing.assert_allclose(
        together.entities, np.concatenate([one.entities for one in alone]), atol=1e-5
    )
    backwards = model.predict(cut(docs[::-1]))
    n = len(alone[0].entities)
    np.testing.assert_allclose(backwards.entities[-n:], together.entities[:n], atol=1e-5)


def test_max_length_bounds_the_pairs(docs):
    model = make_model()
    n_pairs = len(model.predict(cut(docs)).pairs)
    logits = model.predict(cut(docs, max_length=2))
    heads, tails = logits.spans[logits.pairs.T]
    assert (np.maximum(heads[:, 1], tails[:, 1]) - np.minimum(heads[:, 0], tails[:, 0]) <= 2).all()
    assert len(logits.pairs) < n_pairs


def test_candidates_score_alike_in_training_and_prediction(docs):
    model = make_model(dropout=0.0)
    predicted = model.predict(cut(docs))
    logits, _ = model.begin_update(cut(docs, Candidates(predicted.spans, predicted.pairs)))
    assert_same_logits(logits, predicted)


def test_training_needs_candidates(docs):
    with pytest.raises(ValueError, match="cannot train without candidates"):
        make_model().begin_update(cut(docs))


def test_gradients_equal_autograd(docs):
    """Of the embeddings and of every parameter, for an arbitrary gradient of the logits."""
    model = make_model(dropout=0.0)
    logits, backprop = model.begin_update(cut(docs, Candidates(SPANS, PAIRS)))
    random = np.random.default_rng(1)
    d_entities, d_relations = (
        random.standard_normal(array.shape).astype("float32")
        for array in (logits.entities, logits.relations)
    )
    backprop(logits._replace(entities=d_entities, relations=d_relations))
    module = module_of(model)
    gradients = [array for array in model.get_ref("tok2vec").attrs["gradients"] if len(array)]
    actual = [
        np.concatenate(gradients),
        *(parameter.grad.numpy().copy() for parameter in module.parameters()),
    ]

    module.zero_grad()
    arrays = model.get_ref("tok2vec").predict(docs)
    words = torch.tensor(
        np.concatenate([array for array in arrays if len(array)]), requires_grad=True
    )
    context = torch.stack([part.max(dim=0).values for part in words.split([4, 1, 2, 3])])
    entities, relations = module(words, context, torch.tensor(SPANS), torch.tensor(PAIRS))
    (
        (entities * torch.tensor(d_entities)).sum() + (relations * torch.tensor(d_relations)).sum()
    ).backward()
    expected = [words.grad.numpy(), *(parameter.grad.numpy() for parameter in module.parameters())]
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.parametrize("dropout, is_random", [(None, True), (0.0, False), (0.5, True)])
def test_dropout(docs, dropout, is_random):
    model = make_model(dropout=dropout)
    set_dropout_rate(model, 0.3)
    first, second = (model.begin_update(cut(docs, Candidates(SPANS, PAIRS)))[0] for _ in range(2))
    assert np.array_equal(first.entities, second.entities) != is_random
    assert module_of(model).dropout == (0.3 if dropout is None else dropout)
    assert_same_logits(model.predict(cut(docs)), model.predict(cut(docs)))


def test_sizes():
    module = module_of(make_model(max_width=4, width_embedding=7))
    assert module.widths.weight.shape == (4, 7)
    assert module.entity_classifier.weight.shape == (N_TYPES, 2 * WIDTH + 7)
    assert module.relation_classifier.weight.shape == (N_RELATIONS, 3 * WIDTH + 14)


def test_saving(docs):
    model = make_model()
    other = make_model(initialize=False).from_bytes(model.to_bytes())
    assert_same_logits(other.predict(cut(docs)), model.predict(cut(docs)))
    make_model(initialize=False).from_bytes(make_model(initialize=False).to_bytes())


def test_update(docs):
    model = make_model(dropout=0.0)
    before = model.predict(cut(docs)).entities
    logits, backprop = model.begin_update(cut(docs, Candidates(SPANS, PAIRS)))
    backprop(logits)
    model.finish_update(Adam(0.01))
    assert not np.allclose(model.predict(cut(docs)).entities, before)
