"""Trained models of several systems, compared on a corpus over all their seeds."""

import glob
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

import numpy as np
import spacy
from numpy.typing import NDArray
from spacy.language import Language
from spacy.util import load_config

from spacy_tabcnn.corpora.reader import RelationCorpus
from spacy_tabcnn.evaluation.scoring import count_items, predict_examples
from spacy_tabcnn.evaluation.significance import (
    Comparison,
    SentenceCounts,
    micro_f1,
    paired_bootstrap,
)
from spacy_tabcnn.pipeline.loading import load_pipeline
from spacy_tabcnn.relations import has_relations

from .results import MEASURES, summarise

# Hits, misses and spurious items of each document, (seeds, documents, 3), by measure.
SystemCounts = Mapping[str, SentenceCounts]


class SystemScores(TypedDict):
    """The scores of a system as plain data.

    models: The folders of its models.
    scores: F1 of each model in percent, by measure.
    """

    models: list[str]
    scores: dict[str, list[float]]


class System(NamedTuple):
    """A system with its trained models, one for each seed."""

    name: str
    models: list[str]


def find_systems(texts: Iterable[str]) -> list[System]:
    """Find the models of systems.

    texts (Iterable[str]): "NAME=MODELS" each, with a pattern for the folders of the models.
    RETURNS (list[System]): The systems, at least two.
    RAISES (ValueError): If there are fewer, a text is malformed, no folder matches it, or two texts
        have one name.
    """
    systems: dict[str, System] = {}
    for text in texts:
        name, _, pattern = text.partition("=")
        models = sorted(glob.glob(pattern))
        if not name or not models:
            raise ValueError(
                f"the system is {text!r}; expected NAME=MODELS and at least one such folder, for "
                "example 'CNN=training/seed*/model-last', with the quotes"
            )
        if name in systems:
            raise ValueError(f"two systems are named {name!r}. Give one of them another name")
        systems[name] = System(name, models)
    if len(systems) < 2:
        raise ValueError("a comparison needs at least two systems, NAME=MODELS each")
    return list(systems.values())


def count_systems(
    systems: Sequence[System], corpus: Path, *, without: Collection[str] = ()
) -> dict[str, SystemCounts]:
    """Annotate a corpus with the models of systems, and count hits, misses and spurious items.

    systems (Sequence[System]): The systems.
    corpus (Path): The corpus, as `RelationCorpus` reads it.
    without (Collection[str]): Names of components that do not run, such as a component that sets
        sentence boundaries where the documents of the corpus are sentences.
    RETURNS (dict[str, SystemCounts]): The counts of each system by its name.
    RAISES (OSError): If a file is missing.
    RAISES (ValueError): If a model or the corpus cannot be read, if the corpus has no entities or
        no relations, or if no model has a component of `without`.
    """
    _check_annotation(corpus)
    _check_components(systems, without)
    counts: dict[str, SystemCounts] = {}
    for system in systems:
        by_model = []
        for model in system.models:
            nlp = load_pipeline(model)
            left_out = [name for name in nlp.pipe_names if name in without]
            _check_listeners(nlp, left_out)
            with nlp.select_pipes(disable=left_out):
                examples = predict_examples(nlp, list(RelationCorpus(corpus)(nlp)))
            by_model.append([count_items(eg) for eg in examples])
        counts[system.name] = _stack_counts(by_model)
    return counts


def _check_annotation(corpus: Path) -> None:
    """Check that a corpus has what is scored: without gold items, all systems would score 0."""
    docs = [eg.reference for eg in RelationCorpus(corpus)(spacy.blank("xx"))]
    if not any(doc.has_annotation("ENT_IOB") for doc in docs):
        raise ValueError(f"{corpus}: no document is annotated with entities")
    if not any(map(has_relations, docs)):
        raise ValueError(f"{corpus}: no document is annotated with relations")


def _check_components(systems: Iterable[System], names: Collection[str]) -> None:
    """Check that each of some names is a component of a model."""
    unknown = set(names)
    for system in systems:
        for model in system.models:
            config = load_config(Path(model) / "config.cfg")
            unknown.difference_update(config.get("nlp", {}).get("pipeline", ()))
    if unknown:
        raise ValueError(f"no model has the component {min(unknown)!r}, which is to be left out")


def _check_listeners(nlp: Language, left_out: Iterable[str]) -> None:
    """Check that no other component reads the embeddings of a component that is left out."""
    for name in left_out:
        readers = getattr(nlp.get_pipe(name), "listening_components", ())
        if readers:
            raise ValueError(
                f"{name!r} cannot be left out: {', '.join(readers)} reads its word embeddings"
            )


def _stack_counts(by_model: list[list[dict[str, tuple[int, int, int]]]]) -> SystemCounts:
    """Make an array for each measure of the counts of each document by each model."""
    stacked = {}
    for measure, prefix in MEASURES.items():
        rows = []
        for by_document in by_model:
            rows.append([items[prefix] for items in by_document])
        stacked[measure] = np.array(rows, dtype=np.float64)
    return stacked


def compare(first: SystemCounts, second: SystemCounts) -> dict[str, Comparison]:
    """Compare two systems by the paired bootstrap over documents and seeds.

    first (SystemCounts): The counts of the first system; see `count_systems`.
    second (SystemCounts): The counts of the second system on the same corpus.
    RETURNS (dict[str, Comparison]): The difference in each measure.
    """
    compared = {}
    for measure in MEASURES:
        compared[measure] = paired_bootstrap(first[measure], second[measure], over_seeds=True)
    return compared


def list_scores(system: System, counts: SystemCounts) -> SystemScores:
    """Return the scores of a system.

    system (System): The system.
    counts (SystemCounts): Its counts.
    RETURNS (SystemScores): F1 of each model.
    """
    scores = {}
    for measure in MEASURES:
        scores[measure] = (100 * _score_models(counts[measure])).tolist()
    return {"models": system.models, "scores": scores}


def _score_models(counts: SentenceCounts) -> NDArray[np.float64]:
    """Compute the F1 of each model on the whole corpus, (models,), as shares of 1."""
    return micro_f1(counts.sum(axis=1))


def tabulate_scores(
    systems: Iterable[System], counts: Mapping[str, SystemCounts]
) -> list[list[str]]:
    """Make the rows of a table of scores.

    systems (Iterable[System]): The systems.
    counts (Mapping[str, SystemCounts]): The counts of each system by its name.
    RETURNS (list[list[str]]): Name, number of models, and F1 in percent for each measure.
    """
    rows = []
    for system in systems:
        row = [system.name, str(len(system.models))]
        for measure in MEASURES:
            row.append(str(summarise(_score_models(counts[system.name][measure]).tolist())))
        rows.append(row)
    return rows


def tabulate_differences(compared: Mapping[str, Comparison]) -> list[list[str]]:
    """Make the rows of a table of differences.

    compared (Mapping[str, Comparison]): The difference in each measure.
    RETURNS (list[list[str]]): Measure, difference and 95 % interval in points, and p-value.
    """
    rows = []
    for measure, found in compared.items():
        interval = f"{100 * found.low:+.1f} to {100 * found.high:+.1f}"
        row = [measure, f"{100 * found.difference:+.1f}", interval, f"{found.p_value:.3f}"]
        rows.append(row)
    return rows
