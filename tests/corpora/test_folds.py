import json

import pytest
from spacy.vocab import Vocab

from spacy_tabcnn.corpora.docbin import read_docbin
from spacy_tabcnn.corpora.folds import read_folds, write_folds
from spacy_tabcnn.corpora.spert import spert_to_docs

FOLDS = [[1, 4], [2], ["c", 5]]


@pytest.fixture
def docs(nlp):
    sentence = {
        "tokens": ["Aspirin", "caused", "pain"],
        "entities": [
            {"type": "Drug", "start": 0, "end": 1},
            {"type": "Adverse-Effect", "start": 2, "end": 3},
        ],
        "relations": [{"type": "Adverse-Effect", "head": 1, "tail": 0}],
    }
    return spert_to_docs([{**sentence, "orig_id": orig_id} for orig_id in (5, 4, "c", 2, 1)], nlp)[
        0
    ]


def ids_of(path):
    return [doc.user_data["orig_id"] for doc in read_docbin(path, Vocab())]


def write(path, content):
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_each_fold_is_tested_on_what_the_others_train_on(docs, tmp_path):
    write_folds(tmp_path, docs, FOLDS)
    assert [ids_of(tmp_path / str(fold) / "test.spacy") for fold in range(3)] == [
        [4, 1],
        [2],
        [5, "c"],
    ]
    assert [ids_of(tmp_path / str(fold) / "train.spacy") for fold in range(3)] == [
        [5, "c", 2],
        [5, 4, "c", 1],
        [4, 2, 1],
    ]


def test_relations_are_kept(docs, tmp_path):
    write_folds(tmp_path, docs, FOLDS)
    [doc] = read_docbin(tmp_path / "1" / "test.spacy", Vocab())
    assert [(rel.head.text, rel.tail.text) for rel in doc._.relations] == [("pain", "Aspirin")]


def test_folds_are_read(tmp_path):
    assert read_folds(write(tmp_path / "folds.json", FOLDS)) == FOLDS


@pytest.mark.parametrize(
    "content,message",
    [
        ({}, r"folds\.json: holds an object"),
        ([[1, 2]], r"folds\.json: holds 1 folds; expected at least two"),
        ([[1], 2], r"folds\.json, fold 1: found an integer, 2; expected a list of ids"),
        (
            [[1], [None]],
            r"folds\.json, fold 1: found null; expected an integer or a string",
        ),
        ([[1], [2, 1]], r"folds\.json, fold 1: the id 1 is in fold 0 too"),
    ],
)
def test_malformed_folds_are_refused(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        read_folds(write(tmp_path / "folds.json", content))


@pytest.mark.parametrize(
    "folds,message",
    [
        ([[1, 4], [2, 5]], r"document 2 \(orig_id 'c'\) is in no fold"),
        (
            [[1, 4, 7], [2], ["c", 5, 8]],
            "2 documents of the folds are absent, the first one with orig_id 7",
        ),
    ],
)
def test_folds_must_hold_the_corpus(docs, tmp_path, folds, message):
    with pytest.raises(ValueError, match=message):
        write_folds(tmp_path, docs, folds)
    assert not list(tmp_path.iterdir())


def test_two_documents_cannot_have_one_id(docs, tmp_path):
    with pytest.raises(ValueError, match="document 5 has the id of an earlier document, 5"):
        write_folds(tmp_path, [*docs, docs[0]], FOLDS)


def test_a_document_needs_an_id(docs, tmp_path):
    del docs[0].user_data["orig_id"]
    with pytest.raises(ValueError, match=r"document 0 \(orig_id None\) is in no fold"):
        write_folds(tmp_path, docs, FOLDS)
