"""An LSTM before a table head: states in place of embeddings, gradients, windows, labels."""

import pickle

import numpy as np
import pytest
import torch
from thinc.api import Model, set_dropout_rate

from spacy_tabcnn.models.table_heads import HeadInput, build_table_cnn
from spacy_tabcnn.models.table_lstm import build_table_lstm
from spacy_tabcnn.models.table_model import find_heads
from spacy_tabcnn.runtime.head_shim import grow_module
from spacy_tabcnn.sentences import Sentences, Windows
from spacy_tabcnn.table.logits import TableLogits

WIDTH, UNITS, N_TAGS, N_RELATIONS = 6, 5, 9, 5
LENGTHS = np.array([4, 1, 3])
WINDOWS = Windows(Sentences.of_lengths(LENGTHS), 256)


def make_inputs(lengths=LENGTHS):
    words = np.random.default_rng(0).standard_normal((sum(lengths), WIDTH)).astype("float32")
    return HeadInput(words, Windows(Sentences.of_lengths(np.array(lengths)), 256))


def make_head(**options):
    torch.manual_seed(0)
    table = build_table_cnn(hidden=[8], dropout=0.0)
    head = build_table_lstm(table, units=UNITS, **options)
    head.set_dim("nI", WIDTH)
    labels = np.zeros((0, N_TAGS), "f"), np.zeros((0, N_RELATIONS), "f")
    head.initialize(Y=TableLogits(*labels, WINDOWS))
    return head


def test_the_head_reads_the_states_of_each_sentence():
    head, inputs = make_head(), make_inputs()
    lstm, table = head.layers
    sentences = torch.tensor(inputs.words).split(LENGTHS.tolist())
    with torch.no_grad():
        states = torch.cat([lstm.shims[0]._model.lstm(words)[0] for words in sentences])
    expected = table.predict(inputs._replace(words=states.numpy()))
    logits = head.predict(inputs)
    np.testing.assert_allclose(logits.tags, expected.tags, atol=1e-6)
    np.testing.assert_allclose(logits.relations, expected.relations, atol=1e-6)


def test_gradients_equal_autograd():
    head, inputs = make_head(dropout=0.0), make_inputs()
    logits, backprop = head.begin_update(inputs)
    d_tags, d_relations = np.cos(logits.tags), np.cos(logits.relations)
    d_words = backprop(TableLogits(d_tags, d_relations, logits.windows)).words
    lstm, table = (layer.shims[0]._model for layer in head.layers)
    actual = {name: weight.grad.clone() for name, weight in lstm.named_parameters()}
    lstm.zero_grad()
    words, lengths = torch.tensor(inputs.words, requires_grad=True), torch.tensor(LENGTHS)
    tags, relations = table(lstm(words, lengths), lengths)
    (tags.sin().sum() + relations.sin().sum()).backward()
    np.testing.assert_allclose(d_words, words.grad.numpy(), atol=1e-5)
    for name, weight in lstm.named_parameters():
        torch.testing.assert_close(actual[name], weight.grad, atol=1e-5, rtol=1e-4)


def test_dropout_follows_the_training_block():
    head, inputs = make_head(), make_inputs()
    set_dropout_rate(head, 0.5)
    assert not np.array_equal(head(inputs, True)[0].tags, head(inputs, True)[0].tags)
    set_dropout_rate(head, 0.0)
    assert np.array_equal(head(inputs, True)[0].tags, head(inputs, True)[0].tags)


def test_no_words():
    logits = make_head().predict(make_inputs([]))
    assert logits.tags.shape == (0, N_TAGS) and logits.relations.shape == (0, N_RELATIONS)


def test_new_labels_leave_the_lstm_as_it_is():
    head = make_head()
    lstm = head.layers[0].shims[0]._model
    for layer in find_heads(head):
        grow_module(layer, {"n_tags": N_TAGS + 4, "n_relations": N_RELATIONS + 2})
    assert head.layers[0].shims[0]._model is lstm
    assert head.predict(make_inputs()).tags.shape == (8, N_TAGS + 4)


def test_it_survives_bytes_and_pickle():
    head, inputs = make_head(), make_inputs()
    loaded = build_table_lstm(build_table_cnn(hidden=[8]), units=UNITS)
    loaded.from_bytes(head.to_bytes())
    for copy in (loaded, pickle.loads(pickle.dumps(head))):
        assert np.array_equal(copy.predict(inputs).tags, head.predict(inputs).tags)


def test_the_table_is_a_table_head():
    with pytest.raises(ValueError, match=r"TableLSTM\.v1: its table head is the model 'spert'"):
        build_table_lstm(Model("spert", lambda *arguments: None))
