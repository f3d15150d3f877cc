from collections import Counter

import pytest

from spacy_tabcnn.corpora.conversion import ConversionReport, Reason


def test_what_was_read_is_what_was_kept_and_dropped():
    report = ConversionReport(entities=Counter(Loc=3, Org=1), relations=Counter(Kill=2))
    report.drop(Reason.OVERLAP, "a.json, sentence 0", "'x'")
    report.drop(Reason.LOST_ARGUMENT, "a.json, sentence 0", "'y'")
    report.drop(Reason.LOST_ARGUMENT, "a.json, sentence 1", "'z'")
    assert report.n_entities_read == 5
    assert report.n_relations_read == 4


def test_the_first_example_of_a_reason_is_kept():
    report = ConversionReport()
    report.drop(Reason.OVERLAP, "a.json, sentence 0", "'x'", "'x y'")
    report.drop(Reason.OVERLAP, "a.json, sentence 1", "'z'")
    assert report.examples == {Reason.OVERLAP: "a.json, sentence 0: 'x'; 'x y'"}


def test_strict_mode_raises_with_place_reason_and_fix():
    report = ConversionReport(strict=True)
    message = (
        r"^a\.json, sentence 0: entity 'x' overlaps a larger entity: 'x y'\. Correct the annotation"
    )
    with pytest.raises(ValueError, match=message):
        report.drop(Reason.OVERLAP, "a.json, sentence 0", "'x'", "'x y'")


def test_merge_adds_up():
    first = ConversionReport(n_docs=2, entities=Counter(Loc=1), relations=Counter(Kill=1))
    second = ConversionReport(n_docs=3, entities=Counter(Loc=1, Org=1))
    first.drop(Reason.OVERLAP, "a.json", "'x'")
    second.drop(Reason.OVERLAP, "b.json", "'y'")
    first.ignored["clusters"] = second.ignored["clusters"] = 1
    first.merge(second)
    assert (first.n_docs, first.entities, first.relations) == (
        5,
        Counter(Loc=2, Org=1),
        Counter(Kill=1),
    )
    assert first.dropped == {Reason.OVERLAP: 2}
    assert first.examples == {Reason.OVERLAP: "a.json: 'x'"}
    assert first.ignored == {"clusters": 2}
