"""`spacy tabcnn evaluate`: entity and relation scores of a trained pipeline."""

from collections.abc import Mapping
from operator import itemgetter
from pathlib import Path
from typing import Annotated

import srsly
import typer
from spacy.language import Language
from wasabi import msg

from ..corpora.reader import RelationCorpus
from ..evaluation.scoring import TITLES, Scores, format_percent
from ..files import write_text
from ..pipeline.base import RelationPipe
from ..pipeline.loading import load_pipeline
from ._app import tabcnn_cli
from ._arguments import Kind, check_kind, check_written, use_gpu


@tabcnn_cli.command("evaluate")
def evaluate_cli(
    model: Annotated[str, typer.Argument(help="Model name or path")],
    data: Annotated[
        Path, typer.Argument(help="Annotated corpus: a .spacy file or a folder of them")
    ],
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="JSON file for all scores")
    ] = None,
    raw_text: Annotated[
        bool,
        typer.Option(
            "--raw-text", "-r", help="Tokenise the raw text instead of keeping the gold tokens"
        ),
    ] = False,
    join: Annotated[
        int,
        typer.Option(
            "--join",
            "-j",
            min=1,
            help="Join each N neighbouring documents to one text, without sentence boundaries: "
            "scores on running text",
        ),
    ] = 1,
    min_score: Annotated[
        float | None,
        typer.Option(
            "--min-score",
            "-m",
            min=0.0,
            max=1.0,
            help="Minimum score of a relation (default: the pipeline's own)",
        ),
    ] = None,
    gpu_id: Annotated[int, typer.Option("--gpu-id", "-g", help="GPU ID or -1 for CPU")] = -1,
) -> None:
    """
    Print precision, recall and F1 of entities and relations.

    Micro and macro averages and each type, in percent. Relations are scored with
    the types of their entities (strict) and without (boundaries). A missed entity
    or relation lowers recall, a spurious one lowers precision.
    """
    use_gpu(gpu_id, silent=False)
    try:
        check_kind(model, Kind.PIPELINE, others=[data])
        check_kind(data, Kind.CORPUS)
        check_written(filter(None, [output]), [model, data])
        scores = evaluate(model, data, raw_text=raw_text, join=join, min_score=min_score)
    except (OSError, ValueError) as err:
        msg.fail("Could not evaluate", str(err), exits=1)
    _print_scores(scores)
    if output is not None:
        save_scores(output, scores)


def evaluate(
    model: str | Path,
    data: str | Path,
    *,
    raw_text: bool = False,
    join: int = 1,
    min_score: float | None = None,
) -> Scores:
    """Score a pipeline on an annotated corpus.

    model (str | Path): Name or folder of the pipeline.
    data (str | Path): A .spacy file or a folder of them.
    raw_text (bool): Tokenise the texts again and align, instead of keeping the gold tokens.
    join (int): Number of neighbouring documents to join to one text. The pipeline gets it without
        sentence boundaries.
    min_score (float | None): Minimum score of a relation. None: the pipeline's own.
    RETURNS (dict[str, Any]): The scores of `nlp.evaluate`.
    RAISES (OSError): If there is no such pipeline.
    RAISES (ValueError): If the pipeline predicts no relations, or the corpus cannot be read.
    """
    nlp = load_pipeline(model)
    if min_score is not None:
        _set_min_score(nlp, min_score)
    corpus = RelationCorpus(data, gold_tokens=not raw_text)
    if join > 1:
        corpus = RelationCorpus(
            data, gold_tokens=not raw_text, joined=1.0, min_joined=join, max_joined=join
        )
    return nlp.evaluate(list(corpus(nlp)))


def _set_min_score(nlp: Language, min_score: float) -> None:
    for _, component in nlp.pipeline:
        if isinstance(component, RelationPipe):
            component.cfg["min_score"] = min_score


def save_scores(path: Path, scores: Mapping[str, object]) -> None:
    """Write scores to a file, whole or not at all, and print a message; exit if that fails.

    path (Path): A JSON file; its folder is made if needed. It is replaced if it exists.
    scores (Mapping[str, object]): The scores.
    """
    try:
        write_text(path, srsly.json_dumps(dict(scores), indent=2))
    except OSError as err:
        msg.fail("Could not save the scores", str(err), exits=1)
    msg.good(f"Saved the scores to {path}")


def _print_scores(scores: Scores) -> None:
    for prefix, title in TITLES.items():
        if scores.get(f"{prefix}_per_type") is None:
            msg.warn(
                f"{title}: not scored, since the corpus does not annotate them or no component "
                "predicts them"
            )
            continue
        msg.table(
            _make_rows(prefix, scores),
            header=(title, "P", "R", "F"),
            divider=True,
            aligns=("l", "r", "r", "r"),
        )


def _make_rows(prefix: str, scores: Scores) -> list[tuple[str, ...]]:
    """Make the rows of a table: the types in alphabetical order, then the averages."""
    rows = []
    for label, figures in sorted(scores[f"{prefix}_per_type"].items()):
        rows.append((label, *map(format_percent, itemgetter(*"prf")(figures))))
    for average, name in (("", "micro average"), ("_macro", "macro average")):
        figures = [scores[f"{prefix}{average}_{figure}"] for figure in "prf"]
        rows.append((name, *map(format_percent, figures)))
    return rows
