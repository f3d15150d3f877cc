"""The words of a ragged batch in the order of steps."""

import torch

from spacy_tabcnn.heads.places import Places


def test_words_are_ordered_by_position_and_longest_sentence():
    places = Places.of(torch.tensor([2, 0, 3, 1]), torch.device("cpu"))
    assert places.order.tolist() == [2, 0, 5, 3, 1, 4]
    assert places.place[places.order].tolist() == [0, 1, 2, 3, 4, 5]
    assert places.n_running == [3, 2, 1]
    assert places.is_first.tolist() == [True, False, True, False, False, True]


def test_vectors_are_divided_by_position():
    places = Places.of(torch.tensor([2, 0, 3, 1]), torch.device("cpu"))
    steps = places.by_position(torch.arange(6))
    assert [step.tolist() for step in steps] == [[2, 0, 5], [3, 1], [4]]
