"""`spacy tabcnn calibration`: the scores of predictions against the share of right ones."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
from spacy.language import Language
from wasabi import msg

from ..corpora.reader import RelationCorpus
from ..evaluation.calibration import (
    TITLES,
    Calibration,
    calibrate_groups,
    collect_scores,
    fit_temperature,
    save_calibration,
)
from ..evaluation.decisions import find_component
from ..evaluation.scoring import format_percent, predict_examples
from ..files import fill_folder, replace_folder
from ..pipeline.base import RelationPipe
from ..pipeline.loading import load_pipeline
from ..predictions import UNSOFTENED, Temperature
from ._app import tabcnn_cli
from ._arguments import Kind, check_kind, check_replaced, check_written, use_gpu

_DIAGRAM_SUFFIXES = (".png", ".svg")


@tabcnn_cli.command("calibration")
def calibration_cli(
    model: Annotated[str, typer.Argument(help="Model name or path")],
    data: Annotated[
        Path, typer.Argument(help="Annotated corpus: a .spacy file or a folder of them")
    ],
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="JSON file to write; the diagram is written next to it as .png and .svg",
        ),
    ],
    *,
    bins: Annotated[int, typer.Option("--bins", "-b", help="Number of bins of scores", min=1)] = 10,
    title: Annotated[
        str | None, typer.Option("--title", help="Name of the model in reports")
    ] = None,
    raw_text: Annotated[
        bool,
        typer.Option(
            "--raw-text", "-r", help="Tokenise the raw text instead of keeping the gold tokens"
        ),
    ] = False,
    fit: Annotated[
        Path | None,
        typer.Option(
            "--fit",
            metavar="MODEL",
            help="Folder for a copy of the model whose scores are softened to fit the corpus",
        ),
    ] = None,
    gpu_id: Annotated[int, typer.Option("--gpu-id", "-g", help="GPU ID or -1 for CPU")] = -1,
) -> None:
    """
    Compare the scores of predictions with the share of right ones.

    For entities, for relations (right with the types of their entities), and for
    the relations between two right entities. Prints the bins and the expected
    calibration error, in percent, and draws a reliability diagram. `python -m
    experiments report --calibration` reads the JSON file. Predictions below the
    component's threshold have no score and are not counted.

    With --fit, writes a copy of the model with a temperature for entities and one
    for relations, by which its scores come nearest to the share of right
    predictions. It predicts the same. Give a corpus that the model has not learned
    from, and compare the copy's scores on another one.

    EXAMPLE:

    spacy tabcnn calibration training/sample/model-best corpus/dev.spacy
    metrics/calibration.json
    """
    use_gpu(gpu_id, silent=False)
    try:
        import_module("matplotlib")  # a missing extra is reported before the model runs
        check_kind(model, Kind.PIPELINE, others=[data, output])
        check_kind(data, Kind.CORPUS, others=[output])
        _check_output(output)
        replaced: list[Path] = []
        if fit is not None:
            check_replaced(fit)
            replaced = [fit]
        check_written(_list_outputs(output), [model, data], replaced=replaced)
        nlp = load_pipeline(model)
        corpus = RelationCorpus(data, gold_tokens=not raw_text)
        scores = collect_scores(predict_examples(nlp, list(corpus(nlp))))
        groups = calibrate_groups(scores, n_bins=bins)
        temperature = UNSOFTENED
        if fit is not None:
            temperature = fit_temperature(scores)
        title = title or f"{Path(model).name} on {data.name}"
        with fill_folder(output.parent) as folder:
            save_calibration(folder / output.name, groups, title=title)
            _draw(groups, folder / output.name)
        if fit is not None:
            temperature = save_softened(nlp, temperature, fit)
    except ImportError as err:
        msg.fail(
            "Could not load matplotlib",
            f'{err}. Install it with: pip install "spacy-tabcnn[report]"',
            exits=1,
        )
    except (OSError, ValueError) as err:
        msg.fail("Could not compare scores", str(err), exits=1)
    for name, found in groups.items():
        _print_table(TITLES[name], found)
    msg.good(f"Saved to {output}, with the diagram as .png and .svg")
    if fit is not None:
        numbers = f"entities {temperature.entities:.2f}, relations {temperature.relations:.2f}"
        msg.good(f"A copy with softened scores in {fit}", f"Temperatures: {numbers}")


def save_softened(nlp: Language, temperature: Temperature, output: Path) -> Temperature:
    """Soften the scores of a pipeline, and save it.

    nlp (Language): The pipeline. It is changed.
    temperature (Temperature): Divides the logits of its scores.
    output (Path): The folder to write. An older pipeline in it is replaced.
    RETURNS (Temperature): The setting of the last component, which may have softened before.
    RAISES (OSError): If the folder cannot be written.
    """
    for name, pipe in nlp.pipeline:
        if isinstance(pipe, RelationPipe):
            nlp.get_pipe_config(name).update(pipe.soften_scores(temperature))
    with replace_folder(output) as folder:
        nlp.to_disk(folder)
    return find_component(nlp).temperature


def _check_output(output: Path) -> None:
    if output.suffix != ".json":
        raise ValueError(
            f"{output}: expected a file name that ends in .json. The diagram is named after it"
        )


def _list_outputs(output: Path) -> list[Path]:
    return [output, *map(output.with_suffix, _DIAGRAM_SUFFIXES)]


def _draw(groups: Mapping[str, Calibration], output: Path) -> None:
    from ..visual.reliability import draw_reliability

    for suffix in _DIAGRAM_SUFFIXES:
        draw_reliability(groups, output.with_suffix(suffix))


def _print_table(title: str, found: Calibration) -> None:
    rows = []
    for bin_ in found.bins:
        name = f"{bin_.low:.2f}–{bin_.high:.2f}"
        rows.append((name, bin_.n, format_percent(bin_.score), format_percent(bin_.accuracy)))
    rows.append(("all", found.n, format_percent(found.score), format_percent(found.accuracy)))
    msg.table(
        rows,
        header=(title, "Number", "Mean score", "Right"),
        divider=True,
        aligns=("l", "r", "r", "r"),
    )
    print(f"Expected calibration error: {format_percent(found.error)}")
