"""The rules of plain English that a test can check, in docstrings and in the documentation."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("spacy_tabcnn", "experiments", "benchmarks")
PAGES = [
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "benchmarks" / "README.md",
    ROOT / "assets" / "sample" / "README.md",
]

# Words that the docstring of a function does not begin with, since it begins with an imperative.
OPENINGS = re.compile(r"(Tells?|Gives?|Says?|What|That)\b")
SENTENCE_END = re.compile(r"\.(?= [A-Z`]|$)")
# A line of an argument or a result, which no docstring begins with.
ITEM = re.compile(r"\w+ \(.+?\): ")
# Fenced blocks, and code within a line or over the end of one.
CODE = re.compile(r"^ *```.*?^ *```|`[^`\n]*(?:\n[^`\n]+)?`", re.MULTILINE | re.DOTALL)
_NOUNS = (
    "words|tokens|cells|rows|documents|sentences|characters|bytes|memory|steps|"
    "number|probability|score"
)
# Phrases by the advice against them. The words of a phrase may be on two lines.
PHRASES = {
    "repeat the noun": r"\b(?:that|those) of the\b",
    "use plain idiom": r"\bfor ever\b",
    "software requires": r"\bwants\b|(?<!you\s)\bwant\b",
    "use maximum or minimum": rf"(?<!at\s)\bleast (?:{_NOUNS})\b|\bthe most (?:{_NOUNS})\b",
}
# At the beginning of a docstring and of the text of an argument: "Most words of a table" is a noun
# there, while a page may say "Most words are short".
ARGUMENTS = {
    "use maximum or minimum": r"(?:\):\s+|\A\s*)(?:Most|Least) \w+",
    "name the thing": r"(?:\):\s+|\A\s*)(?:What|That|Those) \w+",
}


class Docstring(NamedTuple):
    """A docstring, or the lack of one.

    where (str): Its file.
    line (int): Its first line in the file, from 1.
    kind (str): "module", "class" or "function".
    name (str): Name of its owner.
    text (str | None): The docstring. None if there is none.
    """

    where: str
    line: int
    kind: str
    name: str
    text: str | None


def read_docstrings(code: str, where: str) -> Iterator[Docstring]:
    """Read the docstrings of a module.

    code (str): The source of the module.
    where (str): Its file.
    YIELDS (Docstring): Every docstring, and the lack of one for each public function or class.
    """
    module = ast.parse(code)
    public = {module} | set(find_public(module))
    for node in ast.walk(module):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        text = ast.get_docstring(node, clean=False)
        if text is not None:
            line = node.body[0].lineno
        elif node in public and isinstance(node, ast.stmt):
            line = node.lineno
        else:
            continue
        kind = {ast.Module: "module", ast.ClassDef: "class"}.get(type(node), "function")
        yield Docstring(where, line, kind, getattr(node, "name", where), text)


def find_public(parent: ast.Module | ast.ClassDef) -> Iterator[ast.stmt]:
    """Find the functions and classes that a user of a module can meet.

    parent (ast.Module | ast.ClassDef): The module, or a class of it.
    YIELDS (ast.stmt): Public functions, classes and methods.
    """
    for node in parent.body:
        if not isinstance(node, ast.ClassDef | ast.FunctionDef) or node.name.startswith("_"):
            continue
        if any(ast.unparse(decorator).endswith(".setter") for decorator in node.decorator_list):
            continue
        yield node
        if isinstance(node, ast.ClassDef):
            yield from find_public(node)


def check_summary(docstring: Docstring) -> Iterator[str]:
    """Check that a docstring begins with a summary line: a sentence that ends on this line.

    docstring (Docstring): The docstring.
    YIELDS (str): Findings, as `file:line: advice`.
    """
    where = f"{docstring.where}:{docstring.line}"
    if docstring.text is None:
        yield f"{where}: no docstring: '{docstring.name}'"
        return
    summary = docstring.text.strip().partition("\n")[0].strip()
    if ITEM.match(summary):
        yield f"{where}: no summary line: '{summary}'"
    elif not SENTENCE_END.search(summary):
        yield f"{where}: no sentence ends on the summary line: '{summary}'"


def check_opening(docstring: Docstring) -> Iterator[str]:
    """Check that the docstring of a function begins with an imperative.

    docstring (Docstring): The docstring.
    YIELDS (str): Findings, as `file:line: advice`.
    """
    opening = docstring.kind == "function" and OPENINGS.match((docstring.text or "").strip())
    if opening:
        yield (
            f"{docstring.where}:{docstring.line}: begin with Return, Compute, Check ..., "
            f"not '{opening[0]}'"
        )


def check_phrases(
    text: str, where: str, line: int, phrases: dict[str, str] = PHRASES
) -> Iterator[str]:
    """Find phrases that are not plain, outside code.

    text (str): A docstring or a page.
    where (str): Its file.
    line (int): Its first line in the file, from 1.
    phrases (dict[str, str]): Patterns by the advice against them.
    YIELDS (str): Findings, as `file:line: advice`.
    """
    prose = CODE.sub(lambda match: re.sub(r"[^\n]", "_", match[0]), text)
    for advice, phrase in phrases.items():
        for match in re.finditer(phrase.replace(" ", r"\s+"), prose):
            n_lines = prose.count("\n", 0, match.end())
            words = " ".join(text[match.start() : match.end()].split())
            yield f"{where}:{line + n_lines}: {advice}: '{words}'"


def read_rooms() -> dict[str, list[Docstring]]:
    """Read the docstrings of all packages.

    RETURNS (dict[str, list[Docstring]]): The docstrings by room, such as "spacy_tabcnn/heads".
    """
    rooms = defaultdict(list)
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            where = path.relative_to(ROOT)
            room = "/".join(where.parts[:-1][:2])
            rooms[room].extend(read_docstrings(path.read_text(encoding="utf-8"), where.as_posix()))
    return dict(rooms)


ROOMS = read_rooms()


def show(findings: list[str]) -> str:
    return "\n".join(["", *findings])


@pytest.mark.parametrize("room", ROOMS)
def test_every_docstring_has_a_summary_line(room):
    findings = [finding for docstring in ROOMS[room] for finding in check_summary(docstring)]
    assert not findings, show(findings)


@pytest.mark.parametrize("room", ROOMS)
def test_docstrings_of_functions_begin_with_an_imperative(room):
    findings = [finding for docstring in ROOMS[room] for finding in check_opening(docstring)]
    assert not findings, show(findings)


@pytest.mark.parametrize("room", ROOMS)
def test_docstrings_are_in_plain_english(room):
    findings = []
    for where, line, _, _, text in ROOMS[room]:
        for phrases in (PHRASES, ARGUMENTS):
            findings.extend(check_phrases(text or "", where, line, phrases))
    assert not findings, show(findings)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_pages_are_in_plain_english(page):
    where = page.relative_to(ROOT).as_posix()
    findings = list(check_phrases(page.read_text(encoding="utf-8"), where, 1))
    assert not findings, show(findings)


def test_a_phrase_is_found_across_lines_with_its_place():
    text = "The size is\nthat of\nthe table.\n\n```\nfor ever\n```\nIt `wants` and wants it."
    assert list(check_phrases(text, "page.md", 1)) == [
        "page.md:3: repeat the noun: 'that of the'",
        "page.md:8: software requires: 'wants'",
    ]


@pytest.mark.parametrize(
    ("text", "n_findings"),
    [
        ("size (int): Most words of a table.", 1),
        ("size (int): Maximum number of words.", 0),
        ("size (int): The size. Most words are short.", 0),
        ("score (float): At least one, at most two.", 0),
        ("score (float): Least probability.", 1),
    ],
)
def test_most_and_least_are_no_nouns(text, n_findings):
    assert len(list(check_phrases(text, "a.py", 1, ARGUMENTS))) == n_findings


CODE_OF_A_MODULE = '''"""A module."""


class Table:
    """The table
    of a sentence."""

    def size(self):
        """RETURNS (int): The size."""

    def fill(self):
        def step():
            pass

    def show(self):
        """Show the table. Its cells
        are square."""

    def _clear(self):
        """Tell it."""
'''


def test_missing_and_unfinished_summary_lines_are_found():
    docstrings = list(read_docstrings(CODE_OF_A_MODULE, "a.py"))
    assert sorted(finding for docstring in docstrings for finding in check_summary(docstring)) == [
        "a.py:11: no docstring: 'fill'",
        "a.py:5: no sentence ends on the summary line: 'The table'",
        "a.py:9: no summary line: 'RETURNS (int): The size.'",
    ]


def test_openings_of_functions_are_checked():
    docstrings = list(read_docstrings(CODE_OF_A_MODULE, "a.py"))
    assert [finding for docstring in docstrings for finding in check_opening(docstring)] == [
        "a.py:20: begin with Return, Compute, Check ..., not 'Tell'"
    ]
