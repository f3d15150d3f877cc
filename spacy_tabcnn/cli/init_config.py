"""`spacy tabcnn init-config`: a config for a corpus, or a copy of a shipped config."""

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from ..files import write_text
from ._app import tabcnn_cli
from ._arguments import check_written
from .config_text import fill_text, replace_header, set_value

_STDOUT = Path("-")
# The encoders of a config for a corpus of the user's own.
CPU_ENCODER = "encoders/minilm"
GPU_ENCODER = "bert-base-cased"


@tabcnn_cli.command("init-config")
def init_config_cli(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[OUT or NAME]",
            help="File to write (.cfg, or - for stdout), or config to copy; without it: a list",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Argument(
            metavar="[OUT]",
            help="File to write, or - for stdout, if a config is copied (default: NAME.cfg)",
        ),
    ] = None,
    *,
    encoder: Annotated[
        str | None,
        typer.Option(
            "--encoder",
            "-e",
            help=f"Encoder: a name on the Hugging Face hub, or a folder (default: {CPU_ENCODER}; "
            f"with --gpu {GPU_ENCODER})",
        ),
    ] = None,
    frozen: Annotated[
        bool,
        typer.Option(
            "--frozen", "-z", help="Keep the weights of the encoder: trains in minutes on a CPU"
        ),
    ] = False,
    gpu: Annotated[bool, typer.Option("--gpu", "-G", help="Train on a GPU")] = False,
    lang: Annotated[str, typer.Option("--lang", "-l", help="Language of the tokenizer")] = "en",
    train: Annotated[
        Path, typer.Option("--train", "-t", help="Training corpus: a .spacy file")
    ] = Path("corpus/train.spacy"),
    dev: Annotated[Path, typer.Option("--dev", "-d", help="Development corpus: a .spacy file")] = (
        Path("corpus/dev.spacy")
    ),
    force: Annotated[
        bool, typer.Option("--force", "-F", help="Replace the file if it exists")
    ] = False,
) -> None:
    """
    Write a config for a corpus of your own, or copy or list the shipped configs.

    The config for your corpus has all settings, with comments. Its number of steps
    follows from its epochs and your corpus. Each shipped config trains one system
    on one corpus. Edit the file, or set values on the command line of `spacy train`.

    EXAMPLES:

    spacy tabcnn init-config mine.cfg --encoder bert-base-cased --gpu

    spacy tabcnn init-config mine.cfg --frozen

    spacy tabcnn init-config

    spacy tabcnn init-config conll04_uncased copy.cfg
    """
    is_own = encoder is not None or frozen or gpu
    try:
        configs = find_configs()
        if name is None and not is_own:
            _print_configs(configs)
            return
        is_own = is_own or (output is None and _is_output(name, configs))
        if is_own:
            path = _get_output(name, output)
            text = make_config(
                configs,
                encoder=encoder,
                frozen=frozen,
                gpu=gpu,
                lang=lang,
                train=str(train),
                dev=str(dev),
            )
        else:
            _check_order(str(name), output, configs)
            text = get_config(configs, str(name))
            path = output or Path(f"{str(name).removesuffix('.cfg')}.cfg")
        if path == _STDOUT:
            print(text, end="")
            return
        check_written([path], [*_find_folder().iterdir(), encoder, train, dev])
        write_config(text, path, force=force)
    except (ImportError, OSError, ValueError) as err:
        msg.fail("Could not make the config", str(err), exits=1)
    msg.good(f"Config in {path}", f"spacy train {path} {_describe_options(text, gpu=gpu)}")


def _check_order(name: str, output: Path | None, configs: dict[str, str]) -> None:
    """Check that the name of a config and the output are not swapped."""
    if name not in configs and str(output) in configs:
        raise ValueError(f"{name} is not a config, but {output} is. Did you swap the arguments?")


def make_config(
    configs: dict[str, str],
    *,
    encoder: str | None = None,
    frozen: bool = False,
    gpu: bool = False,
    lang: str = "en",
    train: str = "corpus/train.spacy",
    dev: str = "corpus/dev.spacy",
) -> str:
    """Make a config for a corpus, from the shipped configs.

    configs (dict[str, str]): The texts of the shipped configs by name.
    encoder (str | None): Name on the Hugging Face hub or folder of the encoder. By default
        all-MiniLM-L6-v2 on a CPU and bert-base-cased on a GPU.
    frozen (bool): Whether the weights of the encoder stay as they are.
    gpu (bool): Whether to train on a GPU.
    lang (str): Language of the tokenizer.
    train (str): Path of the training corpus.
    dev (str): Path of the development corpus.
    RETURNS (str): The text of the config, with all settings and with comments.
    RAISES (ValueError): If the encoder is a folder that holds none.
    """
    if encoder is not None and Path(encoder).exists():
        _check_encoder(Path(encoder))
    base = configs["conll04_uncased"]
    if frozen:
        base = configs["conll04_frozen"]
    elif gpu:
        base = configs["conll04"]
    default = CPU_ENCODER
    if gpu:
        default = GPU_ENCODER
    encoder = encoder or default
    text = replace_header(base, _describe(encoder, frozen=frozen, gpu=gpu))
    text = set_value(text, "paths", "train", json.dumps(train))
    text = set_value(text, "paths", "dev", json.dumps(dev))
    comment = "A name on the Hugging Face hub or a local folder."
    if encoder == CPU_ENCODER:
        comment = f"Made by `spacy tabcnn encoder {CPU_ENCODER}`."
    text = set_value(text, "paths", "encoder", json.dumps(encoder), comment=comment)
    text = set_value(text, "nlp", "lang", json.dumps(lang))
    if gpu:
        text = set_value(text, "system", "mixed_precision", "true")
    return fill_text(text)


def _check_encoder(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise ValueError(
            f"{folder}: holds no encoder: it has no config.json. Name the folder of an encoder, "
            "as `spacy tabcnn encoder` makes it, or its name on the Hugging Face hub"
        )


def find_configs() -> dict[str, str]:
    """Find the configs that come with the package.

    RETURNS (dict[str, str]): The text of each config by its name, in the order of the names.
    RAISES (OSError): If the installation has no configs.
    """
    texts = {}
    for path in _find_folder().iterdir():
        if path.name.endswith(".cfg"):
            texts[path.name.removesuffix(".cfg")] = path.read_text(encoding="utf-8")
    return dict(sorted(texts.items()))


def _find_folder() -> Path:
    """Find the folder of the configs that come with the package."""
    package = Path(str(files("spacy_tabcnn")))
    if (package / "configs").is_dir():
        return package / "configs"
    return package.parent / "configs"  # a checkout has them next to the package


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
    write_text(path, text)


def _print_configs(configs: dict[str, str]) -> None:
    width = max(map(len, configs), default=0)
    for name, text in configs.items():
        print(f"{name:{width}}  {describe_config(text)}")


def _is_output(name: str | None, configs: dict[str, str]) -> bool:
    """Check whether an argument names a file to write instead of a shipped config."""
    if name is None or name.removesuffix(".cfg") in configs:
        return False
    return name == str(_STDOUT) or name.endswith(".cfg")


def _get_output(name: str | None, output: Path | None) -> Path:
    """Return the file of a config for a corpus of the user's own."""
    if output is not None:
        raise ValueError(
            "--encoder, --frozen and --gpu make a config for a corpus of your own. Give one file: "
            f"spacy tabcnn init-config {output}"
        )
    return Path(name or "config.cfg")


def _describe(encoder: str, *, frozen: bool, gpu: bool) -> str:
    """Return the comment at the top of a config for a corpus."""
    kind = "updated"
    if frozen:
        kind = "frozen"
    device = "CPU"
    options = ""
    if gpu:
        device, options = "GPU", " --gpu-id 0"
    return (
        f"TabERT-CNN on a corpus of your own. Encoder: {encoder}, {kind}. Device: {device}.\n"
        f"Train: spacy train THIS_FILE --output training/mine{options}\n"
        "A small corpus requires more epochs: --training.max_epochs 100"
    )


def _describe_options(text: str, *, gpu: bool) -> str:
    """Return the options of `spacy train` for a config."""
    options = "--output training/mine"
    if re.search(r"(?m)^train = null$", text):
        options = f"--paths.train train.spacy --paths.dev dev.spacy {options}"
    if gpu:
        options += " --gpu-id 0"
    return options
