"""`spacy tabcnn ensemble`: several trained pipelines as one that averages their tables."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from spacy.language import Language
from wasabi import msg

from ..files import is_same, replace_folder
from ..pipeline.ensemble import join_pipelines
from ..pipeline.loading import load_pipeline
from ._app import tabcnn_cli
from ._arguments import Kind, check_kind, check_replaced, check_written


@tabcnn_cli.command("ensemble")
def ensemble_cli(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL MODEL...", help="Names or paths of two models or more"),
    ],
    output: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder for the model that averages them")
    ],
) -> None:
    """
    Join trained models to one that averages the probabilities of their tables.

    The models have a `relation_table` each, with the same labels: usually one config
    trained with several seeds. Models with the frozen encoder of the first share it,
    so the ensemble costs little more than one of them. Other models bring their
    encoders. The first model provides the remaining components and the settings.

    EXAMPLE:

    spacy tabcnn ensemble training/1/model-best training/2/model-best training/both
    """
    try:
        nlp = join_models(models, output)
    except (OSError, ValueError) as err:
        msg.fail("Could not join the models", str(err), exits=1)
    msg.good(f"The average of {len(models)} models in {output}", ", ".join(nlp.pipe_names))


def join_models(models: Sequence[str | Path], output: str | Path) -> Language:
    """Join trained pipelines to one that averages their tables, and save it.

    models (Sequence[str | Path]): Names or folders of two pipelines or more.
    output (str | Path): The folder to write. An older pipeline in it is replaced.
    RETURNS (Language): The pipeline; see `join_pipelines`.
    RAISES (OSError): If there is no such pipeline, or the folder cannot be written.
    RAISES (ValueError): If the pipelines cannot be joined, or the folder holds something else.
    """
    output = Path(output)
    for number, model in enumerate(models):
        if any(is_same(model, other) for other in models[:number]):
            raise ValueError(f"{model}: is named twice, so it would count twice. Name it once")
        check_kind(model, Kind.PIPELINE, others=[output])
    check_written([], models, replaced=[output])
    check_replaced(output)
    pipelines = {str(model): load_pipeline(model) for model in models}
    nlp = join_pipelines(pipelines)
    with replace_folder(output) as folder:
        nlp.to_disk(folder)
    return nlp
