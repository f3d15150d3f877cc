"""The annotation formats by name, and reading and writing a file in any of them."""

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from spacy.language import Language
from spacy.tokens import Doc

from .brat import brat_to_docs, docs_to_brat, is_brat_file, read_brat, write_brat
from .conversion import ConversionReport
from .doccano import doccano_to_docs, docs_to_doccano
from .dygiepp import docs_to_dygiepp, dygiepp_to_docs
from .files import JsonValue, read_json, read_lines, write_json, write_lines
from .labelstudio import docs_to_labelstudio, labelstudio_to_docs
from .options import DEFAULT_OPTIONS, ReadingOptions
from .prodigy import docs_to_prodigy, prodigy_to_docs
from .spert import docs_to_spert, spert_to_docs
from .tablert import docs_to_tablert, tablert_to_docs


class Format(NamedTuple):
    """The functions that read and write one annotation format.

    The content of a file has a type of its own in each format: a JSON array, lines, or brat's
    documents.

    read (Callable): From a path to the decoded content.
    parse (Callable): From the content to documents and a report.
    render (Callable): From documents to content and a report.
    write (Callable): Writes content to a path.
    """

    read: Callable[[Path], object]
    parse: Callable[..., tuple[list[Doc], ConversionReport]]
    render: Callable[..., tuple[object, ConversionReport]]
    write: Callable[..., None]


FORMATS = {
    "spert": Format(read_json, spert_to_docs, docs_to_spert, write_json),
    "tablert": Format(read_json, tablert_to_docs, docs_to_tablert, write_json),
    "doccano": Format(read_lines, doccano_to_docs, docs_to_doccano, write_lines),
    "dygiepp": Format(read_lines, dygiepp_to_docs, docs_to_dygiepp, write_lines),
    "brat": Format(read_brat, brat_to_docs, docs_to_brat, write_brat),
    "prodigy": Format(read_lines, prodigy_to_docs, docs_to_prodigy, write_lines),
    "labelstudio": Format(read_json, labelstudio_to_docs, docs_to_labelstudio, write_json),
}

# The formats with offsets in characters. The others have offsets in tokens, which always fit.
CHARACTER_FORMATS = ("doccano", "brat", "prodigy", "labelstudio")

# The field of the first object of a JSON array that shows the format.
_TYPICAL_FIELDS = {"tags": "tablert", "entities": "spert", "data": "labelstudio"}


def get_format(name: str) -> Format:
    """Return an annotation format.

    name (str): Its name.
    RETURNS (Format): Its functions.
    RAISES (ValueError): If there is no format of this name.
    """
    if name not in FORMATS:
        raise ValueError(
            f"unknown annotation format {name!r}; expected one of {', '.join(FORMATS)}"
        )
    return FORMATS[name]


def guess_format(path: str | Path) -> str:
    """Return the format of an annotation file.

    The extension and the first sentence or document of the file show the format.

    path (str | Path): The file, or a folder.
    RETURNS (str): The format's name.
    RAISES (ValueError): If the file cannot be read or its content fits no format.
    """
    path = Path(path)
    name = None
    if path.is_dir() or is_brat_file(path):
        name = "brat"
    elif path.suffix == ".jsonl":
        name = _guess_from_line(_read_first_line(path))
    elif path.suffix == ".json":
        name = _guess_from_json(path)
    if name is None:
        raise ValueError(
            f"{path}: cannot detect the annotation format. Name it: {', '.join(FORMATS)}"
        )
    return name


def read_annotations(
    path: str | Path,
    nlp: Language,
    *,
    format_name: str | None = None,
    strict: bool = False,
    options: ReadingOptions = DEFAULT_OPTIONS,
) -> tuple[list[Doc], ConversionReport]:
    """Read annotated documents from a file in one of the annotation formats.

    path (str | Path): The file, or the folder of brat's files.
    nlp (Language): Gives the vocabulary, and the tokenizer if the format holds raw text.
    format_name (str | None): The format; detected from the file if None.
    strict (bool): Stop at the first entity or relation that cannot be kept.
    options (ReadingOptions): The choices of the user.
    RETURNS (tuple[list[Doc], ConversionReport]): The documents, and counts of the kept and the
        left-out parts.
    RAISES (ValueError): If the file is malformed, or in strict mode.
    """
    path = Path(path)
    name = format_name or guess_format(path)
    format_ = get_format(name)
    more = {}
    if name in CHARACTER_FORMATS:
        more["options"] = options
    return format_.parse(format_.read(path), nlp, source=str(path), strict=strict, **more)


def write_annotations(
    path: str | Path,
    docs: Iterable[Doc],
    *,
    format_name: str,
    source: str = "<docs>",
    strict: bool = False,
) -> ConversionReport:
    """Write annotated documents to a file in one of the annotation formats.

    path (str | Path): The file, or the folder of brat's files; made if needed.
    docs (Iterable[Doc]): The documents.
    format_name (str): The format.
    source (str): The file that the documents come from, for messages.
    strict (bool): Stop at the first entity or relation that cannot be represented.
    RETURNS (ConversionReport): Counts of the written and the left-out parts.
    RAISES (ValueError): In strict mode.
    """
    format_ = get_format(format_name)
    content, report = format_.render(docs, source=source, strict=strict)
    format_.write(Path(path), content)
    return report


def _guess_from_line(line: str) -> str:
    """Return the format of a file with one object a line, from its first line."""
    first = _parse_object(line)
    if "sentences" in first:
        return "dygiepp"
    if "tokens" in first:
        return "prodigy"
    return "doccano"


def _guess_from_json(path: Path) -> str | None:
    """Return the format of a .json file, or None if its content fits none."""
    # The files of SciERC and ACE05 are named .json, but hold one object a line.
    if "sentences" in _parse_object(_read_first_line(path)):
        return "dygiepp"
    data = read_json(path)
    if isinstance(data, list) and data:
        return _guess_from_sentence(data[0])
    return None


def _guess_from_sentence(first: JsonValue) -> str | None:
    """Return the format of a JSON array from its first item, or None if the item fits none."""
    if isinstance(first, dict):
        for field, name in _TYPICAL_FIELDS.items():
            if field in first:
                return name
    return None


def _read_first_line(path: Path) -> str:
    """Return the first line of a file that is not blank, or an empty one."""
    for line in read_lines(path):
        if line.strip():
            return line
    return ""


def _parse_object(line: str) -> dict[str, JsonValue]:
    """Return the JSON object of a line, or an empty one.

    The line may also be the first one of a value with several lines, or hold a whole array.
    """
    if line.lstrip().startswith("{"):
        with suppress(json.JSONDecodeError):
            return json.loads(line)
    return {}
