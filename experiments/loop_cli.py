"""`python -m experiments loop`: the evidence for `select` and `suspects`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from spacy.cli._util import parse_config_overrides
from wasabi import msg

from .arguments import CorpusOption, GpuOption, SeedsOption, StorageArgument
from .grid import Overrides

_PARTS = ("both", "selection", "suspects")


def loop_cli(
    ctx: typer.Context,  # only to read the overrides of the config
    url: StorageArgument,
    output: Annotated[
        Path, typer.Argument(metavar="OUT_DIR", help="Folder for figures and JSON; made if needed")
    ],
    *,
    config: Annotated[Path, typer.Option("--config", "-c", help="Config of all trainings")],
    seeds: SeedsOption = 3,
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
    corpus: CorpusOption = "CoNLL04",
    gpu_id: GpuOption = -1,
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
        from . import loop, selection, storage, suspects, training
    except ImportError as err:
        msg.fail(
            "Could not load Optuna",
            f'{err}. Install it with: pip install "spacy-tabcnn[study,report]"',
            exits=1,
        )
    overrides: Overrides = parse_config_overrides(ctx.args)
    compute = partial(loop.compute, url, seeds=seeds, overrides=overrides, corpus=corpus)
    try:
        if parts not in _PARTS:
            raise ValueError(f"--part is {parts!r}; expected {', '.join(_PARTS)}")
        if start > end:
            raise ValueError(f"--start is {start} and --end is {end}; expected a larger --end")
        training.check_gpu(gpu_id)
        storage.check_storage(url)
        if parts != "suspects":
            numbers = [*range(start, end, step), end]
            simulation = selection.SimulatedAnnotation(config, overrides, work, numbers, gpu_id)
            strategies = dict.fromkeys(selection.STRATEGIES, config)
            note = f"{start} sentences, {step} more at each step, {end} at the end"
            results = compute("selection", strategies, simulation, note=note)
            titles = ("Order", "Annotated sentences")
            loop.save_curves(results, output, "selection", titles=titles)
        if parts != "selection":
            search = suspects.SuspectSearch(config, overrides, work, share, folds, gpu_id)
            note = f"{share} of the labels corrupted, {folds} folds"
            loop.save_precision(
                compute("suspects", {"suspects": config}, search, note=note), output
            )
    except (ImportError, OSError, RuntimeError, ValueError) as err:
        msg.fail("Could not compute the loop", str(err), exits=1)
    except storage.STORAGE_ERRORS as err:
        msg.fail("Could not compute the loop", storage.describe_error(url, err), exits=1)
