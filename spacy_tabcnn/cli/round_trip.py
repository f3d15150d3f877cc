"""`spacy tabcnn round-trip`: what each annotation format keeps of a corpus."""

from pathlib import Path
from typing import Annotated

import spacy
import typer
from wasabi import msg

from ..corpora.docbin import read_docbin
from ..corpora.formats import FORMATS, get_format
from ..corpora.round_trip import measure_round_trip
from ._app import tabcnn_cli


@tabcnn_cli.command("round-trip")
def round_trip_cli(
    data: Annotated[list[Path], typer.Argument(help="The .spacy files of the corpus")],
    *,
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", "-f", help="Annotation format; repeatable. All, if none is given"),
    ] = None,
    lang: Annotated[
        str,
        typer.Option(
            "--lang",
            "-l",
            help="Language whose tokenizer splits raw text (brat, doccano, labelstudio)",
        ),
    ] = "en",
) -> None:
    """
    Write a corpus in each annotation format, read it back, and compare.

    Counts the documents whose entities and relations are the same afterwards, also
    those whose tokens are, and the entities and relations that differ, with the
    reasons. Try it before a corpus goes to an annotation tool.

    EXAMPLE:

    spacy tabcnn round-trip corpus/train.spacy corpus/dev.spacy
    """
    rows = []
    reasons = []
    try:
        names = formats or list(FORMATS)
        for name in names:
            get_format(name)  # before any work
        nlp = spacy.blank(lang)
        docs = [doc for path in data for doc in read_docbin(path, nlp.vocab)]
        for name in names:
            found = measure_round_trip(docs, nlp, format_name=name)
            changes = [f"{lost}/{new}" for _, lost, new in (found.entities, found.relations)]
            rows.append(
                (
                    name,
                    f"{found.n_same}/{found.n_docs}",
                    f"{found.n_same_tokens}/{found.n_docs}",
                    *changes,
                )
            )
            reasons += [
                f"{name}: {count} x {reason.unit} {reason.text}"
                for reason, count in found.reasons.items()
            ]
    except (ImportError, OSError, ValueError) as err:
        msg.fail("Could not compare", str(err), exits=1)
    n_entities, n_relations = found.entities[0], found.relations[0]
    print(f"{len(docs)} documents, {n_entities} entities, {n_relations} relations")
    header = ("Format", "Documents kept", "Tokens kept", "Entities lost/new", "Relations lost/new")
    msg.table(rows, header=header, divider=True, aligns=("l", *"rrrr"))
    for reason in reasons:
        print(reason)
