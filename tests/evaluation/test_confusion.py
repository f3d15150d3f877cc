"""The confusion of labels."""

import pytest

from spacy_tabcnn.evaluation.confusion import count_confusion
from spacy_tabcnn.evaluation.errors import ErrorFinding, compare_entities, compare_relations
from spacy_tabcnn.evaluation.items import EntityItem, RelationItem

PER, ORG = EntityItem(0, 3, "PER"), EntityItem(5, 9, "ORG")


def as_table(findings, unit="entity"):
    """The counts by the names of their headings."""
    confusion = count_confusion(findings, unit)
    return {(row.name, column.name): n for (row, column), n in confusion.counts.items()}


def names(headings):
    return [heading.name for heading in headings]


def test_each_kind_of_finding_has_its_cell():
    gold = [PER, ORG, EntityItem(10, 12, "LOC"), EntityItem(20, 24, "LOC")]
    predicted = [PER, ORG._replace(label="LOC"), EntityItem(20, 22, "LOC"), (30, 31, "X")]
    predicted[-1] = EntityItem(*predicted[-1])
    assert as_table(compare_entities(gold, predicted)) == {
        ("PER", "PER"): 1,
        ("ORG", "LOC"): 1,
        ("LOC", "missed"): 1,
        ("LOC", "wrong boundary"): 1,
        ("spurious", "X"): 1,
    }


def test_relations_may_differ_in_their_arguments_and_their_direction():
    gold = [RelationItem(PER, ORG, "works"), RelationItem(ORG, PER, "owns")]
    predicted = [
        RelationItem(PER, ORG._replace(label="LOC"), "works"),
        RelationItem(ORG, PER, "owns"),
    ]
    assert as_table(compare_relations(gold, predicted), "relation") == {
        ("works", "wrong arguments"): 1,
        ("owns", "owns"): 1,
    }
    swapped = compare_relations(gold[:1], [RelationItem(ORG, PER, "works")])
    assert as_table(swapped, "relation") == {("works", "wrong direction"): 1}


def test_rows_and_columns_have_all_labels_and_only_the_other_headings_that_are_needed():
    confusion = count_confusion(compare_entities([PER], [ORG]), "entity")
    assert names(confusion.rows) == ["ORG", "PER", "spurious"]
    assert names(confusion.columns) == ["ORG", "PER", "missed"]


def test_a_label_may_have_the_name_of_another_heading():
    item = PER._replace(label="missed")
    confusion = count_confusion(
        [*compare_entities([item], []), *compare_entities([item], [item])], "entity"
    )
    assert names(confusion.columns) == ["missed", "missed"]
    assert sorted(confusion.counts.values()) == [1, 1]


def test_the_other_unit_does_not_count():
    assert not count_confusion(compare_entities([PER], []), "relation").counts


def test_a_finding_without_items_is_refused():
    with pytest.raises(ValueError, match="has none"):
        count_confusion([ErrorFinding("entity", "missed", None, None)], "entity")
