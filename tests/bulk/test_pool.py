"""Pools of documents: which ones are read, with which ids, and what is counted."""

import json

import pytest
import spacy
import srsly

from spacy_tabcnn.bulk.pool import read_pool
from spacy_tabcnn.corpora.docbin import write_docbin
from spacy_tabcnn.corpora.gold import get_doc_id
from spacy_tabcnn.corpora.reader import RelationCorpus

NAN, HUGE = float("nan"), 2**70


@pytest.fixture(scope="module")
def nlp():
    return spacy.blank("en")


@pytest.mark.parametrize(
    "given,expected",
    [
        ("a", "a"),
        (7, 7),
        (1.5, 1.5),
        (1e300, 1e300),
        (HUGE, str(HUGE)),
        (NAN, "nan"),
        (True, "True"),
        (["x", 1], "['x', 1]"),
        (None, 0),
    ],
)
def test_every_row_has_an_id_that_all_formats_can_hold(nlp, tmp_path, given, expected):
    path = tmp_path / "texts.jsonl"
    path.write_text(json.dumps({"text": "a", "id": given}), encoding="utf-8")
    [doc] = read_pool(path, nlp).docs
    assert get_doc_id(doc, "document") == expected
    write_docbin(tmp_path / "docs.spacy", [doc])


def test_answers_that_are_no_annotation_are_counted(nlp, tmp_path):
    answers = ["reject", "accept", "ignore", "accept"]
    tasks = []
    for text, answer in zip("abcd", answers, strict=True):
        tasks.append({"text": text, "spans": [], "answer": answer})
    srsly.write_jsonl(tmp_path / "tasks.jsonl", tasks)
    pool = read_pool(tmp_path / "tasks.jsonl", nlp)
    assert [doc.text for doc in pool.docs] == ["b", "d"]
    assert pool.positions == [0, 1]  # among the documents that were read
    assert pool.left_out == {"rejected documents": 1, "ignored documents": 1}


def test_parts_of_annotation_are_no_documents(nlp, tmp_path):
    (tmp_path / "a.txt").write_text("Ann lives here.", encoding="utf-8")
    annotation = "T1\tPer 0 3\tAnn\n#1\tAnnotatorNotes T1\tsure\nA1\tNegation T1\n"
    (tmp_path / "a.ann").write_text(annotation, encoding="utf-8")
    pool = read_pool(tmp_path / "a.ann", nlp)
    assert len(pool.docs) == 1 and not pool.left_out


@pytest.mark.parametrize("leftover", [b"", None])
def test_files_that_a_killed_command_has_left_are_skipped(nlp, tmp_path, leftover):
    path = tmp_path / "train.spacy"
    write_docbin(path, [nlp("Ann lives here.")])
    left = tmp_path / ".train.spacy.tabcnn-0a0a0a0a.spacy"
    left.write_bytes(path.read_bytes() if leftover is None else leftover)
    assert len(read_pool(tmp_path, nlp).docs) == 1


def test_a_folder_is_read_with_its_sub_folders_as_in_training(nlp, tmp_path):
    for path in (tmp_path / "a.spacy", tmp_path / "more" / "b.spacy"):
        path.parent.mkdir(exist_ok=True)
        write_docbin(path, [nlp.make_doc(path.stem)])
    assert [doc.text for doc in read_pool(tmp_path, nlp).docs] == ["a", "b"]
    assert [eg.text for eg in RelationCorpus(tmp_path)(nlp)] == ["a", "b"]


@pytest.mark.parametrize("name", ["tasks.ndjson", "tasks.JSONL"])
def test_lines_of_json_have_several_suffixes(nlp, tmp_path, name):
    task = {"text": "Ann lives here.", "entities": [], "relations": []}
    srsly.write_jsonl(tmp_path / name, [task])
    assert [doc.text for doc in read_pool(tmp_path / name, nlp).docs] == ["Ann lives here."]


@pytest.mark.parametrize(
    "fields",
    [
        {"tags": ["news"]},
        {"data": {"source": "a"}},
        {"sentences": 2},
        {"tokens": 3},
        {"entities": "old"},
        {"answer": "Paris"},
        {"entities": [{"start": 0, "end": 3, "label": "PER", "score": 0.9}], "relations": []},
    ],
)
def test_texts_with_a_field_of_a_format_are_texts(nlp, tmp_path, fields):
    path = tmp_path / "pool.jsonl"
    srsly.write_jsonl(path, [{"text": "Ann left.", **fields}])
    [doc] = read_pool(path, nlp).docs
    assert doc.text == "Ann left."


def test_a_position_that_is_the_id_of_another_document_is_not_given(nlp, tmp_path):
    path = tmp_path / "pool.jsonl"
    srsly.write_jsonl(path, [{"id": 1, "text": "Ann"}, {"text": "Bob"}, {"text": "Cy"}])
    assert [doc.user_data["orig_id"] for doc in read_pool(path, nlp).docs] == [1, 4, 2]
