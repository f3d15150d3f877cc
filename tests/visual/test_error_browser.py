"""The error browser in a browser, as its reader uses it."""

import csv
import io
import json

import pytest
from spacy.training import Example

from spacy_tabcnn.relations import set_entity_scores
from spacy_tabcnn.visual.error_page import make_error_page

from ..browser import SCHEMES, WIDTHS, check_page, open_file

EVIL = '</script><img src=x onerror="document.title=1">'


@pytest.fixture(scope="module")
def path(make_doc, tmp_path_factory):
    """A page of thirty documents: in each one, an entity is missed and one is spurious."""
    examples = []
    for number in range(30):
        words = ["Ann", "and", f"Bob{number}", "met", "."]
        gold = make_doc(words, [(0, 1, "PER")], [])
        predicted = make_doc(words, [(2, 3, "ORG")], [])
        set_entity_scores(predicted, predicted.ents, [number / 100])
        examples.append(Example(predicted, gold))
    words = ["=1+1", EVIL, '"x",\n']
    gold = make_doc(words, [(0, 1, "<b>"), (1, 2, "LOC"), (2, 3, "PER")], [(0, 1, "at")])
    predicted = make_doc(words, [(0, 1, "<b>"), (1, 2, "ORG"), (2, 3, "PER")], [(0, 1, "at")])
    gold.user_data["orig_id"] = EVIL
    examples.append(Example(predicted, gold))
    path = tmp_path_factory.mktemp("page") / "errors.html"
    path.write_text(make_error_page(examples, title=f"errors {EVIL}")[0], encoding="utf-8")
    return path


@pytest.fixture
def page(browser, path):
    page = open_file(browser, path)
    yield page
    assert page.problems == []
    page.close()


def shown(page):
    return page.locator("output").inner_text()


def names(page):
    return page.locator("article:visible h3").all_inner_texts()


def export(page, name):
    with page.expect_download() as download:
        page.get_by_role("button", name=f"Export {name}").click()
    return download.value.path().read_bytes().decode("utf-8")


def test_kinds_are_chosen(page):
    assert shown(page) == "Shown: 62 in 31 documents"
    page.get_by_role("checkbox", name="spurious").first.uncheck()
    assert shown(page) == "Shown: 32 in 31 documents"
    page.get_by_role("checkbox", name="correct").last.check()
    page.get_by_role("button", name="Clear").click()
    page.wait_for_function("document.querySelector('output').textContent.includes('62')")


def test_labels_are_chosen(page):
    page.get_by_role("combobox", name="Label").select_option("LOC")
    assert shown(page) == "Shown: 1 in 1 documents"


def test_texts_are_searched_without_the_labels_in_them(page):
    page.get_by_label("Text").fill("ann AND bob7")
    assert shown(page) == "Shown: 2 in 1 documents"
    page.get_by_label("Text").fill("PER")
    assert shown(page) == "Shown: 0 in 0 documents"


def test_findings_are_sorted_by_score(page):
    page.get_by_label("Order").select_option("highest score first")
    assert names(page)[0] == f"Document 31 ({EVIL})"
    assert names(page)[1] == "Document 30"
    page.get_by_label("Order").select_option("lowest score first")
    assert names(page)[0] == "Document 1"
    first = page.locator("article:visible li").first
    assert first.inner_text().startswith("spurious")
    page.get_by_label("Order").select_option("as in the corpus")
    assert first.inner_text().startswith("missed")


def test_documents_are_divided_into_pages(page):
    assert names(page) == [f"Document {number}" for number in range(1, 26)]
    page.get_by_role("button", name="Next").click()
    assert len(names(page)) == 6 and page.get_by_role("button", name="Next").is_disabled()
    page.get_by_label("Documents per page").select_option("all")
    assert len(names(page)) == 31 and page.locator("nav").is_hidden()


def test_a_number_of_the_confusion_table_selects_its_findings(page):
    button = page.get_by_role("button", name="PER, missed: 30")
    button.click()
    assert shown(page) == "Shown: 30 in 30 documents"
    assert button.get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="PER, PER: 1").click()  # correct ones, not chosen by kind
    assert shown(page) == "Shown: 1 in 1 documents"
    page.get_by_role("button", name="PER, PER: 1").click()
    assert shown(page) == "Shown: 62 in 31 documents"


def test_shown_findings_are_exported_as_json(page):
    page.get_by_label("Text").fill("bob7")
    missed, spurious = json.loads(export(page, "JSON"))
    assert missed["gold"] == {"start": 0, "end": 3, "label": "PER", "text": "Ann"}
    assert (spurious["document"], spurious["score"]) == (8, 0.07)


def test_exported_csv_is_safe_for_programs_for_tables(page):
    page.get_by_role("checkbox", name="correct").first.check()
    page.get_by_role("checkbox", name="correct").last.check()
    page.get_by_label("Text").fill("=1+1")
    rows = list(csv.DictReader(io.StringIO(export(page, "CSV"), newline="")))
    assert [row["kind"] for row in rows] == ["correct", "wrong type", "correct", "wrong type"]
    assert rows[0]["gold_text"] == "'=1+1" and rows[0]["id"] == EVIL
    assert rows[1]["gold_text"] == EVIL and rows[2]["gold_text"] == '"x",'
    assert rows[3]["gold_head"] == "'=1+1" and rows[3]["gold_tail"] == EVIL


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_fits_and_is_accessible(browser, path, width, scheme):
    page = open_file(browser, path, width=width, scheme=scheme)
    assert page.locator("img").count() == 0
    check_page(page)
    assert page.problems == []
    page.close()
