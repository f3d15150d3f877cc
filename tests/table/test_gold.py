from collections import Counter
from typing import NamedTuple

import numpy as np
import pytest
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_tabcnn.labels import MISSING, LabelScheme
from spacy_tabcnn.sentences import (
    DEFAULT_MAX_LENGTH,
    Sentences,
    Windows,
    cell_index,
    count_cells,
)
from spacy_tabcnn.table.gold import gold_tables

NONE, LIVE_IN, LIVE_IN_BACKWARDS, WORK_FOR, WORK_FOR_BACKWARDS = range(5)
OUT, B_PER, I_PER, L_PER, U_PER, B_LOC, I_LOC, L_LOC, U_LOC = range(9)
SCHEME = LabelScheme(["PER", "LOC"], {"LiveIn": [], "WorkFor": []})


def make_example(reference, predicted=None):
    if predicted is None:
        predicted = Doc(reference.vocab, words=[token.text for token in reference])
    return Example(predicted, reference)


class Table(NamedTuple):
    """The gold of one window."""

    tags: np.ndarray
    relations: np.ndarray


def fill(reference, predicted=None, *, max_length=DEFAULT_MAX_LENGTH):
    """The gold tables of a document, window by window, and what they cannot hold."""
    return fill_example(make_example(reference, predicted), max_length=max_length)


def fill_example(example, scheme=SCHEME, *, max_length=DEFAULT_MAX_LENGTH):
    windows = Windows(Sentences.of_docs([example.predicted]), max_length)
    gold, skipped = gold_tables([example], windows, scheme)
    ends, cell_ends = np.cumsum(windows.lengths), np.cumsum(count_cells(windows.lengths))
    tags, relations = np.split(gold.tags, ends)[:-1], np.split(gold.relations, cell_ends)[:-1]
    return [*map(Table, tags, relations)], skipped


def labelled_cells(table):
    """The cells of a table that hold a relation, as {(row, column): label}."""
    n = len(table.tags)
    cells = {
        (i, j): int(table.relations[cell_index(i, j, n)]) for i in range(n) for j in range(i + 1, n)
    }
    return {cell: label for cell, label in cells.items() if label not in (NONE, MISSING)}


# The paper's table


def test_figure_1(make_doc):
    """(John Smith, LiveIn, London): every word of the head with every word of the tail, above the
    diagonal."""
    doc = make_doc("John Smith lives in London", [(0, 2, "PER"), (4, 5, "LOC")], [(0, 1, "LiveIn")])
    (table,), skipped = fill(doc)
    assert table.tags.tolist() == [B_PER, L_PER, OUT, OUT, U_LOC]
    assert table.relations.tolist() == [
        # John: Smith, lives, in, London
        *(NONE, NONE, NONE, LIVE_IN),
        # Smith: lives, in, London
        *(NONE, NONE, LIVE_IN),
        # lives: in, London
        *(NONE, NONE),
        # in: London
        NONE,
    ]
    assert not skipped


def test_head_after_tail(make_doc):
    doc = make_doc("London is home to John", [(0, 1, "LOC"), (4, 5, "PER")], [(1, 0, "LiveIn")])
    (table,), _ = fill(doc)
    assert labelled_cells(table) == {(0, 4): LIVE_IN_BACKWARDS}


def test_entities_of_several_words(make_doc):
    doc = make_doc(
        "Mary Jane Watson left New York for Rome",
        [(0, 3, "PER"), (4, 6, "LOC"), (7, 8, "LOC")],
        [(0, 1, "LiveIn")],
    )
    (table,), _ = fill(doc)
    assert table.tags.tolist() == [B_PER, I_PER, L_PER, OUT, B_LOC, L_LOC, OUT, U_LOC]
    assert labelled_cells(table) == {(row, col): LIVE_IN for row in (0, 1, 2) for col in (4, 5)}


def test_entity_in_several_relations(make_doc):
    doc = make_doc(
        "Ada Bob Rome",
        [(0, 1, "PER"), (1, 2, "PER"), (2, 3, "LOC")],
        [(0, 2, "LiveIn"), (1, 2, "LiveIn"), (1, 0, "WorkFor")],
    )
    (table,), _ = fill(doc)
    assert labelled_cells(table) == {(0, 2): LIVE_IN, (1, 2): LIVE_IN, (0, 1): WORK_FOR_BACKWARDS}


def test_unlabelled_arguments_are_the_entities_with_their_boundaries(make_doc):
    doc = make_doc("Ada likes Rome", [(0, 1, "PER"), (2, 3, "LOC")])
    doc._.relations = [(doc[0:1], doc[2:3], "LiveIn")]
    (table,), skipped = fill(doc)
    assert labelled_cells(table) == {(0, 2): LIVE_IN}
    assert not skipped


@pytest.mark.parametrize("words, n_tables", [("", 0), ("Ada", 1)])
def test_shortest_documents(make_doc, words, n_tables):
    tables, skipped = fill(make_doc(words, [], []))
    assert [(table.tags.shape, table.relations.shape) for table in tables] == [
        ((1,), (0,))
    ] * n_tables
    assert not skipped


# Missing annotation


def test_nothing_annotated(make_doc):
    (table,), skipped = fill(make_doc("Ada likes Rome"))
    assert table.tags.tolist() == [MISSING] * 3
    assert table.relations.tolist() == [MISSING] * 3
    assert not skipped


def test_annotated_as_holding_none(make_doc):
    (table,), _ = fill(make_doc("Ada likes Rome", [], []))
    assert table.tags.tolist() == [OUT] * 3
    assert table.relations.tolist() == [NONE] * 3


def test_entities_without_relations_annotated(make_doc):
    (table,), _ = fill(make_doc("Ada likes Rome", [(0, 1, "PER")]))
    assert table.tags.tolist() == [U_PER, OUT, OUT]
    assert table.relations.tolist() == [MISSING] * 3


def test_partly_missing_entities(make_doc):
    doc = make_doc("Ada likes Rome", None, [])
    doc.set_ents([Span(doc, 0, 1, "PER")], missing=[doc[2:3]], default="outside")
    (table,), _ = fill(doc)
    assert table.tags.tolist() == [U_PER, OUT, MISSING]


def test_partly_missing_entities_on_other_tokens(make_doc):
    doc = make_doc("Ada likes New York", None, [])
    doc.set_ents([Span(doc, 0, 1, "PER")], missing=[doc[2:4]], default="outside")
    predicted = Doc(doc.vocab, words=["Ada", "likes", "New York"])
    (table,), _ = fill(doc, predicted)
    assert table.tags.tolist() == [U_PER, OUT, MISSING]


# Other tokens in the predicted document


def test_alignment_to_finer_tokens(make_doc):
    doc = make_doc(["Ada", "likes", "New York"], [(0, 1, "PER"), (2, 3, "LOC")], [(0, 1, "LiveIn")])
    (table,), skipped = fill(
        doc, Doc(doc.vocab, words=["A", "da", "likes", "New", "York"], spaces=[False] + [True] * 4)
    )
    assert table.tags.tolist() == [B_PER, L_PER, OUT, B_LOC, L_LOC]
    assert labelled_cells(table) == {(row, col): LIVE_IN for row in (0, 1) for col in (3, 4)}
    assert not skipped


def test_alignment_to_coarser_tokens(make_doc):
    doc = make_doc("Ada likes New York", [(0, 1, "PER"), (2, 4, "LOC")], [(0, 1, "LiveIn")])
    (table,), skipped = fill(doc, Doc(doc.vocab, words=["Ada", "likes", "New York"]))
    assert table.tags.tolist() == [U_PER, OUT, U_LOC]
    assert labelled_cells(table) == {(0, 2): LIVE_IN}
    assert not skipped


# Sentences


def test_each_sentence_has_its_table(make_doc):
    doc = make_doc(
        "Ada likes Rome . Bob likes it .",
        [(0, 1, "PER"), (2, 3, "LOC"), (4, 5, "PER")],
        [(0, 1, "LiveIn")],
    )
    predicted = make_doc(
        "Ada likes Rome . Bob likes it .", sent_starts=[i in (0, 4) for i in range(8)]
    )
    tables, skipped = fill(doc, predicted)
    assert [table.tags.tolist() for table in tables] == [
        [U_PER, OUT, U_LOC, OUT],
        [U_PER, OUT, OUT, OUT],
    ]
    assert [labelled_cells(table) for table in tables] == [{(0, 2): LIVE_IN}, {}]
    assert not skipped


def test_relation_in_the_second_sentence(make_doc):
    words = "It rained . Ada likes Rome"
    doc = make_doc(words, [(3, 4, "PER"), (5, 6, "LOC")], [(0, 1, "LiveIn")])
    tables, _ = fill(doc, make_doc(words, sent_starts=[i in (0, 3) for i in range(6)]))
    assert [labelled_cells(table) for table in tables] == [{}, {(0, 2): LIVE_IN}]


def test_boundaries_of_the_reference_do_not_count(make_doc):
    doc = make_doc("Ada . Rome", [(0, 1, "PER"), (2, 3, "LOC")], [(0, 1, "LiveIn")])
    doc[2].is_sent_start = True
    (table,), skipped = fill(doc, make_doc("Ada . Rome"))
    assert labelled_cells(table) == {(0, 2): LIVE_IN}
    assert not skipped


# Windows. Seven words in windows of four: (0, 4), (2, 6) and (4, 7), which own the words 0-2, 3-4
# and 5-6.


def test_each_word_has_its_tag_in_one_window(make_doc):
    tables, skipped = fill(
        make_doc("a b Ada c d e Rome", [(2, 3, "PER"), (6, 7, "LOC")], []), max_length=4
    )
    assert [table.tags.tolist() for table in tables] == [
        [OUT, OUT, U_PER, MISSING],
        [MISSING, OUT, OUT, MISSING],
        [MISSING, OUT, U_LOC],
    ]
    assert not skipped


def test_entity_over_several_windows(make_doc):
    tables, skipped = fill(
        make_doc("a Ada Maria King of Love lace", [(1, 7, "PER")], []), max_length=4
    )
    assert [table.tags.tolist() for table in tables] == [
        [OUT, B_PER, I_PER, MISSING],
        [MISSING, I_PER, I_PER, MISSING],
        [MISSING, I_PER, L_PER],
    ]
    assert not skipped


def test_each_cell_is_labelled_in_one_window(make_doc):
    """Here (2, 3) is as far from the cut before it in the second window as from the one after it in
    the first."""
    tables, _ = fill(make_doc("a b c d e f", [], []), max_length=4)
    assert [table.relations.tolist() for table in tables] == [
        # (0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)
        [NONE, NONE, NONE, NONE, NONE, MISSING],
        # (2, 3), (2, 4), (2, 5), (3, 4), (3, 5), (4, 5)
        [NONE] * 6,
    ]


def test_relation_is_labelled_where_its_cells_count(make_doc):
    doc = make_doc(
        "a b Ada Bob c Rome",
        [(2, 3, "PER"), (3, 4, "PER"), (5, 6, "LOC")],
        [(0, 1, "WorkFor"), (0, 2, "LiveIn")],
    )
    tables, skipped = fill(doc, max_length=4)
    assert [labelled_cells(table) for table in tables] == [{}, {(0, 1): WORK_FOR, (0, 3): LIVE_IN}]
    assert not skipped


def test_windows_of_the_second_sentence(make_doc):
    words = "Rain . Ada c Rome d e f"
    doc = make_doc(words, [(2, 3, "PER"), (4, 5, "LOC")], [(0, 1, "LiveIn")])
    tables, skipped = fill(
        doc, make_doc(words, sent_starts=[i in (0, 2) for i in range(8)]), max_length=4
    )
    assert [len(table.tags) for table in tables] == [2, 4, 4]
    assert [labelled_cells(table) for table in tables] == [{}, {(0, 2): LIVE_IN}, {}]
    assert not skipped


def test_missing_relations_in_windows(make_doc):
    tables, _ = fill(make_doc("a b c d e f", []), max_length=4)
    assert [set(table.relations.tolist()) for table in tables] == [{MISSING}, {MISSING}]


def test_relation_across_windows(make_doc):
    doc = make_doc("a Ada b c Rome d", [(1, 2, "PER"), (4, 5, "LOC")], [(0, 1, "LiveIn")])
    tables, skipped = fill(doc, max_length=4)
    assert [labelled_cells(table) for table in tables] == [{}, {}]
    assert skipped == {"relations across windows (max_length is 4)": 1}


# What the table cannot hold is counted


def test_unknown_types(make_doc):
    doc = make_doc(
        "Ada Bob 1843 1844 Rome",
        [(0, 1, "PER"), (1, 2, "PER"), (2, 3, "DATE"), (3, 4, "DATE"), (4, 5, "LOC")],
        [(0, 1, "Knows"), (0, 4, "LiveIn")],
    )
    (table,), skipped = fill(doc)
    assert table.tags.tolist() == [U_PER, U_PER, OUT, OUT, U_LOC]
    assert labelled_cells(table) == {(0, 4): LIVE_IN}
    assert skipped == {
        "entities of the unknown type 'DATE'": 2,
        "relations of the unknown type 'Knows'": 1,
    }


def test_entity_that_does_not_match_the_tokens(make_doc):
    doc = make_doc("Ada likes New York", [(0, 1, "PER"), (3, 4, "LOC")], [(0, 1, "LiveIn")])
    (table,), skipped = fill(doc, Doc(doc.vocab, words=["Ada", "likes", "New York"]))
    assert table.tags.tolist() == [U_PER, OUT, MISSING]
    assert labelled_cells(table) == {}
    assert skipped == {
        "entities that do not match the tokens": 1,
        "relations of a span that is not a usable entity": 1,
    }


def test_entity_across_sentences(make_doc):
    doc = make_doc("Ada St. Ives", [(0, 1, "PER"), (1, 3, "LOC")], [(0, 1, "LiveIn")])
    predicted = make_doc("Ada St. Ives", sent_starts=[True, False, True])
    tables, skipped = fill(doc, predicted)
    assert [table.tags.tolist() for table in tables] == [[U_PER, MISSING], [MISSING]]
    assert [labelled_cells(table) for table in tables] == [{}, {}]
    assert skipped == {
        "entities across sentences": 1,
        "relations of a span that is not a usable entity": 1,
    }


def test_relation_across_sentences(make_doc):
    doc = make_doc("Ada . Rome", [(0, 1, "PER"), (2, 3, "LOC")], [(0, 1, "LiveIn")])
    _, skipped = fill(doc, make_doc("Ada . Rome", sent_starts=[True, False, True]))
    assert skipped == {"relations across sentences": 1}


def test_relation_of_a_span_that_is_no_entity(make_doc):
    doc = make_doc("Ada Lovelace likes Rome", [(0, 2, "PER"), (3, 4, "LOC")])
    doc._.relations = [(doc[1:2], doc[3:4], "LiveIn")]
    (table,), skipped = fill(doc)
    assert labelled_cells(table) == {}
    assert skipped == {"relations of a span that is not a usable entity": 1}


def test_relation_where_entities_are_not_annotated(make_doc):
    doc = make_doc("Ada likes Rome")
    doc._.relations = [(doc[0:1], doc[2:3], "LiveIn")]
    _, skipped = fill(doc)
    assert skipped == {"relations of a span that is not a usable entity": 1}


def test_relation_of_an_entity_with_itself(make_doc):
    _, skipped = fill(make_doc("Ada", [(0, 1, "PER")], [(0, 0, "WorkFor")]))
    assert skipped == {"relations of an entity with itself": 1}


@pytest.mark.parametrize("second", [(0, 1, "WorkFor"), (1, 0, "LiveIn")])
def test_second_label_of_a_pair(make_doc, second):
    doc = make_doc("Ada likes Rome", [(0, 1, "PER"), (2, 3, "LOC")], [(0, 1, "LiveIn"), second])
    (table,), skipped = fill(doc)
    assert labelled_cells(table) == {(0, 2): LIVE_IN}
    assert skipped == {"relations beyond the first of a pair of entities": 1}


def test_relation_given_twice_is_no_loss(make_doc):
    doc = make_doc(
        "Ada likes Rome", [(0, 1, "PER"), (2, 3, "LOC")], [(0, 1, "LiveIn"), (0, 1, "LiveIn")]
    )
    (table,), skipped = fill(doc)
    assert labelled_cells(table) == {(0, 2): LIVE_IN}
    assert skipped == Counter()


def test_tables_are_int64(make_doc):
    (table,), _ = fill(make_doc("Ada likes Rome", [], []))
    assert table.tags.dtype == table.relations.dtype == np.int64


def test_the_cells_of_a_relation_that_cannot_be_represented_are_missing(make_doc):
    words = "Ada likes New York and Rome"
    entities = [(0, 1, "PER"), (3, 4, "LOC"), (5, 6, "LOC")]
    doc = make_doc(words, entities, [(1, 0, "LiveIn"), (0, 2, "LiveIn")])
    predicted = Doc(doc.vocab, words=["Ada", "likes", "New York", "and", "Rome"])
    (table,), _ = fill(doc, predicted)
    is_missing = [label == MISSING for label in table.relations]
    assert np.flatnonzero(is_missing).tolist() == [cell_index(0, 2, 5)]
    assert labelled_cells(table) == {(0, 4): LIVE_IN}


def test_the_cells_of_a_relation_between_unknown_entities_are_missing(make_doc):
    doc = make_doc("Ada likes Rome")
    doc._.relations = [(doc[0:1], doc[2:3], "LiveIn")]
    (table,), _ = fill(doc)
    assert table.relations.tolist() == [NONE, MISSING, NONE]


@pytest.mark.parametrize("max_length", [2, 4])
def test_missing_cells_in_windows(make_doc, max_length):
    doc = make_doc("Ada likes Rome and Kim")
    doc._.relations = [(doc[2:3], doc[1:2], "LiveIn"), (doc[0:1], doc[4:5], "LiveIn")]
    tables, _ = fill(doc, max_length=max_length)
    plain = make_doc("Ada likes Rome and Kim", [], [])
    others, _ = fill(plain, max_length=max_length)
    n_missing = sum(int((table.relations == MISSING).sum()) for table in tables)
    assert n_missing == 1 + sum(int((table.relations == MISSING).sum()) for table in others)
