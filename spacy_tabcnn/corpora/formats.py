"""The annotation formats by name, and reading and writing a file in any of them."""

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from spacy.language import Language
from spacy.tokens import Doc

from .annotations import read_json, read_lines, write_json, write_lines
from .brat import brat_to_docs, docs_to_brat, is_brat_file, read_brat, write_brat
from .doccano import doccano_to_docs, docs_to_doccano
from .dygiepp import docs_to_dygiepp, dygiepp_to_docs
from .labelstudio import docs_to_labelstudio, labelstudio_to_docs
from .prodigy import docs_to_prodigy, prodigy_to_docs
from .report import ConversionReport
from .spert import docs_to_spert, spert_to_docs
from .tablert import docs_to_tablert, tablert_to_docs


class Format(NamedTuple):
    """How one annotation format is read and written.

    read (Callable): From a path to the decoded content.
    parse (Callable): From the content to documents and a report.
    render (Callable): From documents to content and a report.
    write (Callable): Writes content to a path.
    """

    read: Callable[[Path], Any]
    parse: Callable[..., tuple[list[Doc], ConversionReport]]
    render: Callable[..., tuple[Any, ConversionReport]]
    write: Callable[[Path, Any], None]


FORMATS = {
    "spert": Format(read_json, spert_to_docs, docs_to_spert, write_json),
    "tablert": Format(read_json, tablert_to_docs, docs_to_tablert, write_json),
    "doccano": Format(read_lines, doccano_to_docs, docs_to_doccano, write_lines),
    "dygiepp": Format(read_lines, dygiepp_to_docs, docs_to_dygiepp, write_lines),
    "brat": Format(read_brat, brat_to_docs, docs_to_brat, write_brat),
    "prodigy": Format(read_lines, prodigy_to_docs, docs_to_prodigy, write_lines),
    "labelstudio": Format(read_json, labelstudio_to_docs, docs_to_labelstudio, write_json),
}


def get_format(name: str) -> Format:
    """Look up an annotation format.

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
    """Tell an annotation file's format from its extension and its first sentence or document.

    path (str | Path): The file, or a folder.
    RETURNS (str): The format's name.
    RAISES (ValueError): If the file cannot be read or looks like none of the formats.
    """
    path = Path(path)
    if path.is_dir() or is_brat_file(path):
        return "brat"
    # The files of SciERC and ACE05 are named .json too.
    first = _read_first_object(path) if path.suffix in (".json", ".jsonl") else {}
    if "sentences" in first:
        return "dygiepp"
    if path.suffix == ".jsonl":
        return "prodigy" if "tokens" in first else "doccano"
    if path.suffix == ".json":
        data = read_json(path)
        first = data[0] if isinstance(data, list) and data and isinstance(data[0], dict) else {}
        for field, name in (("tags", "tablert"), ("entities", "spert"), ("data", "labelstudio")):
            if field in first:
                return name
    raise ValueError(f"{path}: cannot tell the annotation format. Name it: {', '.join(FORMATS)}")


def read_annotations(
    path: str | Path, nlp: Language, *, format_name: str | None = None, strict: bool = False
) -> tuple[list[Doc], ConversionReport]:
    """Read annotated documents from a file in one of the annotation formats.

    path (str | Path): The file, or a folder of brat's.
    nlp (Language): Gives the vocabulary, and the tokenizer where the format holds raw text.
    format_name (str | None): The format; guessed if None.
    strict (bool): Stop at the first thing that cannot be kept.
    RETURNS (tuple[list[Doc], ConversionReport]): The documents, and what was read and left out.
    RAISES (ValueError): If the file is malformed, or in strict mode.
    """
    path = Path(path)
    format_ = get_format(format_name or guess_format(path))
    return format_.parse(format_.read(path), nlp, source=str(path), strict=strict)


def write_annotations(
    path: str | Path,
    docs: Iterable[Doc],
    *,
    format_name: str,
    source: str = "<docs>",
    strict: bool = False,
) -> ConversionReport:
    """Write annotated documents to a file in one of the annotation formats.

    path (str | Path): The file, or a folder for brat's; made if needed.
    docs (Iterable[Doc]): The documents.
    format_name (str): The format.
    source (str): Where the documents come from, for messages.
    strict (bool): Stop at the first thing that cannot be represented.
    RETURNS (ConversionReport): What was written and left out.
    RAISES (ValueError): In strict mode.
    """
    format_ = get_format(format_name)
    content, report = format_.render(docs, source=source, strict=strict)
    format_.write(Path(path), content)
    return report


def _read_first_object(path: Path) -> dict[str, Any]:
    """Return the object in the first line of a file that holds one object a line, else an empty one."""
    first = next((line for line in read_lines(path) if line.strip()), "")
    # The first line may also be a whole array, which is read elsewhere, or the beginning of a value.
    if first.lstrip().startswith("{"):
        with suppress(json.JSONDecodeError):
            return json.loads(first)
    return {}
