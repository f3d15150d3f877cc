"""Pictures in a browser, as their reader sees them."""

import pytest

from spacy_tabcnn.visual import render

from ..browser import SCHEMES, WIDTHS, check_page, open_file

WORDS = (
    "Marie Curie , born in Warsaw in 1867 , moved to Paris , where she met Pierre Curie , and "
    "later founded the Radium Institute in Paris and another one in Warsaw ."
)
ENTITIES = [(0, 2, "PER"), (5, 6, "LOC"), (11, 12, "LOC"), (16, 18, "PER"), (22, 24, "ORG")]
RELATIONS = [(0, 1, "BornIn"), (0, 3, "Knows"), (3, 0, "Knows"), (0, 4, "Founded"), (4, 2, "In")]


@pytest.fixture(scope="module")
def paths(make_doc, tmp_path_factory):
    """A page in each style."""
    doc = make_doc(WORDS, ENTITIES, RELATIONS)
    plain = make_doc("Nobody left .", [], [])
    folder = tmp_path_factory.mktemp("pages")
    paths = {}
    for style in ("relations", "table"):
        paths[style] = folder / f"{style}.html"
        paths[style].write_text(render([doc, plain], style, page=True), encoding="utf-8")
    return paths


@pytest.fixture
def arcs(browser, paths):
    page = open_file(browser, paths["relations"])
    yield page
    page.close()


def opacity(locator):
    """The opacity of an item, at the end of its transition."""
    return locator.evaluate(
        "node => Promise.all(node.getAnimations().map(one => one.finished))"
        ".then(() => getComputedStyle(node).opacity)"
    )


def background(locator):
    return locator.evaluate("node => getComputedStyle(node).backgroundColor")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("style", ["relations", "table"])
def test_a_page_is_accessible(browser, paths, style, width, scheme):
    page = open_file(browser, paths[style], width=width, scheme=scheme)
    check_page(page)
    assert page.problems == []
    page.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_one_of_two_widths_is_visible_and_fits(browser, paths, width):
    page = open_file(browser, paths["relations"], width=width)
    pictures = page.locator("svg:visible")
    assert pictures.count() == 2
    for picture in pictures.all():
        box = picture.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width
    page.close()


@pytest.mark.parametrize("width", WIDTHS)
def test_texts_stay_within_their_boxes(browser, paths, width):
    page = open_file(browser, paths["relations"], width=width)
    for item in page.locator("svg:visible g.item").all():
        box = item.locator("rect").first.bounding_box()
        for text in item.locator("text").all():
            inner = text.bounding_box()
            assert box["x"] <= inner["x"] and box["y"] - 1 <= inner["y"]
            assert inner["x"] + inner["width"] <= box["x"] + box["width"]
            assert inner["y"] + inner["height"] <= box["y"] + box["height"] + 1
    page.close()


def test_a_pointer_on_an_arc_makes_the_others_fade(arcs):
    items = arcs.locator("svg:visible g.item")
    born = items.filter(has_text="BornIn")
    born.locator("text").hover()
    for name, expected in (("BornIn", "1"), ("Founded", "0.2"), ("Warsaw", "1"), ("Radium", "0.2")):
        assert opacity(items.filter(has_text=name).first) == expected


def test_a_pointer_on_a_box_keeps_its_arcs_and_their_other_ends(arcs):
    items = arcs.locator("svg:visible g.item")
    items.filter(has_text="Pierre Curie").locator("text").first.hover()
    for name, expected in (("Knows", "1"), ("Founded", "0.2"), ("PER", "1"), ("Warsaw", "0.2")):
        assert opacity(items.filter(has_text=name).first) == expected


def test_the_keyboard_isolates_an_arc(arcs):
    arcs.keyboard.press("Tab")
    focused = arcs.locator("g.arc:focus")
    assert focused.locator("text").inner_html() == "BornIn"
    other = arcs.locator("svg:visible g.arc").filter(has_text="Founded")
    assert (opacity(focused), opacity(other)) == ("1", "0.2")


def test_headers_stay_while_a_table_scrolls(browser, paths):
    page = open_file(browser, paths["table"], width=390)
    table = page.locator(".tabcnn-table").first
    before = table.locator("tbody th").first.bounding_box()
    table.evaluate("node => node.scrollTo(500, 0)")
    assert table.evaluate("node => node.scrollLeft") == 500
    assert table.locator("tbody th").first.bounding_box() == before
    table.evaluate("node => { node.style.maxHeight = '200px'; node.scrollTo(0, 300); }")
    top = table.bounding_box()["y"]
    assert abs(table.locator("thead th").first.bounding_box()["y"] - top) < 1
    page.close()


@pytest.mark.parametrize("style,selector", [("relations", "svg:visible"), ("table", "thead th")])
def test_nothing_is_white_in_the_dark(browser, paths, style, selector):
    page = open_file(browser, paths[style], scheme="dark")
    found = background(page.locator(selector).first)
    assert found in ("rgba(0, 0, 0, 0)", background(page.locator("body")))
    page.close()


def test_words_of_a_table_are_readable_in_a_dark_page_that_says_nothing(browser, curie):
    page = browser.new_page()
    table = render(curie, "table", jupyter=False)
    page.set_content(f'<body style="background: #111; color: #eee">{table}')
    assert background(page.locator("tbody th").first) == "oklch(0 0 0)"
    page.close()
