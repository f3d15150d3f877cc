"""Streamlit's server for the page."""

from collections.abc import Iterable
from pathlib import Path

from spacy.util import is_package

_PAGE = Path(__file__).with_name("page.py")


def serve(
    models: Iterable[str], *, host: str = "localhost", port: int = 8501, text: str = ""
) -> None:
    """Serve the page until it is interrupted.

    models (Iterable[str]): Names or folders of pipelines to choose from.
    host (str): The address to listen at.
    port (int): The port.
    text (str): The text that the page starts with.
    RAISES (ImportError): If Streamlit is not installed.
    RAISES (ValueError): If there is no such pipeline.
    """
    try:
        from streamlit.web.cli import main
    except ImportError as err:
        raise ImportError(
            f'The page needs streamlit ({err}). Install it with: pip install "spacy-tabcnn[app]"'
        ) from err
    models = list(models)
    for model in models:
        check_model(model)
    settings = {
        "server.address": host,
        "server.port": port,
        "server.headless": "true",  # else it asks for an e-mail address first
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "minimal",
        "theme.light.primaryColor": "#1f5fbf",
        "theme.dark.primaryColor": "#3d7bd9",
    }
    flags = [f"--{name}={value}" for name, value in settings.items()]
    main(
        ["run", *flags, str(_PAGE), "--", f"--text={text}", *models],
        prog_name="streamlit",
        standalone_mode=False,
    )


def check_model(model: str) -> None:
    """Check that a pipeline is there, without loading it.

    model (str): Its name or folder.
    RAISES (ValueError): If it is not.
    """
    if not is_package(model) and not (Path(model) / "meta.json").is_file():
        raise ValueError(
            f"{model}: neither an installed pipeline nor a folder of one. Check its name or path, or train it first "
            "(`spacy project run all` makes training/sample/model-best)"
        )
