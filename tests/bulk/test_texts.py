"""Texts through a pipeline."""

import spacy

from spacy_tabcnn.bulk.texts import annotate_texts

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
