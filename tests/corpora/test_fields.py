import pytest

from spacy_tabcnn.corpora.fields import get_field, get_items, get_optional, locate, shorten


def test_a_field_may_have_a_default():
    assert get_field({}, "answer", str, "a.json", default="accept") == "accept"
    with pytest.raises(ValueError, match=r"^a\.json: the field 'answer' is missing"):
        get_field({}, "answer", str, "a.json")


def test_null_is_no_absent_field():
    with pytest.raises(ValueError, match="the field 'answer' is null"):
        get_field({"answer": None}, "answer", str, "a.json", default="accept")


@pytest.mark.parametrize("record", [{}, None, ["id"], "id"])
def test_an_optional_field_has_a_default_in_any_value(record):
    assert get_optional(record, "id") is None
    assert get_optional(record, "id", 3) == 3


def test_items_have_places():
    items = get_items({"entities": ["a", "b"]}, "entities", "entity", "a.json, line 2")
    assert dict(items) == {
        "a.json, line 2, entity 0": "a",
        "a.json, line 2, entity 1": "b",
    }


def test_a_list_may_be_optional():
    assert list(get_items({}, "entities", "entity", "a.json", optional=True)) == []


def test_a_place_names_the_id():
    assert locate("a.json, sentence 3", "orig_id", 17) == "a.json, sentence 3 (orig_id 17)"
    assert locate("a.json, sentence 3", "orig_id", None) == "a.json, sentence 3"


def test_long_texts_are_shortened():
    assert shorten("abcdef", 6) == "abcdef"
    assert shorten("abcdefg", 6) == "abcde…"
