"""Features of words, such as shapes and affixes: one transfer to a GPU for a batch."""

from collections.abc import Callable

import numpy as np
from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Ints2d

EXTRACTOR = "extract_features"  # the name of spaCy's layer


def extract_at_once(model: Model) -> None:
    """Have a model extract the features of a batch at once. Its features stay.

    spaCy's `FeatureExtractor` makes a transfer to a GPU for each document.

    model (Model): A model; the layers of it that extract features are changed in place.
    """
    for node in model.walk():
        if node.name == EXTRACTOR:
            node._func = forward


def forward(
    model: Model[list[Doc], list[Ints2d]], docs: list[Doc], is_train: bool
) -> tuple[list[Ints2d], Callable[[list[Ints2d]], list[Doc]]]:
    """Extract the features of documents.

    RETURNS (tuple[list[Ints2d], Callable]): uint64 (words, features) a document, and a callback
        without effect, since features are no parameters.
    """
    columns = model.attrs["columns"]
    by_doc = []
    for doc in docs:
        by_doc.append(doc.to_array(columns).reshape(len(doc), len(columns)))
    joined = model.ops.asarray(np.concatenate(by_doc), dtype="uint64")
    features = []
    start = 0
    for array in by_doc:
        features.append(joined[start : start + len(array)])
        start += len(array)
    return features, _return_nothing


def _return_nothing(d_features: list[Ints2d]) -> list[Doc]:
    return []
