"""Texts through a pipeline."""

import pytest
import spacy
from spacy.language import Language

from spacy_tabcnn.bulk.texts import annotate_texts, describe_marks

from .conftest import FOUND, TEXT, TOO_LONG, get_names


def test_a_document_becomes_plain_data(model):
    [result] = annotate_texts(spacy.load(model), [TEXT])
    assert [sorted(entity) for entity in result["entities"]] == [
        ["end", "label", "score", "start"]
    ] * 2
    assert [(entity["start"], entity["end"]) for entity in result["entities"]] == [(0, 3), (13, 17)]
    assert all(0.9 < item["score"] <= 1 for item in (*result["entities"], *result["relations"]))
    assert get_names({"text": TEXT, **result}) == FOUND


def test_a_text_that_fails_is_found_in_its_batch(model):
    good, bad, other = annotate_texts(spacy.load(model), [TEXT, TOO_LONG, TEXT])
    assert good == other and len(good["entities"]) == 2
    assert list(bad) == ["reason"] and bad["reason"].startswith("ValueError: [E088]")


def test_the_vocabulary_does_not_grow_with_the_texts(model):
    nlp = spacy.load(model)
    expected = annotate_texts(nlp, [TEXT])
    words = {lexeme.text for lexeme in nlp.vocab}
    n_strings = len(nlp.vocab.strings)
    for number in range(20):
        annotate_texts(nlp, [f"Word{number} lives in Town{number}.", TOO_LONG])
    assert {lexeme.text for lexeme in nlp.vocab} == words
    assert len(nlp.vocab.strings) == n_strings
    assert annotate_texts(nlp, [TEXT]) == expected


def test_no_text_has_no_result(model):
    assert annotate_texts(spacy.load(model), []) == []


class PanicError(BaseException):
    """A stand-in for a panic of Rust, which is no Exception."""


def make_raising(error):
    """Make a pipeline that raises an error at the text "boom"."""

    def raise_error(doc):
        if doc.text == "boom":
            raise error
        return doc

    name = f"raise_{type(error).__name__}"
    Language.component(name, func=raise_error)
    nlp = spacy.blank("en")
    nlp.add_pipe(name)
    return nlp


def test_a_panic_is_the_reason_of_its_text_only():
    good, bad = annotate_texts(make_raising(PanicError("index out of bounds")), ["Ann", "boom"])
    assert good["entities"] == [] and bad == {"reason": "PanicError: index out of bounds"}


def test_marks_that_take_the_tokenizer_too_long_are_the_reason():
    nlp = spacy.blank("en")
    good, bad, word = annotate_texts(nlp, ["(: " * 6000, "(:" * 10_000, "x" * 20_000])
    assert "reason" not in good and "reason" not in word
    assert bad["reason"].startswith("ValueError: the text has 20,000 punctuation marks")


def test_only_marks_of_one_stretch_count():
    nlp = spacy.blank("en")
    assert describe_marks(nlp, "((( ))", 3) == describe_marks(nlp, "a(b(c(d", 3) == ""
    assert describe_marks(nlp, "a(b(c(d(", 3).startswith("4 punctuation marks or symbols")
    nlp.tokenizer = lambda text: None  # one that does not work by rules
    assert describe_marks(nlp, "a(b(c(d(", 3) == ""


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_the_end_of_the_process_is_no_reason(error):
    with pytest.raises(error):
        annotate_texts(make_raising(error()), ["boom"])


def test_a_limited_number_of_texts_is_annotated_at_once(monkeypatch):
    nlp = spacy.blank("en")
    sizes = []
    pipe = Language.pipe
    monkeypatch.setattr(
        Language,
        "pipe",
        lambda *args, batch_size: sizes.append(batch_size) or pipe(*args, batch_size=batch_size),
    )
    assert len(annotate_texts(nlp, ["a"] * 5, batch_size=2)) == len(annotate_texts(nlp, ["a"] * 5))
    assert sizes == [2, 5]
