"""`spacy tabcnn serve`: a page that annotates texts in the browser, or an API."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from spacy.cli._util import setup_gpu
from wasabi import msg

from ._app import tabcnn_cli
from ._arguments import Kind, check_kind

if TYPE_CHECKING:
    from ..app.api import ApiLimits

TOKEN_VARIABLE = "SPACY_TABCNN_TOKEN"
_PAGE_ONLY = ("text", "examples")
_API_ONLY = ("token", "max_texts", "max_tasks", "max_bytes", "batch_size")
# Addresses that only this computer reaches.
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@tabcnn_cli.command("serve")
def serve_cli(
    ctx: typer.Context,
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...", help="Names or paths of the models that the page offers"
        ),
    ],
    *,
    port: Annotated[int, typer.Option("--port", "-p", min=1, max=65535, help="Port")] = 8501,
    host: Annotated[
        str | None,
        typer.Option(
            "--host",
            help="Address to listen at; 0.0.0.0 stands for all addresses. Default: localhost, or "
            "127.0.0.1 with --api",
        ),
    ] = None,
    text: Annotated[str, typer.Option("--text", "-t", help="Text with which the page starts")] = "",
    examples: Annotated[
        Path | None,
        typer.Option(
            "--examples", "-e", help="Page: text file with an example in each line to choose from"
        ),
    ] = None,
    gpu_id: Annotated[int, typer.Option("--gpu-id", "-g", help="GPU ID or -1 for CPU")] = -1,
    api: Annotated[
        bool, typer.Option("--api", help="Serve an API over HTTP in place of the page")
    ] = False,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            help="API: token that requests need. Other users of this computer see arguments: the "
            "variable SPACY_TABCNN_TOKEN is safer",
        ),
    ] = None,
    max_characters: Annotated[
        int, typer.Option("--max-characters", min=1, help="Maximum length of a text")
    ] = 20_000,
    max_texts: Annotated[
        int, typer.Option("--max-texts", min=1, help="API: maximum number of texts of a request")
    ] = 64,
    max_tasks: Annotated[
        int,
        typer.Option(
            "--max-tasks", min=1, help="API: maximum number of tasks of a request of Label Studio"
        ),
    ] = 10_000,
    max_bytes: Annotated[
        int, typer.Option("--max-bytes", min=1, help="API: maximum size of a request's body")
    ] = 2**23,
    batch_size: Annotated[
        int, typer.Option("--batch-size", "-b", min=1, help="API: texts to annotate at once")
    ] = 32,
) -> None:
    """
    Serve a page that annotates texts in the browser, or an API.

    It shows entities, relations as arcs and as a list, filtered by their scores, the
    label table with its probabilities, and the annotation as JSON, of the whole text
    or of one sentence. Texts are written, chosen from examples or read from a file.
    Two models can be compared side by side. Only this computer can open the page
    unless --host is set, and the page sends nothing anywhere else. Needs the extra
    `app`.

    With --api, it serves one model over HTTP with JSON: /annotate, /labels, /health,
    and a description at /docs. Needs the extra `api`.

    EXAMPLES:

    spacy tabcnn serve training/sample/model-best --port 8501

    spacy tabcnn serve training/sample/model-best --api
    """
    try:
        _check_options(ctx, api)
        for model in models:
            check_kind(model, Kind.PIPELINE)
        if api:
            from ..app.api import ApiLimits

            limits = ApiLimits(
                max_characters=max_characters,
                max_texts=max_texts,
                max_tasks=max_tasks,
                max_bytes=max_bytes,
                batch_size=batch_size,
            )
            # An empty variable counts: whoever sets it does not expect an open server.
            if token is None:
                token = os.environ.get(TOKEN_VARIABLE)
            _serve_api(models, host or "127.0.0.1", port, token, gpu_id, limits)
        else:
            from ..app.server import serve

            host = host or "localhost"
            _warn_about_page(host, port)
            setup_gpu(gpu_id, silent=True)
            serve(
                models,
                host=host,
                port=port,
                text=text,
                examples=examples,
                max_characters=max_characters,
                gpu_id=gpu_id,
            )
    except (ImportError, OSError, ValueError) as err:
        what = "page"
        if api:
            what = "API"
        msg.fail(f"Could not serve the {what}", str(err), exits=1)


def _check_options(ctx: typer.Context, api: bool) -> None:
    """Check that all given options have an effect."""
    others: tuple[str, ...] = _API_ONLY
    advice = "is an option of --api. Add --api, or leave it out"
    if api:
        others = _PAGE_ONLY
        advice = "is an option of the page, and --api serves none. Leave it out"
    for name in others:
        source = ctx.get_parameter_source(name)
        # By its name: some versions of typer have their own copy of click's class.
        if source is not None and source.name == "COMMANDLINE":
            raise ValueError(f"--{name.replace('_', '-')} {advice}")


def _warn_about_page(host: str, port: int) -> None:
    if host not in _LOOPBACK:
        msg.warn(
            f"Everyone who reaches {host}, port {port}, can use the page",
            "It has no log-in: put it behind a server that has one",
        )
    if TOKEN_VARIABLE in os.environ:
        msg.warn(f"The page does not ask for the token of {TOKEN_VARIABLE}", "Only --api does")


def _serve_api(
    models: Sequence[str],
    host: str,
    port: int,
    token: str | None,
    gpu_id: int,
    limits: "ApiLimits",
) -> None:
    from ..app.api_server import serve_api

    if len(models) != 1:
        raise ValueError(
            f"--api serves one model; {len(models)} are given. Start it for each model"
        )
    if token is None and host not in _LOOPBACK:
        msg.warn(
            f"Everyone who reaches {host}, port {port}, can use the API",
            f"Set a token in the variable {TOKEN_VARIABLE}",
        )
    address = host
    if ":" in host:  # IPv6
        address = f"[{host}]"
    msg.info(f"http://{address}:{port}/docs describes the API. Ctrl-C stops it")
    serve_api(
        models[0],
        host=host,
        port=port,
        token=token,
        gpu_id=gpu_id,
        limits=limits,
    )
