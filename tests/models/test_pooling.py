"""Max-pooling over sub-words, against thinc's."""

import numpy as np
import pytest
from thinc.api import Ragged, reduce_max

from spacy_tabcnn.models.pooling import build_reduce_max


def make_subwords(lengths):
    data = np.random.default_rng(0).standard_normal((sum(lengths), 3)).astype("float32")
    return Ragged(data, np.array(lengths, dtype="int32"))


def pool(model, subwords):
    """Pooled words, and the gradient of the sub-words for a gradient of 0, 1, 2 ... of the words."""
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
