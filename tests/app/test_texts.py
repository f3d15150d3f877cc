"""The texts of the page."""

import json

import pytest
import spacy

from spacy_tabcnn.app.texts import (
    EXAMPLES,
    FILE_TYPES,
    MAX_CHARACTERS,
    MAX_TEXTS,
    describe_excess,
    read_examples,
    read_file,
)
from spacy_tabcnn.corpora.docbin import write_docbin


def test_only_a_longer_text_than_the_limit_is_too_long():
    assert describe_excess("x" * MAX_CHARACTERS) == ""
    assert describe_excess("x" * (MAX_CHARACTERS + 1)).startswith("The text has 20,001 characters")
    assert "at most 5. " in describe_excess("abcdef", 5)
    assert not any(map(describe_excess, EXAMPLES))


def test_examples_are_the_lines_of_a_file(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffAnn.\r\n\r\n Bob. \n".encode())
    assert read_examples(tmp_path / "a.txt") == ["Ann.", "Bob."]
    (tmp_path / "a.txt").write_text(" \n")
    with pytest.raises(ValueError, match="has no examples"):
        read_examples(tmp_path / "a.txt")
    with pytest.raises(ValueError, match="no such file"):
        read_examples(tmp_path / "none.txt")


def test_a_text_file_is_one_text():
    assert read_file("A.TXT", "\ufeffAnn\nBob é".encode()) == ["Ann\nBob é"]


def test_json_lines_have_a_text_each():
    lines = [json.dumps({"text": text, "meta": 1}) for text in ("Ann", " ", "Bob")]
    assert read_file("a.jsonl", "\n".join(lines).encode()) == ["Ann", "Bob"]


def test_a_corpus_has_a_text_for_each_document(tmp_path):
    nlp = spacy.blank("en")
    write_docbin(tmp_path / "a.spacy", [nlp.make_doc("Ann"), nlp.make_doc("Bob")])
    assert read_file("a.spacy", (tmp_path / "a.spacy").read_bytes()) == ["Ann", "Bob"]


def test_the_number_of_texts_is_limited():
    content = b'{"text": "a"}\n' * (MAX_TEXTS + 1)
    assert len(read_file("a.jsonl", content)) == MAX_TEXTS


@pytest.mark.parametrize(
    "name,content,message",
    [
        ("a.txt", b"\xff", "a.txt"),
        ("a.txt", b" \n", "a.txt: has no text"),
        ("../../a.jsonl", b'{"text": "a"}\n{', "a.jsonl, line 2"),
        ("a.jsonl", b'{"txt": "a"}', "a.jsonl, line 1"),
        ("a.jsonl", b"", "a.jsonl: has no text"),
        ("a.spacy", b"junk", "a.spacy"),
        ("a.pdf", b"", "unknown type of file"),
        ("a", b"", "unknown type of file"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(name, content, message):
    with pytest.raises(ValueError, match="^(?!.*/tmp).*" + message) as error:
        read_file(name, content)
    assert "file.jsonl" not in str(error.value)


def test_the_types_of_files_are_those_that_are_read():
    assert FILE_TYPES == (".txt", ".jsonl", ".spacy")
