"""The worked example of the first layer's module: n = 4 words, k = 3."""

import torch

from spacy_tabcnn.heads.products import TorchProducts
from spacy_tabcnn.heads.table_cnn.first_layer import (
    PrefixKernels,
    VectorIndex,
    WordVectors,
)
from spacy_tabcnn.heads.table_cnn.layout import Band, Layout

N, WIDTH, CHANNELS, REACH = 4, 2, 3, 1
MARGIN = 2  # of two layers
OFFSETS = (-1, 0, 1)


def make_example():
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(2 * WIDTH, CHANNELS, 3, padding=1)
    return conv, torch.randn(N, WIDTH)


def dense_cells(conv, words):
    """The convolution of the table of pairs: (n, n, channels)."""
    pairs = torch.cat([words[:, None].expand(N, N, -1), words[None].expand(N, N, -1)], dim=-1)
    return conv(pairs.permute(2, 0, 1)[None])[0].permute(1, 2, 0)


def word_at(words, i):
    return words[i] if 0 <= i < N else torch.zeros(WIDTH)


def row_vector(conv, words, i, w):
    """Row_w[i], as the docstring defines it."""
    kernel = conv.weight[:, :WIDTH]
    return sum(kernel[:, :, h + 1, w + 1] @ word_at(words, i + h) for h in OFFSETS)


def column_vector(conv, words, j, h):
    """Col_h[j]."""
    kernel = conv.weight[:, WIDTH:]
    return sum(kernel[:, :, h + 1, w + 1] @ word_at(words, j + w) for w in OFFSETS)


def all_vectors(conv, words):
    """Compute the vectors of the example: layout, index and vectors (vectors, channels)."""
    layout = Layout.of(torch.tensor([N]), words.device)
    index = VectorIndex.of(layout, REACH, margin=MARGIN)
    padded = torch.cat([torch.zeros(1, WIDTH), words])
    windows = padded[layout.neighbours(REACH)].flatten(1)
    kernels = PrefixKernels.of(conv.weight.detach(), torch.float32)
    arguments = (windows, conv.weight, conv.bias, kernels, index, TorchProducts())
    return layout, index, WordVectors.apply(*arguments)


def test_each_cell_is_the_sum_of_its_two_vectors():
    conv, words = make_example()
    layout, index, vectors = all_vectors(conv, words)
    band = Band.of(layout, layout.rows, lowest=-MARGIN)
    row, col = band.cells(layout.rows)
    actual = vectors[index.summands(band, layout.rows)].sum(1)
    torch.testing.assert_close(actual, dense_cells(conv, words)[row, col])


def test_the_cells_of_the_example():
    """H[1, 3] = b + P_0[1] + Q_-1[3] and H[0, 0] = b + (P_1 - P_-1)[0] + Q_0[0]."""
    conv, words = make_example()
    dense = dense_cells(conv, words)
    p_0 = row_vector(conv, words, 1, -1) + row_vector(conv, words, 1, 0)
    q_down_to_minus_1 = sum(column_vector(conv, words, 3, h) for h in OFFSETS)
    torch.testing.assert_close(dense[1, 3], conv.bias + p_0 + q_down_to_minus_1)
    corner = row_vector(conv, words, 0, 0) + row_vector(conv, words, 0, 1)
    q_0 = column_vector(conv, words, 0, 1) + column_vector(conv, words, 0, 0)
    torch.testing.assert_close(dense[0, 0], conv.bias + corner + q_0)


def test_the_edge_vectors_are_the_prefix_sums_of_the_example():
    conv, words = make_example()
    _, index, vectors = all_vectors(conv, words)
    edges, _ = index.edges_and_corners(vectors)
    p_0 = row_vector(conv, words, 1, -1) + row_vector(conv, words, 1, 0)
    torch.testing.assert_close(edges[1, 0, 0], conv.bias + p_0)
    torch.testing.assert_close(edges[1, 1, 0], conv.bias + p_0 + row_vector(conv, words, 1, 1))
    q_0 = column_vector(conv, words, 2, 1) + column_vector(conv, words, 2, 0)
    torch.testing.assert_close(edges[2, 0, 1], q_0)


def test_three_words_have_corner_vectors():
    conv, words = make_example()
    _, index, vectors = all_vectors(conv, words)
    assert index.corner_words.tolist() == [[0, 1, 2], [1, 2, 3]]
    _, corners = index.edges_and_corners(vectors)
    p_1_less_p_minus_1 = row_vector(conv, words, 0, 0) + row_vector(conv, words, 0, 1)
    torch.testing.assert_close(corners[0, 0, 0, 1], conv.bias + p_1_less_p_minus_1)
