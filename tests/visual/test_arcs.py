import re
from itertools import combinations, pairwise
from random import Random
from xml.etree import ElementTree

import pytest
import spacy
from spacy.tokens import Doc, Span

from spacy_tabcnn.visual.arcs import draw_diagram, draw_fluid_diagram, list_labels
from spacy_tabcnn.visual.passages import passages

SVG = "{http://www.w3.org/2000/svg}"


def draw(passage, **options):
    markup = draw_diagram(passage, labels=list_labels([passage.doc]), options=options)
    return ElementTree.fromstring(markup)


def items(root, class_name):
    """The groups of a class, by their titles."""
    groups = [group for group in root.iter(f"{SVG}g") if class_name in classes(group)]
    return {group.find(f"{SVG}title").text: group for group in groups}


def classes(element):
    return element.get("class", "").split()


def texts(element):
    return [text.text for text in element.iter(f"{SVG}text")]


def place(element):
    return [float(element.get(name)) for name in ("x", "y", "width", "height")]


def ends(group):
    """The first point of an arc's line, and the tip of its arrow."""
    line, arrow = (path.get("d") for path in group.findall(f"{SVG}path"))
    return [
        tuple(map(float, re.match(r"M([^,]+),([-\d.]+)", path).groups())) for path in (line, arrow)
    ]


def touches(point, group):
    """Whether a point is on the upper or the lower edge of a box."""
    for rect in group.findall(f"{SVG}rect"):
        x, y, width, height = place(rect)
        if x <= point[0] <= x + width and min(abs(point[1] - y), abs(point[1] - y - height)) < 0.2:
            return True
    return False


def test_entities_are_boxes_with_their_type(curie):
    root = draw(curie[:])
    boxes = items(root, "item")
    assert texts(boxes["Marie Curie: PER"]) == ["Marie Curie", "PER"]
    assert texts(root)[:9] == [
        *("Marie Curie", "PER", ", born in", "Warsaw", "LOC", ", lived in", "Paris", "LOC", ".")
    ]


@pytest.mark.parametrize("width", [800, 200], ids=["one line", "several lines"])
def test_relations_are_arcs_from_head_to_tail(curie, width):
    curie._.relations = [*curie._.relations, (curie.ents[2], curie.ents[0], "home_of")]
    found = items(draw(curie[:], width=width), "item")
    start, tip = ends(found["Marie Curie → LivedIn → Paris"])
    assert touches(start, found["Marie Curie: PER"]) and touches(tip, found["Paris: LOC"])
    start, tip = ends(found["Paris → home_of → Marie Curie"])
    assert touches(start, found["Paris: LOC"]) and touches(tip, found["Marie Curie: PER"])


def test_titles_have_the_scores_of_predictions(make_doc):
    doc = make_doc("Ann Rome", [(0, 1, "PER"), (1, 2, "LOC")], [])
    doc._.relations = [(*doc.ents, "LivesIn", 0.875)]
    assert list(items(draw(doc[:]), "arc")) == ["Ann → LivesIn → Rome (0.88)"]


def test_arguments_that_are_no_entities_are_boxes_too(make_doc):
    doc = make_doc("a b c d", [], [])
    doc._.relations = [(doc[0:2], doc[3:4], "R")]
    assert list(items(draw(doc[:]), "item")) == ["a b", "d", "a b → R → d"]


def test_a_box_within_another_one_is_smaller_on_all_sides(make_doc):
    doc = make_doc("University of Rome", [(0, 3, "ORG")], [])
    doc._.relations = [(doc[0:3], Span(doc, 2, 3, label="LOC"), "in")]
    boxes = items(draw(doc[:]), "item")
    outer, inner = (place(box.find(f"{SVG}rect")) for box in list(boxes.values())[:2])
    assert outer[0] < inner[0] and outer[0] + outer[2] > inner[0] + inner[2]
    assert outer[1] < inner[1] and outer[1] + outer[3] > inner[1] + inner[3]


def test_boxes_that_overlap_have_all_their_words(make_doc):
    doc = make_doc("a b c", [(0, 2, "X")], [])
    doc._.relations = [(doc[0:2], Span(doc, 1, 3, label="Y"), "R")]
    root = draw(doc[:])
    assert list(items(root, "item")) == ["a b: X", "b c: Y", "a b → R → b c"]
    assert sorted(texts(root)) == ["R", "X", "Y", "a", "b", "c"]


def test_a_relation_of_an_entity_with_itself_is_a_loop(make_doc):
    doc = make_doc("Ann", [(0, 1, "PER")], [(0, 0, "knows")])
    root = draw(doc[:])
    start, tip = ends(items(root, "arc")["Ann → knows → Ann"])
    assert start != tip and touches(start, items(root, "item")["Ann: PER"])
    assert touches(tip, items(root, "item")["Ann: PER"])


def test_a_span_has_the_relations_within_it(curie):
    root = draw(curie[0:7])
    assert list(items(root, "arc")) == ["Marie Curie → BornIn → Warsaw"]
    assert texts(root)[-2] == ","


def test_words_alone_are_text(make_doc):
    root = draw(make_doc("nothing here", [], [])[:])
    assert texts(root) == ["nothing here"] and not items(root, "item")
    assert root.find(f".//{SVG}g") is None


def test_an_item_keeps_what_it_is_related_to(curie):
    markup = draw_diagram(curie[:], labels=list_labels([curie]))
    found = items(ElementTree.fromstring(markup), "item")
    marie, warsaw, paris, born, lived = (
        next(name for name in classes(group) if name.startswith("t"))[1:]
        for group in found.values()
    )
    kept = {}
    for number, group in zip((marie, warsaw, paris, born, lived), found.values(), strict=True):
        kept[number] = {name[1:] for name in classes(group) if name.startswith("g")}
    assert kept[marie] == {marie, warsaw, paris, born, lived}
    assert kept[warsaw] == {warsaw, marie, born}
    assert kept[born] == {born, marie, warsaw}
    rule = f":has(.t{born}:is(:hover, :focus-visible)) .item:not(.g{born}) {{ opacity: .2; }}"
    assert rule in markup


def test_the_keyboard_reaches_the_arcs_of_a_list(curie):
    root = draw(curie[:])
    [group] = [group for group in root.iter(f"{SVG}g") if group.get("role") == "list"]
    assert {(arc.get("role"), arc.get("tabindex")) for arc in group} == {("listitem", "0")}
    assert root.get("role") == "group" and root.get("aria-label")


def test_colours_follow_the_labels(curie):
    labels = ["LOC", "PER", "BornIn", "LivedIn"]
    assert list_labels([curie]) == labels
    options = {"colors": {"PER": "tomato", "BornIn": "teal"}}
    root = ElementTree.fromstring(draw_diagram(curie[:], labels=labels, options=options))
    boxes, arcs = items(root, "item"), items(root, "arc")
    assert boxes["Marie Curie: PER"].find(f"{SVG}rect").get("fill") == "tomato"
    assert arcs["Marie Curie → BornIn → Warsaw"].find(f"{SVG}path").get("stroke") == "teal"
    warsaw, paris = (boxes[f"{name}: LOC"].find(f"{SVG}rect") for name in ("Warsaw", "Paris"))
    assert warsaw.get("fill") == paris.get("fill")


@pytest.mark.parametrize(
    "lang,words", [("he", ["דוד", "נולד", "בפולין"]), ("xx", ["ولد", "في", "مصر"])]
)
def test_words_from_right_to_left(lang, words):
    doc = Doc(spacy.blank(lang).vocab, words=words)
    doc.ents = [Span(doc, 0, 1, label="PER"), Span(doc, 2, 3, label="LOC")]
    doc._.relations = [(*doc.ents, "BornIn")]
    root = draw(doc[:])
    assert root.get("direction") == "rtl"
    assert root.get("lang") == {"he": "he", "xx": None}[lang]
    places = {text.text: float(text.get("x")) for text in root.iter(f"{SVG}text")}
    assert places[words[0]] > places[words[1]] > places[words[2]]
    [arc] = items(root, "arc").values()
    start, tip = ends(arc)
    assert start[0] > tip[0]


def test_untrusted_texts_are_well_formed(make_doc):
    words = ['"><script>', "a\x00\x1b\uffff", "</svg>", "\u202e", "\n", "é" * 3000]
    doc = make_doc(words, [(0, 1, "<i>'\""), (3, 4, "&"), (4, 5, "\x01"), (5, 6, "L" * 999)], [])
    doc._.relations = [(doc.ents[0], doc.ents[3], "<b>\x02" * 99)]
    markup = draw_diagram(doc[:], labels=list_labels([doc]))
    assert "<script>" not in markup and markup.encode("utf-8")
    root = ElementTree.fromstring(markup)
    left, _, width, _ = map(float, root.get("viewBox").split())
    for text in root.iter(f"{SVG}text"):
        half = float(text.get("textLength", 0)) / 2
        assert left <= float(text.get("x")) - half and float(text.get("x")) + half <= left + width


def test_pictures_of_one_page_have_different_names(make_doc):
    docs = [make_doc(words, [(0, 1, "X")], [(0, 0, "R")]) for words in ("a b", "a c")]
    names = [draw(doc[:]).get("id") for doc in docs]
    assert len({*names, draw(docs[0][:], width=300).get("id")}) == 3
    assert draw(docs[0][:]).get("id") == names[0]


def test_a_fluid_picture_has_two_widths(make_doc):
    markup = draw_fluid_diagram(make_doc("a " * 500, [(0, 1, "X")], [])[:], labels=["X"])
    wide, narrow = map(int, re.findall(r'<svg [^>]* width="(\d+)"', markup))
    assert narrow < 370 < wide <= 812
    assert "@container" in markup


# Places of arcs


def make_random_doc(make_doc, seed):
    """A text with entities of one to three words and with many relations between them."""
    random = Random(seed)
    n_words = random.randint(4, 60)
    entities, start = [], 0
    while start < n_words - 4:
        end = start + random.randint(1, 3)
        entities.append((start, end, random.choice(["PER", "Organisation"])))
        start = end + random.randint(0, 5)
    doc = make_doc(["w" * random.randint(1, 9) for _ in range(n_words)], entities, [])
    spans = [*doc.ents, doc[0:3], doc[1:4]]
    relations = []
    for _ in range(random.randint(0, 25)):
        pair = random.choice(spans), random.choice(spans)
        relations.append((*pair, random.choice(["R", "located_in", "a_long_relation_type"])))
    doc._.relations = relations
    return doc


def lines_of(arc):
    """The straight parts of an arc, as (x, y, x, y)."""
    numbers = re.findall(r"[MLQ ](-?[\d.]+),(-?[\d.]+)", arc.find(f"{SVG}path").get("d"))
    points = [(float(x), float(y)) for x, y in numbers]
    return [(*one, *other) for one, other in pairwise(points)]


def overlap(one, other):
    """Whether two straight parts run on top of each other for more than a pixel."""
    for axis in (0, 1):
        across = 1 - axis
        if (
            abs(one[across] - one[across + 2]) < 0.2
            and abs(other[across] - other[across + 2]) < 0.2
        ):
            start = max(min(one[axis], one[axis + 2]), min(other[axis], other[axis + 2]))
            end = min(max(one[axis], one[axis + 2]), max(other[axis], other[axis + 2]))
            if abs(one[across] - other[across]) < 1 and end - start > 1:
                return True
    return False


@pytest.mark.parametrize("width", [200, 340, 800])
@pytest.mark.parametrize("seed", range(12))
def test_arcs_and_labels_do_not_cover_each_other(make_doc, seed, width):
    root = draw(make_random_doc(make_doc, seed)[:], width=width)
    arcs = [group for group in root.iter(f"{SVG}g") if "arc" in classes(group)]
    left, top, view_width, height = map(float, root.get("viewBox").split())
    labels = [place(arc.find(f"{SVG}rect")) for arc in arcs]
    for x, y, label_width, label_height in labels:
        assert left <= x and x + label_width <= left + view_width + 1
        assert top <= y and y + label_height <= top + height
    for one, other in combinations(labels, 2):
        assert one[0] + one[2] <= other[0] or other[0] + other[2] <= one[0] or one[1] != other[1]
    for one, other in combinations(arcs, 2):
        for part in lines_of(one):
            assert not any(overlap(part, another) for another in lines_of(other))


# Passages


def test_passages_are_sentences(make_doc):
    doc = make_doc("a b c d e", [], [], sent_starts=[True, False, True, False, False])
    assert [(span.start, span.end) for span in passages(doc)] == [(0, 2), (2, 5)]


def test_passages_are_the_whole_document_without_sentences(make_doc):
    assert [(span.start, span.end) for span in passages(make_doc("a b c"))] == [(0, 3)]
    assert passages(make_doc("")) == []


def test_a_relation_across_sentences_joins_them(make_doc):
    entities = [(0, 1, "X"), (2, 3, "X"), (4, 5, "X"), (6, 7, "X")]
    starts = [True, False] * 4
    doc = make_doc("a b c d e f g h", entities, [(2, 1, "R")], sent_starts=starts)
    assert [(span.start, span.end) for span in passages(doc)] == [(0, 2), (2, 6), (6, 8)]
    doc = make_doc("a b c d e f g h", entities, [(0, 2, "R"), (3, 2, "R")], sent_starts=starts)
    assert [(span.start, span.end) for span in passages(doc)] == [(0, 8)]
