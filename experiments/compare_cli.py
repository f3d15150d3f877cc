"""`python -m experiments compare`: trained models of several systems on a corpus."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from spacy_tabcnn.cli._arguments import check_written, use_gpu
from spacy_tabcnn.evaluation.significance import Comparison
from spacy_tabcnn.files import write_json

from .arguments import GpuOption
from .comparison import (
    System,
    SystemCounts,
    compare,
    count_systems,
    find_systems,
    list_scores,
    tabulate_differences,
    tabulate_scores,
)
from .results import MEASURES


def compare_cli(
    data: Annotated[
        Path, typer.Argument(help="Annotated corpus: a .spacy file or a folder of them")
    ],
    systems: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME=MODELS...",
            help="Each system with a pattern for the folders of its models, one for each seed",
        ),
    ],
    *,
    without: Annotated[
        list[str] | None,
        typer.Option(
            "--without", "-w", help="A component that does not run, such as senter; repeatable"
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="JSON file for scores and differences")
    ] = None,
    gpu_id: GpuOption = -1,
) -> None:
    """
    Compare trained models of several systems over their seeds.

    Prints micro F1 of each system, and the difference between the first system and
    each of the others, with its 95 % interval and p-value by the paired bootstrap
    over documents and seeds.

    EXAMPLE:

    python -m experiments compare corpus/conll04/dev.spacy
    "pairs=training/pairs*/model-last" "CNN=training/cnn*/model-last"
    """
    use_gpu(gpu_id)
    try:
        parsed = find_systems(systems)
        models = [model for system in parsed for model in system.models]
        check_written(filter(None, [output]), [data, *models])
        counts = count_systems(parsed, data, without=without or ())
        first, *others = parsed
        differences = {}
        for other in others:
            differences[other.name] = compare(counts[first.name], counts[other.name])
    except (OSError, ValueError) as err:
        msg.fail("Could not compare", str(err), exits=1)
    msg.table(
        tabulate_scores(parsed, counts),
        header=("system", "models", *MEASURES),
        aligns=("l", "r", *"rrr"),
        divider=True,
    )
    for name, compared in differences.items():
        msg.divider(f"{first.name} against {name}")
        msg.table(
            tabulate_differences(compared),
            header=("", "difference", "95 % interval", "p"),
            aligns=("l", "r", "r", "r"),
            divider=True,
        )
    if output is not None:
        _save(output, data, parsed, counts, differences)


def _save(
    output: Path,
    data: Path,
    systems: Sequence[System],
    counts: Mapping[str, SystemCounts],
    differences: Mapping[str, Mapping[str, Comparison]],
) -> None:
    """Write scores and differences to a file, and print a message; exit if that fails."""
    scores = {system.name: list_scores(system, counts[system.name]) for system in systems}
    saved = {}
    for name, compared in differences.items():
        saved[name] = {measure: found._asdict() for measure, found in compared.items()}
    try:
        write_json(output, {"corpus": str(data), "systems": scores, "differences": saved})
    except OSError as err:
        msg.fail("Could not save the comparison", str(err), exits=1)
    msg.good(f"Saved to {output}")
