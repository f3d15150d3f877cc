"""Scores of trained models on test sets, for table 1."""

import glob
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from spacy_tabcnn.evaluation.scoring import Scores

from .corpora import get_convention
from .results import MEASURES, ScoreSummary, summarise


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
        `spacy tabcnn evaluate`, one for each seed or fold.
    RETURNS (dict[ScoredSystem, list[ScoreSummary]]): NER, RE and RE+, with the average that the
        paper uses for the corpus, see `get_convention`.
    RAISES (OSError): If a file cannot be read.
    RAISES (ValueError): If a text is malformed, no file matches it, two texts name one system, or a
        file holds something else.
    """
    found: dict[ScoredSystem, list[ScoreSummary]] = {}
    for text in texts:
        system, paths = _parse_test_scores(text)
        if system in found:
            raise ValueError(
                f"the test scores {text!r} are of a system that has scores already. Name all its "
                f"files in one pattern, or give it another name than {'/'.join(system)}"
            )
        suffix = get_convention(system.corpus).score_suffix
        keys = [f"{measure}_{suffix}" for measure in MEASURES.values()]
        columns = zip(*(_read_scores(path, keys) for path in paths), strict=True)
        found[system] = list(map(summarise, columns))
    return found


def list_test_files(texts: Iterable[str]) -> list[str]:
    """List the files of scores on test sets.

    texts (Iterable[str]): See `read_test_scores`.
    RETURNS (list[str]): Their paths.
    RAISES (ValueError): If a text is malformed, or no file matches it.
    """
    found: list[str] = []
    for text in texts:
        found += _parse_test_scores(text)[1]
    return found


def _parse_test_scores(text: str) -> tuple[ScoredSystem, list[str]]:
    """Split an option into the system and the paths of its files."""
    name, _, pattern = text.partition("=")
    parts = name.split("/")
    paths = sorted(glob.glob(pattern))
    if len(parts) != 3 or not paths:
        raise ValueError(
            f"the test scores are {text!r}; expected CORPUS/SYSTEM/ENCODER=FILES and at least one "
            "such file, for example CoNLL04/TabERT-CNN/minilm=metrics/conll04_test*.json"
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
