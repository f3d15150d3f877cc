"""The networks on top of the word embeddings: torch modules, without spaCy and thinc."""

from .bilstm import BiLSTM
from .pair_classifier import PairClassifier
from .pfn import PFN
from .span_classifier import SpERT
from .table_biaffine import TableBiaffine
from .table_cnn import TableCNN
from .table_sequence import TableSequence

__all__ = [
    "PFN",
    "BiLSTM",
    "PairClassifier",
    "SpERT",
    "TableBiaffine",
    "TableCNN",
    "TableSequence",
]
