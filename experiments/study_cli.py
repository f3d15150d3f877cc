"""`python -m experiments study`: grids of training runs, and searches for hyper-parameters."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import srsly
import typer
from spacy.cli._util import parse_config_overrides
from spacy.util import load_config
from wasabi import msg

if TYPE_CHECKING:
    from .study import Result

_STATES = {"both": (True, False), "frozen": (True,), "updated": (False,)}
# How many of its best trials a search prints.
_N_BEST = 5


def study_cli(
    ctx: typer.Context,  # only to read the overrides of the configs
    storage: Annotated[
        str, typer.Argument(help="SQLite file, or the URL of a database that machines share")
    ],
    *,
    systems: Annotated[
        list[str],
        typer.Option(
            "--system", "-s", metavar="NAME=CONFIG", help="A system and its config; repeatable"
        ),
    ],
    name: Annotated[str, typer.Option("--name", "-n", help="Name of the study")] = "layers",
    layers: Annotated[
        str, typer.Option("--layers", help="Encoder layers, for example 0,1,2,4; or all")
    ] = "all",
    encoder: Annotated[
        str, typer.Option("--encoder", help="The encoder is frozen, updated, or both")
    ] = "both",
    seeds: Annotated[
        int, typer.Option("--seeds", help="Number of random seeds, from 1 on", min=1)
    ] = 5,
    space: Annotated[
        Path | None,
        typer.Option("--space", help="JSON file with a search space: search instead of the grid"),
    ] = None,
    trials: Annotated[
        int, typer.Option("--trials", help="Number of settings that a search tries", min=1)
    ] = 50,
    sampler: Annotated[
        str, typer.Option("--sampler", help="Chooses the settings of a search: tpe or random")
    ] = "tpe",
    results: Annotated[
        Path | None,
        typer.Option("--results", help="NAME.jsonl of a report: its cells are not computed again"),
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", "-w", help="Number of processes on this machine", min=1)
    ] = 1,
    corpus: Annotated[
        str, typer.Option("--corpus", help="Name of the corpus, for the report")
    ] = "CoNLL04",
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for logs and models")
    ] = Path("training/study"),
    keep: Annotated[bool, typer.Option("--keep", help="Keep the models")] = False,
    cache_mb: Annotated[
        int, typer.Option("--cache-mb", help="Megabytes for the output of a frozen encoder", min=0)
    ] = 1024,
    gpu_id: Annotated[int, typer.Option("--gpu-id", "-g", help="GPU ID or -1 for CPU")] = -1,
) -> None:
    """
    Train systems x {encoder frozen, updated} x encoder layers x seeds.

    Each cell is a `spacy train`, scored by its best model on the development
    corpus. Killed or cut short, the same command goes on where it was: what has
    finished is not computed again, nor is what a report has saved (--results).
    Given the URL of a database, the same command on further machines shares the
    work. Other options override settings of the configs, as with `spacy train`.

    With --space, searches for hyper-parameters instead, as the config of the one
    system has its encoder. The file has for each setting a range or choices:
    {"training.dropout": {"low": 0.1, "high": 0.5}, "training.batcher.size":
    {"choices": [4, 8]}}, with "log": true for a logarithmic range.

    EXAMPLE:

    python -m experiments study training/study.db --system TabERT-CNN=configs/conll04.cfg
    --layers 0,6,12 --paths.train train.spacy --paths.dev dev.spacy
    """
    try:
        from . import study, training
    except ImportError as err:
        msg.fail(
            "Could not load Optuna",
            f'{err}. Install it with: pip install "spacy-tabcnn[study]"',
            exits=1,
        )
    overrides = parse_config_overrides(ctx.args)
    try:
        configs = _parse_systems(systems)
        cells, choices = _make_cells(configs, overrides, layers, encoder, seeds, space, trials)
        if results is not None:
            msg.info(f"{study.add_results(storage, name, results)} cells from {results}")
        progress = study.run_study(
            storage,
            name,
            cells,
            training.SpacyTrain(
                configs,
                overrides,
                output=output / name,
                cache_mb=cache_mb,
                keep=keep,
                gpu_id=gpu_id,
                n_workers=workers,
            ),
            settings=training.describe(configs, overrides, corpus=corpus),
            space=choices,
            sampler=_check(sampler, "--sampler", study.SAMPLERS),
            n_workers=workers,
            report=msg.info,
        )
    except (OSError, RuntimeError, ValueError) as err:
        msg.fail("Could not run the study", str(err), exits=1)
    if choices:
        wanted = set(cells)
        _print_best(
            [result for result in study.read_results(storage, name)[1] if result.cell in wanted]
        )
    if progress.n_failed:
        msg.fail(
            f"{progress.n_failed} cells failed",
            f"Logs: {output / name}. The same command tries again.",
            exits=1,
        )
    msg.good(f"{progress.n_complete} cells in the study {name!r} of {os.fspath(storage)}")


def _parse_systems(texts: list[str]) -> dict[str, Path]:
    systems = {}
    for text in texts:
        name, separator, path = text.partition("=")
        if not separator or not name or not path or "/" in name or os.sep in name:
            raise ValueError(
                f"--system is {text!r}; expected NAME=CONFIG, for example TabERT=configs/conll04_tabert.cfg"
            )
        systems[name] = Path(path)
    return systems


def _make_cells(
    configs: dict[str, Path],
    overrides: dict[str, Any],
    layers: str,
    encoder: str,
    seeds: int,
    space: Path | None,
    trials: int,
) -> tuple[list[Any], dict[str, Any]]:
    """Make the cells and, for a search, its space."""
    from . import grid, training

    if space is not None:
        if len(configs) != 1:
            raise ValueError(
                f"--space searches for one system; expected one --system instead of {len(configs)}"
            )
        choices = srsly.read_json(space)
        grid.check_space(choices)
        return grid.make_search(next(iter(configs)), n_trials=trials), choices
    name, path = next(iter(configs.items()))
    n_layers = training.count_layers(load_config(path, overrides=overrides, interpolate=True), name)
    cells = grid.make_grid(
        configs,
        layers=grid.parse_layers(layers, n_layers),
        states=_STATES[_check(encoder, "--encoder", _STATES)],
        seeds=range(1, seeds + 1),
    )
    return cells, {}


def _check(value: str, option: str, expected: Any) -> str:
    if value not in expected:
        raise ValueError(f"{option} is {value!r}; expected {' or '.join(expected)}")
    return value


def _print_best(results: "list[Result]") -> None:
    from .study import get_objective

    complete = [result for result in results if result.state == "complete"]
    best = sorted(complete, key=lambda result: get_objective(result.scores), reverse=True)[:_N_BEST]
    rows = [
        (
            f"{100 * result.scores['ents_f']:.1f}",
            f"{100 * result.scores['rels_strict_f']:.1f}",
            " ".join(
                f"--{key} {srsly.json_dumps(value)}" for key, value in result.overrides.items()
            ),
        )
        for result in best
    ]
    msg.table(
        rows,
        header=("NER", "RE+", "Options for spacy train"),
        divider=True,
        aligns=("r", "r", "l"),
        max_col=400,
    )
