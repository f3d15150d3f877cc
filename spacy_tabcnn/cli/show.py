"""`spacy tabcnn show`: the entities and relations of a few texts."""

import sys
from typing import Annotated

import spacy
import typer
from spacy.cli._util import setup_gpu
from wasabi import msg

from ._app import tabcnn_cli


@tabcnn_cli.command("show")
def show_cli(
    model: Annotated[str, typer.Argument(help="Model name or path")],
    texts: Annotated[
        list[str] | None,
        typer.Argument(help="Texts; read from standard input, one a line, if none"),
    ] = None,
    *,
    gpu_id: Annotated[int, typer.Option("--gpu-id", "-g", help="GPU ID or -1 for CPU")] = -1,
) -> None:
    """
    Annotate a few texts and print their entities and relations with scores.

    EXAMPLE:

    spacy tabcnn show training/sample/model-best "Ada Lovelace was born in London."
    """
    setup_gpu(gpu_id, silent=True)
    try:
        nlp = spacy.load(model)
    except (OSError, ValueError) as err:
        msg.fail("Could not load the model", str(err), exits=1)
    for doc in nlp.pipe(texts or (line.strip() for line in sys.stdin)):
        print(doc.text)
        for ent in doc.ents:
            print(f"  {ent.text} [{ent.label_}] {_score(ent._.entity_score)}")
        for relation in doc._.relations:
            print(
                f"  {relation.head.text} --{relation.label}--> {relation.tail.text} {_score(relation.score)}"
            )
        print()


def _score(score: float | None) -> str:
    return "" if score is None else f"{score:.2f}"
