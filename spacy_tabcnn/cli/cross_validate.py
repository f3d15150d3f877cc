"""`spacy tabcnn cross-validate`: train and score a pipeline on each fold of a corpus."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import mean, stdev
from typing import Annotated, TypedDict

import srsly
import typer
from spacy.cli._util import parse_config_overrides
from spacy.util import load_config
from wasabi import msg

from ..corpora.folds import TEST, TRAIN
from ..evaluation.scoring import Scores
from ..files import write_json
from ._app import tabcnn_cli
from ._arguments import Kind, check_kind, check_written
from .evaluate import evaluate, save_scores
from .train import train

SCORES = "scores.json"
SETTINGS = "settings.json"  # the origin of the scores
# The averages in the table, in its order, and the titles of their columns.
_COLUMNS = {
    "ents_f": "NER micro",
    "ents_macro_f": "NER macro",
    "rels_boundaries_f": "RE micro",
    "rels_boundaries_macro_f": "RE macro",
    "rels_strict_f": "RE+ micro",
    "rels_strict_macro_f": "RE+ macro",
}


class FoldScores(TypedDict):
    """The scores of a cross-validation.

    folds (list[Scores]): The scores of each fold.
    mean (dict[str, float]): The mean of each average F1 over the folds, between 0 and 1.
    std (dict[str, float]): The sample standard deviation of each; empty for a single fold.
    """

    folds: list[Scores]
    mean: dict[str, float]
    std: dict[str, float]


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
            help="Keep the scores in OUTPUT that come from the same settings and data, and go on "
            "with a fold that was stopped",
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
    try:
        check_kind(config, Kind.CONFIG, others=[folds, directory])
        check_kind(folds, Kind.CORPUS, others=[directory])
        check_written(filter(None, [directory, output]), [config, folds])
        result = cross_validate(
            config,
            folds,
            directory,
            n_folds=n_folds,
            resume=resume,
            gpu_id=gpu_id,
            overrides=parse_config_overrides(ctx.args),
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
    overrides: Mapping[str, object] | None = None,
) -> FoldScores:
    """Train and score a pipeline on each fold.

    config (Path): The config file; each fold sets `paths.train` and `paths.dev`.
    folds (Path): The folder that holds the folds 0, 1, ..., each with train.spacy and test.spacy.
    directory (Path): Folder for the pipelines and scores, with one folder for each fold.
    n_folds (int): Number of folds, from the first.
    resume (bool): Keep the scores of folds with the same settings and data. A fold that was stopped
        goes on from its checkpoint.
    gpu_id (int): The GPU, or -1 for the CPU.
    overrides (Mapping[str, object] | None): Settings of the config to replace, by dotted name.
    RETURNS (FoldScores): The scores of each fold, and the mean and standard deviation of each
        average F1.
    RAISES (ValueError): If a fold is missing.
    """
    _check_folds(folds, n_folds)
    overrides = dict(overrides or {})
    scores = []
    for number in range(n_folds):
        data, model = folds / str(number), directory / str(number)
        settings = _describe(config, overrides, data)
        msg.divider(f"Fold {number}")
        kept = None
        if resume:
            kept = _read_scores(model, settings)
        if kept is None:
            kept = _score_fold(config, model, data, overrides, resume=resume, gpu_id=gpu_id)
            write_json(model / SETTINGS, settings)
            write_json(model / SCORES, kept)
        else:
            msg.info(f"Kept the scores in {model / SCORES}")
        scores.append(kept)
    return _average(scores)


def _check_folds(folds: Path, n_folds: int) -> None:
    for number in range(n_folds):
        for name in (TRAIN, TEST):
            path = folds / str(number) / name
            if not path.is_file():
                raise ValueError(
                    f"{path}: no such file. Make the folds with `spacy tabcnn convert --folds`, "
                    f"or ask for fewer than {n_folds}"
                )


def _score_fold(
    config: Path,
    model: Path,
    data: Path,
    overrides: Mapping[str, object],
    *,
    resume: bool,
    gpu_id: int,
) -> Scores:
    """Train on the fold in `data`, into the folder `model`, and score the last weights."""
    paths = {"paths.train": str(data / TRAIN), "paths.dev": str(data / TEST)}
    # Until the training ends, nothing says that a pipeline in this folder belongs to this fold.
    for name in (SCORES, SETTINGS):
        (model / name).unlink(missing_ok=True)
    settings = {**overrides, **paths}
    last = train(config, model, resume=resume, restart=True, gpu_id=gpu_id, overrides=settings)
    return evaluate(last, data / TEST)


def _average(folds: list[Scores]) -> FoldScores:
    """Average the F1 over the folds. An average that is missing in a fold is left out."""
    result = FoldScores(folds=folds, mean={}, std={})
    for key in _COLUMNS:
        values = [fold[key] for fold in folds if fold.get(key) is not None]
        if len(values) < len(folds):
            continue
        result["mean"][key] = mean(values)
        if len(values) > 1:
            result["std"][key] = stdev(values)
    return result


def describe_data(data: Path) -> dict[str, str]:
    """Describe the data of a fold by checksums.

    data (Path): The folder of the fold.
    RETURNS (dict[str, str]): The checksum of each file by its name.
    """
    description = {}
    for name in (TRAIN, TEST):
        description[name] = hashlib.sha256((data / name).read_bytes()).hexdigest()
    return description


def read_settings(model: Path) -> dict[str, str] | None:
    """Read the origin of the pipeline of a fold.

    model (Path): The folder of the fold's training.
    RETURNS (dict[str, str] | None): The text of the config, and the checksums of the data; None if
        the training is not finished.
    """
    settings = _read_json(model / SETTINGS)
    if not isinstance(settings, dict):
        return None
    return settings


def _describe(config: Path, overrides: dict[str, object], data: Path) -> dict[str, str]:
    """Describe the origin of a fold's scores: the config's text, and checksums of the data."""
    text = load_config(config, overrides=overrides).to_str(interpolate=False)
    return {"config": text, **describe_data(data)}


def _read_scores(model: Path, settings: dict[str, str]) -> Scores | None:
    """Read the scores of a fold; None if there are none, or they come from other settings.

    A file that a kill or a full disk has damaged counts as none.
    """
    if read_settings(model) != settings:
        return None
    scores = _read_json(model / SCORES)
    if not isinstance(scores, dict):
        return None
    return scores


def _read_json(path: Path) -> object:
    """Read a file; None if it does not exist, or is no JSON."""
    if not path.is_file():
        return None
    try:
        return srsly.read_json(path)
    except (RecursionError, ValueError):
        msg.warn(f"{path}: damaged, so it is not used")
        return None


def _print_table(result: FoldScores) -> None:
    keys = list(result["mean"])
    table = [_make_row(str(number), fold, keys) for number, fold in enumerate(result["folds"])]
    table.append(_make_row("mean", result["mean"], keys))
    if result["std"]:
        table.append(_make_row("std", result["std"], keys))
    header = ("Fold", *map(_COLUMNS.__getitem__, keys))
    aligns = ("l", *["r"] * len(keys))
    msg.table(table, header=header, divider=True, aligns=aligns)


def _make_row(name: str, scores: Mapping[str, float], keys: Iterable[str]) -> tuple[str, ...]:
    return (name, *(f"{100 * scores[key]:.1f}" for key in keys))
