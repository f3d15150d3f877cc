"""Divisions of a corpus: shares of documents and labels, repeated texts, the same seed."""

from collections import Counter

import pytest

from spacy_tabcnn.corpora.split import count_labels, split_documents


@pytest.fixture
def docs(make_doc):
    """40 documents: half of them with a relation, a quarter with the label DATE, two with RARE."""
    documents = []
    for number in range(40):
        entities = [(0, 1, "PER"), (1, 2, "LOC")]
        if number % 4 == 0:
            entities.append((2, 3, "DATE"))
        if number in (7, 23):
            entities.append((3, 4, "RARE"))
        relations = [(0, 1, "LiveIn")] * (number % 2)
        documents.append(make_doc(f"Ada London 1843 word{number} .", entities, relations))
    return documents


def count_by_part(docs, parts):
    counts = {}
    for doc, part in zip(docs, parts, strict=True):
        counts.setdefault(part, Counter()).update(count_labels(doc))
    return counts


def test_parts_have_their_shares_of_the_documents(docs):
    assert Counter(split_documents(docs, [0.7, 0.2, 0.1])) == {0: 28, 1: 8, 2: 4}


def test_parts_have_their_shares_of_each_label(docs):
    counts = count_by_part(docs, split_documents(docs, [0.7, 0.2, 0.1]))
    assert [counts[part]["entity", "DATE"] for part in range(3)] == [7, 2, 1]
    assert [counts[part]["relation", "LiveIn"] for part in range(3)] == [14, 4, 2]


def test_a_rare_label_is_in_the_training_part(docs):
    for seed in range(5):
        counts = count_by_part(docs, split_documents(docs, [0.85, 0.15], seed=seed))
        assert counts[0]["entity", "RARE"] >= 1


def test_documents_with_the_same_text_stay_together(docs, make_doc):
    repeated = [*docs, *docs[:10], make_doc("ADA  london 1843 word3 .", [(0, 1, "PER")], [])]
    for seed in range(5):
        part_of = split_documents(repeated, [0.6, 0.4], seed=seed)
        assert part_of[40:50] == part_of[:10]
        assert part_of[50] == part_of[3]


def test_the_seed_decides(docs):
    divisions = [split_documents(docs, [0.85, 0.15], seed=seed) for seed in (0, 0, 1)]
    assert divisions[0] == divisions[1] != divisions[2]


def test_each_part_has_a_document(docs):
    assert sorted(split_documents(docs[:3], [0.98, 0.01, 0.01])) == [0, 1, 2]
    with pytest.raises(ValueError, match=r"1 documents with different texts.* into 2 parts"):
        split_documents([docs[0], docs[0]], [0.5, 0.5])


def test_documents_without_annotation_are_divided(make_doc):
    docs = [make_doc(f"word{number}") for number in range(10)]
    assert Counter(split_documents(docs, [0.8, 0.2])) == {0: 8, 1: 2}


@pytest.mark.parametrize("shares", [[1.0, 0.0], [0.5, 0.6], [1.2, -0.2]])
def test_bad_shares_are_refused(docs, shares):
    with pytest.raises(ValueError, match="expected shares of a whole"):
        split_documents(docs, shares)


@pytest.mark.parametrize("shares", [[0.95, 0.05], [0.9, 0.05, 0.05]])
@pytest.mark.parametrize("seed", range(5))
def test_no_part_is_empty_if_texts_repeat(make_doc, shares, seed):
    docs = []
    for letter in "abcdefghij":
        docs += [make_doc(letter, [(0, 1, "A")], []) for _ in range(2)]
    parts = split_documents(docs, shares, seed=seed)
    assert set(parts) == set(range(len(shares)))
