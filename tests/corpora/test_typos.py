import pytest

from spacy_tabcnn.corpora.problems import find_problems
from spacy_tabcnn.corpora.statistics import CorpusCase, count_corpus
from spacy_tabcnn.corpora.typos import count_edits, find_typos


@pytest.mark.parametrize(
    "text,other,edits",
    [
        ("", "", 0),
        ("", "abc", 3),
        ("Person", "Person", 0),
        ("Persn", "Person", 1),
        ("Persson", "Person", 1),
        ("Pirson", "Person", 1),
        ("Persno", "Person", 1),
        ("ePrsno", "Person", 2),
        ("Place", "Date", 3),
    ],
)
def test_edits_are_counted(text, other, edits):
    assert count_edits(text, other) == count_edits(other, text) == edits


@pytest.mark.parametrize("typo", ["Persn", "Persson", "Persno", "Pirson", "person", "PERSON"])
def test_a_rare_label_close_to_a_frequent_one(typo):
    assert find_typos(*[{"Person": 50, typo: 2, "Place": 40}] * 2) == {typo: "Person"}


@pytest.mark.parametrize("typo", ["Work_for", "work-for", "WorkFor", "work for", "WORK_FOR"])
def test_spellings_with_the_same_letters_are_alike_however_frequent(typo):
    assert find_typos(*[{"Work_For": 50, typo: 49}] * 2) == {typo: "Work_For"}
    assert find_typos(*[{"Work_For": 50, typo: 50}] * 2).keys() <= {"Work_For", typo}
    assert len(find_typos(*[{"Work_For": 50, typo: 50}] * 2)) == 1


@pytest.mark.parametrize(
    "counts",
    [
        {"born_in": 50, "died_in": 2},
        {"Person": 50, "Persons": 30},
        {"Group1": 50, "Group2": 2},
        {"GPE": 50, "GSE": 1},
        {"A+": 50, "A-": 2},
        {"Place": 50, "Date": 1},
        {"R": 9},
        {},
    ],
)
def test_labels_that_are_no_typing_errors(counts):
    assert find_typos(counts, counts) == {}


def test_a_long_label_may_have_two_errors():
    counts = {"Organization-Affiliation": 50, "Organisation_Afiliation": 1}
    assert find_typos(counts, counts) == {"Organisation_Afiliation": "Organization-Affiliation"}


def make_corpus(make_doc, relations):
    entities = [(0, 1, "Person"), (2, 3, "Place")]
    docs = []
    for number, label in enumerate(relations):
        docs.append(make_doc(f"Ann{number} near Rome", entities, [(0, 1, label)]))
    return count_corpus(docs)


def test_typing_errors_of_train_and_dev_are_reported(make_doc):
    train = make_corpus(make_doc, [*["Lives_In"] * 6, "Lives_in"])
    dev = make_corpus(make_doc, ["Lives_In", "Livse_In", "Near"])
    what = "relation labels that look like typing errors of other labels"
    found = [problem for problem in find_problems(train, dev, min_count=0) if problem.what == what]
    assert [(problem.corpus, problem.cases) for problem in found] == [
        ("train", [CorpusCase("'Lives_in', like 'Lives_In'", 1, 6)]),
        ("dev", [CorpusCase("'Livse_In', like 'Lives_In'", 1, 1)]),
    ]
    assert all(problem.level == "warning" and problem.advice for problem in found)
