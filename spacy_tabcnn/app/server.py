"""The server of the page, by Streamlit."""

from collections.abc import Iterable
from pathlib import Path

from ..pipeline.loading import check_pipelines
from .texts import MAX_CHARACTERS, read_examples

_PAGE = Path(__file__).with_name("page.py")
_SETTINGS = (
    "--server.headless=true",  # otherwise Streamlit asks for an e-mail address at first
    "--server.fileWatcherType=none",
    "--browser.gatherUsageStats=false",
    "--client.toolbarMode=minimal",
    "--theme.light.primaryColor=#1f5fbf",
    "--theme.dark.primaryColor=#8fbaff",
)


def serve(
    models: Iterable[str],
    *,
    host: str = "localhost",
    port: int = 8501,
    text: str = "",
    examples: Path | None = None,
    max_characters: int = MAX_CHARACTERS,
    gpu_id: int = -1,
) -> None:
    """Serve the page until it is interrupted.

    models (Iterable[str]): Names or folders of the pipelines that the page offers.
    host (str): Address at which the server listens.
    port (int): Port at which the server listens.
    text (str): Text with which the page starts.
    examples (Path | None): A file with an example in each line; None for those of the package.
    max_characters (int): Maximum length of a text.
    gpu_id (int): The GPU, or -1 for the CPU.
    RAISES (ImportError): If Streamlit is not installed.
    RAISES (ValueError): If a pipeline or the file of examples does not exist, or no pipeline
        predicts relations.
    """
    try:
        from streamlit.web.cli import main
    except ImportError as err:
        raise ImportError(
            f'The page needs streamlit ({err}). Install it with: pip install "spacy-tabcnn[app]"'
        ) from err
    models = list(models)
    # A pipeline with entities only may stand beside others, to compare them. The page says so.
    check_pipelines(models)
    address = [f"--server.address={host}", f"--server.port={port}"]
    arguments = [f"--text={text}"]
    if max_characters != MAX_CHARACTERS:
        arguments.append(f"--max-characters={max_characters}")
    if examples is not None:
        read_examples(examples)  # a wrong file is named before the server starts
        arguments.append(f"--examples={examples.absolute()}")
    if gpu_id >= 0:
        arguments.append(f"--gpu-id={gpu_id}")
    main(
        ["run", *address, *_SETTINGS, str(_PAGE), "--", *arguments, *models],
        prog_name="streamlit",
        standalone_mode=False,
    )
