"""`spacy find-threshold` on the minimum score of a relation, for each component."""

import pytest
import spacy
from spacy.cli.find_threshold import find_threshold
from spacy.tokens import DocBin

# The configs of small components, and updates enough to know something, but not to be sure.
PIPES = {
    "tabcnn": ({"model": {"tok2vec": {"width": 16}, "head": {"hidden": [16]}}}, 25),
    "spert": ({"model": {"tok2vec": {"width": 32}}}, 100),
    "pfn": ({"model": {"tok2vec": {"width": 32}, "hidden": 32}}, 100),
}


@pytest.fixture(scope="module", params=PIPES)
def trained(request, make_examples, tmp_path_factory):
    """The name of a component, and a folder with a pipeline that has it and a corpus."""
    folder = tmp_path_factory.mktemp("threshold")
    config, n_updates = PIPES[request.param]
    spacy.util.fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe(request.param, config=config)
    examples = make_examples(nlp)
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(n_updates):
        nlp.update(examples, sgd=optimizer)
    nlp.to_disk(folder / "model")
    DocBin(docs=[eg.reference for eg in examples], store_user_data=True).to_disk(
        folder / "dev.spacy"
    )
    return request.param, folder


def predict(folder, **overrides):
    """The scores of the relations that a pipeline predicts on its corpus."""
    nlp = spacy.load(folder / "model", config=overrides)
    docs = DocBin().from_disk(folder / "dev.spacy").get_docs(nlp.vocab)
    return [
        relation.score for doc in nlp.pipe(doc.text for doc in docs) for relation in doc._.relations
    ]


def test_a_threshold_lets_through_more_or_fewer_relations_than_the_default(trained):
    name, folder = trained
    scores = predict(folder)
    assert scores
    below = predict(folder, components={name: {"min_score": 0.0}})
    above = predict(folder, components={name: {"min_score": max(scores)}})
    assert len(below) > len(scores) > len(above) or len(scores) == len(above) == 1
    assert min(below) < min(scores) and min(above) == max(scores)


def test_find_threshold_tries_all_thresholds(trained):
    name, folder = trained
    _, _, recalls = find_threshold(
        folder / "model", folder / "dev.spacy", name, "min_score", "rels_strict_r", n_trials=6
    )
    assert list(recalls) == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    found = list(recalls.values())
    assert found == sorted(found, reverse=True)
    assert found[0] > found[-1] == 0.0
