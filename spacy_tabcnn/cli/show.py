"""`spacy tabcnn show`: print the entities and relations of a few texts."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from spacy.tokens import Doc
from wasabi import msg

from ..files import write_text
from ..pipeline.loading import load_pipeline, split_sentences
from ._app import tabcnn_cli
from ._arguments import Kind, check_kind, check_output, check_written, use_gpu


@tabcnn_cli.command("show")
def show_cli(
    model: Annotated[str, typer.Argument(help="Model name or path")],
    texts: Annotated[
        list[str] | None,
        typer.Argument(help="Texts. If none, texts are read from standard input, one per line"),
    ] = None,
    *,
    page: Annotated[
        Path | None,
        typer.Option(
            "--page", "-p", help="HTML file to write, with a picture of the entities and relations"
        ),
    ] = None,
    split: Annotated[
        bool,
        typer.Option(
            "--split/--no-split",
            help="Split texts into sentences, if the pipeline was trained on single sentences and "
            "does not split texts itself",
        ),
    ] = True,
    gpu_id: Annotated[int, typer.Option("--gpu-id", "-g", help="GPU ID or -1 for CPU")] = -1,
) -> None:
    """
    Annotate a few texts and print their entities and relations with scores.

    EXAMPLE:

    spacy tabcnn show training/sample/model-best "Ada Lovelace was born in London."
    """
    use_gpu(gpu_id, silent=True)
    try:
        check_kind(model, Kind.PIPELINE, others=texts or [])
        if page is not None:
            check_output(page, Kind)
            check_written([page], [model])
        nlp = load_pipeline(model)
        if split:
            split_sentences(nlp)
    except (OSError, ValueError) as err:
        msg.fail("Could not load the model", str(err), exits=1)
    docs = []
    try:
        for doc in nlp.pipe(texts or map(str.strip, sys.stdin)):
            _print_annotation(doc)
            if page is not None:
                docs.append(doc)
    except ValueError as err:  # such as a text that is too long, or not UTF-8
        msg.fail("Could not annotate the texts", str(err), exits=1)
    if page is not None:
        try:
            _write_page(docs, page)
        except (OSError, ValueError) as err:
            msg.fail("Could not write the page", str(err), exits=1)


def _write_page(docs: list[Doc], page: Path) -> None:
    from ..visual import render

    write_text(page, str(render(docs, page=True, jupyter=False)))
    msg.good(f"Saved the pictures to {page}")


def _print_annotation(doc: Doc) -> None:
    print(doc.text)
    for ent in doc.ents:
        print(f"  {ent.text} [{ent.label_}] {_format_score(ent._.entity_score)}")
    for head, tail, label, score in doc._.relations:
        print(f"  {head.text} --{label}--> {tail.text} {_format_score(score)}")
    print()


def _format_score(score: float | None) -> str:
    if score is None:
        return ""
    return f"{score:.2f}"
