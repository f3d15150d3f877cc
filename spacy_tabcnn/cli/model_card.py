"""`spacy tabcnn model-card`: a README for a trained pipeline, before it is packaged."""

from pathlib import Path
from typing import Annotated

import srsly
import typer
from wasabi import msg

from ..files import fill_folder, write_text
from ..pipeline.loading import load_pipeline
from ._app import tabcnn_cli
from ._arguments import Kind, check_kind


@tabcnn_cli.command("model-card")
def model_card_cli(
    model: Annotated[Path, typer.Argument(help="Folder of a trained pipeline")],
    *,
    name: Annotated[
        str | None, typer.Option("--name", "-n", help="Name, without the language")
    ] = None,
    version: Annotated[str | None, typer.Option("--version", "-v", help="Version")] = None,
    description: Annotated[
        str | None, typer.Option("--description", help="Its task, in a sentence")
    ] = None,
    intended_use: Annotated[
        str | None, typer.Option("--intended-use", help="Its purpose, in Markdown")
    ] = None,
    limits: Annotated[
        str | None, typer.Option("--limits", help="Its known failures and wrong uses, in Markdown")
    ] = None,
    author: Annotated[str | None, typer.Option("--author", help="Name of the author")] = None,
    email: Annotated[str | None, typer.Option("--email", help="Address of the author")] = None,
    url: Annotated[
        str | None, typer.Option("--url", help="Page of the author or of the pipeline")
    ] = None,
    licence: Annotated[
        str | None, typer.Option("--license", help="Licence of the pipeline, for example MIT")
    ] = None,
    sources: Annotated[
        list[str] | None,
        typer.Option("--source", "-s", metavar="NAME[=URL]", help="Training corpus; repeatable"),
    ] = None,
) -> None:
    """
    Write README.md into the folder of a trained pipeline.

    `spacy package` puts it into the package, and model hubs show it. Labels, scores,
    encoder and settings come from the pipeline. The other facts come from the
    options: the command keeps them in the folder's meta.json and reads them from
    there the next time. The card omits a missing fact, and the command lists it.

    EXAMPLE:

    spacy tabcnn model-card training/mine/model-best --name news --license MIT
    --source "CoNLL04=https://aclanthology.org/W04-2401/" --limits "$(cat limits.md)"
    """
    from ..pipeline.model_card import find_missing, make_model_card

    options = {
        "name": name,
        "version": version,
        "description": description,
        "intended_use": intended_use,
        "limits": limits,
        "author": author,
        "email": email,
        "url": url,
        "license": licence,
        "sources": _parse_sources(sources),
    }
    stated = {key: value for key, value in options.items() if value is not None}
    path = model / "meta.json"
    try:
        check_kind(model, Kind.PIPELINE)
        if not path.is_file():
            raise ValueError(
                f"{model}: no meta.json in it. Expected the folder of a pipeline, such as "
                "model-best"
            )
        nlp = load_pipeline(model)  # checks the file
        meta = {**srsly.read_json(path), **stated}
        nlp.meta.update(stated)
        card = make_model_card(nlp)
        with fill_folder(model) as folder:
            write_text(folder / path.name, srsly.json_dumps(meta, indent=2))
            write_text(folder / "README.md", card)
    except (ImportError, OSError, ValueError) as err:
        msg.fail("Could not write the model card", str(err), exits=1)
    msg.good(f"Model card in {model / 'README.md'}")
    missing = ", ".join(map(_get_option, find_missing(meta)))
    if missing:
        msg.warn("Left out, since nobody has stated it", missing)


def _parse_sources(texts: list[str] | None) -> list[dict[str, str]] | None:
    if not texts:
        return None
    return list(map(_parse_source, texts))


def _parse_source(text: str) -> dict[str, str]:
    name, _, url = text.partition("=")
    source = {"name": name}
    if url:
        source["url"] = url
    return source


def _get_option(field: str) -> str:
    """Return the option that fills in a field of the meta data."""
    if field == "sources":
        return "--source"
    return f"--{field.replace('_', '-')}"
