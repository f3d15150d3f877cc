"""Batches that are annotated while a GPU scores the next one, on the CPU."""

import pytest
import spacy
from spacy.tokens import Doc
from spacy.util import fix_random_seed

from spacy_tabcnn.pipeline import base

TEXTS = ["Ada lived in London .", "", "Paris .", "Ada"] * 3


class GPUOps:
    """Stands in for `NumpyOps`, so that the ops of the CPU count as the ops of a GPU."""


@pytest.fixture
def nlp(make_examples):
    nlp = spacy.blank("en")
    nlp.add_pipe("tabcnn", config={"model": {"tok2vec": {"width": 16, "depth": 1}}})
    fix_random_seed(0)
    nlp.initialize(lambda: make_examples(nlp))
    return nlp


def annotate(nlp, *, batch_size=5):
    docs = [Doc(nlp.vocab, words=text.split()) for text in TEXTS]
    return [(doc.text.strip(), len(doc.ents)) for doc in nlp.pipe(docs, batch_size=batch_size)]


@pytest.mark.parametrize("batch_size", [1, 5, 100])
def test_the_annotation_is_the_same(nlp, batch_size, monkeypatch):
    expected = annotate(nlp)
    monkeypatch.setattr(base, "NumpyOps", GPUOps)
    assert annotate(nlp, batch_size=batch_size) == expected


@pytest.mark.parametrize("method", ["predict", "set_annotations"])
def test_a_batch_that_fails_does_not_take_others_along(nlp, method, monkeypatch):
    monkeypatch.setattr(base, "NumpyOps", GPUOps)
    component = nlp.get_pipe("tabcnn")
    right, failed = getattr(component, method), []

    def fail_at_second(docs, *arguments):
        failed.append(len(docs))
        if len(failed) == 2:
            raise RuntimeError("broken")
        return right(docs, *arguments)

    monkeypatch.setattr(component, method, fail_at_second)
    lost = []
    nlp.set_error_handler(lambda name, pipe, docs, error: lost.extend(docs))
    done = annotate(nlp)
    assert len(lost) == 5
    assert len(done) == len(TEXTS) - 5
