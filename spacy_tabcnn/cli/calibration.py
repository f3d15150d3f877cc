"""`spacy tabcnn calibration`: how far the scores of predictions are probabilities."""

from importlib import import_module
from pathlib import Path
from typing import Annotated

import spacy
import typer
from spacy.cli._util import setup_gpu
from wasabi import msg

from ..corpora.reader import RelationCorpus
from ..evaluation.scoring import predict_examples
from ._app import tabcnn_cli


@tabcnn_cli.command("calibration")
def calibration_cli(
    model: Annotated[str, typer.Argument(help="Model name or path")],
    data: Annotated[
        Path, typer.Argument(help="Annotated corpus: a .spacy file or a folder of them")
    ],
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="JSON file to write; the diagram goes beside it as .png and .svg"
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
    Compare the scores of predictions with how many of them are right.

    Of entities, of relations (right with the types of their entities), and of the
    relations whose two entities are right. Prints the bins and the expected
    calibration error, in percent, and draws a reliability diagram. `spacy tabcnn
    report` takes the JSON file (--calibration). What was not predicted, being below
    the component's threshold, has no score.

    EXAMPLE:

    spacy tabcnn calibration training/sample/model-best corpus/dev.spacy
    metrics/calibration.json
    """
    setup_gpu(gpu_id, silent=False)
    try:
        import_module("matplotlib")  # before the model has worked for nothing
        from ..evaluation.calibration import TITLES, calibrate, collect_scores, save_calibration

        _check_output(output)
        nlp = spacy.load(model)
        examples = predict_examples(nlp, list(RelationCorpus(data, gold_tokens=not raw_text)(nlp)))
        groups = {
            name: calibrate(scores, n_bins=bins)
            for name, scores in collect_scores(examples).items()
        }
        save_calibration(output, groups, title=title or f"{Path(model).name} on {data.name}")
    except ImportError as err:
        msg.fail(
            "Could not load matplotlib",
            f'{err}. Install it with: pip install "spacy-tabcnn[report]"',
            exits=1,
        )
    except (OSError, ValueError) as err:
        msg.fail("Could not compare scores", str(err), exits=1)
    for name, found in groups.items():
        rows = [
            (
                f"{bin_.low:.2f}–{bin_.high:.2f}",
                bin_.n,
                f"{100 * bin_.score:.1f}",
                f"{100 * bin_.accuracy:.1f}",
            )
            for bin_ in found.bins
        ]
        rows.append(("all", found.n, f"{100 * found.score:.1f}", f"{100 * found.accuracy:.1f}"))
        msg.table(
            rows,
            header=(TITLES[name], "Number", "Mean score", "Right"),
            divider=True,
            aligns=("l", "r", "r", "r"),
        )
        print(f"Expected calibration error: {100 * found.error:.1f}")
    msg.good(f"Saved to {output}, with the diagram as .png and .svg")


def _check_output(output: Path) -> None:
    if output.suffix != ".json":
        raise ValueError(
            f"{output}: expected a file name that ends in .json. The diagram is named after it"
        )
