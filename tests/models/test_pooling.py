"""Max-pooling over sub-words, against thinc's, and the mix of layers, against torch's gradients."""

import numpy as np
import pytest
import torch
from thinc.api import Ragged, reduce_max

from spacy_tabcnn.models.pooling import (
    build_mix_layers,
    build_reduce_max,
    count_mixed_layers,
    forward,
    forward_by_torch,
)


def make_subwords(lengths):
    data = np.random.default_rng(0).standard_normal((sum(lengths), 3)).astype("float32")
    return Ragged(data, np.array(lengths, dtype="int32"))


def pool(model, subwords):
    """Pooled words, and the gradient of the sub-words for a gradient of 0, 1, 2 ... of the
    words."""
    words, backprop = model.begin_update(subwords)
    d_subwords = backprop(np.arange(words.size, dtype="float32").reshape(words.shape))
    return words, d_subwords


def test_equals_thincs():
    words, d_subwords = pool(build_reduce_max(), make_subwords([2, 1, 3]))
    expected, d_expected = pool(reduce_max(), make_subwords([2, 1, 3]))
    np.testing.assert_array_equal(words, expected)
    np.testing.assert_array_equal(d_subwords.dataXd, d_expected.dataXd)
    np.testing.assert_array_equal(d_subwords.lengths, d_expected.lengths)


def test_words_without_subwords_become_zeros():
    words, d_subwords = pool(build_reduce_max(), make_subwords([0, 2, 0, 1, 0]))
    assert not words[[0, 2, 4]].any()
    without, d_without = pool(build_reduce_max(), make_subwords([2, 1]))
    np.testing.assert_array_equal(words[[1, 3]], without)
    assert d_subwords.lengths.tolist() == [0, 2, 0, 1, 0]
    assert d_subwords.dataXd.shape == d_without.dataXd.shape


def test_thincs_refuses_them():
    """The reason for this layer; if this fails, it can go."""
    with pytest.raises(ValueError, match="all sequence lengths must be > 0"):
        reduce_max().predict(make_subwords([0, 2]))


def make_mix(n_layers=3, weights=(0.5, -1.0, 2.0), scale=1.5):
    model = build_mix_layers(n_layers, build_reduce_max())
    model.set_param("weights", np.array(weights, dtype="float32"))
    model.set_param("scale", np.array([scale], dtype="float32"))
    return model


def test_the_mix_and_its_gradients():
    lengths = [2, 0, 1, 3]
    data = np.random.default_rng(0).standard_normal((6, 3 * 4)).astype("float32")
    model = make_mix()
    words, d_subwords = pool(model, Ragged(data, np.array(lengths, dtype="int32")))

    layers = torch.tensor(data.reshape(6, 3, 4), requires_grad=True)
    weights = torch.tensor(model.get_param("weights"), requires_grad=True)
    scale = torch.tensor(model.get_param("scale"), requires_grad=True)
    mixed = scale * (weights.softmax(0)[:, None] * layers).sum(1)
    expected = torch.stack(
        [part.amax(0) if len(part) else torch.zeros(4) for part in mixed.split(lengths)]
    )
    np.testing.assert_allclose(words, expected.detach().numpy(), atol=1e-6)
    expected.backward(torch.arange(16.0).view(4, 4))
    np.testing.assert_allclose(d_subwords.dataXd, layers.grad.view(6, 12).numpy(), atol=1e-5)
    np.testing.assert_allclose(model.get_grad("weights"), weights.grad.numpy(), atol=1e-4)
    np.testing.assert_allclose(model.get_grad("scale"), scale.grad.numpy(), atol=1e-4)
    assert d_subwords.lengths.tolist() == lengths


def test_the_mix_begins_as_the_mean():
    model = build_mix_layers(2, build_reduce_max())
    layers = Ragged(np.array([[1.0, 2.0, 3.0, 6.0]], dtype="float32"), np.array([1], dtype="int32"))
    np.testing.assert_allclose(model.predict(layers), [[2.0, 4.0]])


def test_a_mix_that_does_not_know_its_layers_says_so():
    model = build_mix_layers(None, build_reduce_max())
    with pytest.raises(ValueError, match="Set n_layers"):
        model.predict(make_subwords([1]))


def test_layers_are_counted_only_where_no_number_is_given():
    given, open_ = (
        build_mix_layers(3, build_reduce_max()),
        build_mix_layers(None, build_reduce_max()),
    )
    for model in (given, open_):
        count_mixed_layers(model, 5)
    assert len(given.get_param("weights")) == 3
    assert len(open_.get_param("weights")) == 5
    loaded = build_mix_layers(None, build_reduce_max()).from_bytes(open_.to_bytes())
    assert len(loaded.get_param("weights")) == 5


def test_the_mix_needs_all_layers():
    with pytest.raises(ValueError, match="12 wide, no multiple of n_layers = 5"):
        make_mix(5, weights=[0.0] * 5).predict(
            Ragged(np.zeros((2, 12), dtype="f"), np.array([2], dtype="i"))
        )
    with pytest.raises(ValueError, match="n_layers is 1"):
        build_mix_layers(1, build_reduce_max())


@pytest.mark.parametrize("lengths", [[2, 1, 3], [0, 2, 0, 1, 0], [0], []])
def test_torchs_pooling_is_the_same(lengths):
    """A GPU takes this way."""
    model, subwords = build_reduce_max(), make_subwords(lengths)
    words, backprop = forward_by_torch(model, subwords, True)
    expected, backprop_expected = forward(model, subwords, True)
    np.testing.assert_array_equal(words, expected)
    d_words = np.arange(words.size, dtype="float32").reshape(words.shape)
    np.testing.assert_array_equal(backprop(d_words).dataXd, backprop_expected(d_words).dataXd)
