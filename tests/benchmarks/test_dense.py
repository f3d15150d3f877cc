"""The reference as a head of a pipeline."""

from spacy import registry

from benchmarks.dense import DENSE_TABLE_CNN
from spacy_tabcnn.heads.table_cnn.dense import DenseTableCNN


def test_can_be_named_in_a_config():
    head = registry.resolve(
        {"head": {"@architectures": DENSE_TABLE_CNN, "kernel_size": 3, "hidden": [8]}}
    )["head"]
    head.shims[0].build({"width": 6, "n_tags": 9, "n_relations": 5})
    assert isinstance(head.shims[0]._model, DenseTableCNN)
