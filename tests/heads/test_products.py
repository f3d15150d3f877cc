"""Matrix products: the plain ones, and their way into a head."""

import pytest
import torch

from spacy_tabcnn.heads import TableCNN
from spacy_tabcnn.heads.products import TorchProducts, product_precision

LEFT, RIGHT = torch.randn(5, 4), torch.randn(4, 3)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("add", [False, True])
def test_a_product_is_written_or_added(precision, add):
    out = torch.ones(5, 3)
    TorchProducts().multiply_into(out, LEFT, RIGHT, precision, add=add)
    product = (LEFT.to(precision) @ RIGHT.to(precision)).float()
    torch.testing.assert_close(out, product + int(add))


class CountingProducts(TorchProducts):
    """Counts its products."""

    count = 0

    def multiply(self, *args):
        self.count += 1
        return super().multiply(*args)

    def multiply_into(self, *args, **kwargs):
        self.count += 1
        super().multiply_into(*args, **kwargs)


def test_both_passes_of_a_head_use_its_products():
    head = TableCNN(6, 5, 3, hidden=(8,))
    head.products = products = CountingProducts()
    _, relations = head(torch.randn(4, 6), torch.tensor([4]))
    n_forward = products.count
    relations.sum().backward()
    assert 0 < n_forward < products.count


def test_the_products_of_a_head_have_the_type_of_its_words_without_autocast():
    with product_precision(torch.zeros(2, 3, dtype=torch.double)) as precision:
        assert precision == torch.double


def test_the_products_of_a_head_have_the_type_of_autocast_and_its_sums_do_not():
    words = torch.ones(2, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with product_precision(words) as precision:
            assert precision == torch.bfloat16
            assert (words @ words.t()).dtype == torch.float32
        assert (words @ words.t()).dtype == torch.bfloat16
