import json
import re
from html.parser import HTMLParser

import pytest
from spacy.training import Example

from spacy_tabcnn.evaluation.errors import ErrorFinding
from spacy_tabcnn.evaluation.items import EntityItem
from spacy_tabcnn.relations import set_entity_scores
from spacy_tabcnn.visual.error_page import make_error_page, make_findings_page

VOID = {"meta", "input", "br"}


class Checker(HTMLParser):
    """Collects elements and text, and checks that elements are closed in order."""

    def __init__(self, page):
        super().__init__()
        self.open, self.elements, self.text = [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def attributes(self, tag, name):
        return [
            attributes[name]
            for found, attributes in self.elements
            if found == tag and name in attributes
        ]


@pytest.fixture
def example(make_doc):
    """A document with one relation found, one missed and one of another type."""
    text = "Ann and Bob live in Rome and Oslo"
    entities = [(0, 1, "PER"), (2, 3, "PER"), (5, 6, "LOC"), (7, 8, "LOC")]
    gold = make_doc(text, entities, [(0, 2, "LivesIn"), (1, 3, "LivesIn"), (1, 2, "BornIn")])
    predicted = make_doc(text, entities[:3], [(0, 2, "LivesIn"), (1, 2, "LivesIn")])
    return Example(predicted, gold)


def test_findings_and_counts(example):
    page, counts = make_error_page([example], title="m: errors on d")
    assert counts == {
        ("entity", "correct"): 3,
        ("entity", "missed"): 1,
        ("relation", "correct"): 1,
        ("relation", "wrong type"): 1,
        ("relation", "missed"): 1,
    }
    parsed = Checker(page)
    kinds = parsed.attributes("li", "data-kind")
    assert {kind: kinds.count(kind) for kind in kinds} == {
        f"{unit} {kind}": n for (unit, kind), n in counts.items()
    }
    assert "1 documents; 1 annotated with entities, 1 with relations." in "".join(parsed.text)


def test_findings_are_labelled_with_gold_and_predicted_labels(example):
    page, _ = make_error_page([example], title="")
    names = dict(re.findall(r'<option value="(\d+)">(\w+)</option>', page))
    [labels] = re.findall(r'data-kind="relation wrong type" data-labels="([\d ]+)"', page)
    assert {names[index] for index in labels.split()} == {"BornIn", "LivesIn"}


def test_every_kind_has_a_filter(example):
    parsed = Checker(make_error_page([example], title="")[0])
    assert set(parsed.attributes("li", "data-kind")) < set(parsed.attributes("input", "value"))
    assert len(parsed.attributes("input", "value")) == 5 + 6


def test_a_document_shows_both_texts_only_if_they_differ(example, make_doc):
    assert make_error_page([example], title="")[0].count('class="text"') == 2
    same = Example(make_doc("Ann", [(0, 1, "PER")], []), make_doc("Ann", [(0, 1, "PER")], []))
    assert make_error_page([same], title="")[0].count('class="text"') == 1


def test_a_document_without_findings_is_not_shown(make_doc):
    page, counts = make_error_page([Example(make_doc("Ann"), make_doc("Ann"))], title="")
    assert "<article>" not in page and not counts
    assert "1 documents; 0 annotated" in page


def test_texts_and_labels_are_escaped(make_doc):
    words = ["<script>alert(1)</script>", "&amp;", '"x"']
    entities = [(0, 1, "<i>"), (2, 3, 'A"&B')]
    gold = make_doc(words, entities, [(0, 1, "</script>")])
    gold.user_data["orig_id"] = "<u>"
    page, _ = make_error_page([Example(make_doc(words, entities, []), gold)], title="<b>")
    parsed = Checker(page)
    assert not {"i", "u"} & {tag for tag, _ in parsed.elements}
    assert page.count("<script") == page.count("</script>") == 2
    text = "".join(parsed.text)
    assert all(part in text for part in (*words, "(<u>)", "<i>", 'A"&B', "</script>"))


def read_records(page):
    [data] = re.findall(r'<script type="application/json" id="records">(.*?)</script>', page)
    return json.loads(data)


def test_findings_are_data_for_export(example):
    page, _ = make_error_page([example], title="")
    records = read_records(page)
    assert len(records) == page.count("<li ")
    assert records[-1] == {
        "document": 1,
        "id": None,
        "unit": "relation",
        "kind": "missed",
        "score": None,
        "gold": {
            "head": {"start": 8, "end": 11, "label": "PER", "text": "Bob"},
            "tail": {"start": 29, "end": 33, "label": "LOC", "text": "Oslo"},
            "label": "LivesIn",
        },
        "predicted": None,
    }


def test_a_score_that_is_no_number_is_left_out(make_doc):
    doc = make_doc("Ann", [(0, 1, "PER")], [])
    set_entity_scores(doc, doc.ents, [float("nan")])
    page, _ = make_error_page([Example(doc, make_doc("Ann", [], []))], title="")
    assert read_records(page)[0]["score"] is None


def test_scores_are_those_of_the_scorer(example):
    text = " ".join(" ".join(Checker(make_error_page([example], title="")[0]).text).split())
    assert "P R F1 Macro F1 Entities, strict 100.0 75.0 85.7" in text
    assert "Relations, boundaries (RE) 50.0 33.3 40.0" in text
    assert "Relations, strict (RE+) 50.0 33.3 40.0" in text


def test_a_unit_without_gold_annotation_has_no_scores(make_doc):
    page, _ = make_error_page([Example(make_doc("Ann", [], []), make_doc("Ann", []))], title="")
    assert "Entities, strict" in page and "Relations, strict" not in page


def test_the_confusion_table_counts_each_finding_once(example):
    page, counts = make_error_page([example], title="")
    cells = re.findall(r'<button type="button" class="\w+" data-cell="(.*?)".*?>(\d+)<', page)
    numbers = {cell: int(number) for cell, number in cells}
    found = re.findall(r'<li .*?data-cell="(.*?)"', page)
    assert numbers == {cell: found.count(cell) for cell in found}
    assert sum(numbers.values()) == counts.total()
    assert 'aria-label="BornIn, LivesIn: 1"' in page and 'aria-label="LOC, missed: 1"' in page


def test_only_the_first_of_overlapping_entities_is_marked(make_doc):
    items = [EntityItem(0, 5, "A"), EntityItem(3, 8, "B")]
    findings = [ErrorFinding("entity", "spurious", None, item, 0.5) for item in items]
    page, _ = make_findings_page([make_doc("Ada Byron")], [findings], title="")
    assert page.count("<mark") == 1 and page.count("<li ") == 2


def test_the_policy_of_the_page_allows_its_own_script_and_style_only(example):
    page, _ = make_error_page([example], title="")
    [policy] = [value for value in Checker(page).attributes("meta", "content") if "src" in value]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy and "style=" not in page


def test_a_text_of_any_direction_is_set_apart(make_doc):
    gold = make_doc(["דוד", "בן", "גוריון"], [(0, 3, "PER")], [])
    page, _ = make_error_page([Example(make_doc(["דוד", "בן", "גוריון"], [], []), gold)], title="")
    assert '<bdi>דוד בן גוריון</bdi> <bdi class="type">PER</bdi>' in page
    assert set(Checker(page).attributes("div", "dir")) == {"auto"}
    # What stands in <bdi> does not tell the direction of the text around it.
    assert '<mark class="missed">דוד בן גוריון<small><bdi>PER</bdi></small></mark>' in page


def test_the_page_requests_nothing_and_fits_a_phone(example):
    page, _ = make_error_page([example], title="")
    assert not re.search(r"https?:|src=|@import|url\(", page)
    assert 'name="viewport" content="width=device-width' in page
