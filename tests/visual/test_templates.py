from importlib.resources import files

import pytest
from jinja2 import UndefinedError
from markupsafe import Markup

from spacy_tabcnn.visual import templates


def render_pictures(*pictures):
    return templates.render("pictures.html", pictures=pictures)


def test_a_template_escapes_texts_and_keeps_markup():
    page = render_pictures("<b>&", Markup("<svg/>"))
    assert "<figure>&lt;b&gt;&amp;</figure>" in page and "<figure><svg/></figure>" in page


def test_a_missing_value_is_an_error():
    with pytest.raises(UndefinedError, match="'pictures' is undefined"):
        templates.render("pictures.html")


def test_every_template_is_valid():
    for path in (files("spacy_tabcnn.visual") / "templates").iterdir():
        templates._ENVIRONMENT.get_template(path.name)
