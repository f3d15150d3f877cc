"""Simulated annotation, learning curves and suspects: runs in a study, and their results."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from spacy.util import load_config
from wasabi import msg

from spacy_tabcnn.files import fill_folder, write_json

from .grid import Overrides, Run
from .results import RunResult, summarise
from .selection import draw_curves, make_curves
from .storage import read_results
from .study import Train, run_study
from .suspects import CUTS
from .training import check_config, describe

# The measures of the curves.
CURVE_MEASURES = ("NER", "RE+")


def compute(
    storage: str,
    name: str,
    systems: Mapping[str, Path],
    train: Train,
    *,
    seeds: int,
    overrides: Overrides,
    corpus: str,
    note: str,
) -> list[RunResult]:
    """Compute the runs of a part, or find that they are complete.

    storage (str): SQLite file or URL of the study.
    name (str): Name of the study.
    systems (Mapping[str, Path]): The systems or strategies to compare, each with its config.
    train (Train): Computes a run.
    seeds (int): Number of random seeds, from 1 on.
    overrides (Overrides): The settings that all runs change in the configs.
    corpus (str): Name of the corpus.
    note (str): Further settings, in words. A study with another note is another one.
    RETURNS (list[RunResult]): The results of the runs.
    RAISES (RuntimeError): If a run failed.
    RAISES (ValueError): If a system cannot be trained, or the study was run with other settings.
    """
    for system, config in systems.items():
        try:
            check_config(load_config(config, overrides=dict(overrides), interpolate=False))
        except ValueError as err:
            raise ValueError(f"{system} cannot be trained: {err}") from err
    settings = describe(systems, overrides, corpus=corpus)
    for system in systems:
        settings["systems"][system] += f"\n# {note}\n"
    runs = []
    for seed in range(1, seeds + 1):
        for system in systems:
            runs.append(Run(system, seed))
    progress = run_study(storage, name, runs, train, settings=settings, report=msg.info)
    if progress.n_failed:
        raise RuntimeError(f"{progress.n_failed} runs failed. The same command tries again")
    _, results = read_results(storage, name)
    wanted = set(runs)
    return [result for result in results if result.run in wanted]


def save_curves(
    results: Sequence[RunResult], output: Path, name: str, *, titles: tuple[str, str]
) -> None:
    """Save and print the scores over the number of documents.

    results (Sequence[RunResult]): The results of the runs.
    output (Path): The folder for NAME.json, NAME.png and NAME.svg.
    name (str): The name of the files.
    titles (tuple[str, str]): Titles of the columns of strategies or systems, and of the numbers of
        documents.
    RAISES (ImportError): If matplotlib is not installed.
    RAISES (OSError): If a file cannot be written.
    """
    curves = make_curves(results, CURVE_MEASURES)
    rows = []
    for strategy, curve in curves.items():
        means = [scores["mean"] for scores in curve["scores"].values()]
        for number, words, *values in zip(curve["documents"], curve["words"], *means, strict=True):
            rows.append((strategy, number, f"{words:.0f}", *(f"{value:.1f}" for value in values)))
    with fill_folder(output) as folder:
        write_json(folder / f"{name}.json", curves)
        for suffix in (".png", ".svg"):
            draw_curves(curves, folder / f"{name}{suffix}", x_label=titles[1])
    header = (*titles, "Words", *CURVE_MEASURES)
    msg.table(rows, header=header, divider=True, aligns=("l", *"r" * (len(header) - 1)))
    msg.good(f"The curves are in {output}: {name}.json, .png and .svg")


def save_precision(results: Sequence[RunResult], output: Path) -> None:
    """Save and print the precision of the first suspects.

    results (Sequence[RunResult]): The results of the searches.
    output (Path): The folder for suspects.json.
    RAISES (OSError): If the file cannot be written.
    """
    names = [f"precision@{cut}" for cut in CUTS]
    rows, saved = [], {}
    for name in names:
        values = [result.scores[name] for result in results]
        saved[name] = values
        rows.append((name, str(summarise(values))))
    errors = [result.scores["errors"] for result in results]
    write_json(output / "suspects.json", {**saved, "errors": errors})
    msg.table(rows, header=("Suspects", "Percent"), divider=True, aligns=("l", "r"))
    msg.good(f"The precision is in {output / 'suspects.json'}")
