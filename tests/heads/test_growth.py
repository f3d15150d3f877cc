"""Heads that take over the weights of heads with fewer labels."""

import pytest
import torch

from spacy_tabcnn.heads import PFN, SpERT, TableBiaffine, TableCNN, TableSequence
from spacy_tabcnn.heads.growth import NEW_LABEL_MARGIN, GrowingHead
from spacy_tabcnn.labels import tag_rules


def make_cnn(n_tags, n_relations, **options):
    return TableCNN(4, n_tags, n_relations, hidden=[6], **options)


def make_biaffine(n_tags, n_relations):
    return TableBiaffine(4, n_relations, tag_rules(n_tags), tag_width=3, rank=2)


def make_sequence(n_tags, n_relations):
    return TableSequence(4, n_tags, n_relations, hidden=6, n_layers=2, n_heads=3)


def test_every_head_can_grow():
    heads = [make_cnn(5, 3), make_biaffine(5, 3), make_sequence(5, 3), SpERT(4, 2, 1), PFN(4, 2, 1)]
    assert all(isinstance(head, GrowingHead) for head in heads)


def test_a_head_of_another_kind_is_refused():
    with pytest.raises(TypeError, match="TableCNN: cannot take over the weights of a SpERT"):
        make_cnn(5, 3).take_over(SpERT(4, 2, 1))


@pytest.mark.parametrize("make", [make_cnn, make_biaffine, make_sequence])
def test_new_labels_begin_below_the_old_ones(make):
    old, head = make(5, 3), make(9, 5)
    head.take_over(old)
    words, lengths = torch.randn(7, 4), torch.tensor([7])
    tags, relations = head.eval()(words, lengths)
    assert (tags[:, 5:].amax(dim=1) < tags[:, :5].amax(dim=1)).all()
    assert (relations[:, 3:] < relations[:, :1]).all()


@pytest.mark.parametrize("n_old", [0, 2])
def test_new_labels_of_pfn_begin_as_improbable(n_old):
    """Also where the old head has no relations."""
    old, head = PFN(4, 1, n_old, nested=True), PFN(4, 3, n_old + 2, nested=True)
    words, lengths = torch.randn(5, 4), torch.tensor([5])
    before = old.eval()(words, lengths)
    head.take_over(old)
    for table, other, n_new in zip(head.eval()(words, lengths), before, (2, 2, 2), strict=True):
        torch.testing.assert_close(table[:, :-n_new], other)
        assert (table[:, -n_new:] < -1.0).all()


def test_a_new_kernel_begins_as_the_kernel_of_none():
    old, head = make_cnn(5, 3), make_cnn(5, 5)
    head.take_over(old)
    last = head.convs[-1]
    assert torch.equal(last.weight[3], last.weight[0]) and torch.equal(
        last.weight[4], last.weight[0]
    )
    assert last.bias[3] == last.bias[0] - NEW_LABEL_MARGIN
    assert not head.tagger.weight[:, 3:].any()


def test_a_weight_of_the_same_shape_is_shared():
    """An update that an optimiser has collected for it is applied to the new head."""
    old, head = make_cnn(5, 3), make_cnn(9, 3)
    head.take_over(old)
    assert head.convs[0].weight.data_ptr() == old.convs[0].weight.data_ptr()
    assert head.tagger.weight.data_ptr() != old.tagger.weight.data_ptr()
