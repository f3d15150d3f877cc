"""`spacy tabcnn serve`: serve a page that annotates texts in the browser."""

from typing import Annotated

import typer
from spacy.cli._util import setup_gpu
from wasabi import msg

from ._app import tabcnn_cli
from ._arguments import Kind, check_kind


@tabcnn_cli.command("serve")
def serve_cli(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...", help="Names or paths of the models that the page offers"
        ),
    ],
    *,
    port: Annotated[int, typer.Option("--port", "-p", min=1, max=65535, help="Port")] = 8501,
    host: Annotated[
        str, typer.Option("--host", help="Address to listen at; 0.0.0.0 stands for all addresses")
    ] = "localhost",
    text: Annotated[str, typer.Option("--text", "-t", help="Text with which the page starts")] = "",
    gpu_id: Annotated[int, typer.Option("--gpu-id", "-g", help="GPU ID or -1 for CPU")] = -1,
) -> None:
    """
    Serve a page that annotates texts in the browser.

    It shows entities, relations as arcs and as a list, filtered by their scores, the
    label table with its probabilities, and the annotation as JSON. It can switch
    between several models. Only this computer can open the page unless --host is
    set, and the page sends nothing anywhere else. Needs the extra `app`.

    EXAMPLE:

    spacy tabcnn serve training/sample/model-best --port 8501
    """
    from ..app.server import serve

    try:
        for model in models:
            check_kind(model, Kind.PIPELINE)
        setup_gpu(gpu_id, silent=True)
        serve(models, host=host, port=port, text=text, gpu_id=gpu_id)
    except (ImportError, OSError, ValueError) as err:
        msg.fail("Could not serve the page", str(err), exits=1)
