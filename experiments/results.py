"""The results of a study: their files, means and standard deviations."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import mean, stdev
from types import MappingProxyType, UnionType
from typing import Any, NamedTuple, TypedDict, cast, get_type_hints

import numpy as np

from spacy_tabcnn.evaluation.significance import SentenceCounts

from .corpora import get_convention
from .grid import Overrides, Run, RunGroup

# The prefix of the scores in each column of the paper.
MEASURES = {"NER": "ents", "RE": "rels_boundaries", "RE+": "rels_strict"}
# The order of the paper's legends, then the other systems of its table 1. More come after these.
SYSTEMS = ("TabERT-CNN", "TabERT", "SpERT", "PFN", "Table-Sequence")

# Hits, misses and spurious items of each sentence, by the prefix of the scores.
CountsByPrefix = dict[str, list[list[int]]]


class RunScores(NamedTuple):
    """The scores of a training run.

    scores (dict[str, float]): The scores of the best model on the development set, as shares of 1.
    counts (CountsByPrefix): Hits, misses and spurious items of each sentence.
    """

    scores: dict[str, float]
    counts: CountsByPrefix


class RunResult(NamedTuple):
    """The state and the scores of a run.

    run (Run): The run.
    state (str): "complete", "running", "waiting" or "fail".
    scores (dict[str, float]): See `RunScores`; empty unless complete.
    counts (CountsByPrefix): See `RunScores`.
    minutes (float | None): Duration of the run.
    error (str | None): The error of a failed run; None if its worker died.
    overrides (Mapping[str, object]): The settings that the sampler of a search chose.
    """

    run: Run
    state: str
    scores: dict[str, float]
    counts: CountsByPrefix
    minutes: float | None = None
    error: str | None = None
    overrides: Mapping[str, object] = MappingProxyType({})


class CorpusCounts(TypedDict):
    """The size of a corpus file."""

    sentences: int
    entity_types: int
    relation_types: int


class StudiedCorpus(TypedDict, total=False):
    """The corpus of a study: its name and the sizes of its files."""

    name: str
    train: CorpusCounts
    dev: CorpusCounts


class StudySettings(TypedDict, total=False):
    """The origin of a study's scores.

    systems (dict[str, str]): The text of the config of each system.
    encoder (str | None): The name of the encoder.
    corpus (StudiedCorpus): The name and the sizes of the corpus.
    contents (dict[str, str]): Checksums of the content of train and dev.
    space (dict[str, object]): The search space, if the study is a search.
    """

    systems: dict[str, str]
    encoder: str | None
    corpus: StudiedCorpus
    contents: dict[str, str]
    space: dict[str, object]


class RunRecord(TypedDict):
    """A complete run in a file or a storage."""

    run: dict[str, object]
    overrides: Overrides
    minutes: float | None
    scores: dict[str, float]
    counts: CountsByPrefix


class Study(NamedTuple):
    """The state of a study.

    name (str): Its name.
    settings (StudySettings): See `experiments.training.describe`.
    results (list[RunResult]): The results of its runs.
    """

    name: str
    settings: StudySettings
    results: list[RunResult]

    @property
    def corpus(self) -> str:
        """The name of the corpus."""
        return self.settings.get("corpus", {}).get("name", "an unnamed corpus")

    @property
    def encoder(self) -> str:
        """The name of the encoder."""
        return self.settings.get("encoder") or "no encoder"

    @property
    def label(self) -> str:
        """The encoder and, unless it is the corpus of the paper's layer tables, the corpus."""
        if get_convention(self.corpus).has_layer_tables:
            return self.encoder
        return f"{self.encoder}, {self.corpus}"

    @property
    def complete(self) -> list[RunResult]:
        """The results of the complete runs."""
        return [result for result in self.results if result.state == "complete"]

    @property
    def is_layer_study(self) -> bool:
        """Whether the study compares encoder layers; otherwise it is a search."""
        return any(result.run.layer is not None for result in self.results)


class ScoreSummary(NamedTuple):
    """Scores over runs, such as the runs of several seeds or folds, in percent.

    mean (float): Their mean.
    sd (float | None): Their sample standard deviation; None for a single run.
    n_runs (int): Number of runs.
    """

    mean: float
    sd: float | None = None
    n_runs: int = 1

    def __str__(self) -> str:
        if self.sd is None:
            return f"{self.mean:.1f}"
        return f"{self.mean:.1f} ± {self.sd:.1f}"


def save_results(study: Study, path: Path) -> None:
    """Save the complete runs of a study as JSON lines. The first line holds its name and settings.

    study (Study): The study.
    path (Path): The file.
    """
    rows: list[object] = [{"study": study.name, "settings": study.settings}]
    for result in study.complete:
        record: RunRecord = {
            "run": result.run.to_dict(),
            "overrides": dict(result.overrides),
            "minutes": result.minutes,
            "scores": result.scores,
            "counts": result.counts,
        }
        rows.append(record)
    with path.open("w", encoding="utf-8") as file_:
        for row in rows:
            file_.write(json.dumps(row, separators=(",", ":")) + "\n")


def read_saved_results(path: Path) -> tuple[StudySettings, dict[Run, RunRecord]]:
    """Read a file that `save_results` wrote.

    path (Path): The file.
    RETURNS (tuple[StudySettings, dict[Run, RunRecord]]): The settings and the complete runs.
    RAISES (OSError): If there is no such file.
    RAISES (ValueError): If the file has other content.
    """
    try:
        header, *rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        settings = _check_settings(header["settings"])
        records = dict(map(_read_record, rows))
    except (KeyError, RecursionError, TypeError, ValueError) as err:
        raise ValueError(
            f"{path}: not the results of a study ({err!r}); expected the NAME.jsonl of a report"
        ) from err
    return settings, records


def _check_settings(settings: Mapping[str, Any]) -> StudySettings:
    """Check the settings in a file.

    RAISES (KeyError, TypeError): If they have another form.
    """
    expect(settings, dict)
    expect(settings.get("encoder"), str | None)
    systems, corpus = settings.get("systems", {}), settings.get("corpus", {})
    expect(systems, dict)
    expect(corpus, dict)
    for text in (*systems.values(), corpus.get("name", "")):
        expect(text, str)
    for part in corpus.keys() & {"train", "dev"}:
        for key in get_type_hints(CorpusCounts):
            expect(corpus[part][key], int)
    return cast(StudySettings, settings)


def _read_record(row: Mapping[str, Any]) -> tuple[Run, RunRecord]:
    """Read the record of a run in a file, and check it.

    RAISES (KeyError, TypeError, ValueError): If it has another form.
    """
    run = read_run(row)
    if run is None:
        raise KeyError("run")
    for key, kind in get_type_hints(Run).items():
        expect(getattr(run, key), kind)
    expect(row["overrides"], dict)
    expect(row["minutes"], int | float | None)
    for prefix in MEASURES.values():
        expect(row["scores"][f"{prefix}_f"], int | float)
        np.array(row["counts"][prefix], dtype=np.float64).reshape(-1, 3)
    return run, RunRecord(
        run=run.to_dict(),
        overrides=row["overrides"],
        minutes=row["minutes"],
        scores=row["scores"],
        counts=row["counts"],
    )


def expect(value: object, kind: type | UnionType) -> None:
    """Check the type of a value in a file.

    value (object): The value.
    kind (type | UnionType): The type that it has to have.
    RAISES (TypeError): If it has another type.
    """
    if not isinstance(value, kind):
        name = getattr(kind, "__name__", str(kind))
        raise TypeError(f"{value!r:.100} instead of {name}")


def read_saved_study(path: Path) -> Study:
    """Read a study from a file that `save_results` wrote. The name of the file is its name.

    path (Path): The file, NAME.jsonl.
    RETURNS (Study): The study, with its complete runs.
    RAISES (OSError): If there is no such file.
    RAISES (ValueError): If the file has other content.
    """
    settings, records = read_saved_results(path)
    results = []
    for run, record in records.items():
        results.append(
            RunResult(
                run,
                "complete",
                record["scores"],
                record["counts"],
                minutes=record["minutes"],
                overrides=record["overrides"],
            )
        )
    return Study(path.stem, settings, results)


def join_alike(studies: Iterable[Study]) -> list[Study]:
    """Join the studies of one encoder and one corpus, so that their systems can be compared.

    Studies stay apart if they share a run, or if a system has another config in each.

    studies (Iterable[Study]): The studies.
    RETURNS (list[Study]): The joined studies, each in the place of its first one.
    """
    joined: list[Study] = []
    for study in studies:
        for position, other in enumerate(joined):
            if _are_alike(study, other):
                joined[position] = _join(other, study)
                break
        else:
            joined.append(study)
    return joined


def _are_alike(one: Study, other: Study) -> bool:
    conditions = _get_conditions(one)
    if not all(conditions) or conditions != _get_conditions(other):
        return False
    configs, others = one.settings.get("systems", {}), other.settings.get("systems", {})
    if any(configs[system] != others[system] for system in configs.keys() & others.keys()):
        return False
    runs = {result.run for result in one.results}
    return runs.isdisjoint(result.run for result in other.results)


def _get_conditions(study: Study) -> tuple[str | None, StudiedCorpus | None]:
    """Return the encoder and the corpus; None for what the study does not name."""
    return study.settings.get("encoder"), study.settings.get("corpus")


def _join(one: Study, other: Study) -> Study:
    systems = {**one.settings.get("systems", {}), **other.settings.get("systems", {})}
    settings: StudySettings = {**one.settings, "systems": systems}
    return Study(f"{one.name}, {other.name}", settings, [*one.results, *other.results])


def read_run(record: Mapping[str, Any]) -> Run | None:
    """Read the run of a record in a file or a storage. Version 0.1.0 named it "cell".

    record (Mapping[str, Any]): The record.
    RETURNS (Run | None): The run; None if the record names none.
    """
    settings = record.get("run") or record.get("cell")
    if settings is None:
        return None
    return Run(**settings)


def summarise(scores: Iterable[float]) -> ScoreSummary:
    """Average scores over runs, such as the runs of several seeds or folds.

    scores (Iterable[float]): The scores, as shares of 1; at least one.
    RETURNS (ScoreSummary): Their mean and standard deviation, in percent.
    """
    percent = [100 * score for score in scores]
    if len(percent) == 1:
        return ScoreSummary(percent[0])
    return ScoreSummary(mean(percent), stdev(percent), len(percent))


def summarise_study(study: Study, measure: str) -> dict[RunGroup, ScoreSummary]:
    """Average the scores of each group of runs that differ by their seed only.

    study (Study): The study. Runs that are not complete are left out.
    measure (str): A column of the paper, one of `MEASURES`.
    RETURNS (dict[RunGroup, ScoreSummary]): The averages.
    """
    groups: dict[RunGroup, list[float]] = {}
    for result in study.complete:
        score = result.scores[f"{MEASURES[measure]}_f"]
        groups.setdefault(result.run.group, []).append(score)
    return {group: summarise(scores) for group, scores in groups.items()}


def gather_counts(study: Study, group: RunGroup, measure: str) -> SentenceCounts:
    """Collect the counts of each sentence for `paired_bootstrap`.

    study (Study): The study. Runs that are not complete are left out.
    group (RunGroup): The group of runs.
    measure (str): A column of the paper, one of `MEASURES`.
    RETURNS (SentenceCounts): Hits, misses and spurious items, (seeds, sentences, 3).
    """
    counts = []
    for result in study.complete:
        if result.run.group == group:
            counts.append(result.counts[MEASURES[measure]])
    return np.array(counts, dtype=np.float64)


def sort_systems(systems: Iterable[str]) -> list[str]:
    """Sort systems: first the systems of the paper, in its order, then the others by name.

    systems (Iterable[str]): Names of systems.
    RETURNS (list[str]): The names, each once.
    """
    names = set(systems)
    known = list(filter(names.__contains__, SYSTEMS))
    return known + sorted(names.difference(SYSTEMS))
