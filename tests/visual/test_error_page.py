import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest
from spacy.training import Example

from spacy_tabcnn.visual.error_page import make_error_page

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
    assert page.count("<script>") == page.count("</script>") == 1
    text = "".join(parsed.text)
    assert all(part in text for part in (*words, "(<u>)", "<i>", 'A"&B', "</script>"))


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


DOM = """
const page = JSON.parse(process.argv[1]);
const box = ([value, checked]) => ({value, checked, parentNode: {querySelector: () => ({})}});
const boxes = page.boxes.map(box);
const articles = page.articles.map(items => {
  const nodes = items.map(([kind, labels]) => ({dataset: {kind, labels}, hidden: false}));
  return {hidden: false, nodes, querySelectorAll: () => nodes};
});
const output = {}, listeners = {};
const form = {elements: {label: {value: page.label}}, querySelectorAll: () => boxes,
  addEventListener: (name, listener) => { listeners[name] = listener; }};
const querySelector = name => name === "form" ? form : output;
const document = {querySelector, querySelectorAll: () => articles};
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
@pytest.mark.parametrize(
    "label,checked,expected",
    [
        ("", ["entity missed"], [[[True, False]], "Shown: 1 in 1 documents"]),
        ("1", ["entity missed"], [[[True, True]], "Shown: 0 in 0 documents"]),
        ("1", ["relation correct"], [[[False, True]], "Shown: 1 in 1 documents"]),
    ],
)
def test_the_filters_hide_what_they_should(example, label, checked, expected):
    page, _ = make_error_page([example], title="")
    script = re.search(r"<script>(.*)</script>", page, re.S)[1]
    boxes = [[kind, kind in checked] for kind in ("entity missed", "relation correct")]
    data = {
        "label": label,
        "boxes": boxes,
        "articles": [[["relation correct", "0 1"], ["entity missed", "2"]]],
    }
    report = (
        "const hidden = articles.map(a => a.nodes.map(n => n.hidden));"
        "console.log(JSON.stringify([hidden, output.textContent]));"
    )
    result = subprocess.run(
        ["node", "-e", f"{DOM}\n{{{script}}}\n{report}", json.dumps(data)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(result.stdout) == expected
