import pytest

from spacy_tabcnn.evaluation.agreement import match_documents, measure_agreement, measure_kappa


@pytest.fixture
def make(make_doc):
    """Make a document with an id."""

    def make_with_id(words, *annotation, orig_id=None):
        doc = make_doc(words, *annotation)
        if orig_id is not None:
            doc.user_data["orig_id"] = orig_id
        return doc

    return make_with_id


def test_documents_match_by_text_whatever_their_tokens(make):
    first, second = [make("a b"), make("c d")], [make(["c", "d"]), make(["ab"])]
    matching = match_documents(first, second)
    assert matching.pairs == [(first[0], second[1]), (first[1], second[0])]
    assert not matching.only_first and not matching.only_second


def test_documents_with_the_same_text_match_by_id_then_in_order(make):
    first = [make("a", orig_id=1), make("a", orig_id=2), make("a", orig_id=3)]
    second = [make("a", orig_id="3"), make("a", orig_id=8), make("a", orig_id=9)]
    assert match_documents(first, second).pairs == [
        (first[0], second[1]),
        (first[1], second[2]),
        (first[2], second[0]),
    ]


def test_documents_of_one_annotation_are_reported(make):
    first, second = [make("a"), make("b"), make("b")], [make("b"), make("c")]
    matching = match_documents(first, second)
    assert matching.only_first == [first[0], first[2]]
    assert matching.only_second == [second[1]]


def test_an_id_with_two_texts_is_reported(make):
    matching = match_documents([make("a", orig_id=1)], [make("b", orig_id=1)])
    assert matching.pairs == [] and matching.other_texts == ["1"]


@pytest.fixture
def differing(make_doc):
    """A document with the disagreements of two annotators."""
    words = "a b c d e f"
    first = [(0, 1, "A"), (1, 2, "A"), (2, 4, "B"), (4, 5, "B")]
    second = [(0, 1, "A"), (1, 2, "B"), (2, 3, "B"), (5, 6, "B")]
    return [(make_doc(words, first, [(0, 1, "r")]), make_doc(words, second, [(1, 0, "r")]))]


def test_boundaries_and_types_are_apart(differing):
    found = measure_agreement(differing)["entities"]
    assert found["strict"]["f"] == 0.25
    assert found["boundaries"]["f"] == 0.5
    assert found["types"] == 0.5
    assert found["kinds"] == {
        "correct": 1,
        "missed": 1,
        "spurious": 1,
        "wrong boundary": 1,
        "wrong type": 1,
    }


def test_each_label_has_figures(differing):
    per_type = measure_agreement(differing)["entities"]["strict"]["per_type"]
    assert per_type["A"] == {"p": 1.0, "r": 0.5, "f": pytest.approx(2 / 3)}


def test_directions_of_relations_are_apart(make_doc):
    entities = [(0, 1, "A"), (1, 2, "B")]
    pair = (make_doc("a b", entities, [(0, 1, "r")]), make_doc("a b", entities, [(1, 0, "r")]))
    found = measure_agreement([pair])["relations"]
    assert (found["strict"]["f"], found["directions"], found["types"]) == (0.0, 0.0, None)


def test_f1_is_the_same_in_both_directions(differing):
    swapped = [(second, first) for first, second in differing]
    one, other = measure_agreement(differing), measure_agreement(swapped)
    for unit in ("entities", "relations"):
        assert one[unit]["strict"]["f"] == other[unit]["strict"]["f"]
        assert one[unit]["strict"]["p"] == other[unit]["strict"]["r"]


def test_annotation_that_one_lacks_does_not_count(make_doc):
    pair = make_doc("a b", [(0, 1, "A")], []), make_doc("a b", [(0, 1, "A")])
    found = measure_agreement([pair, (make_doc("a"), make_doc("a", []))])
    assert (found["entities"]["documents"], found["relations"]["documents"]) == (1, 0)
    assert found["entities"]["strict"]["f"] == 1.0


def test_kappa_is_computed_by_hand(make_doc):
    # 10 tokens: 4 are A for both, 4 are O for both, and each has one more A.
    words = " ".join("abcdefghij")
    first = make_doc(words, [(k, k + 1, "A") for k in range(5)])
    second = make_doc(words, [(k, k + 1, "A") for k in (0, 1, 2, 3, 5)])
    assert measure_kappa([(first, second)]) == (pytest.approx((0.8 - 0.5) / (1 - 0.5)), 10)


def test_kappa_of_the_same_annotation_is_1(make_doc):
    doc = make_doc("a b", [(0, 1, "A")])
    assert measure_kappa([(doc, doc)]) == (1.0, 2)


def test_kappa_is_not_defined_where_all_tokens_have_one_type(make_doc):
    empty = make_doc("a b", [])
    assert measure_kappa([(empty, empty)]) == (None, 2)
    assert measure_kappa([]) == (None, 0)


def test_kappa_maps_other_tokens(make_doc):
    first, second = make_doc("ab c", [(0, 1, "A")]), make_doc("a b c", [(0, 2, "A")])
    assert measure_kappa([(first, second)]) == (1.0, 2)


def test_the_type_o_is_a_type_like_others(make_doc):
    empty = make_doc("a b c", [])
    for label in ("A", "O"):
        marked = make_doc("a b c", [(0, 1, label)])
        assert measure_kappa([(marked, empty)]) == (0.0, 3)
        assert measure_kappa([(marked, marked)]) == (1.0, 3)
