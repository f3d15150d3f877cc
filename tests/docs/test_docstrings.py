"""Docstrings in spaCy's style, as the documentation shows them. See also test_plain_english.py."""

import inspect
from importlib.metadata import distribution

import pytest

griffe = pytest.importorskip("griffe", reason="needs the extra docs")

REGISTERED = [ep for ep in distribution("spacy-tabcnn").entry_points if ep.group != "spacy_cli"]
DOCSTRING = """Count the words of a text, see
    the manual.

    A second paragraph.

    text (str): The text.
    limit (int | None): Maximum number of words; a line
        that is too long continues on the next.
    Word (noun): is no argument.
    RETURNS (dict[str, int]): The counts, as
        `{word: count}`.
    RAISES (ValueError): If the limit is negative.
    RAISES (OSError): If the moon is full.
    Source: a dream.
    """


@pytest.fixture(scope="module")
def package():
    """Load the package as the documentation reads it, without importing it."""
    return griffe.load("spacy_tabcnn")


@pytest.fixture
def sections(docstrings):
    """Return the sections of DOCSTRING, in a function with its arguments."""
    code = f'def count(text: str, limit: int | None = None):\n    """{DOCSTRING}"""'
    with griffe.temporary_visited_module(code) as module:
        return docstrings.parse(module["count"].docstring)


def test_a_docstring_is_divided_in_its_own_order(sections):
    assert [section.kind.value for section in sections] == [
        "text",
        "parameters",
        "text",
        "returns",
        "raises",
        "text",
    ]


def test_text_keeps_its_paragraphs(sections):
    assert sections[0].value == "Count the words of a text, see\nthe manual.\n\nA second paragraph."
    assert sections[-1].value == "Source: a dream."


def test_arguments_have_types_texts_and_the_defaults_of_the_signature(sections):
    text, limit = sections[1].value
    assert (text.name, text.annotation, text.description, text.value) == (
        "text",
        "str",
        "The text.",
        None,
    )
    assert (limit.name, limit.annotation, limit.value) == ("limit", "int | None", "None")
    assert (
        limit.description
        == "Maximum number of words; a line\nthat is too long continues on the next."
    )


def test_a_line_that_only_looks_like_an_argument_stays_text(sections):
    assert sections[2].value == "Word (noun): is no argument."


def test_results_and_errors_have_types_and_texts(sections):
    [result] = sections[3].value
    assert (result.annotation, result.description) == (
        "dict[str, int]",
        "The counts, as\n`{word: count}`.",
    )
    assert [error.annotation for error in sections[4].value] == ["ValueError", "OSError"]


def test_types_may_hold_brackets_and_parentheses(docstrings):
    code = 'def f(x):\n    """Do.\n\n    x (Callable[[], tuple(int, int)]): It.\n    """'
    with griffe.temporary_visited_module(code) as module:
        [_, arguments] = docstrings.parse(module["f"].docstring)
    assert arguments.value[0].annotation == "Callable[[], tuple(int, int)]"


def test_attributes_of_a_class_count_as_its_arguments(docstrings):
    code = (
        'class Pair(NamedTuple):\n    """Two.\n\n    one (int): First.\n    """\n\n    one: int = 3'
    )
    with griffe.temporary_visited_module(code) as module:
        [_, arguments] = docstrings.parse(module["Pair"].docstring)
    assert [(item.name, str(item.value)) for item in arguments.value] == [("one", "3")]


def test_the_extension_reads_every_docstring_of_a_package(docstrings):
    package = griffe.load(
        "spacy_tabcnn", extensions=griffe.load_extensions(docstrings.SpacyDocstrings())
    )
    [_, arguments, *_] = package["relations.set_relations"].docstring.parsed
    assert [item.name for item in arguments.value] == ["doc", "relations"]


@pytest.mark.parametrize("entry", REGISTERED, ids=lambda entry: f"{entry.group}-{entry.name}")
def test_every_setting_of_a_registered_function_is_documented(docstrings, package, entry):
    settings = set(inspect.signature(entry.load()).parameters)
    if entry.group == "spacy_factories":
        settings -= {"nlp", "name"}  # spaCy's own
    target = package[f"{entry.module}.{entry.attr}".removeprefix("spacy_tabcnn.")]
    documented = {
        item.name
        for section in docstrings.parse(target.docstring)
        if section.kind is griffe.DocstringSectionKind.parameters
        for item in section.value
    }
    assert documented == settings
