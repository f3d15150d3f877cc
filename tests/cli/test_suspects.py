import json
import shutil

import pytest
import spacy
from spacy.tokens import Span

from spacy_tabcnn.cli import cross_validate
from spacy_tabcnn.corpora.docbin import read_docbin, write_docbin


@pytest.fixture(scope="module")
def corrupted(tiny_corpus, tiny_config, tmp_path_factory):
    """Two folds whose test parts are also in their training parts, with pipelines that know the
    corpus by heart; one entity in the test part of fold 1 has another type, and two words fewer."""
    folder = tmp_path_factory.mktemp("suspects")
    folds, models = folder / "folds", folder / "models"
    docs = list(read_docbin(tiny_corpus, spacy.blank("en").vocab))
    for number, test in (("0", docs[:5]), ("1", docs[5:])):
        write_docbin(folds / number / "train.spacy", docs)
        write_docbin(folds / number / "test.spacy", test)
    wrong = docs[5]
    label = wrong.ents[0].label_
    others = [ent.label_ for doc in docs for ent in doc.ents if ent.label_ != label]
    ents = [Span(wrong, wrong.ents[0].start, wrong.ents[0].end, label=others[0])]
    wrong.set_ents([*ents, *wrong.ents[1:]])
    write_docbin(folds / "1" / "test.spacy", docs[5:])
    cross_validate(tiny_config, folds, models, n_folds=2)
    return folds, models, others[0]


def test_a_corrupted_label_is_found(run, corrupted, tmp_path):
    folds, models, label = corrupted
    output, page = tmp_path / "suspects.jsonl", tmp_path / "suspects.html"
    printed = run("tabcnn", "suspects", folds, models, output, "--page", page)
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    first = rows[0]
    assert (first["rank"], first["unit"], first["kind"]) == (1, "entity", "wrong type")
    assert (first["document"], first["gold"]["label"]) == (5, label)
    assert first["confidence"] > 0.5 and not first["follows"]
    assert all(row["follows"] for row in rows[1:])
    assert f"{len(rows)} suspects in" in printed
    assert page.read_text().count('data-kind="entity wrong type"') == 1


def test_several_trainings_are_averaged_and_suspects_limited(run, corrupted, tmp_path):
    folds, models, _ = corrupted
    output = tmp_path / "suspects.jsonl"
    run("tabcnn", "suspects", folds, models, models, output, "--top", 1, "-m", 0.2)
    assert len(output.read_text().splitlines()) == 1


def test_pipelines_that_may_know_the_documents_are_refused(run_spacy, corrupted, tmp_path):
    folds, models, _ = corrupted
    others = tmp_path / "folds"
    shutil.copytree(folds, others)
    shutil.copy(others / "1" / "test.spacy", others / "0" / "test.spacy")
    for arguments, message in (
        ((others, models), "was trained on other data than the fold"),
        ((folds, tmp_path), "has no finished training"),
        ((models, folds), "is not a corpus"),
        ((tmp_path / "none", models), "none: holds no folds"),
    ):
        result = run_spacy("tabcnn", "suspects", *arguments, tmp_path / "out.jsonl")
        assert result.exit_code == 1, result.output
        assert message in " ".join(result.output.split())
