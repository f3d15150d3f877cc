"""The documentation page of the API."""

import pytest

from spacy_tabcnn.app.api_page import render_page

from ..browser import SCHEMES, WIDTHS, check_page, open_file

OPEN_API = {
    "info": {"title": "<b>", "version": "1", "description": "Annotates & more"},
    "paths": {
        "/annotate": {
            "post": {
                "summary": "Annotate texts",
                "requestBody": {"schema": {"$ref": "#/components/schemas/Texts"}},
                "responses": {
                    "200": {"description": "Done", "schema": {"$ref": "#/x/Answer"}},
                    "422": {"description": "Refused"},
                },
            }
        }
    },
    "components": {"schemas": {"Texts": {"type": "object", "pattern": "</pre>" * 60}}},
}


def test_operations_answers_and_objects_are_listed():
    page = render_page(OPEN_API)
    assert "<h1>&lt;b&gt; 1</h1>" in page and "<h2>POST /annotate</h2>" in page
    assert '<p>Body: <a href="#Texts">Texts</a></p>' in " ".join(page.split()).replace(
        " </p>", "</p>"
    )
    assert "<td>422</td><td>Refused</td>" in page and '<h3 id="Texts">Texts</h3>' in page
    assert "&lt;/pre&gt;" in page


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits_and_is_accessible(browser, tmp_path, width, scheme):
    (tmp_path / "docs.html").write_text(render_page(OPEN_API), encoding="utf-8")
    page = open_file(browser, tmp_path / "docs.html", width=width, scheme=scheme)
    check_page(page)
    assert page.problems == []
    page.close()
