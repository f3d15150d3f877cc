"""Data that every component learns by heart."""

import pytest
from spacy.tokens import Doc
from spacy.training import Example

# (words, entities, relations): see the fixture make_doc.
TRAIN_DATA = [
    ("Ada Lovelace lived in London .", [(0, 2, "PER"), (4, 5, "LOC")], [(0, 1, "LiveIn")]),
    ("Paris is home to Marie Curie .", [(0, 1, "LOC"), (4, 6, "PER")], [(1, 0, "LiveIn")]),
    (
        "Grace Hopper of the Navy lived in New York City .",
        [(0, 2, "PER"), (4, 5, "ORG"), (7, 10, "LOC")],
        [(0, 1, "WorkFor"), (0, 2, "LiveIn")],
    ),
    ("It rained all day .", [], []),
]


@pytest.fixture(scope="module")
def make_examples(make_doc):
    """Make examples for a pipeline."""

    def make(nlp, data=TRAIN_DATA):
        references = [
            make_doc(words, entities, relations, vocab=nlp.vocab)
            for words, entities, relations in data
        ]
        return [
            Example(Doc(nlp.vocab, words=[token.text for token in doc]), doc) for doc in references
        ]

    return make
