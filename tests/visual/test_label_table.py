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

SVG = "{http://www.w3.org/2000/svg}"


def elements(svg, name, class_name):
    root = ElementTree.fromstring(svg)
    return [element for element in root.iter(f"{SVG}{name}") if element.get("class") == class_name]


def titles(svg):
    return [
        "".join(element.itertext()) for element in ElementTree.fromstring(svg).iter(f"{SVG}title")
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
    svg = render(doc, "table", nlp=untrained)
    assert "Rex: B-ANIMAL 1.00" in titles(svg)
    assert {element.text for element in elements(svg, "text", "legend")} >= {"ANIMAL", "PER"}


def test_a_pipeline_without_the_component_is_refused(make_doc):
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    with pytest.raises(ValueError, match=r"no relation_table, .*components are: \['sentencizer'\]"):
        predicted_cells(make_doc("a"), nlp)


# Pictures


def test_a_picture_is_well_formed_and_holds_all_cells(curie):
    svg = draw_table(curie[:], annotated_cells(curie))
    assert len(elements(svg, "rect", "cell")) == 2 + 1 + 1 + 2 * 1 + 2 * 1
    assert [element.text for element in elements(svg, "text", "column")] == [
        token.text for token in curie
    ]
    assert [element.text for element in elements(svg, "text", "row")] == [
        token.text for token in curie
    ]
    assert "Marie → Warsaw: BornIn 1.00" in titles(svg)
    assert "Curie: L-PER 1.00" in titles(svg)
    assert {element.text for element in elements(svg, "text", "legend")} >= {
        "LOC",
        "PER",
        "BornIn",
        "LivedIn",
    }


def test_opacity_is_the_probability(make_doc):
    doc = make_doc("a b", [(0, 1, "X"), (1, 2, "X")], [])
    doc._.relations = [(*doc.ents, "R", 0.25)]
    svg = draw_table(doc[:], {(0, 1): [CellLabel("R", "→", 0.25)]})
    assert [element.get("fill-opacity") for element in elements(svg, "rect", "cell")] == ["0.25"]


def test_labels_about_as_probable_divide_the_cell(make_doc):
    doc = make_doc("a b")
    labels = [CellLabel("R", "→", 0.5), CellLabel("S", "→", 0.3), CellLabel("S", "←", 0.1)]
    svg = draw_table(doc[:], {(0, 1): labels})
    one, other = elements(svg, "rect", "cell")
    assert float(one.get("width")) == float(other.get("width"))
    assert float(other.get("x")) == float(one.get("x")) + float(one.get("width"))
    assert "a → b: R 0.50; a → b: S 0.30; a ← b: S 0.10" in titles(svg)


def test_a_passage_shows_its_own_cells(make_doc):
    doc = make_doc("a b c d", [(0, 1, "X"), (2, 3, "Y"), (3, 4, "Y")], [(0, 1, "R"), (1, 2, "S")])
    svg = draw_table(doc[2:4], annotated_cells(doc))
    assert [element.text for element in elements(svg, "text", "row")] == ["c", "d"]
    assert {element.text for element in elements(svg, "text", "legend")} >= {"Y", "S"}
    assert len(elements(svg, "rect", "cell")) == 3


def test_words_and_labels_are_escaped_and_long_words_shortened(make_doc):
    long = "Donaudampfschifffahrtsgesellschaft"
    doc = make_doc(["<b>&", long], [(0, 1, "<i>"), (1, 2, "A&B")], [(0, 1, '"x"<')])
    svg = draw_table(doc[:], annotated_cells(doc))
    columns = [element.text for element in elements(svg, "text", "column")]
    assert columns[0] == "<b>&" and columns[1].startswith("Donau") and columns[1].endswith("…")
    assert f'<b>& → {long}: "x"< 1.00' in titles(svg)


def test_a_word_of_control_characters_is_well_formed(make_doc):
    ElementTree.fromstring(draw_table(make_doc(["a\x00\x1b", "\n"])[:], {}))


def test_options(make_doc):
    doc = make_doc("a b", [(0, 1, "X"), (1, 2, "X")], [(0, 1, "R")])
    options = {"colors": {"R": "tomato"}, "bg": "#123456", "color": "#fedcba", "font": "Georgia"}
    svg = draw_table(doc[:], annotated_cells(doc), options=options)
    assert all(value in svg for value in ("tomato", "#123456", "#fedcba", "Georgia"))
    for size in (20, 60):
        cells = elements(
            draw_table(doc[:], annotated_cells(doc), options={"cell_size": size}), "rect", "cell"
        )
        assert {float(cell.get("width")) for cell in cells} == {size}


def test_cells_shrink_with_the_number_of_words(make_doc):
    def width(n):
        svg = draw_table(
            make_doc(["w"] * n, [(0, 1, "X")])[:], {(0, 0): [CellLabel("X", "U", 1.0)]}
        )
        return float(re.search(r'<rect class="cell"[^>]* width="([\d.]+)"', svg)[1])

    assert width(4) > width(30) > width(60) >= 20


def test_labels_keep_their_colours_from_table_to_table(curie, make_doc):
    labels = table_labels([annotated_cells(curie)])
    assert labels == ["LOC", "PER", "BornIn", "LivedIn"]
    colour = re.compile(r'<rect class="cell" fill="([^"]+)"')
    whole = draw_table(curie[:], annotated_cells(curie), labels=labels)
    part = draw_table(curie[5:6], annotated_cells(curie), labels=labels)
    assert colour.search(part)[1] in colour.findall(whole)
    assert colour.search(part)[1] != colour.findall(whole)[0]
