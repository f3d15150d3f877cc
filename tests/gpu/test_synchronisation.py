"""The host waits for the device a few times in a batch, whatever the number of its sentences."""

import pytest

from benchmarks.gpu import count_waits
from spacy_tabcnn.training.optimizer import AdamW

from .conftest import PIPELINES, TEXTS, words_of

# Waits, and copies to the host, in one batch: logits, sentence boundaries, losses, and the checks
# of attention masks in transformers.
MAX_WAITS = 12


@pytest.fixture(params=sorted(set(PIPELINES) - {"two listeners"}))
def nlp(request, make_pair, device):
    """A pipeline on the device. The parser of spaCy's `ner` waits for every step of a sentence."""
    return make_pair(request.param)[1]


def count(work, sizes, gpu_id):
    """The waits of some work for each size, which has been done once before."""
    waits = []
    for size in sizes:
        work(size)
        counts = count_waits(lambda size=size: work(size), gpu_id)
        waits.append(counts["waits"] + counts["copies to the host"])
    return waits


def test_prediction(nlp, device):
    with device.use():
        few, many = count(lambda n: list(nlp.pipe(words_of(nlp, TEXTS * n))), (2, 6), device.gpu_id)
    assert few == many
    assert many <= MAX_WAITS


def test_training(nlp, make_examples, device):
    optimizer = AdamW(0.001)

    def train(n):
        nlp.update(make_examples(nlp) * n, sgd=optimizer, drop=0.1)
        optimizer.step_schedules()

    with device.use():
        few, many = count(train, (2, 6), device.gpu_id)
    assert few == many
    assert many <= MAX_WAITS
