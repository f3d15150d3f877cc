"""A sentence for pictures."""

import pytest
import spacy

CURIE = "Marie Curie , born in Warsaw , lived in Paris ."
ENTITIES = [(0, 2, "PER"), (5, 6, "LOC"), (9, 10, "LOC")]
RELATIONS = [(0, 1, "BornIn"), (0, 2, "LivedIn")]


@pytest.fixture
def curie(make_doc):
    return make_doc(CURIE, ENTITIES, RELATIONS)


@pytest.fixture(scope="session")
def untrained():
    """A pipeline whose table component has seen no example but knows its labels."""
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("tabcnn", config={"model": {"tok2vec": {"width": 16}, "head": {"hidden": [8]}}})
    component = nlp.get_pipe("tabcnn")
    for label in ("LOC", "PER"):
        component.add_label(label)
    for label in ("BornIn", "LivedIn"):
        component.add_label(label, kind="relation")
    spacy.util.fix_random_seed(0)
    nlp.initialize()
    return nlp
