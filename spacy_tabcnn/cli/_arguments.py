"""Checks of arguments that are easily swapped: pipelines, corpora, configs, inputs and outputs."""

from collections.abc import Iterable
from contextlib import suppress
from enum import Enum
from pathlib import Path

from spacy.cli._util import setup_gpu
from spacy.util import get_installed_models, get_package_path, is_package
from wasabi import msg

from ..corpora.docbin import DOCBIN_SUFFIX
from ..files import check_outputs

# The files of a pair in brat's format.
BRAT_SUFFIXES = (".txt", ".ann")
_DATA_SUFFIXES = (".json", ".jsonl", ".ndjson", ".txt", ".ann", ".csv", ".tsv", ".parquet")
_SWAPPED = "Did you swap the arguments?"


class Kind(Enum):
    """The kinds of things that an argument can name. The value is the name in messages."""

    PIPELINE = "a pipeline"
    CORPUS = "a corpus"
    CONFIG = "a config"
    DATA = "a file of texts or annotations"


def find_kind(value: str | Path) -> Kind | None:
    """Return the kind of an argument, from its suffix or the content of its folder.

    value (str | Path): The argument.
    RETURNS (Kind | None): The kind; None if it is unknown, or there is no such file, folder or
        package.
    """
    if not str(value):
        return None
    with suppress(OSError, ValueError):  # of a text that is too long for a path, or holds a NUL
        return _find_kind_of_path(Path(value))
    return None


def check_kind(value: str | Path, expected: Kind, *, others: Iterable[str | Path] = ()) -> None:
    """Check that an argument names nothing of another kind than expected.

    An argument of unknown kind passes, unless another argument has the expected kind.

    value (str | Path): The argument.
    expected (Kind): The kind that it must have.
    others (Iterable[str | Path]): The arguments with which it may be swapped, none of which has
        this kind.
    RAISES (ValueError): If it has another kind.
    """
    found = find_kind(value)
    if found is expected:
        return
    if found is Kind.DATA and expected is Kind.CORPUS:
        raise ValueError(
            f"{value} is {found.value}, not a .spacy file. Convert it with `spacy tabcnn convert`"
        )
    if found is not None:
        raise ValueError(f"{value} is {found.value}, not {expected.value}. {_SWAPPED}")
    for other in others:
        if find_kind(other) is expected:
            raise ValueError(
                f"{value} is not {expected.value}, but {other} is {expected.value}. {_SWAPPED}"
            )


def use_gpu(gpu_id: int, *, silent: bool = True) -> None:
    """Choose the device of a command; exit with a message if there is no such GPU.

    gpu_id (int): The GPU, or -1 for the CPU.
    silent (bool): Do not print the choice.
    """
    try:
        setup_gpu(gpu_id, silent=silent)
    except (RuntimeError, ValueError) as err:  # cupy's errors are RuntimeErrors
        msg.fail(
            f"Cannot use the GPU {gpu_id}",
            f"{err}. Name a GPU of this machine with --gpu-id, or leave it out for the CPU. A GPU "
            "requires CuPy, see docs/gpu.md",
            exits=1,
        )


def check_direction(sources: Iterable[Path], output: Path) -> None:
    """Check that an input and an output are neither swapped nor the same.

    sources (Iterable[Path]): The inputs.
    output (Path): The output.
    RAISES (ValueError): If an input does not exist, but the output does, or if they are the same.
    """
    sources = list(sources)
    check_written([output], sources)
    for source in sources:
        if not source.exists() and output.exists():
            raise ValueError(
                f"{source}: no such file, but {output}, the output, exists. Did you swap the input "
                "and the output?"
            )


def check_written(
    outputs: Iterable[Path],
    inputs: Iterable[str | Path | None],
    *,
    replaced: Iterable[Path] = (),
) -> None:
    """Check that a command writes none of the files that it reads, before any work.

    outputs (Iterable[Path]): All files and folders that it writes.
    inputs (Iterable[str | Path | None]): Its inputs: files, folders and names of pipelines. None
        stands for an option without a value.
    replaced (Iterable[Path]): Folders that it replaces with all their content.
    RAISES (ValueError): If an output is an input, also through links, or if an input is in a
        replaced folder; or if an output is "-", the standard output of other commands.
    """
    outputs = list(outputs)
    if Path("-") in outputs:
        raise ValueError("-: this command writes files only. Name a file for the output")
    files: list[Path] = []
    for value in inputs:
        if value is not None:
            with suppress(OSError, ValueError):  # of a text that is too long for a path
                files += _find_files(str(value))
    check_outputs(outputs, files, replaced=replaced)


def _find_files(value: str) -> list[Path]:
    """Find the files that are read of an input; of a pipeline, a corpus or brat's texts, several.

    Other files in such a folder, such as the scores of a pipeline, are not among them.
    """
    path = Path(value)
    if is_package(value):
        path = get_package_path(value)
    if (path / "config.cfg").is_file():
        own = [path / "config.cfg", path / "meta.json", path / "tokenizer"]
        return [path, *own, *path.glob("*/**/*")]
    if path.is_dir():
        found = [path]
        for suffix in (DOCBIN_SUFFIX, *BRAT_SUFFIXES):
            found += path.rglob(f"*{suffix}")
        return found
    if path.suffix in BRAT_SUFFIXES:
        return [path.with_suffix(suffix) for suffix in BRAT_SUFFIXES]
    return [path]


def check_output(output: Path, kinds: Iterable[Kind]) -> None:
    """Check that an output does not replace something of another kind.

    output (Path): The file to write.
    kinds (Iterable[Kind]): The kinds that it must not replace.
    RAISES (ValueError): If it would.
    """
    found = find_kind(output)
    if found is not None and found in kinds:
        raise ValueError(f"{output} is {found.value}; the output would replace it. {_SWAPPED}")


def check_replaced(folder: Path) -> None:
    """Check that a folder may be replaced by a pipeline: it holds one, or nothing.

    folder (Path): The folder to write.
    RAISES (ValueError): If it holds something else.
    """
    if not folder.exists() or find_kind(folder) is Kind.PIPELINE:
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise ValueError(
            f"{folder}: is no pipeline, and its content would be lost. Name a new folder"
        )


def _find_kind_of_path(path: Path) -> Kind | None:
    if path.is_dir():
        return _find_kind_of_folder(path)
    if not path.is_file():
        if str(path) in get_installed_models():
            return Kind.PIPELINE
        return None
    if path.suffix == DOCBIN_SUFFIX:
        return Kind.CORPUS
    if path.suffix == ".cfg":
        return Kind.CONFIG
    if path.suffix.lower() in _DATA_SUFFIXES:
        return Kind.DATA
    return None


def _find_kind_of_folder(path: Path) -> Kind | None:
    if (path / "meta.json").is_file() and (path / "config.cfg").is_file():
        return Kind.PIPELINE
    # Folds are in folders of their own. A search of all folders below could take long.
    for pattern in (f"*{DOCBIN_SUFFIX}", f"*/*{DOCBIN_SUFFIX}"):
        if any(path.glob(pattern)):
            return Kind.CORPUS
    return None
