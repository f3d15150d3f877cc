"""`python -m experiments report`: the tables and figures of the paper, with our own below."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from wasabi import msg

if TYPE_CHECKING:
    from .results import Study


def report_cli(
    storage: Annotated[str, typer.Argument(help="SQLite file or URL of the studies")],
    output: Annotated[
        Path, typer.Argument(metavar="OUT_DIR", help="Folder to write to; made if needed")
    ],
    *,
    results: Annotated[
        list[Path] | None,
        typer.Option(
            "--results",
            "-r",
            help="A further study: NAME.jsonl of an earlier report; repeatable",
        ),
    ] = None,
    test_scores: Annotated[
        list[str] | None,
        typer.Option(
            "--test",
            "-t",
            metavar="CORPUS/SYSTEM/ENCODER=FILES",
            help="Scores on a test set: a JSON file of `spacy tabcnn evaluate` for each seed "
            "(ADE: for each fold); or the test_scores.json of an earlier report; repeatable",
        ),
    ] = None,
    calibrations: Annotated[
        list[Path] | None,
        typer.Option(
            "--calibration",
            "-c",
            help="JSON file of `spacy tabcnn calibration`, or reliability1.json of an earlier "
            "report; repeatable",
        ),
    ] = None,
) -> None:
    """
    Write the paper's tables and figures with our own below.

    Writes report.md, report.html (one page that requires no other file), the
    figures as PNG, SVG and JSON, and the results of each study as JSON lines, from
    all layer studies in the storage, finished or not, and from --results. Requires
    the extras `study` and `report`.

    EXAMPLE:

    python -m experiments report training/study.db metrics/report
    --test "CoNLL04/TabERT-CNN/minilm=metrics/conll04_test*.json"
    """
    try:
        from .report import write_report
        from .results import Study, read_saved_study
        from .storage import STORAGE_ERRORS, describe_error, list_studies, read_results

        studies = [Study(name, *read_results(storage, name)) for name in list_studies(storage)]
        studies = [*map(read_saved_study, results or ()), *studies]
        _check_names(studies)
        write_report(
            studies,
            output,
            test_scores=test_scores or (),
            calibrations=calibrations or (),
            results=results or (),
        )
    except ImportError as err:
        msg.fail(
            "Could not load Optuna or matplotlib",
            f'{err}. Install it with: pip install "spacy-tabcnn[study,report]"',
            exits=1,
        )
    except (OSError, ValueError) as err:
        msg.fail("Could not write the report", str(err), exits=1)
    except STORAGE_ERRORS as err:
        msg.fail("Could not write the report", describe_error(storage, err), exits=1)
    msg.good(f"Report in {output}", "report.md, report.html and the figures")


def _check_names(studies: "Iterable[Study]") -> None:
    """Check that all studies have different names, since the report writes a file of each name."""
    n_studies = Counter(study.name for study in studies)
    for name, count in n_studies.items():
        if count > 1:
            raise ValueError(f"{count} studies are named {name!r}. Rename the file of --results")
