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
    "(a+){0,00000099}$",
    "(a{0,9}){0,000000099}$",
    "a{1,9}+$",
    "(a|a)" * 26 + "b",
    "(?:a|a)" * 26 + "b",
    "a?" * 26 + "a" * 26,
    "a*a*a*b",
]
# Syntax that may hide another part.
HIDING = [
    "(?#[)(a+)+$(?#])",
    "((?#[)a+(?#]))+$",
    "(?i)(?x)a",
    "(?xi:a)",
    "(?{[})(a+)+$(?{]})",
    "(*FAIL{[})(a+)+$(*FAIL{]})",
    r"(?<n>a|a\g<n>|a\g<n>)b",
    r"\c[(a+)+$\c]",
    r"\C-[(a+)+$\C-]",
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
    "a?" * 5,
    r"[^\p{L}]?[\p{Lu}\p{M}]*[\p{Ll}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\s*[\r\n]+|\s+",
    r"(?i)a(?i-s:b)(?>c)(?P<n>d)(?P=n)(?<m>e)(?(m)f|g)(?<!h)",
    r"\(?#",
    "x{}y",
]


@pytest.mark.parametrize("pattern", SLOW + HIDING)
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
