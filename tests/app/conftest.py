"""Models for the page."""

import pytest
import spacy


@pytest.fixture(scope="session")
def ruler_model(tmp_path_factory):
    """The folder of a pipeline that finds one entity, of a type of its own, and no relations."""
    folder = tmp_path_factory.mktemp("ruler") / "ruler"
    nlp = spacy.blank("en")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "COMPANY", "pattern": "Ferrari"}])
    nlp.to_disk(folder)
    return folder
