"""`spacy tabcnn init-config`: a copy of a config that comes with the package."""

import re
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from ._app import tabcnn_cli

_STDOUT = Path("-")


@tabcnn_cli.command("init-config")
def init_config_cli(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Config to copy; lists all without it")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Argument(metavar="[OUT]", help="File to write, or - for stdout (default: NAME.cfg)"),
    ] = None,
    *,
    force: Annotated[
        bool, typer.Option("--force", "-F", help="Replace the file if it exists")
    ] = False,
) -> None:
    """
    Copy a config that comes with the package, or list all of them.

    Each config trains one system on one corpus. Edit the copy, or set values on
    the command line of `spacy train`.

    EXAMPLES:

    spacy tabcnn init-config

    spacy tabcnn init-config conll04_minilm mine.cfg
    """
    try:
        configs = find_configs()
        if name is None:
            _print_configs(configs)
            return
        text = get_config(configs, name)
        if output == _STDOUT:
            print(text, end="")
            return
        path = output or Path(f"{name.removesuffix('.cfg')}.cfg")
        write_config(text, path, force=force)
    except (OSError, ValueError) as err:
        msg.fail("Could not copy the config", str(err), exits=1)
    msg.good(
        f"Config in {path}",
        f"spacy train {path} --paths.train train.spacy --paths.dev dev.spacy",
    )


def find_configs() -> dict[str, str]:
    """Find the configs that come with the package.

    RETURNS (dict[str, str]): The text of each config by its name, in the order of the names.
    RAISES (OSError): If the installation has no configs.
    """
    package = files("spacy_tabcnn")
    folder = package / "configs"
    if not folder.is_dir():  # a checkout has them next to the package
        folder = Path(str(package)).parent / "configs"
    texts = {}
    for path in folder.iterdir():
        if path.name.endswith(".cfg"):
            texts[path.name.removesuffix(".cfg")] = path.read_text(encoding="utf-8")
    return dict(sorted(texts.items()))


def get_config(configs: dict[str, str], name: str) -> str:
    """Return the text of a config.

    configs (dict[str, str]): The texts by name.
    name (str): The name; the suffix .cfg is allowed.
    RETURNS (str): The text.
    RAISES (ValueError): If there is no config of this name.
    """
    text = configs.get(name.removesuffix(".cfg"))
    if text is None:
        raise ValueError(f"there is no config {name!r}; expected one of {', '.join(configs)}")
    return text


def describe_config(text: str) -> str:
    """Return the first sentence of the comment at the top of a config, up to a colon.

    text (str): The config.
    RETURNS (str): The sentence on one line; empty if the config does not begin with a comment.
    """
    words: list[str] = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        words += line.removeprefix("#").split()
    if not words:
        return ""
    return re.split(r"[.:](?= |$)", " ".join(words))[0] + "."


def write_config(text: str, path: Path, *, force: bool = False) -> None:
    """Write a config to a file; its folder is made if needed.

    text (str): The config.
    path (Path): The file.
    force (bool): Replace the file if it exists.
    RAISES (ValueError): If the file exists and is not to be replaced.
    """
    if path.exists() and not force:
        raise ValueError(f"{path}: exists. Name another file, or replace it with --force")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _print_configs(configs: dict[str, str]) -> None:
    width = max(map(len, configs), default=0)
    for name, text in configs.items():
        print(f"{name:{width}}  {describe_config(text)}")
