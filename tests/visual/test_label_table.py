import re
from xml.etree import ElementTree

import numpy as np
import pytest
import spacy
from spacy.tokens import Span
from thinc.api import NumpyOps

from spacy_tabcnn.sentences import Sentences, Windows
from spacy_tabcnn.table.logits import TableLogits
from spacy_tabcnn.visual import render
from spacy_tabcnn.visual.cells import (
    CellLabel,
    annotated_cells,
    predicted_cells,
    table_labels,
)
from spacy_tabcnn.visual.label_table import draw_table


def draw(passage, cells, **options):
    """A table as an element; its labels have the default colours."""
    markup = draw_table(passage, cells, labels=table_labels([cells]), options=options)
    return parse(markup)


def parse(markup):
    return ElementTree.fromstring(re.sub("<style>.*?</style>", "", markup, flags=re.DOTALL))


def read(root, path):
    """The texts of all elements at a path."""
    return ["".join(element.itertext()).strip() for element in root.iterfind(path)]


def titles(root):
    return [cell.get("title") for cell in root.iterfind(".//td[@class='cell']")]


def shares(root):
    """The share of the colour of each label, in per cent."""
    return [
        float(re.search(r"--share: ([\d.]+)%", span.get("style"))[1]) for span in root.iter("span")
    ]


def softmax(logits):
    return NumpyOps().softmax(np.asarray(logits, dtype="f"))


# Cells


def test_annotated_cells_are_the_papers_table(make_doc):
    doc = make_doc("John Smith lives in London", [(0, 2, "PER"), (4, 5, "LOC")], [(0, 1, "LiveIn")])
    assert annotated_cells(doc) == {
        (0, 0): [CellLabel("PER", "B", 1.0)],
        (1, 1): [CellLabel("PER", "L", 1.0)],
        (4, 4): [CellLabel("LOC", "U", 1.0)],
        (0, 4): [CellLabel("LiveIn", "→", 1.0)],
        (1, 4): [CellLabel("LiveIn", "→", 1.0)],
    }


def test_a_head_after_its_tail_is_an_arrow_to_the_left(make_doc):
    doc = make_doc("London , John", [(0, 1, "LOC"), (2, 3, "PER")], [(1, 0, "LiveIn")])
    assert annotated_cells(doc)[0, 2] == [CellLabel("LiveIn", "←", 1.0)]


def test_scores_are_the_probabilities_of_annotated_cells(untrained):
    doc = untrained("Ann lives in Rome.")
    doc.ents = []
    untrained.get_pipe("tabcnn").set_annotations([doc], confident(untrained, doc))
    [ent] = doc.ents
    cells = annotated_cells(doc)
    assert 0.5 < cells[0, 0][0].probability < 1.0
    assert cells[0, 0] == [CellLabel(ent.label_, "U", ent._.entity_score)]


def confident(nlp, doc):
    """Logits that make the first word an entity."""
    logits = nlp.get_pipe("tabcnn").predict([doc])
    tags, relations = np.zeros_like(logits.tags), np.zeros_like(logits.relations)
    tags[:, 0] = 5
    tags[0, 4] = 10
    relations[:, 0] = 5
    return TableLogits(tags, relations, logits.windows)


def test_two_relations_of_a_pair_share_its_cell(make_doc):
    doc = make_doc("Ann Rome", [(0, 1, "PER"), (1, 2, "LOC")], [])
    doc._.relations = [(*doc.ents, "LiveIn", 0.4), (*doc.ents, "WorkIn", 0.6)]
    assert [label.label for label in annotated_cells(doc)[0, 1]] == ["WorkIn", "LiveIn"]


def test_predicted_cells_are_the_softmax_of_the_components_logits(untrained):
    doc = untrained.make_doc("Ann lives in Rome. Bob left.")
    cells, sentences = predicted_cells(doc, untrained)
    assert sentences == [(0, 5), (5, 8)]
    component = untrained.get_pipe("tabcnn")
    logits = component.predict([untrained.get_pipe("sentencizer")(doc.copy())])
    tags, relations = softmax(logits.tags), softmax(logits.relations)
    scheme = component.label_scheme

    def named(probabilities, name):
        return {
            name(i): pytest.approx(p, abs=1e-6)
            for i, p in enumerate(probabilities)
            if i and p >= 0.05
        }

    for word in range(8):
        found = {f"{mark}-{label}": p for label, mark, p in cells.get((word, word), [])}
        assert found == named(tags[word], scheme.tag_name)
    pairs = [
        (0, 1),
        (0, 2),
        (0, 3),
        (0, 4),
        (1, 2),
        (1, 3),
        (1, 4),
        (2, 3),
        (2, 4),
        (3, 4),
        (5, 6),
        (5, 7),
        (6, 7),
    ]
    for pair, row in zip(pairs, relations, strict=True):
        found = {(label, mark == "→"): p for label, mark, p in cells.get(pair, [])}
        assert found == named(row, scheme.relation_label)
    assert {pair for pair in cells if pair[0] != pair[1]} <= set(pairs)


def test_labels_of_a_cell_come_by_probability(untrained):
    cells, _ = predicted_cells(untrained.make_doc("Ann lives in Rome."), untrained)
    assert cells
    for labels in cells.values():
        assert [label.probability for label in labels] == sorted(
            (label[2] for label in labels), reverse=True
        )


def test_predicted_cells_leave_the_document_alone(untrained):
    doc = untrained.make_doc("Ann lives in Rome. Bob left.")
    before = doc.to_bytes()
    predicted_cells(doc, untrained)
    assert doc.to_bytes() == before


def test_predicted_cells_of_an_empty_document(untrained):
    assert predicted_cells(untrained.make_doc(""), untrained) == ({}, [])


def test_a_cell_in_several_windows_is_read_where_it_counts(untrained, monkeypatch):
    component = untrained.get_pipe("tabcnn")
    monkeypatch.setitem(component.cfg, "max_length", 4)
    doc = untrained.make_doc("a b c d e f g")
    windows = Windows(Sentences.of_lengths([7]), 4)
    n_cells = int((windows.lengths * (windows.lengths - 1) // 2).sum())
    # Each row has a probability of its own, which tells which one was read.
    tags = np.zeros((int(windows.lengths.sum()), 9), dtype="f")
    tags[:, 1] = 3 + np.arange(len(tags)) / 10
    relations = np.zeros((n_cells, 5), dtype="f")
    relations[:, 1] = 3 + np.arange(n_cells) / 10
    monkeypatch.setattr(component, "predict", lambda docs: TableLogits(tags, relations, windows))
    cells, _ = predicted_cells(doc, untrained)
    pairs = [(i, j) for i in range(7) for j in range(i + 1, 7) if windows.reach(0, i) > j]
    assert sorted(cells) == sorted([*pairs, *((i, i) for i in range(7))])
    for (i, j), labels in cells.items():
        if i == j:
            expected = softmax(tags)[windows.rows()[i], 1]
        else:
            expected = softmax(relations)[windows.cells(0, np.array([i]), np.array([j]))[0], 1]
        assert labels[0].probability == pytest.approx(expected, abs=1e-6)


def test_given_entities_are_in_the_table_as_they_are(untrained, monkeypatch):
    monkeypatch.setitem(untrained.get_pipe("tabcnn").cfg, "entities", "given")
    doc = untrained.make_doc("Ann lives in Rome with Rex the dog.")
    doc.ents = [
        Span(doc, 0, 1, label="PER"),
        Span(doc, 5, 8, label="ANIMAL"),
    ]  # a type that the pipeline does not know
    cells, _ = predicted_cells(doc, untrained)
    assert {i: labels for (i, j), labels in cells.items() if i == j} == {
        0: [CellLabel("PER", "U", 1.0)],
        5: [CellLabel("ANIMAL", "B", 1.0)],
        6: [CellLabel("ANIMAL", "I", 1.0)],
        7: [CellLabel("ANIMAL", "L", 1.0)],
    }
    assert any(i != j for i, j in cells)
    assert "Rex: B-ANIMAL 1.00" in titles(parse(render(doc, "table", nlp=untrained)))


def test_a_pipeline_without_the_component_is_refused(make_doc):
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    with pytest.raises(ValueError, match=r"no relation_table, .*components are: \['sentencizer'\]"):
        predicted_cells(make_doc("a"), nlp)


# Tables


def test_a_table_has_its_words_on_both_axes_and_all_cells(curie):
    root = draw(curie[:], annotated_cells(curie))
    words = [token.text for token in curie]
    assert read(root, ".//thead//th[@scope='col']") == words
    assert read(root, ".//tbody//th[@scope='row']") == words
    assert len(titles(root)) == 2 + 1 + 1 + 2 * 1 + 2 * 1
    assert "Marie → Warsaw: BornIn 1.00" in titles(root) and "Curie: L-PER 1.00" in titles(root)
    assert read(root, ".//td[@class='cell']")[:2] == ["B-PER", "BornIn →"]
    assert read(root, ".//caption")


def test_a_row_begins_below_the_diagonal(curie):
    for i, row in enumerate(draw(curie[:], annotated_cells(curie)).iterfind(".//tbody/tr")):
        below = [int(cell.get("colspan")) for cell in row.iterfind("td[@class='below']")]
        assert sum(below) == i
        assert len(row.findall("td")) - len(below) == len(curie) - i


def test_a_word_of_no_entity_has_the_tag_o(make_doc):
    doc = make_doc("Ann left", [(0, 1, "PER")])
    assert read(draw(doc[:], annotated_cells(doc)), ".//td[@class='outside']") == ["O"]


def test_a_label_has_as_much_of_its_colour_as_it_is_probable(make_doc):
    doc = make_doc("a b", [(0, 1, "X"), (1, 2, "X")], [])
    half, full = (
        draw(doc[:], {(0, 1): [CellLabel("R", "→", probability)]}) for probability in (0.5, 1.0)
    )
    assert shares(half)[0] == shares(full)[0] / 2
    assert read(half, ".//td[@class='cell']") == ["R → 0.50"]
    assert read(full, ".//td[@class='cell']") == ["R →"]


def test_labels_about_as_probable_share_the_cell(make_doc):
    labels = [CellLabel("R", "→", 0.5), CellLabel("S", "→", 0.3), CellLabel("S", "←", 0.1)]
    root = draw(make_doc("a b")[:], {(0, 1): labels})
    assert read(root, ".//span") == ["R → 0.50", "S → 0.30"]
    assert titles(root) == ["a → b: R 0.50; a → b: S 0.30; a ← b: S 0.10"]


def test_a_passage_shows_its_own_cells(make_doc):
    doc = make_doc("a b c d", [(0, 1, "X"), (2, 3, "Y"), (3, 4, "Y")], [(0, 1, "R"), (1, 2, "S")])
    root = draw(doc[2:4], annotated_cells(doc))
    assert read(root, ".//th[@scope='row']") == ["c", "d"]
    assert titles(root) == ["c: U-Y 1.00", "c → d: S 1.00", "d: U-Y 1.00"]


def test_words_and_labels_are_escaped(make_doc):
    doc = make_doc(["<b>&", "x"], [(0, 1, "<i>"), (1, 2, "A&B")], [(0, 1, '"x"<')])
    root = draw(doc[:], annotated_cells(doc))
    assert read(root, ".//th[@scope='row']") == ["<b>&", "x"]
    assert '<b>& → x: "x"< 1.00' in titles(root)


def test_a_word_of_control_characters_is_well_formed(make_doc):
    assert read(draw(make_doc(["a\x00\x1b", "\n"])[:], {}), ".//th[@scope='row']") == [
        "a\ufffd\ufffd",
        "␣",
    ]


def test_options(make_doc):
    doc = make_doc("a b", [(0, 1, "X"), (1, 2, "X")], [(0, 1, "R")])
    options = {"colors": {"R": "tomato"}, "bg": "#123456", "color": "#fedcba", "font": "Georgia"}
    markup = ElementTree.tostring(
        draw(doc[:], annotated_cells(doc), **options, cell_size=60), encoding="unicode"
    )
    assert all(value in markup for value in ("tomato", "#123456", "#fedcba", "Georgia", "60px"))


def test_labels_keep_their_colours_from_table_to_table(curie):
    labels = table_labels([annotated_cells(curie)])
    assert labels == ["LOC", "PER", "BornIn", "LivedIn"]
    colour = re.compile(r"--label: (#\w+)")
    whole = draw_table(curie[:], annotated_cells(curie), labels=labels)
    part = draw_table(curie[5:6], annotated_cells(curie), labels=labels)
    assert colour.search(part)[1] in colour.findall(whole)
    assert colour.search(part)[1] != colour.findall(whole)[0]
