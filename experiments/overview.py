"""The lists of a report: the runs of the studies, and the parts of the paper that were not run."""

from collections import Counter
from collections.abc import Collection, Sequence

from .corpora import get_convention
from .grid import STATES
from .heldout import ScoredSystem
from .paper import read_paper
from .results import Study, sort_systems
from .sections import count_things

# Names of runs that a sentence lists before it breaks off.
_N_NAMES = 8


def describe_runs(studies: Sequence[Study]) -> list[str]:
    """Describe the sources of the figures.

    studies (Sequence[Study]): The layer studies.
    RETURNS (list[str]): Sentences without a full stop: one for the paper and one for each study.
    """
    lines = [f"Paper: {read_paper()['source'].rstrip('.')}"]
    for study in studies:
        seeds = {result.run.seed for result in study.complete}
        hours = sum(result.minutes or 0 for result in study.complete) / 60
        lines.append(
            f"Study {study.name!r}: {study.corpus}, encoder {study.encoder}, "
            f"{len(study.complete)} of {len(study.results)} runs, "
            f"{count_things(len(seeds), 'seed')}, {hours:.1f} hours of training. "
            "Each run is scored on the development set by the checkpoint that is best there"
        )
    if not studies:
        lines.append("No layer study was run")
    return lines


def describe_missing(studies: Sequence[Study], test_scores: Collection[ScoredSystem]) -> list[str]:
    """List the parts of the paper that were not run, and the runs without a result.

    studies (Sequence[Study]): The layer studies.
    test_scores (Collection[ScoredSystem]): The systems with scores on test sets, see
        `read_test_scores`.
    RETURNS (list[str]): Sentences without a full stop.
    """
    lines = _list_missing_tests(test_scores) + _list_missing_layers(studies)
    for study in studies:
        lines += _list_unfinished(study)
    return lines


def _list_missing_tests(test_scores: Collection[ScoredSystem]) -> list[str]:
    lines = []
    for corpus, rows in read_paper()["table1"]["corpora"].items():
        missing = []
        for name in rows:
            system, encoder = name.split("/")
            if (corpus, system, encoder) not in test_scores:
                missing.append(name)
        if missing:
            lines.append(f"Table 1, {corpus} with the paper's encoder: {', '.join(missing)}")
    return lines


def _list_missing_layers(studies: Sequence[Study]) -> list[str]:
    run = _list_curves(studies)
    lines = []
    for system in sort_systems(read_paper()["table2_ner_dev_conll04"]):
        missing = [STATES[frozen] for frozen in (True, False) if (system, frozen) not in run]
        if missing:
            lines.append(f"Tables 2 and 3: {system}, encoder {' and '.join(missing)}")
    if not any(map(_has_papers_encoder, studies)):
        lines.append("Tables 2 and 3 with the paper's encoder, bert-base")
    return lines


def _list_curves(studies: Sequence[Study]) -> set[tuple[str, bool | None]]:
    """List the systems and states of the encoder that are run on the corpus of tables 2 and 3."""
    curves = set()
    for study in studies:
        if get_convention(study.corpus).has_layer_tables:
            for result in study.results:
                curves.add((result.run.system, result.run.frozen))
    return curves


def _has_papers_encoder(study: Study) -> bool:
    return "bert-base" in study.encoder.lower()


def _list_unfinished(study: Study) -> list[str]:
    """List the runs of a study that are not complete, and the errors of the failed runs."""
    lines = []
    for state, word in (("waiting", "waiting"), ("running", "running"), ("fail", "failed")):
        names = [result.run.name for result in study.results if result.state == state]
        if names:
            count = f"{len(names)} of {len(study.results)} runs"
            lines.append(f"Study {study.name!r}: {count} {word}: {_shorten(names)}")
    errors = Counter(result.error for result in study.results if result.error)
    for error, number in errors.items():
        lines.append(f"Study {study.name!r}, {count_things(number, 'run')}: {error}")
    return lines


def _shorten(names: Sequence[str]) -> str:
    """Join the first of some names."""
    text = ", ".join(names[:_N_NAMES])
    if len(names) > _N_NAMES:
        text += ", …"
    return text
