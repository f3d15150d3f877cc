"""Patterns of words that may take a time beyond all bounds are found in files of rulers."""

import json

import pytest
import spacy
import srsly
from spacy.matcher import Matcher

from spacy_tabcnn.pipeline.matcher_patterns import check_patterns

NOUNS = [{"POS": "DET", "OP": "?"}, {"POS": "ADJ", "OP": "*"}, {"POS": "NOUN", "OP": "+"}]
USUAL = [
    [],
    [{}],
    [{"LOWER": "from"}, {"OP": "*"}, {"LOWER": "to"}, {"OP": "+"}],
    [{"LOWER": "a", "OP": "+"}, {"IS_PUNCT": True, "OP": "*"}, {"TAG": {"IN": ["X"]}, "OP": "*"}],
    [*NOUNS, {"POS": "ADP"}, {"POS": "NOUN", "OP": "+"}],
    [{"TEXT": "a", "OP": "{2}"}, {"OP": "{1,10}"}, {"OP": "{,3}"}, {"OP": "!"}, {"OP": "1"}],
    [{"TEXT": "a", "OP": "{2,}"}],
    [{"OP": "?"}] * 10,
    [{"LOWER": {"FUZZY": "adda"}}, {"TEXT": {"REGEX": "^a+$"}}, {"TEXT": {"IN": ["(a+)+"]}}],
]
SLOW = [
    [{"OP": "*"}] * 3,
    [{"op": "*"}] * 3,
    [{"OP": "{2,}"}] * 3,
    [{"IS_ALPHA": True, "OP": "+"}] * 3,
    [{"TEXT": {"NOT_IN": ["a"]}, "OP": "+"}] * 3,
    [{"TEXT": "a", "OP": "+"}, {"TEXT": "b"}] * 4,
    [{"TEXT": "q", "OP": "{1,99999999}"}],
    [{"TEXT": "q", "OP": "{99999999}"}],
    [{"TEXT": "q", "OP": "{99999999,}"}],
    [{"TEXT": "q", "OP": "{,99999999}"}],
    [{"TEXT": "q", "OP": "{+1,9_9_9}"}],
    [{"OP": "?"}] * 20,
    [{"OP": "{1,20}"}],
]
SLOW_EXPRESSIONS = [
    {"TEXT": {"REGEX": "(a+)+$"}},
    {"TEXT": {"regex": "(a+)+$"}},
    {"TEXT": {"REGEX": {"IN": ["b", "(a+)+$"]}}},
    {"TEXT": {"regex": {"not_in": ["(a+)+$"]}}},
    {"TEXT": {"FUZZY": {"REGEX": "(a+)+$"}}},
    {"TEXT": {"REGEX": {"FUZZY1": {"IN": ["(a+)+$"]}}}},
    {"_": {"note": {"REGEX": "(a+)+$"}}},
]


def write(pattern, form):
    if form == "lines":
        return json.dumps({"label": "A", "pattern": pattern}).encode() + b"\n"
    return srsly.msgpack_dumps([{"patterns": [pattern], "attrs": {}, "index": 0}])


@pytest.mark.parametrize("form", ["lines", "msgpack"])
@pytest.mark.parametrize("pattern", USUAL)
def test_usual_patterns_pass(pattern, form):
    check_patterns(write(pattern, form))


@pytest.mark.parametrize("form", ["lines", "msgpack"])
@pytest.mark.parametrize("pattern", SLOW)
def test_slow_repetitions_are_refused(pattern, form):
    with pytest.raises(ValueError, match=r"it has a pattern of words .*Use "):
        check_patterns(write(pattern, form))


@pytest.mark.parametrize("form", ["lines", "msgpack"])
@pytest.mark.parametrize("word", SLOW_EXPRESSIONS)
def test_slow_expressions_are_refused(word, form):
    with pytest.raises(ValueError, match="'REGEX' has a regular expression"):
        check_patterns(write([word], form))


def test_patterns_in_bytes_are_checked():
    nested = srsly.msgpack_dumps([{"TEXT": {"regex": "(a+)+$"}}])
    with pytest.raises(ValueError, match="'REGEX' has a regular expression"):
        check_patterns(srsly.msgpack_dumps({"patterns": nested, "other": b"\xff"}))


def test_a_damaged_file_is_refused():
    with pytest.raises(ValueError, match="no JSON"):
        check_patterns(b"{]")


@pytest.mark.parametrize("pattern", [USUAL[2], USUAL[7]])
def test_the_worst_usual_patterns_end(pattern):
    nlp = spacy.blank("xx")
    matcher = Matcher(nlp.vocab)
    matcher.add("A", [pattern])
    assert isinstance(matcher(nlp("from a " * 20 + "to a " * 20)), list)
