"""`spacy tabcnn annotate`: the entities and relations of a file of documents."""

from collections.abc import Iterable
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer
from tqdm import tqdm
from wasabi import msg

from ._app import tabcnn_cli
from ._arguments import Kind, check_direction, check_kind, check_written

if TYPE_CHECKING:
    from ..bulk.annotate import BulkSummary
    from ..bulk.rows import RowResult


# The exit code of --fail-on-rejects. It differs from the code of a run that failed.
REJECTED = 3


@tabcnn_cli.command("annotate")
def annotate_cli(
    model: Annotated[str, typer.Argument(help="Model name or path")],
    source: Annotated[
        Path,
        typer.Argument(
            metavar="IN",
            help="File to annotate: .jsonl, .ndjson, .txt, .csv, .tsv or .parquet",
        ),
    ],
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="File to write: .jsonl, .ndjson, .csv, .tsv or .parquet; .json with --format "
            "labelstudio",
        ),
    ],
    *,
    text_field: Annotated[
        str, typer.Option("--text-field", "-t", help="Field that holds the text")
    ] = "text",
    format_name: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            help="Write tasks of labelstudio (.json) or prodigy (.jsonl), with the predictions to "
            "correct",
        ),
    ] = None,
    n_process: Annotated[
        int, typer.Option("--n-process", "-n", min=1, help="Number of processes")
    ] = 1,
    batch_size: Annotated[
        int, typer.Option("--batch-size", "-b", min=1, help="Documents to annotate at once")
    ] = 64,
    part_size: Annotated[
        int,
        typer.Option(
            "--part-size", min=1, help="Documents of a part: the maximum that a stop loses"
        ),
    ] = 1024,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", "-F", help="Start over: replace output and parts")
    ] = False,
    fail_on_rejects: Annotated[
        bool,
        typer.Option(
            "--fail-on-rejects", help=f"Exit with code {REJECTED} if a document was rejected"
        ),
    ] = False,
    gpu_id: Annotated[int, typer.Option("--gpu-id", "-g", help="GPU ID or -1 for CPU")] = -1,
) -> None:
    """
    Annotate the documents of a file, of any size.

    Writes the fields of each document with its entities (characters, label, score)
    and its relations (indices of entities, label, score). Plain text has a document
    a line; CSV has a header, then a document a record. If the command is killed or
    fails, the same command goes on where it was: until OUT is complete, OUT.parts
    holds the finished parts. A document that cannot be annotated does not stop the
    others: OUT.rejects.jsonl has its line, its id and the reason. The exit code is
    0 all the same, unless --fail-on-rejects is set, or all documents were rejected
    for one reason: then it is 1.

    With --format, the output holds tasks of an annotation tool in place of rows: the
    predictions with their scores, and nothing that counts as annotated.

    EXAMPLES:

    spacy tabcnn annotate training/sample/model-best docs.jsonl annotated.jsonl

    spacy tabcnn annotate training/sample/model-best docs.parquet
    annotated.parquet --text-field body --n-process 4

    spacy tabcnn annotate training/sample/model-best docs.jsonl tasks.json --format
    labelstudio
    """
    from ..bulk.annotate import annotate_file, find_common_reason, get_rejects_path

    start = perf_counter()
    try:
        check_kind(model, Kind.PIPELINE, others=[source, output])
        check_kind(source, Kind.DATA)
        check_direction([source], output)
        check_written([output, get_rejects_path(output)], [model, source])
        summary = annotate_file(
            model,
            source,
            output,
            text_field=text_field,
            batch_size=batch_size,
            part_size=part_size,
            n_process=n_process,
            gpu_id=gpu_id,
            overwrite=overwrite,
            format_name=format_name,
            progress=_show_progress,
        )
    # NotImplementedError is pyarrow's, for columns of a type that it cannot read.
    except (ImportError, OSError, ValueError, NotImplementedError) as err:
        msg.fail("Could not annotate", str(err), exits=1)
    except MemoryError:
        advice = "Cut its long values, or annotate parts of it with a smaller --batch-size"
        msg.fail("Could not annotate", f"{source}: does not fit into memory. {advice}", exits=1)
    if summary is None:
        msg.good(f"{output} was complete already")
    else:
        _print_summary(summary, output, perf_counter() - start)
        if summary.n_rejected and not summary.n_rows:
            _check_reasons(find_common_reason(output))
    if fail_on_rejects and get_rejects_path(output).exists():
        raise typer.Exit(REJECTED)


def _check_reasons(reason: str | None) -> None:
    """Fail if all documents were rejected for one reason: something else is wrong."""
    if reason is not None:
        advice = "Correct the pipeline or the input, and annotate again with --overwrite"
        msg.fail("All documents were rejected for one reason", f"{reason}. {advice}", exits=1)


def _show_progress(
    results: "Iterable[RowResult]", n_total: int, n_done: int
) -> "Iterable[RowResult]":
    if n_done:
        msg.info(f"Going on after {n_done} of {n_total} documents")
    return tqdm(results, total=n_total, initial=n_done, unit="doc")


def _print_summary(summary: "BulkSummary", output: Path, seconds: float) -> None:
    n_done = summary.n_rows + summary.n_rejected - summary.n_resumed
    msg.good(
        f"{summary.n_rows} rows in {output}",
        f"{n_done} documents in {seconds:.1f} s, {n_done / seconds:.1f}/s",
    )
    if summary.n_rejected:
        msg.warn(
            f"{summary.n_rejected} documents rejected: {output}.rejects.jsonl has their lines and "
            "the reasons"
        )
