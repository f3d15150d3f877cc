"""Documents -> word embeddings -> head, and the gradient's way back."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from thinc.api import Model

from spacy_tabcnn.models.table_heads import build_table_biaffine, build_table_cnn
from spacy_tabcnn.models.table_model import TableInput, build_table_model
from spacy_tabcnn.sentences import Sentences, Windows, count_cells
from spacy_tabcnn.table.gold import GoldTables
from spacy_tabcnn.table.logits import TableLogits
from spacy_tabcnn.table.loss import table_loss

WIDTH, N_TAGS, N_RELATIONS = 6, 9, 5


def make_tok2vec(*, empty_width=WIDTH):
    """A layer that gives each word a fixed vector and keeps the gradients that come back.

    empty_width (int): Columns of the array of an empty document; a transformer listener's has none.
    """

    def forward(model, docs, is_train):
        def backprop(d_embeddings):
            model.attrs["gradients"] = d_embeddings
            return []

        return [embed(doc) for doc in docs], backprop

    def embed(doc):
        if not len(doc):
            return np.zeros((0, empty_width), "f")
        return np.stack(
            [np.random.default_rng(token.orth).standard_normal(WIDTH) for token in doc]
        ).astype("f")

    return Model("fixed", forward)


def make_labels():
    return TableLogits(
        np.zeros((0, N_TAGS), "f"), np.zeros((0, N_RELATIONS), "f"), np.zeros(0, np.int64)
    )


def make_model(docs=None, head=None, **tok2vec_options):
    torch.manual_seed(0)
    head = head or build_table_cnn(hidden=[8], dropout=0.0)
    model = build_table_model(make_tok2vec(**tok2vec_options), head)
    model.initialize(X=docs, Y=make_labels())
    return model


def cut(docs, known_tags=None, *, max_length=256):
    return TableInput(docs, Windows(Sentences.of_docs(docs), max_length), known_tags)


@pytest.fixture
def docs(make_doc):
    """Documents of 4, 1 and 2 + 3 words."""
    split = make_doc("it rained . all day", sent_starts=[True, False, True, False, False])
    return [make_doc("Ada lives in London"), make_doc("Ada"), split]


# Initialisation


def test_sizes_come_from_the_embeddings_and_the_sample(docs):
    head = make_model(docs).get_ref("head")
    assert [head.get_dim(name) for name in ("nI", "n_tags", "n_relations")] == [
        WIDTH,
        N_TAGS,
        N_RELATIONS,
    ]


@pytest.mark.parametrize("words", [None, []])
def test_initialisation_without_documents(words):
    assert make_model(words).get_ref("head").get_dim("nI") == WIDTH


def test_initialisation_with_empty_documents(make_doc):
    model = make_model([make_doc(""), make_doc("Ada")], empty_width=0)
    assert model.get_ref("head").get_dim("nI") == WIDTH


# Scoring


def test_every_sentence_has_its_table(docs):
    logits = make_model(docs).predict(cut(docs))
    assert logits.windows.lengths.tolist() == [4, 1, 2, 3]
    assert logits.tags.shape == (10, N_TAGS)
    assert logits.relations.shape == (count_cells(logits.windows.lengths).sum(), N_RELATIONS)


def test_documents_do_not_change_each_other(docs):
    model = make_model(docs)
    together = model.predict(cut(docs))
    alone = [model.predict(cut([doc])) for doc in docs]
    np.testing.assert_allclose(
        together.tags, np.concatenate([one.tags for one in alone]), atol=1e-5
    )
    np.testing.assert_allclose(
        together.relations, np.concatenate([one.relations for one in alone]), atol=1e-5
    )


@pytest.mark.parametrize("empty_width", [WIDTH, 0])
def test_empty_documents_have_no_table(docs, make_doc, empty_width):
    model = make_model(docs, empty_width=empty_width)
    expected = model.predict(cut(docs))
    with_empty = [make_doc(""), *docs[:1], make_doc(""), *docs[1:]]
    for logits in (model.predict(cut(with_empty)), model.begin_update(cut(with_empty))[0]):
        assert logits.windows.lengths.tolist() == expected.windows.lengths.tolist()
        np.testing.assert_allclose(logits.tags, expected.tags, atol=1e-6)
        np.testing.assert_allclose(logits.relations, expected.relations, atol=1e-6)


def test_long_sentences_have_a_table_for_each_window(docs):
    """Each gives what it gives as a sentence of its own."""
    model = make_model(docs)
    logits = model.predict(cut(docs, max_length=2))
    assert logits.windows.lengths.tolist() == [2, 2, 2, 1, 2, 2, 2]
    alone = [model.predict(cut([docs[0][start : start + 2].as_doc()])) for start in range(3)]
    np.testing.assert_allclose(
        logits.tags[:6], np.concatenate([one.tags for one in alone]), atol=1e-6
    )
    np.testing.assert_allclose(
        logits.relations[:3], np.concatenate([one.relations for one in alone]), atol=1e-6
    )


# Gold tags


def test_known_tags_follow_their_words_into_the_windows(docs):
    """A head that reads them scores a window as if it were a document of its own."""
    model = make_model(docs, build_table_biaffine(dropout=0.0))
    gold = np.array([4, 1, -1, 3, 8, 0, 0, 5, 6, 7])
    logits, _ = model.begin_update(cut(docs, gold, max_length=2))
    parts = [(docs[0][start : start + 2].as_doc(), gold[start : start + 2]) for start in range(3)]
    alone = [
        model.begin_update(cut([doc], tags))[0] for doc, tags in [*parts, (docs[1], gold[4:5])]
    ]
    np.testing.assert_allclose(
        logits.tags[:7], np.concatenate([one.tags for one in alone]), atol=1e-5
    )
    np.testing.assert_allclose(
        logits.relations[:3], np.concatenate([one.relations for one in alone]), atol=1e-5
    )
    assert not np.allclose(logits.tags, model.begin_update(cut(docs, max_length=2))[0].tags)


def test_known_tags_may_be_left_out(docs):
    """As for a head that does not read them."""
    model = make_model(docs)
    with_tags, _ = model.begin_update(cut(docs, np.zeros(10, dtype=np.int64)))
    np.testing.assert_array_equal(model.begin_update(cut(docs))[0].tags, with_tags.tags)


# Gradients


def make_gold(lengths, seed=0):
    random = np.random.default_rng(seed)
    tags = random.integers(-1, N_TAGS, sum(lengths))
    relations = random.integers(-1, N_RELATIONS, int(count_cells(lengths).sum()))
    return GoldTables(tags, tags, relations)


def backpropagate(model, docs):
    """Run a pass of training: (loss, gradients of the embeddings of each document)."""
    logits, backprop = model.begin_update(cut(docs))
    loss, d_logits = table_loss(logits, make_gold(logits.windows.lengths))
    backprop(d_logits)
    return loss, model.get_ref("tok2vec").attrs["gradients"]


def test_gradient_of_the_embeddings_equals_autograd(docs):
    model = make_model(docs)
    loss, gradients = backpropagate(model, docs)

    words = torch.tensor(np.concatenate(model.get_ref("tok2vec").predict(docs)), requires_grad=True)
    lengths = np.array([4, 1, 2, 3])
    tags, relations = model.get_ref("head").shims[0]._model(words, torch.tensor(lengths))
    gold = make_gold(lengths)
    expected_loss = F.cross_entropy(
        tags,
        torch.tensor(gold.tags),
        reduction="sum",
        ignore_index=-1,
    ) + F.cross_entropy(
        relations,
        torch.tensor(gold.relations),
        reduction="sum",
        ignore_index=-1,
    )
    expected_loss.backward()
    assert loss == pytest.approx(expected_loss.item(), rel=1e-5)
    assert [len(gradient) for gradient in gradients] == [4, 1, 5]
    np.testing.assert_allclose(np.concatenate(gradients), words.grad.numpy(), atol=1e-5)


def test_gradient_of_a_word_is_summed_over_its_windows(docs):
    """The second document's window and those of the first, (0, 2), (1, 3) and (2, 4)."""
    model = make_model(docs)
    logits, backprop = model.begin_update(cut(docs[:2], max_length=2))
    _, d_logits = table_loss(logits, make_gold(logits.windows.lengths))
    backprop(d_logits)

    words = torch.tensor(
        np.concatenate(model.get_ref("tok2vec").predict(docs[:2])), requires_grad=True
    )
    rows = words[[0, 1, 1, 2, 2, 3, 4]]
    tags, relations = (
        model.get_ref("head").shims[0]._model(rows, torch.tensor(logits.windows.lengths))
    )
    torch.autograd.backward(
        [tags, relations], [torch.tensor(d_logits.tags), torch.tensor(d_logits.relations)]
    )
    gradients = model.get_ref("tok2vec").attrs["gradients"]
    assert [len(gradient) for gradient in gradients] == [4, 1]
    np.testing.assert_allclose(np.concatenate(gradients), words.grad.numpy(), atol=1e-5)


@pytest.mark.parametrize("empty_width", [WIDTH, 0])
def test_gradients_of_empty_documents_are_empty(docs, make_doc, empty_width):
    """Every document gets a gradient of the shape of its embeddings, as upstream components
    expect."""
    model = make_model(docs, empty_width=empty_width)
    _, expected = backpropagate(model, docs)
    _, gradients = backpropagate(model, [make_doc(""), *docs, make_doc("")])
    assert gradients[0].shape == gradients[-1].shape == (0, empty_width)
    for gradient, same in zip(gradients[1:-1], expected, strict=True):
        np.testing.assert_allclose(gradient, same, atol=1e-6)


# Saving


def test_bytes(docs):
    model = make_model(docs)
    other = build_table_model(make_tok2vec(), build_table_cnn(hidden=[8], dropout=0.0)).from_bytes(
        model.to_bytes()
    )
    np.testing.assert_allclose(
        other.predict(cut(docs)).relations, model.predict(cut(docs)).relations, atol=1e-6
    )


def test_the_head_is_a_table_head():
    with pytest.raises(ValueError, match="its table head is the model 'spert'"):
        build_table_model(make_tok2vec(), Model("spert", lambda *arguments: None))
