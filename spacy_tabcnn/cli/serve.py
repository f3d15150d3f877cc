"""`spacy tabcnn serve`: a page in the browser that annotates what is typed into it."""

from typing import Annotated

import typer
from wasabi import msg

from ._app import tabcnn_cli


@tabcnn_cli.command("serve")
def serve_cli(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="Model names or paths to choose from")
    ],
    *,
    port: Annotated[int, typer.Option("--port", "-p", min=1, max=65535, help="Port")] = 8501,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen at; 0.0.0.0 is all")
    ] = "localhost",
    text: Annotated[str, typer.Option("--text", "-t", help="Text that the page starts with")] = "",
) -> None:
    """
    Serve a page that annotates what is typed into it.

    Entities, relations as arcs and as a list, filtered by their scores, the label
    table with its probabilities, and the annotation as JSON. Several models can be
    compared. The page is for this computer only unless --host says otherwise, and
    nothing is sent anywhere else. Needs the extra `app`.

    EXAMPLE:

    spacy tabcnn serve training/sample/model-best --port 8501
    """
    from ..app.server import serve

    try:
        serve(models, host=host, port=port, text=text)
    except (ImportError, OSError, ValueError) as err:
        msg.fail("Could not serve the page", str(err), exits=1)
