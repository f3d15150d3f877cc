"""`python -m experiments curve`: learning curves of systems."""

from pathlib import Path
from typing import Annotated

import typer
from spacy.cli._util import parse_config_overrides
from wasabi import msg

from .arguments import CorpusOption, GpuOption, SeedsOption, StorageArgument
from .grid import Overrides, parse_systems


def curve_cli(
    ctx: typer.Context,  # only to read the overrides of the configs
    url: StorageArgument,
    output: Annotated[
        Path, typer.Argument(metavar="OUT_DIR", help="Folder for figure and JSON; made if needed")
    ],
    *,
    systems: Annotated[
        list[str],
        typer.Option(
            "--system", "-s", metavar="NAME=CONFIG", help="A system and its config; repeatable"
        ),
    ],
    shares: Annotated[
        str, typer.Option("--shares", help="Shares of the training corpus")
    ] = "0.1,0.25,0.5,1",
    seeds: SeedsOption = 3,
    name: Annotated[str, typer.Option("--name", "-n", help="Name of the study")] = "curve",
    work: Annotated[Path, typer.Option("--work", "-w", help="Folder for pipelines")] = Path(
        "training/curve"
    ),
    corpus: CorpusOption = "CoNLL04",
    gpu_id: GpuOption = -1,
) -> None:
    """
    Train systems on shares of a corpus: learning curves.

    The seed draws the documents of each share, the same ones for all systems. Each
    model is the best one on the development corpus, which also scores it. After an
    interruption, the same command goes on. Other options override settings of the
    configs. Requires the extras `study` and `report`.

    EXAMPLE:

    python -m experiments curve training/curve.db metrics/curve --system
    CNN=configs/conll04.cfg --paths.train train.spacy --paths.dev dev.spacy
    """
    try:
        from . import curve, loop, storage, training
    except ImportError as err:
        msg.fail(
            "Could not load Optuna",
            f'{err}. Install it with: pip install "spacy-tabcnn[study,report]"',
            exits=1,
        )
    overrides: Overrides = parse_config_overrides(ctx.args)
    try:
        configs = parse_systems(systems)
        parsed = curve.parse_shares(shares)
        train = curve.LearningCurve(configs, parsed, overrides, work, gpu_id)
        training.check_gpu(gpu_id)
        storage.check_storage(url)
        train.check(range(1, seeds + 1))
        results = loop.compute(
            url,
            name,
            configs,
            train,
            seeds=seeds,
            overrides=overrides,
            corpus=corpus,
            note=f"shares {parsed}",
        )
        titles = ("System", "Training documents")
        loop.save_curves(results, output, "curve", titles=titles)
    except (ImportError, OSError, RuntimeError, ValueError) as err:
        msg.fail("Could not compute the curves", str(err), exits=1)
    except storage.STORAGE_ERRORS as err:
        msg.fail("Could not compute the curves", storage.describe_error(url, err), exits=1)
