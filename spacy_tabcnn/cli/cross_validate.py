"""`spacy tabcnn cross-validate`: train and score a pipeline on each fold of a corpus."""

import hashlib
from pathlib import Path
from statistics import mean, stdev
from typing import Annotated, Any

import srsly
import typer
from spacy.cli._util import parse_config_overrides
from spacy.cli.train import train
from spacy.util import load_config
from wasabi import msg

from ..corpora.folds import TEST, TRAIN
from ._app import tabcnn_cli
from .evaluate import evaluate, save_scores

SCORES = "scores.json"
SETTINGS = "settings.json"  # what the scores come from
# The averages in the table, in its order, and the titles of their columns.
_COLUMNS = {
    f"{prefix}{average}_f": f"{title} {name}"
    for prefix, title in (("ents", "NER"), ("rels_boundaries", "RE"), ("rels_strict", "RE+"))
    for average, name in (("", "micro"), ("_macro", "macro"))
}


@tabcnn_cli.command(
    "cross-validate", context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
)
def cross_validate_cli(
    ctx: typer.Context,
    config: Annotated[Path, typer.Argument(help="Config file")],
    folds: Annotated[
        Path, typer.Argument(help="Folder of the folds, made by `spacy tabcnn convert --folds`")
    ],
    directory: Annotated[
        Path, typer.Argument(metavar="OUTPUT", help="Folder for the pipelines, one for each fold")
    ],
    *,
    n_folds: Annotated[
        int, typer.Option("--n-folds", "-n", min=1, help="Number of folds to train, from the first")
    ] = 10,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="JSON file for all scores")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            "-r",
            help="Keep the scores in OUTPUT that come from the same settings and data",
        ),
    ] = False,
    gpu_id: Annotated[int, typer.Option("--gpu-id", "-g", help="GPU ID or -1 for CPU")] = -1,
) -> None:
    """
    Train on each fold's train.spacy, score on its test.spacy, print mean F1.

    The scored pipeline is model-last, which the test part did not choose. F1 in
    percent, micro and macro averages, of entities (NER), relations (RE) and
    relations with the types of their entities (RE+), with the mean and standard
    deviation over the folds. Settings of the config can be overridden as with
    `spacy train`.

    EXAMPLE:

    spacy tabcnn cross-validate configs/ade.cfg corpus/ade training/ade -g 0
    """
    overrides = parse_config_overrides(ctx.args)
    try:
        result = cross_validate(
            config,
            folds,
            directory,
            n_folds=n_folds,
            resume=resume,
            gpu_id=gpu_id,
            overrides=overrides,
        )
    except (OSError, ValueError) as err:
        msg.fail("Could not cross-validate", str(err), exits=1)
    _print_table(result)
    if output is not None:
        save_scores(output, result)


def cross_validate(
    config: Path,
    folds: Path,
    directory: Path,
    *,
    n_folds: int = 10,
    resume: bool = False,
    gpu_id: int = -1,
    overrides: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Train and score a pipeline on each fold.

    config (Path): The config file; its settings `paths.train` and `paths.dev` are those of each fold.
    folds (Path): The folder that holds the folds 0, 1, ..., each one with train.spacy and test.spacy.
    directory (Path): Where to save the pipelines and scores, in one folder for each fold.
    n_folds (int): How many folds, from the first.
    resume (bool): Do not train the folds again that have scores from the same settings and data.
    gpu_id (int): The GPU, or -1 for the CPU.
    overrides (dict[str, Any] | None): Settings of the config to replace, by their dotted names.
    RETURNS (dict[str, Any]): `folds`, the scores of each; `mean` and `std`, the mean and the sample standard
        deviation of each average F1 between 0 and 1. There is no deviation of one fold.
    RAISES (ValueError): If a fold is missing.
    """
    for number in range(n_folds):
        for name in (TRAIN, TEST):
            if not (folds / str(number) / name).is_file():
                raise ValueError(
                    f"{folds / str(number) / name}: no such file. Make the folds with `spacy tabcnn convert --folds`, "
                    f"or ask for fewer than {n_folds}"
                )
    scores = []
    for number in range(n_folds):
        data, model = folds / str(number), directory / str(number)
        settings = _describe(config, overrides or {}, data)
        msg.divider(f"Fold {number}")
        if resume and (model / SCORES).is_file() and _read_settings(model) == settings:
            msg.info(f"Kept the scores in {model / SCORES}")
        else:
            paths = {"paths.train": str(data / TRAIN), "paths.dev": str(data / TEST)}
            (model / SCORES).unlink(missing_ok=True)
            train(config, model, use_gpu=gpu_id, overrides={**(overrides or {}), **paths})
            srsly.write_json(model / SETTINGS, settings)
            srsly.write_json(model / SCORES, evaluate(model / "model-last", data / TEST))
        scores.append(srsly.read_json(model / SCORES))
    columns = [key for key in _COLUMNS if all(fold.get(key) is not None for fold in scores)]
    return {
        "folds": scores,
        "mean": {key: mean(fold[key] for fold in scores) for key in columns},
        "std": {key: stdev(fold[key] for fold in scores) for key in columns}
        if len(scores) > 1
        else {},
    }


def _describe(config: Path, overrides: dict[str, Any], data: Path) -> dict[str, str]:
    """Describe what a fold's scores come from: the config's text, and checksums of the data."""
    text = load_config(config, overrides=overrides).to_str(interpolate=False)
    return {
        "config": text,
        **{name: hashlib.sha256((data / name).read_bytes()).hexdigest() for name in (TRAIN, TEST)},
    }


def _read_settings(model: Path) -> Any:
    path = model / SETTINGS
    return srsly.read_json(path) if path.is_file() else None


def _print_table(result: dict[str, Any]) -> None:
    rows = [
        *((str(number), fold) for number, fold in enumerate(result["folds"])),
        ("mean", result["mean"]),
    ]
    if result["std"]:
        rows.append(("std", result["std"]))
    table = [
        (name, *(f"{100 * scores[key]:.1f}" for key in result["mean"])) for name, scores in rows
    ]
    header = ("Fold", *(_COLUMNS[key] for key in result["mean"]))
    msg.table(table, header=header, divider=True, aligns=("l", *("r" for _ in header[1:])))
