"""`python -m experiments loop`: the evidence for `select` and `suspects`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from spacy.cli._util import parse_config_overrides
from wasabi import msg

from spacy_tabcnn.files import fill_folder, write_json

from .grid import Overrides, Run
from .results import RunResult, summarise

if TYPE_CHECKING:
    from .study import Train

# The measure of the figure.
_MEASURE = "RE+"
_SUSPECTS = "suspects"


def loop_cli(
    ctx: typer.Context,  # only to read the overrides of the config
    storage: Annotated[
        str, typer.Argument(help="SQLite file, or the URL of a database that machines share")
    ],
    output: Annotated[
        Path, typer.Argument(metavar="OUT_DIR", help="Folder for figures and JSON; made if needed")
    ],
    *,
    config: Annotated[Path, typer.Option("--config", "-c", help="Config of all trainings")],
    seeds: Annotated[
        int, typer.Option("--seeds", help="Number of random seeds, from 1 on", min=1)
    ] = 3,
    start: Annotated[int, typer.Option("--start", help="Sentences at first", min=1)] = 50,
    step: Annotated[int, typer.Option("--step", help="Sentences to add at a step", min=1)] = 50,
    end: Annotated[int, typer.Option("--end", help="Sentences at the end", min=1)] = 500,
    share: Annotated[
        float, typer.Option("--share", help="Share of labels to corrupt", min=0, max=1)
    ] = 0.05,
    folds: Annotated[int, typer.Option("--folds", help="Number of folds", min=2)] = 5,
    parts: Annotated[
        str, typer.Option("--part", help="The part to compute: selection, suspects or both")
    ] = "both",
    work: Annotated[
        Path, typer.Option("--work", "-w", help="Folder for pipelines and folds")
    ] = Path("training/loop"),
    corpus: Annotated[
        str, typer.Option("--corpus", help="Name of the corpus, for the results")
    ] = "CoNLL04",
    gpu_id: Annotated[int, typer.Option("--gpu-id", "-g", help="GPU ID, or -1 for the CPU")] = -1,
) -> None:
    """
    Simulate annotation, and search for corrupted labels.

    Selection: training on sentences that the model selects (spacy tabcnn select),
    against random ones; RE+ over the number of sentences, as a figure. Suspects:
    labels corrupted at random; the share of them among the first 50 and 100 suspects
    of a cross-validation (spacy tabcnn suspects). After an interruption, the same
    command goes on. Other options override settings of the config. Requires the
    extras `study` and `report`.

    EXAMPLE:

    python -m experiments loop training/loop.db metrics/loop --config
    configs/conll04_frozen.cfg --paths.train train.spacy --paths.dev dev.spacy
    """
    try:
        from . import storage as storages
        from .selection import STRATEGIES, SimulatedAnnotation
        from .study import run_study
        from .suspects import SuspectSearch
        from .training import describe
    except ImportError as err:
        msg.fail(
            "Could not load Optuna",
            f'{err}. Install it with: pip install "spacy-tabcnn[study,report]"',
            exits=1,
        )
    overrides: Overrides = parse_config_overrides(ctx.args)

    def compute(name: str, systems: Sequence[str], train: "Train", note: str) -> list[RunResult]:
        """Compute the runs of a part, and return their results."""
        settings = describe(dict.fromkeys(systems, config), overrides, corpus=corpus)
        for system in systems:
            # The settings of a study distinguish it from others.
            settings["systems"][system] += f"\n# {note}\n"
        runs = []
        for seed in range(1, seeds + 1):
            runs += [Run(system, seed) for system in systems]
        progress = run_study(storage, name, runs, train, settings=settings, report=msg.info)
        if progress.n_failed:
            raise RuntimeError(f"{progress.n_failed} runs failed. The same command tries again")
        wanted = set(runs)
        _, found = storages.read_results(storage, name)
        return [result for result in found if result.run in wanted]

    try:
        if parts not in ("both", "selection", _SUSPECTS):
            raise ValueError(f"--part is {parts!r}; expected selection, suspects or both")
        storages.check_storage(storage)
        if parts != _SUSPECTS:
            simulation = SimulatedAnnotation(
                config, overrides, work, start=start, step=step, end=end, gpu_id=gpu_id
            )
            note = f"{start} sentences, {step} more at each step, {end} at the end"
            _save_curves(compute("selection", STRATEGIES, simulation, note), output)
        if parts != "selection":
            search = SuspectSearch(config, overrides, work, share, folds, gpu_id)
            note = f"{share} of the labels corrupted, {folds} folds"
            _save_precision(compute(_SUSPECTS, [_SUSPECTS], search, note), output)
    except (ImportError, OSError, RuntimeError, ValueError) as err:
        msg.fail("Could not compute the loop", str(err), exits=1)
    except storages.STORAGE_ERRORS as err:
        msg.fail("Could not compute the loop", storages.describe_error(storage, err), exits=1)


def _save_curves(results: Sequence[RunResult], output: Path) -> None:
    from .selection import draw_curves, make_curves

    curves = make_curves(results, _MEASURE)
    rows = []
    for strategy, curve in curves.items():
        for number, mean in zip(curve["documents"], curve["mean"], strict=True):
            rows.append((strategy, number, f"{mean:.1f}"))
    with fill_folder(output) as folder:
        write_json(folder / "selection.json", curves)
        for suffix in (".png", ".svg"):
            draw_curves(curves, folder / f"selection{suffix}", measure=_MEASURE)
    msg.table(rows, header=("Order", "Sentences", _MEASURE), divider=True, aligns=("l", "r", "r"))
    msg.good(f"The curves are in {output}: selection.json, .png and .svg")


def _save_precision(results: Sequence[RunResult], output: Path) -> None:
    from .suspects import CUTS

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
