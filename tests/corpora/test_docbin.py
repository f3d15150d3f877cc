"""Damaged and hostile .spacy files."""

import struct
import zlib

import numpy as np
import pytest
import srsly
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from spacy_tabcnn.corpora import docbin
from spacy_tabcnn.corpora.docbin import read_docbin, write_docbin
from spacy_tabcnn.relations import RELATIONS, set_entity_scores


@pytest.fixture
def message(ann, abroad):
    """The message inside a file with two documents."""
    data = DocBin(docs=[ann, abroad], store_user_data=True).to_bytes()
    return srsly.msgpack_loads(zlib.decompress(data))


@pytest.fixture
def read(tmp_path):
    """Write a message to a file and read the documents."""

    def read(message):
        path = tmp_path / "a.spacy"
        path.write_bytes(zlib.compress(srsly.msgpack_dumps(message)))
        return list(read_docbin(path, Vocab()))

    return read


def change_relations(message, change):
    """Change the stored relations of the first document."""
    data = srsly.msgpack_loads(message["user_data"][0], use_list=False)
    [key] = [key for key in data if key[1] == RELATIONS]
    fingerprint, [[head, tail, label, score]] = data[key]
    data[key] = [fingerprint, [change([list(head), list(tail), label, score])]]
    message["user_data"][0] = srsly.msgpack_dumps(data)


def test_an_undamaged_message_is_read(message, read):
    assert [len(doc._.relations) for doc in read(message)] == [1, 3]


@pytest.mark.parametrize("name", ["lengths", "cats", "flags", "span_groups", "user_data"])
def test_a_part_with_too_few_items_loses_no_document(message, read, name):
    message[name] = message[name][: len(message[name]) // 2]
    with pytest.raises(ValueError, match=r"a\.spacy: not a \.spacy file"):
        read(message)


@pytest.mark.parametrize("name", ["tokens", "spaces", "lengths", "cats", "attrs", "strings"])
@pytest.mark.parametrize("value", [None, 5, "text", b"", b"\x01", [], {}, [None], [[]], 2**64 - 1])
def test_a_part_of_another_kind(message, read, name, value):
    message[name] = value
    with pytest.raises(ValueError, match=r"a\.spacy[:,]"):
        read(message)


@pytest.mark.parametrize("content", [None, 5, [], [{}], {}, "text", b"bytes"])
def test_a_message_of_another_kind(read, content):
    with pytest.raises(ValueError, match=r"a\.spacy: not a \.spacy file"):
        read(content)


@pytest.mark.parametrize("lengths", [[-1, 16], [5, -5], [0, 0], [5, 11], [2**31 - 1, 10]])
def test_lengths_that_do_not_fit_the_tokens(message, read, lengths):
    message["lengths"] = np.array(lengths, dtype="int32").tobytes()
    with pytest.raises(ValueError, match=r"a\.spacy: not a \.spacy file \(the "):
        read(message)


def test_a_word_that_the_file_does_not_hold(message, read):
    tokens = np.frombuffer(message["tokens"], "uint64").copy()
    tokens[0] = 12345
    message["tokens"] = tokens.tobytes()
    with pytest.raises(ValueError, match=r"a\.spacy, document 0: cannot be read \(.*E018"):
        read(message)


@pytest.mark.parametrize(
    "change",
    [
        lambda relation: [],
        lambda relation: None,
        lambda relation: relation[:3],
        lambda relation: [[99, 100, *relation[0][2:]], *relation[1:]],
        lambda relation: [[-1, 1, *relation[0][2:]], *relation[1:]],
        lambda relation: [[1, 0, *relation[0][2:]], *relation[1:]],
        lambda relation: [[0.5, 1, *relation[0][2:]], *relation[1:]],
        lambda relation: [[2**40, 2**41, *relation[0][2:]], *relation[1:]],
        lambda relation: [[1, 2, *relation[0][2:]], *relation[1:]],  # other words than characters
        lambda relation: [relation[0], "Rome", *relation[2:]],
        lambda relation: [*relation[:2], 5, 1.0],
        lambda relation: [*relation[:2], None, 1.0],
        lambda relation: [*relation[:3], "1.0"],
        lambda relation: [*relation[:3], 2.0],
        lambda relation: [*relation[:3], float("nan")],
    ],
)
def test_damaged_relations_name_the_document(message, read, change):
    change_relations(message, change)
    with pytest.raises(ValueError, match=r"a\.spacy, document 0: its relations cannot be read"):
        read(message)


@pytest.mark.parametrize(
    "key", [("._.", RELATIONS), ("._.", RELATIONS, None, "x"), ("._.", RELATIONS, 0)]
)
def test_damaged_keys_of_relations_name_the_document(message, read, key):
    data = {key: [["", 0, 0], []]}
    message["user_data"][1] = srsly.msgpack_dumps(data)
    with pytest.raises(ValueError, match=r"a\.spacy, document 1: its relations cannot be read"):
        read(message)


@pytest.mark.parametrize("data", [5, [1], "x", {"orig_id": [1]}, {"orig_id": b"x"}, {1: {}}])
def test_user_data_of_another_form(message, read, data):
    message["user_data"][1] = srsly.msgpack_dumps(data)
    if data == {1: {}}:
        assert len(read(message)) == 2
        return
    with pytest.raises(ValueError, match=r"a\.spacy, document 1"):
        read(message)


@pytest.mark.parametrize("cut", [0, 1, 10, -1])
def test_a_file_that_is_cut_off(tmp_path, ann, cut):
    path = tmp_path / "a.spacy"
    write_docbin(path, [ann])
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match=r"a\.spacy: not a \.spacy file"):
        list(read_docbin(path, Vocab()))


def test_files_that_were_joined(tmp_path, ann):
    path = tmp_path / "a.spacy"
    write_docbin(path, [ann])
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(ValueError, match="other bytes follow its end"):
        list(read_docbin(path, Vocab()))


@pytest.mark.parametrize(
    "content",
    [
        b"\xdd" + struct.pack(">I", 2**32 - 1),
        b"\xdf" + struct.pack(">I", 2**32 - 1),
        b"\xc6" + struct.pack(">I", 2**32 - 1),
        b"\x91" * 10**6,
        (b"\xdd" + struct.pack(">I", 10**5)) * 500 + b"\x00" * 10**5,
    ],
)
def test_a_message_that_claims_to_be_large(tmp_path, content):
    path = tmp_path / "a.spacy"
    path.write_bytes(zlib.compress(content))
    with pytest.raises(ValueError, match=r"a\.spacy: not a \.spacy file"):
        list(read_docbin(path, Vocab()))


def test_a_file_that_expands_beyond_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(docbin, "MAX_BYTES", 2**20)
    path = tmp_path / "a.spacy"
    path.write_bytes(zlib.compress(b"\0" * 2**26))
    with pytest.raises(ValueError, match=r"expands to more than 12 MB\. Divide the corpus"):
        list(read_docbin(path, Vocab()))


@pytest.mark.parametrize("value", [2**64, 2**128, "\ud800", object(), {1, 2}])
def test_user_data_that_cannot_be_saved_names_the_document(tmp_path, make_doc, value):
    doc = make_doc("It rained .", [], [])
    doc.user_data["orig_id"] = value
    with pytest.raises(ValueError, match=r"a\.spacy, document 1: cannot be saved"):
        write_docbin(tmp_path / "a.spacy", [make_doc("Hello"), doc])
    assert not (tmp_path / "a.spacy").exists()


def test_damaged_scores_name_the_document(message, read, make_doc):
    doc = make_doc("Ann left", [(0, 1, "PER")], [])
    set_entity_scores(doc, doc.ents, [0.5])
    data = {}
    for key, value in doc.user_data.items():
        data[key] = value if key[1] == RELATIONS else [[[0, 1, "0", 3, "PER", "Ann"], 0.5]]
    message = srsly.msgpack_loads(
        zlib.decompress(DocBin(docs=[doc], store_user_data=True).to_bytes())
    )
    message["user_data"] = [srsly.msgpack_dumps(data)]
    with pytest.raises(ValueError, match=r"a\.spacy, document 0"):
        read(message)


def test_a_document_without_words(tmp_path):
    write_docbin(tmp_path / "a.spacy", [Doc(Vocab())])
    assert [len(doc) for doc in read_docbin(tmp_path / "a.spacy", Vocab())] == [0]


def test_more_documents_or_strings_than_a_file_may_have_are_refused(tmp_path, monkeypatch, vocab):
    docs = [Doc(vocab, words=[f"{number}{letter}" for letter in "abcdefgh"]) for number in range(9)]
    path = tmp_path / "large.spacy"
    write_docbin(path, docs)
    monkeypatch.setattr(docbin, "MAX_ITEMS", 40)
    with pytest.raises(ValueError, match=r"more than .* documents or different strings. Divide"):
        write_docbin(tmp_path / "other.spacy", docs)
    assert not (tmp_path / "other.spacy").exists()
