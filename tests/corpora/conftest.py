import pytest
import spacy


@pytest.fixture(scope="session")
def nlp():
    return spacy.blank("en")


@pytest.fixture
def ann(make_doc):
    """Ann (PER) LiveIn Rome (LOC)."""
    return make_doc("Ann lives in Rome .", [(0, 1, "PER"), (3, 4, "LOC")], [(0, 1, "LiveIn")])


@pytest.fixture
def abroad(make_doc):
    """Two sentences, two relations in the one and one that joins both, tail first."""
    return make_doc(
        "Ada Byron met Bob in Oslo . He left .",
        [(0, 2, "PER"), (3, 4, "PER"), (5, 6, "LOC"), (7, 8, "PER")],
        [(0, 1, "Knows"), (1, 2, "LiveIn"), (3, 2, "LiveIn")],
        sent_starts=[i in (0, 7) for i in range(10)],
    )
