"""Layers of spaCy that go through documents one by one, made to work on a batch at once."""

from collections.abc import Callable

import numpy as np
from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Ints2d

from ..arrays import DeviceOps

# Names of layers.
EXTRACTOR = "extract_features"
POOLING = "trfs2arrays"
LISTENER = "transformer-listener"


def work_at_once(model: Model) -> None:
    """Have the layers of a model work on all documents of a batch at once. Their output stays.

    spaCy's `FeatureExtractor` makes a transfer to a GPU for each document, and the listeners of
    spacy-transformers make several.

    model (Model): A model; its layers are changed in place.
    """
    for node in model.walk():
        if node.name == EXTRACTOR:
            node._func = forward
        elif node.name == POOLING:
            from .listener import forward as pool

            node._func = pool
        elif node.name == LISTENER:
            from .listener import listen

            node._func = listen


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
    ops: DeviceOps = model.ops
    joined = ops.asarray(np.concatenate(by_doc), dtype="uint64")
    features = []
    start = 0
    for array in by_doc:
        features.append(joined[start : start + len(array)])
        start += len(array)
    return features, _return_nothing


def _return_nothing(d_features: list[Ints2d]) -> list[Doc]:
    return []
