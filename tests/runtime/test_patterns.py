"""Regular expressions that may take a time beyond all bounds are found."""

import pytest
import spacy

from spacy_tabcnn.runtime.patterns import find_slow_part, split_branches

SLOW = [
    "(a+)+",
    "(a|a)*",
    "(a*)*b",
    "((a)*)*",
    "(a?){30}",
    "(?:a{1,20}){20}",
    "((a{1,20}){4}){4}",
    "a*a*a*a*a*a*b",
    "(?x)(a+ # )\n)+",
    "([a-z]+)*$",
    "(?P<n>a+)+",
    "(.*a){20}",
    r"(\w+\s?)*$",
    "(a+)++",
    "a)",
]
FAST = [
    "",
    r"\d+\.\d+",
    "[a-z]+(?:foo|bar)?",
    r"(?i:'s|'t)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}]+[\r\n]*|\s+(?!\S)|\s+",
    " {2,}",
    r"^https?://\S+$",
    r"(\.\d)+",
    r"[(+)]+",
    r"(?<=[a-z])-(?=[a-z])",
    r"(?:\.\d{1,3}){3}",
    "(foo|bar)x*",
]


@pytest.mark.parametrize("pattern", SLOW)
def test_slow_expressions_are_found(pattern):
    assert find_slow_part(pattern)


@pytest.mark.parametrize("pattern", FAST)
def test_others_pass(pattern):
    assert find_slow_part(pattern) is None


def test_alternatives_are_split_outside_of_groups():
    assert split_branches(r"a|(b|c)|[|]|\|") == ["a", "(b|c)", "[|]", r"\|"]


@pytest.mark.parametrize("name", ["prefix_search", "suffix_search", "infix_finditer"])
def test_the_rules_of_english_pass(name):
    pattern = getattr(spacy.blank("en").tokenizer, name).__self__.pattern
    assert not any(map(find_slow_part, split_branches(pattern)))
