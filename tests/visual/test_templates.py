from importlib.resources import files

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from spacy_tabcnn.visual.templates import render

VALUES = {"body": "b", "style": "", "script": ""}


def test_a_template_escapes_texts_and_keeps_markup():
    page = render("page.html", **VALUES | {"title": "<b>&", "body": Markup("<p>text</p>")})
    assert "<title>&lt;b&gt;&amp;</title>" in page and "<p>text</p>" in page


def test_a_missing_value_is_an_error():
    with pytest.raises(UndefinedError, match="'title' is undefined"):
        render("page.html", **VALUES)


def test_every_template_is_valid():
    for path in (files("spacy_tabcnn.visual") / "templates").iterdir():
        render.__globals__["_ENVIRONMENT"].get_template(path.name)
