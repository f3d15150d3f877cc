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
    RAISES (ValueError): If a text is malformed, or no file matches it.
    """
    found = {}
    for text in texts:
        system, paths = _parse_test_scores(text)
        suffix = get_convention(system.corpus).score_suffix
        keys = [f"{measure}_{suffix}" for measure in MEASURES.values()]
        columns = zip(*(_read_scores(path, keys) for path in paths), strict=True)
        found[system] = list(map(summarise, columns))
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
    scores: Scores = json.loads(Path(path).read_text(encoding="utf-8"))
    values = [scores[key] for key in keys if scores.get(key) is not None]
    if len(values) < len(keys):
        raise ValueError(
            f"{path}: expected the output of `spacy tabcnn evaluate`, with {', '.join(keys)}"
        )
    return values
