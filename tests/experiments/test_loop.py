"""The simulated annotation and the search for corrupted labels, on a tiny corpus."""

import json
from dataclasses import replace

import pytest
import spacy

from experiments.grid import Run
from experiments.results import RunResult
from experiments.selection import (
    STEPS_FILE,
    SimulatedAnnotation,
    draw_order,
    make_curves,
    read_steps,
)
from experiments.suspects import SuspectSearch, corrupt, is_hit
from spacy_tabcnn.corpora.docbin import read_docbin, write_docbin
from spacy_tabcnn.evaluation.errors import ErrorFinding
from spacy_tabcnn.evaluation.items import entity_items, relation_items
from spacy_tabcnn.evaluation.suspects import Suspect

from .fakes import FakePart

pytest.importorskip("optuna")


@pytest.fixture(scope="module")
def overrides(tiny_corpus):
    paths = {"paths.train": str(tiny_corpus), "paths.dev": str(tiny_corpus)}
    return {**paths, "training.max_steps": 2, "training.eval_frequency": 1}


@pytest.fixture(scope="module")
def docs(tiny_corpus):
    return list(read_docbin(tiny_corpus, spacy.blank("en").vocab))


@pytest.fixture(scope="module")
def simulation(tiny_config, overrides, tmp_path_factory):
    folder = tmp_path_factory.mktemp("simulation")
    return SimulatedAnnotation(tiny_config, overrides, folder, [4, 7, 9])


@pytest.mark.parametrize("strategy", ["selected", "random"])
def test_documents_are_added_step_by_step(simulation, docs, strategy):
    run = Run(strategy, 1)
    scores = simulation(run, {}).scores
    steps = read_steps(simulation.output / run.name / STEPS_FILE)
    numbers = [len(set(step["positions"])) for step in steps]
    assert numbers == [4, 7, 9]
    assert steps[0]["positions"] == draw_order(10, 1)[:4]
    assert steps[1]["positions"][:4] == steps[0]["positions"]
    assert scores["ents_f"] == scores["ents_f@9"] == steps[-1]["scores"]["ents_f"]
    assert scores["words@4"] == sum(len(docs[position]) for position in steps[0]["positions"])
    kept = [path.name for path in (simulation.output / run.name).iterdir() if path.is_dir()]
    assert kept == ["with9"]


def test_a_stopped_run_goes_on(simulation):
    run = Run("random", 2)
    expected = simulation(run, {})
    path = simulation.output / run.name / STEPS_FILE
    steps = read_steps(path)
    steps[0]["scores"]["ents_f"] = 2.0
    path.write_text(json.dumps(steps[:2]))
    resumed = simulation(run, {}).scores
    assert resumed.pop("ents_f@4") == 2.0
    expected.scores.pop("ents_f@4")
    assert resumed == expected.scores


def count_steps(simulation, run):
    """The numbers of documents at each step, and how many of these steps are trained anew."""
    trained = []

    def train(folder, docs, positions, seed):
        trained.append(len(positions))
        return {"positions": list(positions), "scores": {"ents_f": 0.5}}

    simulation._train = train
    scores = simulation(run, {}).scores
    numbers = [int(name.removeprefix("words@")) for name in scores if name.startswith("words@")]
    return numbers, len(trained)


def test_steps_of_other_settings_are_computed_anew(simulation, tiny_corpus, tmp_path):
    run, output = Run("random", 1), tmp_path / "work"
    pool = tmp_path / "copy.spacy"
    pool.write_bytes(tiny_corpus.read_bytes())
    other_place = {**simulation.overrides, "paths.train": str(pool)}
    other_config = {**other_place, "training.dropout": 0.4}
    first = replace(simulation, output=output)
    assert count_steps(first, run) == ([4, 7, 9], 3)
    assert count_steps(replace(first, overrides=other_place), run) == ([4, 7, 9], 0)
    assert count_steps(replace(first, overrides=other_config), run) == ([4, 7, 9], 3)
    assert count_steps(replace(first, numbers=[4, 6, 8, 9]), run) == ([4, 6, 8, 9], 4)
    count_steps(first, run)
    write_docbin(pool, list(read_docbin(pool, spacy.blank("en").vocab))[:8])
    assert count_steps(replace(first, overrides=other_place), run) == ([4, 7, 8], 3)


def test_the_end_may_change(simulation, tmp_path):
    run, first = Run("random", 1), replace(simulation, output=tmp_path, numbers=[4, 7])
    assert count_steps(first, run) == ([4, 7], 2)
    assert count_steps(replace(first, numbers=[4, 7, 10]), run) == ([4, 7, 10], 1)
    assert count_steps(first, run) == ([4, 7], 0)
    assert count_steps(replace(first, numbers=[4, 7, 9]), run) == ([4, 7, 9], 3)


def test_curves_are_averaged_over_seeds():
    results = []
    for seed, value in ((1, 0.4), (2, 0.6)):
        scores = {"rels_strict_f@50": value, "ents_f@50": 0.0, "rels_strict_f": 0.0}
        scores["words@50"] = 1000 * value
        results.append(RunResult(Run("random", seed), "complete", scores, {}))
    results.append(RunResult(Run("selected", 1), "fail", {}, {}))
    curve = make_curves(results, ["RE+"])["random"]
    assert (curve["documents"], curve["words"]) == ([50], [pytest.approx(500.0)])
    assert curve["scores"]["RE+"]["mean"] == [pytest.approx(50.0)]
    assert curve["scores"]["RE+"]["sd"] == [pytest.approx(14.14, abs=0.01)]


def test_a_share_of_the_labels_is_corrupted(docs):
    n_labels = sum(len(doc.ents) + len(doc._.relations) for doc in docs)
    found = corrupt(docs, share=0.2, seed=1)
    n_changed = 0
    for doc, errors in zip(docs, found, strict=True):
        changed = entity_items(doc).keys() - entity_items(errors.doc).keys()
        n_changed += len(changed)
        assert bool(changed) == bool(errors.entities)
        if not errors.entities and not errors.relations:
            assert relation_items(doc).keys() == relation_items(errors.doc).keys()
        assert errors.doc.text == doc.text
    assert 0 < n_changed <= round(0.2 * n_labels)
    assert sum(errors.n_errors for errors in found) == round(0.2 * n_labels)


def test_the_seed_decides_on_the_errors(docs):
    def read(seed):
        found = corrupt(docs, share=0.2, seed=seed)
        return [(entity_items(errors.doc), relation_items(errors.doc)) for errors in found]

    assert read(1) == read(1) != read(2)
    assert read(1) != [(entity_items(doc), relation_items(doc)) for doc in docs]


def test_a_hit_is_a_suspect_of_a_wrong_label(docs):
    found = corrupt(docs, share=0.2, seed=1)
    errors = next(errors for errors in found if errors.entities)
    doc = docs[errors.doc.user_data["orig_id"]]
    hits = []
    for item in entity_items(doc):
        suspect = Suspect(0, ErrorFinding("entity", "spurious", None, item, 0.9))
        hits.append((item[:2] in errors.entities, is_hit(suspect, errors)))
    assert all(hit for is_wrong, hit in hits if is_wrong)
    assert not all(hit for _, hit in hits)


def test_suspects_are_searched_in_folds(tiny_config, overrides, tmp_path):
    search = SuspectSearch(tiny_config, overrides, tmp_path, share=0.2, n_folds=2)
    scores = search(Run("suspects", 1), {}).scores
    assert 0.0 <= scores["precision@50"] <= 1.0 and scores["errors"] > 0
    assert {"ents_f", "rels_strict_f"} <= scores.keys()
    assert (tmp_path / "suspects-seed1" / "suspects.jsonl").exists()


def test_the_command_saves_results_and_does_not_compute_again(
    run_experiments, tiny_config, overrides, tmp_path, monkeypatch
):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr("experiments.selection.SimulatedAnnotation", FakePart)
    monkeypatch.setattr("experiments.suspects.SuspectSearch", FakePart)
    settings = []
    for name, value in overrides.items():
        settings += [f"--{name}", value]
    arguments = ["loop", tmp_path / "loop.db", tmp_path / "out", "--config", tiny_config]
    arguments += ["--seeds", 1, "--work", tmp_path / "journal.txt", *settings]
    for _ in range(2):
        result = run_experiments(*arguments)
        assert result.exit_code == 0, result.output
        curves = json.loads((tmp_path / "out" / "selection.json").read_text())
        assert curves["random"]["documents"] == [50, 100]
        assert json.loads((tmp_path / "out" / "suspects.json").read_text())["precision@50"] == [0.5]
        assert (tmp_path / "out" / "selection.png").exists()
        for path in (tmp_path / "out").iterdir():
            path.unlink()
    runs = (tmp_path / "journal.txt").read_text().split()
    assert sorted(runs) == ["random-seed1", "selected-seed1", "suspects-seed1"]
    result = run_experiments(*arguments, "--start", 20)
    assert result.exit_code == 1 and "has been run with another" in result.output
    assert "choose another STORAGE" in " ".join(result.output.split())


def test_an_unknown_part_is_a_message(run_experiments, tiny_config, tmp_path):
    arguments = (tmp_path / "loop.db", tmp_path / "out", "--config", tiny_config)
    result = run_experiments("loop", *arguments, "--part", "none")
    assert result.exit_code == 1 and "expected both, selection, suspects" in result.output
    result = run_experiments("loop", *arguments, "--start", 600)
    assert result.exit_code == 1 and "expected a larger --end" in result.output
    result = run_experiments("loop", *arguments, "--gpu-id", 99)
    assert result.exit_code == 1 and "--gpu-id is 99" in result.output
