"""`spacy tabcnn calibration`: the scores of predictions against the share of right ones."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer
from spacy.cli._util import setup_gpu
from wasabi import msg

from ..corpora.reader import RelationCorpus
from ..evaluation.calibration import (
    TITLES,
    Calibration,
    calibrate,
    collect_scores,
    save_calibration,
)
from ..evaluation.scoring import predict_examples
from ..files import fill_folder
from ..pipeline.loading import load_pipeline
from ._app import tabcnn_cli
from ._arguments import Kind, check_kind, check_written

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
    gpu_id: Annotated[int, typer.Option("--gpu-id", "-g", help="GPU ID or -1 for CPU")] = -1,
) -> None:
    """
    Compare the scores of predictions with the share of right ones.

    For entities, for relations (right with the types of their entities), and for
    the relations between two right entities. Prints the bins and the expected
    calibration error, in percent, and draws a reliability diagram. `python -m
    experiments report --calibration` reads the JSON file. Predictions below the
    component's threshold have no score and are not counted.

    EXAMPLE:

    spacy tabcnn calibration training/sample/model-best corpus/dev.spacy
    metrics/calibration.json
    """
    setup_gpu(gpu_id, silent=False)
    try:
        import_module("matplotlib")  # a missing extra is reported before the model runs
        check_kind(model, Kind.PIPELINE, others=[data, output])
        check_kind(data, Kind.CORPUS, others=[output])
        _check_output(output)
        check_written(_list_outputs(output), [model, data])
        groups = calibrate_model(model, data, n_bins=bins, raw_text=raw_text)
        title = title or f"{Path(model).name} on {data.name}"
        with fill_folder(output.parent) as folder:
            save_calibration(folder / output.name, groups, title=title)
            _draw(groups, folder / output.name)
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


def calibrate_model(
    model: str | Path, data: str | Path, *, n_bins: int = 10, raw_text: bool = False
) -> dict[str, Calibration]:
    """Compare the scores of a pipeline's predictions with the share of right ones.

    model (str | Path): Name or folder of the pipeline.
    data (str | Path): A .spacy file or a folder of them.
    n_bins (int): Number of bins between 0 and 1.
    raw_text (bool): Tokenise the texts again and align, instead of keeping the gold tokens.
    RETURNS (dict[str, Calibration]): The comparisons, by the names of `TITLES`.
    RAISES (OSError): If there is no such pipeline.
    RAISES (ValueError): If the pipeline predicts no relations, or the corpus cannot be read.
    """
    nlp = load_pipeline(model)
    examples = predict_examples(nlp, list(RelationCorpus(data, gold_tokens=not raw_text)(nlp)))
    groups = {}
    for name, scores in collect_scores(examples).items():
        groups[name] = calibrate(scores, n_bins=n_bins)
    return groups


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
        rows.append((name, bin_.n, _percent(bin_.score), _percent(bin_.accuracy)))
    rows.append(("all", found.n, _percent(found.score), _percent(found.accuracy)))
    msg.table(
        rows,
        header=(title, "Number", "Mean score", "Right"),
        divider=True,
        aligns=("l", "r", "r", "r"),
    )
    print(f"Expected calibration error: {_percent(found.error)}")


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
