"""`spacy tabcnn model-card`: a README for a trained pipeline, before it is packaged."""

from pathlib import Path
from typing import Annotated, Any

import spacy
import srsly
import typer
from wasabi import msg

from ._app import tabcnn_cli


@tabcnn_cli.command("model-card")
def model_card_cli(
    model: Annotated[Path, typer.Argument(help="Folder of a trained pipeline")],
    *,
    name: Annotated[
        str | None, typer.Option("--name", "-n", help="Name, without the language")
    ] = None,
    version: Annotated[str | None, typer.Option("--version", "-v", help="Version")] = None,
    description: Annotated[
        str | None, typer.Option("--description", help="What it does, in a sentence")
    ] = None,
    intended_use: Annotated[
        str | None, typer.Option("--intended-use", help="What it is for, in Markdown")
    ] = None,
    limits: Annotated[
        str | None, typer.Option("--limits", help="Where it fails, what it is not for, in Markdown")
    ] = None,
    author: Annotated[str | None, typer.Option("--author", help="Who made it")] = None,
    email: Annotated[str | None, typer.Option("--email", help="Address of the author")] = None,
    url: Annotated[
        str | None, typer.Option("--url", help="Page of the author or of the pipeline")
    ] = None,
    licence: Annotated[
        str | None, typer.Option("--license", help="Licence of the pipeline, for example MIT")
    ] = None,
    sources: Annotated[
        list[str] | None,
        typer.Option(
            "--source", "-s", metavar="NAME[=URL]", help="What it was trained on; repeatable"
        ),
    ] = None,
) -> None:
    """
    Write README.md into the folder of a trained pipeline.

    `spacy package` takes it into the package, and hubs of models show it. Labels,
    scores, encoder and settings come from the pipeline. What only you know comes
    from the options, is kept in the folder's meta.json and read from there the next
    time; what nobody has said is left out and listed.

    EXAMPLE:

    spacy tabcnn model-card training/mine/model-best --name news --license MIT
    --source "CoNLL04=https://aclanthology.org/W04-2401/" --limits "$(cat limits.md)"
    """
    from ..pipeline.model_card import find_missing, make_model_card

    given = {
        "name": name,
        "version": version,
        "description": description,
        "intended_use": intended_use,
        "limits": limits,
        "author": author,
        "email": email,
        "url": url,
        "license": licence,
        "sources": [_parse_source(text) for text in sources] if sources else None,
    }
    try:
        path = model / "meta.json"
        if not path.is_file():
            raise ValueError(
                f"{model}: no meta.json in it. Expected the folder of a pipeline, such as model-best"
            )
        stated = {key: value for key, value in given.items() if value is not None}
        meta: dict[str, Any] = {**srsly.read_json(path), **stated}
        nlp = spacy.load(model)
        nlp.meta.update(stated)
        card = make_model_card(nlp)
        srsly.write_json(path, meta)
        (model / "README.md").write_text(card, encoding="utf-8")
    except (ImportError, OSError, ValueError) as err:
        msg.fail("Could not write the model card", str(err), exits=1)
    msg.good(f"Model card in {model / 'README.md'}")
    missing = find_missing(meta)
    if missing:
        options = ", ".join(
            "--" + {"sources": "source"}.get(key, key).replace("_", "-") for key in missing
        )
        msg.warn("Left out, since nobody has said it", f"{options}")


def _parse_source(text: str) -> dict[str, str]:
    source, _, url = text.partition("=")
    return {"name": source, "url": url} if url else {"name": source}
