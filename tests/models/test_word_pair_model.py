"""Documents -> embeddings -> PFN, and the gradient's way back."""

import numpy as np
import pytest
import torch
from thinc.api import Adam, set_dropout_rate

from spacy_tabcnn.models.table_model import TableInput
from spacy_tabcnn.models.word_pair_model import build_pfn
from spacy_tabcnn.sentences import Sentences, Windows
from spacy_tabcnn.word_pairs.logits import WordPairLogits

from .test_span_model import WIDTH, make_tok2vec

N_TYPES, N_RELATIONS = 3, 2


def cut(docs, max_length=256):
    return TableInput(docs, Windows(Sentences.of_docs(docs), max_length))


def make_model(*, initialize=True, **options):
    torch.manual_seed(0)
    model = build_pfn(make_tok2vec(), **{"hidden": 8, "dropconnect": 0.0, **options})
    if initialize:
        entities, relations = np.zeros((0, N_TYPES), "f"), np.zeros((0, N_RELATIONS), "f")
        model.initialize(Y=WordPairLogits(entities, relations, cut([]).windows))
    return model


def module_of(model):
    return model.get_ref("head").shims[0]._model


def tables_of(logits):
    return [
        table
        for table in (logits.entities, logits.relations, logits.last_words)
        if table is not None
    ]


def assert_same_logits(actual, expected):
    for one, other in zip(tables_of(actual), tables_of(expected), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.fixture
def docs(make_doc):
    """Documents of 4, 1, no and 2 + 3 words."""
    split = make_doc("it rained . all day", sent_starts=[True, False, True, False, False])
    return [make_doc("Ada lives in London"), make_doc("Ada"), make_doc(""), split]


@pytest.mark.parametrize("nested", [False, True])
def test_all_cells_are_scored(docs, nested):
    logits = make_model(nested=nested).predict(cut(docs))
    assert logits.entities.shape == (10 + 1 + 3 + 6, N_TYPES)
    assert logits.relations.shape == (12 + 0 + 2 + 6, N_RELATIONS)
    assert (logits.last_words is not None) == nested
    assert logits.last_words is None or logits.last_words.shape == logits.relations.shape


def test_documents_do_not_change_each_other(docs):
    model = make_model(nested=True)
    together = tables_of(model.predict(cut(docs)))
    alone = zip(*(tables_of(model.predict(cut([doc]))) for doc in docs if len(doc)), strict=True)
    for table, parts in zip(together, alone, strict=True):
        np.testing.assert_allclose(table, np.concatenate(parts), atol=1e-5)


@pytest.mark.parametrize("max_length", [256, 3])
@pytest.mark.parametrize("nested", [False, True])
def test_gradients_equal_autograd(docs, nested, max_length):
    """Of the embeddings and of every parameter, for an arbitrary gradient of the logits."""
    model, docs = make_model(nested=nested, dropout=0.0), [doc for doc in docs if len(doc)]
    inputs = cut(docs, max_length)
    logits, backprop = model.begin_update(inputs)
    random = np.random.default_rng(1)
    gradients = [random.standard_normal(table.shape).astype("f") for table in tables_of(logits)]
    backprop(WordPairLogits(*gradients[:2], logits.windows, *gradients[2:]))
    module = module_of(model)
    actual = [np.concatenate(model.get_ref("tok2vec").attrs["gradients"])]
    actual += [parameter.grad.numpy().copy() for parameter in module.parameters()]

    module.zero_grad()
    arrays = model.get_ref("tok2vec").predict(docs)
    words = torch.tensor(np.concatenate(arrays), requires_grad=True)
    rows = words[torch.from_numpy(inputs.windows.words())]
    tables = module(rows, torch.from_numpy(inputs.windows.lengths))
    torch.autograd.backward(tables, [*map(torch.from_numpy, gradients)])
    expected = [words.grad.numpy(), *(parameter.grad.numpy() for parameter in module.parameters())]
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("dropout, is_random", [(None, True), (0.0, False), (0.5, True)])
def test_dropout(docs, dropout, is_random):
    model = make_model(dropout=dropout)
    set_dropout_rate(model, 0.3)
    first, second = (model.begin_update(cut(docs))[0] for _ in range(2))
    assert np.array_equal(first.entities, second.entities) != is_random
    assert module_of(model).dropout == (0.3 if dropout is None else dropout)
    assert_same_logits(model.predict(cut(docs)), model.predict(cut(docs)))


def test_sizes():
    module = module_of(make_model(hidden=7))
    assert module.cell.input.weight.shape == (35, WIDTH)
    assert module.entities.label.weight.shape == (N_TYPES, 7)
    assert module.relations.label.weight.shape == (N_RELATIONS, 7)


@pytest.mark.parametrize("nested", [False, True])
def test_saving(docs, nested):
    model = make_model(nested=nested)
    other = make_model(initialize=False, nested=nested).from_bytes(model.to_bytes())
    assert_same_logits(other.predict(cut(docs)), model.predict(cut(docs)))
    make_model(initialize=False).from_bytes(make_model(initialize=False).to_bytes())


def test_weights_of_another_variant_are_refused():
    plain = make_model().to_bytes()
    with pytest.raises(ValueError, match="last_words"):
        make_model(initialize=False, nested=True).from_bytes(plain)


def test_update(docs):
    model = make_model(dropout=0.0)
    before = model.predict(cut(docs)).entities
    logits, backprop = model.begin_update(cut(docs))
    backprop(logits)
    model.finish_update(Adam(0.01))
    assert not np.allclose(model.predict(cut(docs)).entities, before)
