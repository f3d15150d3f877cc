import random

import pytest

from spacy_tabcnn.groups import group_items


def group(docs, seed=0, **options):
    return list(group_items(docs, random.Random(seed), **options))


@pytest.mark.parametrize("joined", [0.0, 0.3, 1.0])
def test_groups_hold_every_document_once_in_order(joined):
    groups = group(range(50), joined=joined, min_size=2, max_size=4)
    assert [doc for docs in groups for doc in docs] == list(range(50))


@pytest.mark.parametrize("joined", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_the_share_of_joined_documents_is_as_given(joined):
    groups = group(range(20_000), joined=joined, min_size=2, max_size=5)
    n_joined = sum(len(docs) for docs in groups if len(docs) > 1)
    assert n_joined / 20_000 == pytest.approx(joined, abs=0.02)


def test_all_sizes_are_drawn():
    groups = group(range(500), joined=1.0, min_size=2, max_size=5)
    assert {len(docs) for docs in groups[:-1]} == {2, 3, 4, 5}


def test_one_size_makes_equal_groups():
    groups = group(range(12), joined=1.0, min_size=5, max_size=5)
    assert [len(docs) for docs in groups] == [5, 5, 2]
