"""A component knows the texts that it was trained on."""

import warnings

import pytest
import spacy
from spacy.tokens import Doc
from spacy.training import Example

from spacy_tabcnn.pipeline.training_texts import TextCounts, find_difference
from spacy_tabcnn.sentences import count_apparent_sentences

TINY = {
    "model": {
        "tok2vec": {"width": 16, "depth": 1, "embed_size": 100},
        "head": {"hidden": [16]},
    }
}
ONE = "Ada Lovelace lived in London ."
TWO = "Ada Lovelace lived in London . Marie Curie lived in Paris ."
SINGLE_SENTENCES = TextCounts(documents=100, bounded=0, several=1)
PARAGRAPHS = TextCounts(documents=100, bounded=0, several=80)
WITH_BOUNDARIES = TextCounts(documents=100, bounded=60, several=0)


@pytest.fixture(scope="module")
def nlp():
    return spacy.blank("en")


@pytest.fixture
def make_nlp(make_doc):
    def make(text, sent_starts=None):
        nlp = spacy.blank("en")
        nlp.add_pipe("tabcnn", config=TINY)
        words = text.split()
        reference = make_doc(text, [(0, 2, "PER"), (4, 5, "LOC")], [(0, 1, "In")], vocab=nlp.vocab)
        predicted = Doc(nlp.vocab, words=words, sent_starts=sent_starts)
        examples = [Example(predicted, reference)]
        optimizer = nlp.initialize(lambda: examples)
        nlp.update(examples, sgd=optimizer)
        return nlp

    return make


def messages_of(nlp, doc):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        nlp(doc)
    return [str(warning.message) for warning in caught]


def words(nlp, text, **options):
    return Doc(nlp.vocab, words=text.split(), **options)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("Ada", 1),
        (ONE, 1),
        (TWO, 2),
        ("Is it raining in London ? No , the sun shines here !", 2),
        ('It rained all day . " Never again , " she said .', 2),
        ("Mr. J . K . Rowling lives there .", 1),
        ("It is 5 p.m . in the city of London", 1),
        ("雨 が 降っ た 。 Ada は 家 に いる 。", 2),
    ],
)
def test_sentences_are_counted_by_punctuation(nlp, text, count):
    assert count_apparent_sentences(words(nlp, text)) == count


def test_documents_are_counted_by_their_sentences(nlp):
    starts = [index in (0, 6) for index in range(12)]
    docs = [words(nlp, ONE), words(nlp, TWO), words(nlp, TWO, sent_starts=starts)]
    assert TextCounts().add(docs) == TextCounts(documents=3, bounded=1, several=1)


@pytest.mark.parametrize(
    ("trained", "used", "word"),
    [
        (SINGLE_SENTENCES, PARAGRAPHS, "without boundaries"),
        (WITH_BOUNDARIES, PARAGRAPHS, "without boundaries"),
        (PARAGRAPHS, WITH_BOUNDARIES, "no relation between different sentences"),
    ],
)
def test_a_difference_that_matters_is_found(trained, used, word):
    assert word in find_difference(trained, used)


@pytest.mark.parametrize(
    ("trained", "used"),
    [
        (SINGLE_SENTENCES, SINGLE_SENTENCES),
        (SINGLE_SENTENCES, WITH_BOUNDARIES),
        (WITH_BOUNDARIES, SINGLE_SENTENCES),
        (PARAGRAPHS, PARAGRAPHS),
        (PARAGRAPHS, SINGLE_SENTENCES),
        (TextCounts(), PARAGRAPHS),
    ],
)
def test_other_differences_are_none(trained, used):
    assert find_difference(trained, used) is None


def test_running_text_is_reported_once(make_nlp):
    nlp = make_nlp(ONE)
    [message] = messages_of(nlp, words(nlp, TWO))
    assert "'tabcnn'" in message
    assert "sentencizer" in message
    assert messages_of(nlp, words(nlp, TWO)) == []


def test_running_text_with_boundaries_is_not_reported(make_nlp):
    nlp = make_nlp(ONE)
    nlp.add_pipe("sentencizer", first=True)
    assert messages_of(nlp, words(nlp, TWO)) == []


def test_a_component_trained_on_running_text_does_not_report_it(make_nlp):
    nlp = make_nlp(TWO)
    assert messages_of(nlp, words(nlp, TWO)) == []


def test_boundaries_are_reported_by_a_component_that_was_trained_without(make_nlp):
    nlp = make_nlp(TWO)
    nlp.add_pipe("sentencizer", first=True)
    [message] = messages_of(nlp, words(nlp, TWO))
    assert "no relation between different sentences" in message


def test_the_counts_are_saved_with_the_labels(make_nlp, tmp_path):
    make_nlp(ONE).to_disk(tmp_path)
    loaded = spacy.load(tmp_path)
    assert loaded.get_pipe("tabcnn").cfg["trained_on"]["documents"] == 1
    assert len(messages_of(loaded, words(loaded, TWO))) == 1
