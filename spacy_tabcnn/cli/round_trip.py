"""`spacy tabcnn round-trip`: the parts of a corpus that each annotation format keeps."""

from collections.abc import Sequence
from itertools import starmap
from pathlib import Path
from typing import Annotated

import spacy
import typer
from spacy.tokens import Doc
from wasabi import msg

from ..corpora.docbin import read_docbin
from ..corpora.formats import FORMATS, get_format
from ..corpora.round_trip import RoundTrip, measure_round_trip
from ._app import tabcnn_cli
from ._arguments import Kind, check_kind


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
    Write a corpus in each annotation format, read it again, and compare.

    Counts the documents that keep their entities and relations, the documents that
    keep their tokens as well, and the entities and relations that differ, with the
    reasons. A format that cannot hold the corpus is named with its reason, and the
    others are compared. Try it before a corpus goes to an annotation tool.

    EXAMPLE:

    spacy tabcnn round-trip corpus/train.spacy corpus/dev.spacy
    """
    try:
        for path in data:
            check_kind(path, Kind.CORPUS)
        found, refused = _measure(data, formats or list(FORMATS), lang)
    except (ImportError, OSError, ValueError) as err:
        msg.fail("Could not compare", str(err), exits=1)
    for name, problem in refused.items():
        msg.warn(f"{name} cannot hold this corpus:", problem)
    if not found:
        msg.fail("No format can hold this corpus", exits=1)
    first = next(iter(found.values()))
    n_entities, n_relations = first.entities[0], first.relations[0]
    print(f"{first.n_docs} documents, {n_entities} entities, {n_relations} relations")
    header = ("Format", "Documents kept", "Tokens kept", "Entities lost/new", "Relations lost/new")
    rows = list(starmap(_make_row, found.items()))
    msg.table(rows, header=header, divider=True, aligns=("l", *"rrrr"))
    for name, result in found.items():
        for reason, count in result.reasons.items():
            print(f"{name}: {count} x {reason.unit} {reason.text}")


def _measure(
    data: Sequence[Path], names: Sequence[str], lang: str
) -> tuple[dict[str, RoundTrip], dict[str, str]]:
    """Return the comparison for each format, and the problem of each format that has none."""
    for name in names:
        get_format(name)  # refuses an unknown name before any work
    nlp = spacy.blank(lang)
    docs: list[Doc] = []
    for path in data:
        docs.extend(read_docbin(path, nlp.vocab))
    found, refused = {}, {}
    for name in names:
        try:
            found[name] = measure_round_trip(docs, nlp, format_name=name)
        except ValueError as err:
            refused[name] = str(err)
    return found, refused


def _make_row(name: str, result: RoundTrip) -> tuple[str, ...]:
    _, lost_entities, new_entities = result.entities
    _, lost_relations, new_relations = result.relations
    return (
        name,
        f"{result.n_same}/{result.n_docs}",
        f"{result.n_same_tokens}/{result.n_docs}",
        f"{lost_entities}/{new_entities}",
        f"{lost_relations}/{new_relations}",
    )
