"""The average of several table models."""

import numpy as np
import pytest
import torch

from spacy_tabcnn.arrays import log_softmax
from spacy_tabcnn.models.table_ensemble import build_table_ensemble
from spacy_tabcnn.models.table_heads import build_table_cnn
from spacy_tabcnn.models.table_model import build_table_model

from .test_table_model import N_RELATIONS, N_TAGS, cut, make_labels, make_tok2vec


def get_probabilities(logits, kind):
    return np.exp(log_softmax(getattr(logits, kind)))


def make_member(seed):
    torch.manual_seed(seed)
    return build_table_model(make_tok2vec(), build_table_cnn(hidden=[8], dropout=0.0))


def make_ensemble(docs, n_members=3):
    ensemble = build_table_ensemble(*map(make_member, range(n_members)))
    ensemble.initialize(X=docs, Y=make_labels())
    return ensemble


@pytest.fixture
def docs(make_doc):
    return [make_doc("Ada lives in London"), make_doc("Ada")]


@pytest.mark.parametrize("kind", ["tags", "relations"])
def test_probabilities_are_the_mean_of_the_members(docs, kind):
    ensemble = make_ensemble(docs)
    members = [get_probabilities(member.predict(cut(docs)), kind) for member in ensemble.layers]
    assert not np.allclose(members[0], members[1], atol=1e-3)
    mean = get_probabilities(ensemble.predict(cut(docs)), kind)
    np.testing.assert_allclose(mean, np.mean(members, axis=0), atol=1e-6)


def test_an_ensemble_of_one_is_its_member(docs):
    ensemble = make_ensemble(docs, n_members=1)
    member = get_probabilities(ensemble.layers[0].predict(cut(docs)), "tags")
    np.testing.assert_allclose(
        get_probabilities(ensemble.predict(cut(docs)), "tags"), member, atol=1e-6
    )


def test_sizes(docs):
    logits = make_ensemble(docs).predict(cut(docs))
    assert logits.tags.shape == (5, N_TAGS) and logits.relations.shape == (6, N_RELATIONS)


def test_documents_without_words(make_doc):
    docs = [make_doc("Ada lives"), make_doc([])]
    logits = make_ensemble([make_doc("Ada")]).predict(cut(docs))
    assert logits.tags.shape == (2, N_TAGS)


def test_training_is_refused(docs):
    with pytest.raises(ValueError, match="train its members one by one"):
        make_ensemble(docs).begin_update(cut(docs))


def test_no_members():
    with pytest.raises(ValueError, match="has no members"):
        build_table_ensemble()
