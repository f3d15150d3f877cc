"""Annotation simulated on a corpus: documents that a model selects, against random ones."""

import hashlib
import io
import json
import random
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, TypedDict

import spacy
from spacy.cli._util import setup_gpu
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training.loop import DIR_MODEL_BEST
from spacy.util import load_config

from spacy_tabcnn.bulk.selection import select_documents
from spacy_tabcnn.corpora.docbin import list_docbins, write_docbin
from spacy_tabcnn.corpora.reader import RelationCorpus
from spacy_tabcnn.files import write_json
from spacy_tabcnn.training.loop import train_or_go_on

from .grid import Overrides, Run
from .results import MEASURES, RunResult, RunScores, summarise
from .training import score

SELECTED, RANDOM = "selected", "random"
STRATEGIES = (SELECTED, RANDOM)
STEPS_FILE = "steps.json"
SETTINGS_FILE = "settings.json"
# The name of the number of words at a step, among the scores.
WORDS = "words"


class Step(TypedDict):
    """The annotated documents of a step, and the scores of the model that learns from them.

    positions (list[int]): The documents, by their positions in the corpus.
    scores (dict[str, float]): See `RunScores`.
    """

    positions: list[int]
    scores: dict[str, float]


@dataclass
class SimulatedAnnotation:
    """Trains on more and more documents, which the model selects or which are drawn at random.

    The first documents are drawn at random by the seed, the same ones for both strategies. A run
    that was stopped goes on with the step that it was at, unless its settings or its corpora have
    changed. Further numbers may follow later.

    config (Path): The config; its `paths.train` is the pool, which is annotated already.
    overrides (Mapping[str, object]): The settings that all runs change in it, by dotted name.
    output (Path): Folder for the steps and the last pipeline of each run.
    numbers (Sequence[int]): Number of documents at each step, in ascending order. Numbers above the
        size of the pool stand for the whole pool.
    gpu_id (int): The GPU, or -1 for the CPU.
    """

    config: Path
    overrides: Mapping[str, object]
    output: Path
    numbers: Sequence[int]
    gpu_id: int = -1

    def __call__(self, run: Run, chosen: Overrides) -> RunScores:
        """Simulate the annotation by one strategy and seed.

        run (Run): The strategy, as its system, and the seed.
        chosen (Overrides): Not used.
        RETURNS (RunScores): The scores at the end, and the scores and the number of words at each
            step by the names of `name_score`.
        """
        setup_gpu(self.gpu_id, silent=True)
        docs = read_pool(self._find_pool())
        folder = self.output / run.name
        numbers = sorted({min(number, len(docs)) for number in self.numbers})
        steps = self._read_own_steps(folder, numbers)
        order = draw_order(len(docs), run.seed)
        if not steps:
            steps.append(self._train(folder, docs, order[: numbers[0]], run.seed))
            write_json(folder / STEPS_FILE, steps)
        for number in numbers[len(steps) :]:
            annotated = steps[-1]["positions"]
            n_more = number - len(annotated)
            positions = self._annotate_more(folder, docs, annotated, order, run, n_more)
            steps.append(self._train(folder, docs, positions, run.seed))
            write_json(folder / STEPS_FILE, steps)
            # Only now: a run that is stopped before selects again.
            shutil.rmtree(self._name_training(folder, annotated), ignore_errors=True)
        scores = dict(steps[-1]["scores"])
        for step in steps:
            n_docs = len(step["positions"])
            for name, value in step["scores"].items():
                scores[name_score(name, n_docs)] = value
            n_words = sum(len(docs[position]) for position in step["positions"])
            scores[name_score(WORDS, n_docs)] = float(n_words)
        return RunScores(scores, {})

    def _find_pool(self) -> Path:
        return Path(self._load_paths()["train"])

    def _load_paths(self) -> dict[str, Any]:
        config = load_config(self.config, overrides=dict(self.overrides), interpolate=True)
        return dict(config["paths"])

    def _read_own_steps(self, folder: Path, numbers: Sequence[int]) -> list[Step]:
        """Read the steps of a run. If they come from other settings, its folder is emptied."""
        settings = self._describe()
        steps = read_steps(folder / STEPS_FILE)[: len(numbers)]
        found = [len(step["positions"]) for step in steps]
        if found == numbers[: len(found)] and settings == _read_settings(folder):
            return steps
        shutil.rmtree(folder, ignore_errors=True)
        write_json(folder / SETTINGS_FILE, settings)
        return []

    def _describe(self) -> dict[str, object]:
        """Describe the origin of the scores. Files have their checksum in place of their path."""
        contents: dict[str, str | None] = {}
        for name, value in self._load_paths().items():
            contents[name] = _describe_path(value)
        config = load_config(self.config, overrides=dict(self.overrides), interpolate=False)
        config.pop("paths")
        text = config.to_str(interpolate=False)
        return {"config": text, "paths": contents}

    def _annotate_more(
        self,
        folder: Path,
        docs: Sequence[Doc],
        annotated: Sequence[int],
        order: Sequence[int],
        run: Run,
        n_more: int,
    ) -> list[int]:
        """Return the annotated documents and some more."""
        taken = set(annotated)
        others = [position for position in order if position not in taken]
        if run.system == RANDOM:
            return [*annotated, *others[:n_more]]
        nlp = spacy.load(self._name_training(folder, annotated) / DIR_MODEL_BEST)
        choice = select_documents([nlp], [docs[position] for position in others], n_more)
        return [*annotated, *(others[found.position] for found in choice.documents)]

    def _train(
        self, folder: Path, docs: Sequence[Doc], positions: Sequence[int], seed: int
    ) -> Step:
        """Train on some documents of the pool, and score on the development corpus."""
        training = self._name_training(folder, positions)
        data = folder / f"{training.name}.spacy"
        write_docbin(data, [docs[position] for position in positions])
        own = {"paths.train": str(data), "system.seed": seed}
        config = load_config(self.config, overrides={**self.overrides, **own}, interpolate=False)
        train_or_go_on(
            config, training, gpu_id=self.gpu_id, stdout=io.StringIO(), stderr=io.StringIO()
        )
        nlp: Language = spacy.load(training / DIR_MODEL_BEST)
        return {"positions": list(positions), "scores": score(nlp).scores}

    def _name_training(self, folder: Path, positions: Sequence[int]) -> Path:
        return folder / f"with{len(positions)}"


def read_pool(path: Path) -> list[Doc]:
    """Read the documents of a pool, as a training does.

    path (Path): A .spacy file or a folder of them.
    RETURNS (list[Doc]): The documents with words.
    RAISES (ValueError): If the path does not exist, or a file cannot be read.
    """
    return [eg.reference for eg in RelationCorpus(path)(spacy.blank("xx"))]


def draw_order(n_docs: int, seed: int) -> list[int]:
    """Draw the order of the documents of a pool.

    n_docs (int): Number of documents.
    seed (int): The random seed.
    RETURNS (list[int]): Their positions.
    """
    order = list(range(n_docs))
    random.Random(seed).shuffle(order)
    return order


def _describe_path(value: object) -> str | None:
    """Return the checksum of a file, the ones of a folder's .spacy files, or the name of a path.

    None stands for no path.
    """
    if value is None:
        return None
    path = Path(str(value))
    files = list_docbins(path)
    if path.is_file():
        files = [path]
    if not files:
        return path.name
    checksums = [hashlib.sha256(found.read_bytes()).hexdigest() for found in files]
    return " ".join(checksums)


def _read_settings(folder: Path) -> object:
    """Read the settings of the steps in a folder; None if there are none."""
    path = folder / SETTINGS_FILE
    if not path.is_file():
        return None
    return json.loads(path.read_text(encoding="utf-8"))


def read_steps(path: Path) -> list[Step]:
    """Read the steps that a run has finished.

    path (Path): The file.
    RETURNS (list[Step]): The steps; none if there is no such file.
    """
    if not path.is_file():
        return []
    steps: list[Step] = json.loads(path.read_text(encoding="utf-8"))
    return steps


def name_score(name: str, n_docs: int) -> str:
    """Name the score at a step.

    name (str): The name of the score.
    n_docs (int): Number of annotated documents.
    RETURNS (str): The name, such as "rels_strict_f@100".
    """
    return f"{name}@{n_docs}"


class CurveScores(TypedDict):
    """The scores of a measure at each step, in percent, over the seeds.

    mean (list[float]): Their means.
    sd (list[float | None]): Their standard deviations; None for a single seed.
    """

    mean: list[float]
    sd: list[float | None]


class Curve(TypedDict):
    """The steps of a strategy, over the seeds.

    documents (list[int]): Numbers of annotated documents.
    words (list[float]): Means of their numbers of words.
    scores (dict[str, CurveScores]): The scores at each step, by their measure.
    """

    documents: list[int]
    words: list[float]
    scores: dict[str, CurveScores]


def make_curves(results: Sequence[RunResult], measures: Sequence[str]) -> dict[str, Curve]:
    """Average the scores of each strategy at each step over the seeds.

    results (Sequence[RunResult]): The results of the study. Runs that are not complete are left
        out.
    measures (Sequence[str]): Some of `MEASURES`.
    RETURNS (dict[str, Curve]): The curve of each strategy with a complete run.
    """
    runs: dict[str, list[RunResult]] = {}
    for result in results:
        if result.state == "complete":
            runs.setdefault(result.run.system, []).append(result)
    return {strategy: _make_curve(runs[strategy], measures) for strategy in sorted(runs)}


def _make_curve(results: Sequence[RunResult], measures: Sequence[str]) -> Curve:
    beginning = name_score(WORDS, 0)[:-1]
    names = [name for name in results[0].scores if name.startswith(beginning)]
    numbers = sorted(int(name.removeprefix(beginning)) for name in names)
    words = [fmean(_collect(results, WORDS, number)) for number in numbers]
    scores = {}
    for measure in measures:
        summaries = []
        for number in numbers:
            summaries.append(summarise(_collect(results, f"{MEASURES[measure]}_f", number)))
        scores[measure] = CurveScores(
            mean=[summary.mean for summary in summaries], sd=[summary.sd for summary in summaries]
        )
    return {"documents": numbers, "words": words, "scores": scores}


def _collect(results: Sequence[RunResult], name: str, number: int) -> list[float]:
    return [result.scores[name_score(name, number)] for result in results]


def draw_curves(curves: Mapping[str, Curve], path: Path, *, x_label: str) -> None:
    """Draw the curves of strategies or systems, a panel for each measure.

    curves (Mapping[str, Curve]): The curves, at least one.
    path (Path): The file; its extension, .png or .svg, decides the format.
    x_label (str): The label of the numbers of documents.
    RAISES (ImportError): If matplotlib is not installed.
    """
    from spacy_tabcnn.visual.reliability import save_figure, tidy_axis

    from .figures import choose_styles

    styles = choose_styles(curves)
    first, *_ = curves.values()
    with save_figure(path, height=3.6) as figure:
        panels = figure.subplots(1, len(first["scores"]), squeeze=False)[0]
        for axis, measure in zip(panels, first["scores"], strict=True):
            for strategy, curve in curves.items():
                color, marker = styles[strategy]
                axis.errorbar(
                    curve["documents"],
                    curve["scores"][measure]["mean"],
                    yerr=[sd or 0.0 for sd in curve["scores"][measure]["sd"]],
                    label=strategy,
                    color=color,
                    marker=marker,
                    markersize=4.5,
                    capsize=2,
                )
            axis.set(xlabel=x_label, ylabel=f"{measure}, F1")
            tidy_axis(axis)
        panels[0].legend(frameon=False)
