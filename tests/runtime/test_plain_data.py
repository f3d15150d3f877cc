"""msgpack and JSON that are not trusted."""

import pytest
import srsly

from spacy_tabcnn.runtime.plain_data import check_mapping, read_json, read_msgpack, take


def test_plain_data_comes_back():
    data = {"a": [1, 2.5, None, True, "x", b"y"], "b": {"c": []}}
    assert read_msgpack(srsly.msgpack_dumps(data)) == data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\xdd\xff\xff\xff\xff",  # a list of 4 billion items
        b"\xdd\x00\x10\x00\x00" * 10**4,  # each of a million
        b"\x91" * 10**5,  # nested
        b"\x82\xa1a\x01\xa1a\x02",  # the same key twice
        b"\x81\x90\x01",  # a list as a key
        b"\xc7\x01\x05a",  # an extension
        b"\xa1\xff",  # not UTF-8
        b"\x01\x01",  # more than one value
    ],
)
def test_damaged_msgpack_is_refused(data):
    with pytest.raises(ValueError, match="damaged: no msgpack"):
        read_msgpack(data)


@pytest.mark.parametrize("data", [b"", b"[" * 10**5, b'{"a":', b'"\xff"', b"1" * 5000])
def test_damaged_json_is_refused(data):
    with pytest.raises(ValueError, match="damaged: no JSON"):
        read_json(data)


@pytest.mark.parametrize("value", [None, [], "x", {1: 2}])
def test_other_values_are_no_mapping(value):
    with pytest.raises(ValueError, match="the thing"):
        check_mapping(value, "the thing")


@pytest.mark.parametrize("mapping", [{}, {"a": "1"}, {"a": True}, {"a": None}])
def test_values_of_other_types_are_refused(mapping):
    with pytest.raises(ValueError, match="'a'"):
        take(mapping, "a", int, "the thing")
