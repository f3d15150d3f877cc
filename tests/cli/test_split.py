from itertools import chain

import pytest
from spacy.vocab import Vocab

from spacy_tabcnn.corpora.docbin import read_docbin


def texts_of(path):
    return [doc.text for doc in read_docbin(path, Vocab())]


def relations_of(*paths):
    relations = []
    for path in paths:
        for doc in read_docbin(path, Vocab()):
            relations += [(rel.head.text, rel.label) for rel in doc._.relations]
    return sorted(relations)


def test_a_corpus_is_divided(run, tiny_corpus, tmp_path):
    output = run("tabcnn", "split", tiny_corpus, tmp_path / "parts", "--dev", 0.2, "--test", 0.1)
    paths = [tmp_path / "parts" / f"{name}.spacy" for name in ("train", "dev", "test")]
    parts = [*map(texts_of, paths)]
    assert [*map(len, parts)] == [7, 2, 1]
    assert sorted(chain(*parts)) == sorted(texts_of(tiny_corpus))
    assert relations_of(*paths) == relations_of(tiny_corpus)
    assert "Entities train dev test" in output and "7 documents in" in output


def test_the_same_seed_gives_the_same_files(run, tiny_corpus, tmp_path):
    for name, seed in (("one", 3), ("same", 3), ("other", 4)):
        run("tabcnn", "split", tiny_corpus, tmp_path / name, "--dev", 0.3, "--seed", seed)
    one, same, other = ((tmp_path / name / "dev.spacy") for name in ("one", "same", "other"))
    assert one.read_bytes() == same.read_bytes()
    assert texts_of(one) != texts_of(other)
    assert not (tmp_path / "one" / "test.spacy").exists()


def test_a_test_corpus_of_an_earlier_division_is_warned_of(run, tiny_corpus, tmp_path):
    run("tabcnn", "split", tiny_corpus, tmp_path, "--test", 0.2)
    assert "from an earlier division" in run("tabcnn", "split", tiny_corpus, tmp_path)


def test_the_corpus_is_never_replaced(run_spacy, tiny_corpus, tmp_path):
    corpus = tmp_path / "train.spacy"
    corpus.write_bytes(tiny_corpus.read_bytes())
    result = run_spacy("tabcnn", "split", corpus, tmp_path)
    assert result.exit_code == 1 and "is the input too" in " ".join(result.output.split())
    assert corpus.read_bytes() == tiny_corpus.read_bytes()


@pytest.mark.parametrize(
    "options, message",
    [
        (("--dev", 0), "--dev is 0.0; expected a share between 0 and 1"),
        (("--test", -0.1), "--test is -0.1; expected 0 or a share"),
        (("--dev", 0.6, "--test", 0.4), "leave no document for train.spacy"),
    ],
)
def test_shares_that_are_none_are_refused(run_spacy, tiny_corpus, tmp_path, options, message):
    result = run_spacy("tabcnn", "split", tiny_corpus, tmp_path, *options)
    assert result.exit_code == 1
    assert message in " ".join(result.output.split())


def test_a_file_of_another_kind_is_refused(run_spacy, tmp_path):
    (tmp_path / "corpus.json").write_text("[]")
    result = run_spacy("tabcnn", "split", tmp_path / "corpus.json", tmp_path)
    assert result.exit_code == 1 and "not a .spacy file" in " ".join(result.output.split())
