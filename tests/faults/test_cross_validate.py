"""Kills of cross-validation: no score is lost, and --resume comes to the same scores.

`pytest tests/faults/test_cross_validate.py --kills 10` kills more often.
"""

import shutil
import time
from functools import partial

import pytest
import spacy
import srsly

from spacy_tabcnn.cli import cross_validate
from spacy_tabcnn.corpora.docbin import read_docbin
from spacy_tabcnn.corpora.folds import write_folds

from .kills import call_and_kill, draw_moments, needs_kills

pytestmark = needs_kills


@pytest.fixture(scope="module")
def validation(tiny_corpus, tiny_config, tmp_path_factory):
    """A function that cross-validates over two folds into a folder."""
    folds = tmp_path_factory.mktemp("folds")
    docs = list(read_docbin(tiny_corpus, spacy.blank("en").vocab))
    ids = [doc.user_data["orig_id"] for doc in docs]
    write_folds(folds, docs, [ids[:5], ids[5:]])
    overrides = {"training.max_steps": 5, "training.eval_frequency": 2}
    return partial(cross_validate, tiny_config, folds, n_folds=2, resume=True, overrides=overrides)


def read_scores(folder):
    """The scores of the folds that have some, without the time."""
    scores = {}
    for path in folder.glob("*/scores.json"):
        scores[path.parent.name] = srsly.read_json(path)
        scores[path.parent.name].pop("speed")
    return scores


def test_kills_at_random_moments(validation, n_kills, tmp_path):
    start = time.monotonic()
    validation(tmp_path / "whole")
    duration = time.monotonic() - start
    whole = read_scores(tmp_path / "whole")
    n_killed = 0
    for number, moment in enumerate(draw_moments("cross-validate", n_kills, duration)):
        folder = tmp_path / str(number)
        n_killed += call_and_kill(validation, folder, kill_after=moment)
        finished = {path: path.stat().st_mtime_ns for path in folder.glob("*/scores.json")}
        validation(folder)
        assert read_scores(folder) == whole, f"killed after {moment} s"
        for path, written in finished.items():
            assert path.stat().st_mtime_ns == written, f"{path} was computed again"
        shutil.rmtree(folder)
    print(f"{n_killed} kills")
    assert n_killed


@pytest.fixture(scope="module")
def finished(validation, tmp_path_factory):
    """The folder of a cross-validation that has ended."""
    folder = tmp_path_factory.mktemp("finished")
    validation(folder)
    return folder


@pytest.mark.parametrize("name", ["scores.json", "settings.json"])
@pytest.mark.parametrize("data", [b"", b'{"ents_f": ', b"[]", b"\x00\x00", b"\xff"])
def test_damaged_files_do_not_stop_it(validation, finished, name, data, capsys):
    whole = read_scores(finished)
    (finished / "0" / name).write_bytes(data)
    capsys.readouterr()
    validation(finished)
    assert read_scores(finished) == whole
    # The fold is scored again, but not trained again.
    assert "is complete" in " ".join(capsys.readouterr().out.split())
