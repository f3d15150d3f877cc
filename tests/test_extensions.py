"""Extension attributes, and other packages that use their names."""

import pytest
import spacy
from spacy.tokens import Doc, Span
from spacy.tokens.underscore import Underscore

from spacy_tabcnn import register_extensions
from spacy_tabcnn.extensions import require_extensions
from spacy_tabcnn.relations import has_relations


@pytest.fixture(autouse=True)
def extensions():
    """Restore the attributes after a test."""
    saved = {**Underscore.doc_extensions}, {**Underscore.span_extensions}
    yield
    Underscore.doc_extensions.clear()
    Underscore.span_extensions.clear()
    Underscore.doc_extensions.update(saved[0])
    Underscore.span_extensions.update(saved[1])


@pytest.fixture
def doc(make_doc):
    return make_doc("Ada lived in London .", [(0, 1, "PER"), (3, 4, "LOC")], [(0, 1, "LiveIn")])


@pytest.fixture
def nlp(tiny_run):
    return spacy.load(tiny_run / "model-last")


def get_theirs(doc):
    return "theirs"


@pytest.mark.parametrize("register", [register_extensions, require_extensions])
def test_missing_attributes_are_registered(doc, register):
    """As in a spawned worker process."""
    names = ("relations", "relations_json", "entity_scores_json")
    assert all(map(Doc.remove_extension, names))
    assert all(map(Span.remove_extension, ("relations", "entity_score")))
    register()
    assert doc._.relations[0].label == doc._.relations_json[0]["label"] == "LiveIn"
    assert doc._.entity_scores_json == []
    assert doc.ents[0]._.entity_score is None
    assert len(doc.ents[0]._.relations) == 1


def test_own_attributes_are_no_clash():
    register_extensions()
    require_extensions()


def test_the_attribute_of_another_package_stays_with_a_warning(doc):
    Doc.remove_extension("relations")
    Doc.set_extension("relations", default="theirs")
    with pytest.warns(UserWarning, match="plain attribute with the default value 'theirs'"):
        register_extensions()
    assert doc._.relations == "theirs"


def test_the_message_names_the_function_of_another_package():
    Doc.set_extension("relations", getter=get_theirs, force=True)
    with pytest.raises(ValueError, match=rf"doc._.relations calls {__name__}.get_theirs"):
        require_extensions()


def test_the_message_says_how_to_go_on(doc):
    Doc.set_extension("relations", default=None, force=True)
    Span.set_extension("entity_score", default=None, force=True)
    with pytest.raises(ValueError) as caught:
        require_extensions()
    commands = str(caught.value).partition(", run ")[2]
    import spacy_tabcnn

    exec(commands, {"Doc": Doc, "Span": Span, "spacy_tabcnn": spacy_tabcnn})
    require_extensions()
    assert doc._.relations[0].label == "LiveIn"


def test_a_pipeline_does_not_load_beside_another_package(tiny_run):
    Doc.set_extension("relations", default=None, force=True)
    with pytest.raises(ValueError, match="Another package uses the name"):
        spacy.load(tiny_run / "model-last")


@pytest.mark.parametrize("owner", [Doc, Span])
def test_a_loaded_pipeline_notices_another_package(nlp, owner):
    owner.set_extension("relations", default=None, force=True)
    with pytest.raises(ValueError, match="Another package uses the name"):
        nlp("Ada lived in London.")
    with pytest.raises(ValueError, match="Another package uses the name"):
        list(nlp.pipe(["Ada lived in London."]))


def test_another_packages_value_is_not_taken_for_ours(doc):
    other = Doc(doc.vocab, words=["It", "rained"])
    Doc.set_extension("relations", default=None, force=True)
    other._.relations = [{"head": "It"}]
    assert not has_relations(other)
    assert has_relations(doc)


def test_the_score_of_an_entity_can_only_be_read(doc):
    with pytest.raises(ValueError, match="can only be read"):
        doc.ents[0]._.entity_score = 0.5
