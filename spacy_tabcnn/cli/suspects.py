"""`spacy tabcnn suspects`: gold annotation that cross-validated models contradict."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from spacy.tokens import Doc
from spacy.training.loop import DIR_MODEL_LAST
from spacy.vocab import Vocab
from wasabi import msg

from ..corpora.docbin import read_docbin
from ..corpora.files import render_line, write_lines
from ..corpora.folds import TEST
from ..documents import copy_words
from ..evaluation.decisions import Decisions, decide
from ..evaluation.errors import ErrorFinding
from ..evaluation.suspects import (
    MIN_CONFIDENCE,
    SUSPECT_KINDS,
    Suspect,
    describe_suspect,
    find_suspects,
)
from ..files import write_text
from ..pipeline.loading import load_pipeline
from ._app import tabcnn_cli
from ._arguments import Kind, check_kind, check_output, check_written, use_gpu
from .cross_validate import SETTINGS, describe_data, read_settings


@tabcnn_cli.command("suspects")
def suspects_cli(
    folds: Annotated[
        Path, typer.Argument(help="Folder of the folds, made by `spacy tabcnn convert --folds`")
    ],
    models: Annotated[
        list[Path],
        typer.Argument(
            help="Folder of the pipelines, made by `spacy tabcnn cross-validate`; several: the "
            "mean of their confidence counts"
        ),
    ],
    output: Annotated[Path, typer.Argument(metavar="OUT", help="JSONL file to write")],
    *,
    page: Annotated[
        Path | None, typer.Option("--page", "-p", help="HTML file with the suspects")
    ] = None,
    min_confidence: Annotated[
        float,
        typer.Option(
            "--min-confidence", "-m", min=0, max=1, help="Minimum confidence of the models"
        ),
    ] = MIN_CONFIDENCE,
    top: Annotated[
        int | None, typer.Option("--top", "-t", min=1, help="Maximum number of suspects")
    ] = None,
    gpu_id: Annotated[int, typer.Option("--gpu-id", "-g", help="GPU ID or -1 for CPU")] = -1,
) -> None:
    """
    Find gold annotation that is probably wrong.

    Each document is annotated by pipelines that have not learned from it. Entities
    and relations that are missing or extra in the gold annotation, or wrong in type,
    direction or boundary, are ranked: of one kind by the confidence of the
    pipelines, and kinds with few suspects before those with many. Relations that
    differ only because an entity differs come last.

    EXAMPLE:

    spacy tabcnn convert export.json folds --folds 5

    spacy tabcnn cross-validate mine.cfg folds training/folds --n-folds 5

    spacy tabcnn suspects folds training/folds suspects.jsonl --page suspects.html
    """
    use_gpu(gpu_id, silent=False)
    try:
        check_kind(folds, Kind.CORPUS, others=[*models, output])
        outputs = list(filter(None, [output, page]))
        for path in outputs:
            check_output(path, [Kind.PIPELINE, Kind.CORPUS, Kind.CONFIG])
        check_written(outputs, [folds, *models])
        docs, suspects = find_in_folds(folds, models, min_confidence=min_confidence)
        suspects = suspects[:top]
        write_suspects(output, docs, suspects)
        if page is not None:
            write_page(page, docs, suspects, title=f"Suspects in {folds}")
    except (OSError, ValueError) as err:
        msg.fail("Could not find suspects", str(err), exits=1)
    _print_counts(suspects)
    msg.good(f"{len(suspects)} suspects in {output}")
    if page is not None:
        msg.good(f"Saved the page to {page}")


def find_in_folds(
    folds: Path, models: Sequence[Path], *, min_confidence: float = MIN_CONFIDENCE
) -> tuple[list[Doc], list[Suspect]]:
    """Find the suspects of a corpus that is divided into folds.

    folds (Path): The folder of the folds 0, 1, ...
    models (Sequence[Path]): Folders of `cross-validate` with a pipeline for each fold.
    min_confidence (float): Minimum confidence, from 0 to 1.
    RETURNS (tuple[list[Doc], list[Suspect]]): The documents, fold by fold, and the suspects, the
        highest confidence first. Their positions are positions of documents.
    RAISES (OSError): If a pipeline does not exist.
    RAISES (ValueError): If the folds or the pipelines are incomplete, or a pipeline was trained on
        other folds.
    """
    numbers = _list_folds(folds)
    for number in numbers:
        for directory in models:
            _check_model(directory / number, folds / number)
    docs: list[Doc] = []
    decisions: list[Sequence[Decisions]] = []
    for number in numbers:
        gold = list(read_docbin(folds / number / TEST, Vocab()))
        docs += gold
        decisions += _decide(gold, [directory / number for directory in models])
    return docs, find_suspects(docs, decisions, min_confidence=min_confidence)


def write_suspects(output: Path, docs: Sequence[Doc], suspects: Sequence[Suspect]) -> None:
    """Write suspects as JSON lines.

    output (Path): The file.
    docs (Sequence[Doc]): The documents.
    suspects (Sequence[Suspect]): The suspects, in the order of their ranks.
    RAISES (OSError): If the file cannot be written.
    """
    lines = []
    for rank, suspect in enumerate(suspects, start=1):
        record = describe_suspect(suspect, docs[suspect.position])
        lines.append(render_line({"rank": rank, **record}))
    write_lines(output, lines)


def write_page(path: Path, docs: Sequence[Doc], suspects: Sequence[Suspect], *, title: str) -> None:
    """Write a page of suspects, the documents with the highest confidence first.

    path (Path): The HTML file.
    docs (Sequence[Doc]): The documents.
    suspects (Sequence[Suspect]): The suspects, in the order of their ranks.
    title (str): Title of the page.
    RAISES (OSError): If the file cannot be written.
    """
    from ..visual.error_page import Wording, make_findings_page

    findings: dict[int, list[ErrorFinding]] = {}
    for suspect in suspects:
        findings.setdefault(suspect.position, []).append(suspect.finding)
    shown = [docs[position] for position in findings]
    wording = Wording(kinds={"missed": "extra in gold", "spurious": "missing in gold"})
    html, _ = make_findings_page(shown, list(findings.values()), title=title, wording=wording)
    write_text(path, html)


def _list_folds(folds: Path) -> list[str]:
    """List the folds of a folder, which are numbered from 0 without a gap."""
    numbers: list[str] = []
    while (folds / str(len(numbers)) / TEST).is_file():
        numbers.append(str(len(numbers)))
    if not numbers:
        raise ValueError(f"{folds}: holds no folds. Make them with `spacy tabcnn convert --folds`")
    return numbers


def _check_model(model: Path, data: Path) -> None:
    """Check that a pipeline was trained for a fold, so that it does not know the fold's test."""
    expected: Mapping[str, str] = describe_data(data)
    settings = read_settings(model)
    if settings is None or not (model / DIR_MODEL_LAST).is_dir():
        raise ValueError(
            f"{model}: has no finished training ({DIR_MODEL_LAST} and {SETTINGS}) of the fold "
            f"{data}. Train all folds with `spacy tabcnn cross-validate`"
        )
    if not expected.items() <= settings.items():
        raise ValueError(
            f"{model}: was trained on other data than the fold {data}, and may know its documents. "
            "Train again with `spacy tabcnn cross-validate`"
        )


def _decide(docs: Sequence[Doc], models: Sequence[Path]) -> Iterator[Sequence[Decisions]]:
    """Annotate the documents of a fold with the pipelines of the fold."""
    streams = []
    for model in models:
        nlp = load_pipeline(model / DIR_MODEL_LAST)
        streams.append(decide(nlp, [copy_words(doc, nlp.vocab) for doc in docs]))
    return zip(*streams, strict=True)


def _print_counts(suspects: Sequence[Suspect]) -> None:
    counts: Counter[tuple[str, str]] = Counter()
    for suspect in suspects:
        counts[suspect.finding.unit, suspect.kind] += 1
    rows = []
    for kind in SUSPECT_KINDS:
        rows.append((kind, counts["entity", kind], counts["relation", kind]))
    header = ("In the gold annotation", "Entities", "Relations")
    msg.table(rows, header=header, divider=True, aligns=("l", "r", "r"))
