"""`python -m experiments study`: grids of training runs, and searches for hyper-parameters."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import srsly
import typer
from spacy.cli._util import parse_config_overrides
from spacy.util import load_config
from wasabi import msg

from .arguments import CorpusOption, SeedsOption, StorageArgument
from .grid import (
    Overrides,
    Run,
    SearchSpace,
    check_name,
    check_space,
    list_examples,
    make_grid,
    make_search,
    parse_layers,
    parse_systems,
)
from .results import RunResult

if TYPE_CHECKING:
    from .training import SpacyTrain

_STATES = {"both": (True, False), "frozen": (True,), "updated": (False,)}
# How many of its best trials a search prints.
_N_BEST = 5


def study_cli(
    ctx: typer.Context,  # only to read the overrides of the configs
    storage: StorageArgument,
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
    seeds: SeedsOption = 5,
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
        typer.Option("--results", help="NAME.jsonl of a report: its runs are not computed again"),
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", "-w", help="Number of processes on this machine", min=1)
    ] = 1,
    corpus: CorpusOption = "CoNLL04",
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for logs and models")
    ] = Path("training/study"),
    keep: Annotated[bool, typer.Option("--keep", help="Keep the models")] = False,
    cache_mb: Annotated[
        int, typer.Option("--cache-mb", help="Megabytes for the output of a frozen encoder", min=0)
    ] = 1024,
    gpu_id: Annotated[
        int,
        typer.Option(
            "--gpu-id", "-g", help="GPU ID of the first worker (others: the next), -1: CPU"
        ),
    ] = -1,
) -> None:
    """
    Train systems x {encoder frozen, updated} x encoder layers x seeds.

    Each run is a `spacy train`, scored by its best model on the development corpus.
    After an interruption, the same command continues: complete runs are not computed
    again, nor are the runs that a report has saved (--results). With the URL of a
    database as STORAGE, the same command on further machines shares the work. Other
    options override settings of the configs, as with `spacy train`. Requires the
    extra `study`.

    With --space, searches for hyper-parameters instead, with the encoder as the
    config of the one system has it. The file has a range or choices for each
    setting: {"training.dropout": {"low": 0.1, "high": 0.5}, "training.batcher.size":
    {"choices": [4, 8]}}, with "log": true for a logarithmic range.

    EXAMPLE:

    python -m experiments study training/study.db --system TabERT-CNN=configs/conll04.cfg
    --layers 0,6,12 --paths.train train.spacy --paths.dev dev.spacy
    """
    try:
        from . import storage as storages
        from . import study, training
    except ImportError as err:
        msg.fail(
            "Could not load Optuna",
            f'{err}. Install it with: pip install "spacy-tabcnn[study]"',
            exits=1,
        )
    overrides: Overrides = parse_config_overrides(ctx.args)
    try:
        check_name(name, "--name")
        training.check_gpu(gpu_id)
        storages.check_storage(storage)
        configs = parse_systems(systems)
        choices = _read_space(space, configs)
        if choices is None:
            layer_numbers = _parse_layers(layers, configs, overrides)
            states = _STATES[_check(encoder, "--encoder", _STATES)]
            seed_numbers = range(1, seeds + 1)
            runs = make_grid(configs, layers=layer_numbers, states=states, seeds=seed_numbers)
        else:
            runs = make_search(next(iter(configs)), n_trials=trials)
        chosen_sampler = _check(sampler, "--sampler", storages.SAMPLERS)
        settings = training.describe(configs, overrides, corpus=corpus)
        if choices is not None:
            settings["space"] = dict(choices)
        train = training.SpacyTrain(
            configs,
            overrides,
            output=output / name,
            cache_mb=cache_mb,
            keep=keep,
            gpu_id=gpu_id,
            n_workers=workers,
        )
        _check_settings(train, runs, choices)
        if results is not None:
            n_added = storages.add_results(storage, name, results, settings=settings)
            msg.info(f"{n_added} runs from {results}")
        progress = study.run_study(
            storage,
            name,
            runs,
            train,
            settings=settings,
            space=choices,
            sampler=chosen_sampler,
            n_workers=workers,
            report=msg.info,
        )
    except (OSError, RuntimeError, ValueError) as err:
        msg.fail("Could not run the study", str(err), exits=1)
    except storages.STORAGE_ERRORS as err:
        msg.fail("Could not run the study", storages.describe_error(storage, err), exits=1)
    if choices is not None:
        _print_best(storages.read_results(storage, name)[1], runs)
    if progress.n_failed:
        msg.fail(
            f"{progress.n_failed} runs failed",
            f"Logs: {output / name}. The same command tries again.",
            exits=1,
        )
    where = storages.hide_password(storage)
    msg.good(f"{progress.n_complete} runs in the study {name!r} of {where}")


def _read_space(path: Path | None, configs: Mapping[str, Path]) -> SearchSpace | None:
    """Read the search space of a search; None for a grid."""
    if path is None:
        return None
    if len(configs) != 1:
        raise ValueError(
            f"--space searches for one system; expected one --system instead of {len(configs)}"
        )
    try:
        space: SearchSpace = srsly.read_json(path)
        check_space(space)
    except ValueError as err:
        raise ValueError(f"{path}: {err}") from err
    return space


def _check_settings(train: "SpacyTrain", runs: Iterable[Run], space: SearchSpace | None) -> None:
    """Check the settings of the first run of each system, with each choice of a search space."""
    from .training import check_config

    first = {run.system: run for run in reversed(list(runs))}
    examples: list[Overrides] = [{}]
    if space is not None:
        examples = list_examples(space)
    for run in first.values():
        for chosen in examples:
            try:
                check_config(train.make_config(run, chosen))
            except ValueError as err:
                raise ValueError(f"{run.system} cannot be trained with {chosen}: {err}") from err


def _parse_layers(text: str, configs: Mapping[str, Path], overrides: Overrides) -> list[int]:
    """Read the layers of an option. All systems have the encoder of the first one."""
    from .training import count_layers

    name, path = next(iter(configs.items()))
    config = load_config(path, overrides=overrides, interpolate=True)
    return parse_layers(text, count_layers(config, name))


def _check(value: str, option: str, expected: Collection[str]) -> str:
    if value not in expected:
        raise ValueError(f"{option} is {value!r}; expected {' or '.join(expected)}")
    return value


def _print_best(results: Iterable[RunResult], runs: Collection[Run]) -> None:
    """Print the best settings of a search as options."""
    from .storage import get_objective

    complete = [result for result in results if result.run in runs and result.scores]
    complete.sort(key=lambda result: get_objective(result.scores), reverse=True)
    rows = []
    for result in complete[:_N_BEST]:
        entities, relations = result.scores["ents_f"], result.scores["rels_strict_f"]
        options = _format_options(result.overrides)
        rows.append((f"{100 * entities:.1f}", f"{100 * relations:.1f}", options))
    msg.table(
        rows,
        header=("NER", "RE+", "Options for spacy train"),
        divider=True,
        aligns=("r", "r", "l"),
        max_col=400,
    )


def _format_options(overrides: Mapping[str, object]) -> str:
    return " ".join(f"--{key} {srsly.json_dumps(value)}" for key, value in overrides.items())
