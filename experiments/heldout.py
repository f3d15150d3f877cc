"""Scores of trained models on test sets, for table 1."""

import glob
import json
import os.path
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from spacy_tabcnn.evaluation.scoring import Scores

from .corpora import get_convention
from .results import MEASURES, ScoreSummary, expect, summarise

# The file of a report with the scores on test sets.
TEST_SCORES = "test_scores.json"


class ScoredSystem(NamedTuple):
    """A system with its encoder, and the corpus that it is scored on."""

    corpus: str
    system: str
    encoder: str


# NER, RE and RE+ of each system.
HeldOutSummaries = Mapping[ScoredSystem, Sequence[ScoreSummary]]


def read_test_scores(texts: Iterable[str]) -> dict[ScoredSystem, list[ScoreSummary]]:
    """Read the scores of trained models on test sets.

    texts (Iterable[str]): "CORPUS/SYSTEM/ENCODER=FILES" each, with a pattern for the JSON files of
        `spacy tabcnn evaluate`, one for each seed or fold; or the path of the file that
        `save_test_scores` wrote.
    RETURNS (dict[ScoredSystem, list[ScoreSummary]]): NER, RE and RE+, with the average that the
        paper uses for the corpus, see `get_convention`.
    RAISES (OSError): If a file cannot be read.
    RAISES (ValueError): If a text is malformed, no file matches it, two texts name one system, or a
        file holds something else.
    """
    found: dict[ScoredSystem, list[ScoreSummary]] = {}
    for text in texts:
        for system, summaries in _read_systems(text):
            if system in found:
                raise ValueError(
                    f"the test scores {text!r} are of a system that has scores already. Name all "
                    f"its files in one pattern, or give it another name than {'/'.join(system)}"
                )
            found[system] = summaries
    return found


def save_test_scores(scores: HeldOutSummaries, path: Path) -> None:
    """Save scores on test sets as JSON: the means and standard deviations of each system.

    scores (HeldOutSummaries): The scores.
    path (Path): The file.
    """
    rows = []
    for system, summaries in scores.items():
        row: dict[str, object] = {**system._asdict()}
        for measure, summary in zip(MEASURES, summaries, strict=True):
            row[measure] = summary._asdict()
        rows.append(row)
    path.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def list_test_files(texts: Iterable[str]) -> list[str]:
    """List the files of scores on test sets.

    texts (Iterable[str]): See `read_test_scores`.
    RETURNS (list[str]): Their paths.
    RAISES (ValueError): If a text is malformed, or no file matches it.
    """
    found: list[str] = []
    for text in texts:
        found += [text] if os.path.isfile(text) else _parse_test_scores(text)[1]
    return found


def _read_systems(text: str) -> list[tuple[ScoredSystem, list[ScoreSummary]]]:
    """Read the scores that one text names; see `read_test_scores`."""
    if os.path.isfile(text):
        return _read_saved_scores(text)
    system, paths = _parse_test_scores(text)
    suffix = get_convention(system.corpus).score_suffix
    keys = [f"{measure}_{suffix}" for measure in MEASURES.values()]
    columns = zip(*(_read_scores(path, keys) for path in paths), strict=True)
    return [(system, list(map(summarise, columns)))]


def _read_saved_scores(path: str) -> list[tuple[ScoredSystem, list[ScoreSummary]]]:
    """Read a file that `save_test_scores` wrote.

    RAISES (OSError): If there is no such file.
    RAISES (ValueError): If the file has other content.
    """
    try:
        found = []
        for row in json.loads(Path(path).read_text(encoding="utf-8")):
            for key in ScoredSystem._fields:
                expect(row[key], str)
            system = ScoredSystem(*(row[key] for key in ScoredSystem._fields))
            found.append((system, [_read_summary(row[measure]) for measure in MEASURES]))
        return found
    except (KeyError, RecursionError, TypeError, ValueError) as err:
        raise ValueError(
            f"{path}: cannot be read ({err!r}); expected the {TEST_SCORES} of a report"
        ) from err


def _read_summary(data: Mapping[str, Any]) -> ScoreSummary:
    """Read a mean and a standard deviation.

    RAISES (KeyError, TypeError): If they have another form.
    """
    expect(data["mean"], int | float)
    expect(data["sd"], int | float | None)
    expect(data["n_runs"], int)
    return ScoreSummary(data["mean"], data["sd"], data["n_runs"])


def _parse_test_scores(text: str) -> tuple[ScoredSystem, list[str]]:
    """Split an option into the system and the paths of its files."""
    name, _, pattern = text.partition("=")
    parts = name.split("/")
    paths = sorted(glob.glob(pattern))
    if len(parts) != 3 or not paths:
        raise ValueError(
            f"the test scores are {text!r}; expected CORPUS/SYSTEM/ENCODER=FILES and at least one "
            "such file, for example CoNLL04/TabERT-CNN/minilm=metrics/conll04_test*.json, or the "
            f"{TEST_SCORES} of a report"
        )
    return ScoredSystem(*parts), paths


def _read_scores(path: str, keys: Sequence[str]) -> list[float]:
    try:
        scores: Scores = json.loads(Path(path).read_text(encoding="utf-8"))
        return [float(scores[key]) for key in keys]
    except (KeyError, RecursionError, TypeError, ValueError) as err:
        raise ValueError(
            f"{path}: cannot be read ({err!r}); expected the output of `spacy tabcnn evaluate`, "
            f"with {', '.join(keys)}"
        ) from err
