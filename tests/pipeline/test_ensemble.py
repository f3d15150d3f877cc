"""Trained pipelines joined to one that averages their tables."""

import numpy as np
import pytest
import spacy

from spacy_tabcnn.arrays import log_softmax
from spacy_tabcnn.pipeline.ensemble import join_pipelines
from spacy_tabcnn.predictions import UNSOFTENED, Temperature

from .test_relation_table_transformer import (
    LISTENER_CONFIG,
    TEXTS,
    make_examples,
    make_nlp,
    tok2vec_config,
    train,
)

__all__ = ["make_examples", "make_nlp", "tok2vec_config"]  # fixtures


@pytest.fixture
def make_member(make_nlp, make_examples):
    """Make a pipeline that is trained for some steps, so that other steps make other heads."""

    def make(config=LISTENER_CONFIG, *, steps, is_frozen=True, **overrides):
        frozen = {"components.transformer.model.frozen": is_frozen}
        nlp = make_nlp(config, **frozen, **overrides)
        train(nlp, make_examples(nlp), steps=steps)
        return nlp

    return make


def score(nlp, texts=TEXTS):
    """The probabilities of tags and relations of some texts."""
    docs = [nlp.make_doc(text) for text in texts]
    for _, pipe in nlp.pipeline[:-1]:
        docs = list(pipe.pipe(docs))
    return [np.exp(log_softmax(array)) for array in nlp.get_pipe("tabcnn").predict(docs)[:2]]


def join(*members):
    return join_pipelines({f"m{number}": nlp for number, nlp in enumerate(members)})


def count_encoders(nlp):
    return sum(node.name == "transformer" for _, pipe in nlp.pipeline for node in pipe.model.walk())


@pytest.mark.parametrize("is_frozen", [True, False], ids=["frozen", "updated"])
def test_probabilities_are_the_mean_of_the_members(make_member, tok2vec_config, is_frozen):
    members = [make_member(tok2vec_config, steps=steps, is_frozen=is_frozen) for steps in (2, 5)]
    means = [np.mean(arrays, axis=0) for arrays in zip(*map(score, members), strict=True)]
    joined = join(*members)
    assert count_encoders(joined) == (1 if is_frozen else 2)
    for found, mean in zip(score(joined), means, strict=True):
        np.testing.assert_allclose(found, mean, atol=1e-5)


def test_a_saved_ensemble_is_the_same(make_member, tmp_path):
    joined = join(make_member(steps=2), make_member(steps=5, is_frozen=False))
    joined.to_disk(tmp_path)
    for found, kept in zip(score(spacy.load(tmp_path)), score(joined), strict=True):
        np.testing.assert_array_equal(found, kept)


def test_other_components_and_settings_are_of_the_first(make_member):
    overrides = {"components.tabcnn.aggregation": "any"}
    members = [make_member(steps=steps, **overrides) for steps in (2, 3)]
    members[0].add_pipe("sentencizer", last=True)
    members[0].meta["performance"] = {"ents_f": 1.0}
    joined = join(*members)
    assert joined.pipe_names == ["transformer", "tabcnn", "sentencizer"]
    pipe = joined.get_pipe("tabcnn")
    assert pipe.cfg["aggregation"] == "any" and pipe.trained_on.documents
    assert joined.meta["performance"] == {}


def test_members_of_different_heads(make_member):
    biaffine = {"@architectures": "spacy-tabcnn.TableBiaffine.v1", "rank": 8}
    members = [make_member(steps=2), make_member(steps=2, head=biaffine)]
    assert list(join(*members)("Ada lived in London").ents) is not None


def test_an_ensemble_of_ensembles(make_member):
    members = [make_member(steps=steps) for steps in (2, 3, 4, 5)]
    means = [np.mean(arrays, axis=0) for arrays in zip(*map(score, members), strict=True)]
    joined = join(join(*members[:2]), join(*members[2:]))
    for found, mean in zip(score(joined), means, strict=True):
        np.testing.assert_allclose(found, mean, atol=1e-5)


def test_a_second_ensemble_with_another_encoder(make_member):
    ensemble = join(make_member(steps=1), make_member(steps=2))
    other = make_member(steps=3, is_frozen=False)
    with pytest.raises(ValueError, match="m1 is an ensemble, and its encoder is another one"):
        join(other, ensemble)
    assert count_encoders(join(ensemble, make_member(steps=3, is_frozen=False))) == 2


def test_temperatures_of_the_members_do_not_fit_the_average(make_member):
    members = [make_member(steps=steps) for steps in (2, 3)]
    for number, nlp in enumerate(members, start=2):
        changed = nlp.get_pipe("tabcnn").soften_scores(Temperature(number, number))
        nlp.get_pipe_config("tabcnn").update(changed)
    joined = join(*members)
    assert joined.get_pipe("tabcnn").temperature == UNSOFTENED
    assert joined.get_pipe_config("tabcnn")["temperature"] == UNSOFTENED._asdict()


def test_training_is_refused(make_member, make_examples):
    joined = join(make_member(steps=1), make_member(steps=2))
    with pytest.raises(ValueError, match="train its members one by one"):
        joined.update(make_examples(joined))


def test_one_pipeline_is_no_ensemble(make_member):
    with pytest.raises(ValueError, match="two pipelines or more"):
        join(make_member(steps=1))


def test_no_table_to_average(make_member):
    with pytest.raises(ValueError, match="m1: expected one component `relation_table`"):
        join(make_member(steps=1), spacy.blank("en"))


def test_a_member_that_is_not_trained(make_member, make_nlp):
    with pytest.raises(ValueError, match="E109"):
        join(make_member(steps=1), make_nlp())


def test_different_labels(make_member):
    other = make_member(steps=1)
    other.get_pipe("tabcnn").add_label("TIME")
    with pytest.raises(ValueError, match=r"m1 has the labels .*TIME.*; m0 has"):
        join(make_member(steps=1), other)


def test_different_settings(make_member):
    other = make_member(steps=1, **{"components.tabcnn.max_length": 32})
    with pytest.raises(ValueError, match="m1 has max_length = 32; m0 has 256"):
        join(make_member(steps=1), other)


@pytest.mark.parametrize("name", ["tokenizer", "word vectors"])
def test_members_that_read_other_words(make_member, name):
    members = [make_member(steps=1), make_member(steps=1)]
    if name == "tokenizer":
        members[1].tokenizer.add_special_case("lived", [{"ORTH": "liv"}, {"ORTH": "ed"}])
    else:
        members[1].vocab.set_vector("Ada", np.ones(4, "f"))
    with pytest.raises(ValueError, match=f"m1 and m0 differ in their {name}"):
        join(*members)


def test_thresholds_of_softened_members_are_those_before(make_member):
    settings = {"components.tabcnn.min_score": 0.8}
    members = [make_member(steps=steps, **settings) for steps in (2, 3)]
    plain = join(*(make_member(steps=steps, **settings) for steps in (2, 3)))
    for nlp, number in zip(members, (4.0, 6.0), strict=True):
        changed = nlp.get_pipe("tabcnn").soften_scores(Temperature(number, number))
        nlp.get_pipe_config("tabcnn").update(changed)
    joined = join(*members)
    assert joined.get_pipe("tabcnn").cfg["min_score"] == pytest.approx(0.8)
    for text in TEXTS:
        found, expected = joined(text)._.relations, plain(text)._.relations
        assert list(map(str, found)) == list(map(str, expected))


def test_different_thresholds(make_member):
    other = make_member(steps=1, **{"components.tabcnn.min_score": 0.8})
    with pytest.raises(ValueError, match=r"m1 has min_score = 0\.8"):
        join(make_member(steps=1), other)
