import pytest
import spacy
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import fix_random_seed

from spacy_tabcnn.training.optimizer import AdamW

TEXTS = ["It rained all day .", "Ada lives in London .", "Grace went home early ."]
WORDS = " ".join(TEXTS).split()
STARTS = [0, 5, 10]


@pytest.fixture
def nlp():
    fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe("sentence_starts")
    return nlp


def train(nlp, optimizer, n_updates):
    sent_starts = [index in STARTS for index in range(len(WORDS))]
    reference = Doc(nlp.vocab, words=WORDS, sent_starts=sent_starts)
    examples = [Example(Doc(nlp.vocab, words=WORDS), reference)]
    nlp.initialize(lambda: examples)
    for _ in range(n_updates):
        nlp.update(examples, sgd=optimizer)
        optimizer.step_schedules()
    return nlp


def starts_of(doc):
    return [sent.start for sent in doc.sents]


def test_it_learns_where_sentences_start(nlp):
    train(nlp, AdamW(1e-2), 60)
    assert starts_of(nlp(Doc(nlp.vocab, words=WORDS))) == STARTS


def test_it_learns_at_the_rate_of_the_heads(nlp):
    train(nlp, AdamW(0.0, head_learn_rate=1e-2), 60)
    assert starts_of(nlp(Doc(nlp.vocab, words=WORDS))) == STARTS


def test_boundaries_that_are_set_stay(nlp):
    train(nlp, AdamW(1e-2), 1)
    sent_starts = [index in (0, 3) for index in range(len(WORDS))]
    assert starts_of(nlp(Doc(nlp.vocab, words=WORDS, sent_starts=sent_starts))) == [0, 3]


def test_it_survives_saving(nlp, tmp_path):
    train(nlp, AdamW(1e-2), 60)
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    assert starts_of(loaded(Doc(loaded.vocab, words=WORDS))) == STARTS
