"""`spacy tabcnn errors`: compare gold and predicted annotation on a page for the browser."""

from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from ..corpora.reader import RelationCorpus
from ..evaluation.errors import KINDS, ErrorCounts
from ..evaluation.scoring import predict_examples
from ..files import write_text
from ..pipeline.loading import load_pipeline
from ._app import tabcnn_cli
from ._arguments import Kind, check_kind, check_output, check_written, use_gpu


@tabcnn_cli.command("errors")
def errors_cli(
    model: Annotated[str, typer.Argument(help="Model name or path")],
    data: Annotated[
        Path, typer.Argument(help="Annotated corpus: a .spacy file or a folder of them")
    ],
    output: Annotated[
        Path, typer.Argument(help="HTML file to write; its folder is made if needed")
    ],
    *,
    raw_text: Annotated[
        bool,
        typer.Option(
            "--raw-text", "-r", help="Tokenise the raw text instead of keeping the gold tokens"
        ),
    ] = False,
    gpu_id: Annotated[int, typer.Option("--gpu-id", "-g", help="GPU ID or -1 for CPU")] = -1,
) -> None:
    """
    Write a page that compares predictions with an annotated corpus.

    It shows each document with its gold and its predicted entities, and all entities
    and relations that are missed, spurious or wrong in type, direction or boundary,
    with filters by kind of error and by label. The page needs no server and no
    network.

    EXAMPLE:

    spacy tabcnn errors training/sample/model-best corpus/dev.spacy errors.html
    """
    use_gpu(gpu_id, silent=False)
    try:
        check_kind(model, Kind.PIPELINE, others=[data, output])
        check_kind(data, Kind.CORPUS, others=[output])
        check_output(output, Kind)
        check_written([output], [model, data])
        counts = write_errors(model, data, output, raw_text=raw_text)
    except (OSError, ValueError) as err:
        msg.fail("Could not compare", str(err), exits=1)
    rows = [(kind, counts["entity", kind], counts["relation", kind]) for kind in KINDS]
    msg.table(rows, header=("", "Entities", "Relations"), divider=True, aligns=("l", "r", "r"))
    msg.good(f"Saved the errors to {output}")


def write_errors(
    model: str | Path, data: str | Path, output: Path, *, raw_text: bool = False
) -> ErrorCounts:
    """Write the error browser of a pipeline on an annotated corpus.

    model (str | Path): Name or folder of the pipeline.
    data (str | Path): A .spacy file or a folder of them.
    output (Path): The HTML file to write; its folder is made if it does not exist.
    raw_text (bool): Tokenise the raw text and align it, instead of keeping the gold tokens.
    RETURNS (ErrorCounts): Numbers of entities and relations by kind of error.
    RAISES (OSError): If the pipeline does not exist, or the file cannot be written.
    RAISES (ValueError): If the pipeline predicts no relations, or the corpus cannot be read.
    """
    from ..visual.error_page import make_error_page

    nlp = load_pipeline(model)
    examples = predict_examples(nlp, list(RelationCorpus(data, gold_tokens=not raw_text)(nlp)))
    page, counts = make_error_page(examples, title=f"{model}: errors on {data}")
    write_text(output, page)
    return counts
