"""`spacy tabcnn evaluate`: entity and relation scores of a trained pipeline."""

from pathlib import Path
from typing import Annotated, Any

import spacy
import srsly
import typer
from spacy.cli._util import setup_gpu
from wasabi import msg

from ..corpora.reader import RelationCorpus
from ._app import tabcnn_cli

# Prefix of a group of scores, and its name in the paper.
_GROUPS = {
    "ents": "Entities (NER)",
    "rels_boundaries": "Relations, boundaries (RE)",
    "rels_strict": "Relations, strict (RE+)",
}


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
    gpu_id: Annotated[int, typer.Option("--gpu-id", "-g", help="GPU ID or -1 for CPU")] = -1,
) -> None:
    """
    Print precision, recall and F1 of entities and relations.

    Micro and macro averages and each type, in percent. Relations are scored with
    the types of their entities (strict) and without (boundaries). A missed entity
    or relation counts as a miss, a spurious one as an error.
    """
    setup_gpu(gpu_id, silent=False)
    try:
        scores = evaluate(model, data, raw_text=raw_text)
    except (OSError, ValueError) as err:
        msg.fail("Could not evaluate", str(err), exits=1)
    _print_scores(scores)
    if output is not None:
        save_scores(output, scores)


def evaluate(model: str | Path, data: str | Path, *, raw_text: bool = False) -> dict[str, Any]:
    """Score a pipeline on an annotated corpus.

    model (str | Path): Name or folder of the pipeline.
    data (str | Path): A .spacy file or a folder of them.
    raw_text (bool): Tokenise the texts anew and align, instead of keeping the gold tokens.
    RETURNS (dict[str, Any]): What `nlp.evaluate` returns.
    RAISES (OSError): If there is no such pipeline.
    RAISES (ValueError): If the corpus cannot be read.
    """
    nlp = spacy.load(model)
    return nlp.evaluate(list(RelationCorpus(data, gold_tokens=not raw_text)(nlp)))


def save_scores(path: Path, scores: dict[str, Any]) -> None:
    """Write scores to a file and say so.

    path (Path): A JSON file; its folder is made if needed.
    scores (dict[str, Any]): The scores.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    srsly.write_json(path, scores)
    msg.good(f"Saved the scores to {path}")


def _print_scores(scores: dict[str, Any]) -> None:
    for prefix, title in _GROUPS.items():
        per_type = scores.get(f"{prefix}_per_type")
        if per_type is None:
            msg.warn(
                f"{title}: not scored, since the corpus does not annotate them or no component predicts them"
            )
            continue
        rows = [
            (label, *(_percent(prf[key]) for key in "prf"))
            for label, prf in sorted(per_type.items())
        ]
        for average, name in (("", "micro average"), ("_macro", "macro average")):
            rows.append((name, *(_percent(scores[f"{prefix}{average}_{key}"]) for key in "prf")))
        msg.table(rows, header=(title, "P", "R", "F"), divider=True, aligns=("l", "r", "r", "r"))


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
