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


def test_it_learns_from_single_sentences_that_it_joins():
    fix_random_seed(0)
    nlp = spacy.blank("en")
    nlp.add_pipe("sentence_starts", config={"joined": 1.0})
    examples = []
    for text in TEXTS:
        words = text.split()
        examples.append(Example(Doc(nlp.vocab, words=words), Doc(nlp.vocab, words=words)))
    optimizer = AdamW(1e-2)
    nlp.initialize(lambda: examples)
    for _ in range(60):
        nlp.update(examples, sgd=optimizer)
        optimizer.step_schedules()
    assert starts_of(nlp(Doc(nlp.vocab, words=WORDS))) == STARTS


def test_the_examples_stay_as_they_are(nlp):
    examples = [Example(nlp.make_doc("Rain ."), nlp.make_doc("Rain .")) for _ in range(4)]
    nlp.initialize(lambda: examples)
    nlp.update(examples, sgd=AdamW(1e-2))
    assert [len(eg.predicted) for eg in examples] == [2] * 4
    assert not examples[0].predicted.has_annotation("SENT_START")


def test_other_tokens_in_the_prediction_are_aligned():
    nlp = spacy.blank("en")
    senter = nlp.add_pipe("sentence_starts", config={"joined": 1.0})
    predicted = [Doc(nlp.vocab, words=["It", "rained", "."], spaces=[True, False, False])] * 2
    references = [Doc(nlp.vocab, words=["It", "rained."])] * 2
    [eg] = senter._join([*map(Example, predicted, references)])
    assert [start == 1 for start in eg.get_aligned("SENT_START")] == [True, False, False] * 2


@pytest.mark.parametrize(
    ("options", "message"),
    [({"joined": 2.0}, "joined is 2.0"), ({"max_joined": 1}, "max_joined is 1")],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        spacy.blank("en").add_pipe("sentence_starts", config=options)


def test_a_model_that_listens_is_refused():
    tok2vec = {"@architectures": "spacy.Tok2VecListener.v1", "width": 96, "upstream": "*"}
    model = {"@architectures": "spacy.Tagger.v2", "tok2vec": tok2vec}
    with pytest.raises(ValueError, match="listens to another component"):
        spacy.blank("en").add_pipe("sentence_starts", config={"model": model})


def test_settings_are_changed_on_loading(nlp, tmp_path):
    train(nlp, AdamW(1e-2), 1)
    nlp.to_disk(tmp_path)
    loaded = spacy.load(tmp_path, config={"components": {"sentence_starts": {"overwrite": True}}})
    assert loaded.get_pipe("sentence_starts").cfg["overwrite"] is True
