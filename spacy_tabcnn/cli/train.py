"""`spacy tabcnn train`: spaCy's training, with checkpoints from which it goes on."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from spacy.cli._util import (
    import_code,
    parse_config_overrides,
    setup_gpu,
    show_validation_error,
)
from spacy.util import load_config, logger
from wasabi import msg

from ..training.loop import train as train_pipeline
from ..training.loop import train_or_go_on
from ._app import tabcnn_cli


@tabcnn_cli.command(
    "train", context_settings={"allow_extra_args": True, "ignore_unknown_options": True}
)
def train_cli(
    ctx: typer.Context,  # only to read the overrides of the config
    config: Annotated[Path, typer.Argument(help="Config file", exists=True, allow_dash=True)],
    *,
    output: Annotated[
        Path,
        typer.Option("--output", "--output-path", "-o", help="Folder for the pipeline"),
    ],
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", "-r", help="Go on from the checkpoint in the folder, if there is one"
        ),
    ] = False,
    code: Annotated[
        Path | None,
        typer.Option("--code", "-c", help="Python file with additional code, to be imported"),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-V", help="Print more, to find errors")
    ] = False,
    gpu_id: Annotated[int, typer.Option("--gpu-id", "-g", help="GPU ID or -1 for CPU")] = -1,
) -> None:
    """
    Train a pipeline like `spacy train`, so that no kill can damage or lose it.

    The same configs, options and overrides as for `spacy train`, and the same
    result. model-best and model-last are replaced in one step. Each evaluation
    writes a checkpoint. After a stop, the same command with --resume goes on, to
    the same weights, bit for bit on one machine. Training stops with an error if
    it diverges.

    EXAMPLE:

    spacy tabcnn train mine.cfg --output training/mine --resume
    """
    if verbose:
        logger.setLevel(logging.DEBUG)
    overrides = parse_config_overrides(ctx.args)
    import_code(code)
    try:
        train(config, output, resume=resume, code=code, gpu_id=gpu_id, overrides=overrides)
    except (OSError, ValueError) as err:
        msg.fail("Could not train", str(err), exits=1)


def train(
    config: Path,
    output: Path,
    *,
    resume: bool = False,
    restart: bool = False,
    code: Path | None = None,
    gpu_id: int = -1,
    overrides: Mapping[str, object] | None = None,
) -> Path:
    """Train a pipeline; see `spacy_tabcnn.training.loop.train`.

    config (Path): The config file; `-` for standard input.
    output (Path): The folder of the training.
    resume (bool): Go on from the checkpoint in the folder, if there is one.
    restart (bool): Train from the beginning if the checkpoint cannot be used.
    code (Path | None): The Python file that was imported for the config.
    gpu_id (int): The GPU, or -1 for the CPU.
    overrides (Mapping[str, object] | None): Settings of the config to replace, by dotted name.
    RETURNS (Path): The folder of the pipeline with the last weights.
    """
    output.mkdir(parents=True, exist_ok=True)
    msg.info(f"Saving to output directory: {output}")
    setup_gpu(gpu_id)
    with show_validation_error(config):
        loaded = load_config(config, overrides=dict(overrides or {}), interpolate=False)
    with show_validation_error(config, hint_fill=False):
        if resume and restart:
            return train_or_go_on(loaded, output, code=code, gpu_id=gpu_id)
        return train_pipeline(loaded, output, resume=resume, code=code, gpu_id=gpu_id)
