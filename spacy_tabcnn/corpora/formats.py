"""The annotation formats by name, and reading and writing a file in any of them."""

import codecs
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from spacy.language import Language
from spacy.tokens import Doc

from .brat import brat_to_docs, docs_to_brat, find_brat, is_brat_file, write_brat
from .conversion import ConversionReport
from .doccano import doccano_to_docs, docs_to_doccano
from .dygiepp import docs_to_dygiepp, dygiepp_to_docs
from .fields import get_optional, has_any_field, has_field
from .files import JsonValue, check_json_file, write_json, write_lines
from .labelstudio import docs_to_labelstudio, labelstudio_to_docs
from .options import DEFAULT_OPTIONS, ReadingOptions
from .preannotation import (
    DEFAULT_MODEL_VERSION,
    Written,
    docs_to_labelstudio_predictions,
    docs_to_prodigy_predictions,
    is_predicted,
)
from .prodigy import ACCEPT, NOT_ACCEPTED, docs_to_prodigy, prodigy_to_docs
from .records import find_first_object, read_records
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
    render_predictions (Callable | None): From documents to content that holds predictions, and a
        report; None if the format has no place for them.
    """

    read: Callable[[Path], object]
    parse: Callable[..., tuple[list[Doc], ConversionReport]]
    render: Callable[..., tuple[object, ConversionReport]]
    write: Callable[..., None]
    render_predictions: Callable[..., tuple[object, ConversionReport]] | None = None


_read_sentences = partial(read_records, unit="sentence")
_read_documents = partial(read_records, unit="document")
_read_tasks = partial(read_records, unit="task")

FORMATS = {
    "spert": Format(_read_sentences, spert_to_docs, docs_to_spert, write_json),
    "tablert": Format(_read_sentences, tablert_to_docs, docs_to_tablert, write_json),
    "doccano": Format(_read_documents, doccano_to_docs, docs_to_doccano, write_lines),
    "dygiepp": Format(_read_documents, dygiepp_to_docs, docs_to_dygiepp, write_lines),
    "brat": Format(find_brat, brat_to_docs, docs_to_brat, write_brat),
    "prodigy": Format(
        _read_tasks, prodigy_to_docs, docs_to_prodigy, write_lines, docs_to_prodigy_predictions
    ),
    "labelstudio": Format(
        _read_tasks,
        labelstudio_to_docs,
        docs_to_labelstudio,
        write_json,
        docs_to_labelstudio_predictions,
    ),
}

# The first step for files of other kinds, by their extension.
_NO_RELATIONS = "Such an export holds no relations: export the project again as JSON. "
_EXPORT_ADVICE = {
    ".csv": _NO_RELATIONS,
    ".tsv": _NO_RELATIONS,
    ".conll": _NO_RELATIONS,
    ".zip": "Unpack the archive. ",
}
# The formats to which an option of reading applies; any other option applies to all.
_FORMATS_OF_OPTIONS = {
    "text_field": ("doccano", "labelstudio", "prodigy"),
    "annotator": ("labelstudio", "prodigy"),
    "predictions": ("labelstudio", "prodigy"),
    "event_arguments": ("brat",),
    "utf16": ("brat", "doccano", "labelstudio", "prodigy"),
}
JSON_LINES = (".jsonl", ".ndjson")
_JSON_SUFFIXES = (".json", *JSON_LINES)
# The format to write by the extension of the output, if the user names none.
OUTPUT_FORMATS = {".jsonl": "doccano", ".ndjson": "doccano", ".ann": "brat"}
# Fields of Prodigy's tasks that no other format has.
_PRODIGY_FIELDS = ("spans", "answer", "_input_hash", "_task_hash", "_view_id")
# Fields of exports that hold relations.
_COMPLETE_FIELDS = ("entities", "tokens", *_PRODIGY_FIELDS)
# Fields of other exports of the same tools, which hold no relations.
_JSON_MIN_FIELDS = ("annotation_id", "annotator", "lead_time")
_PLAIN_DOCCANO_FIELDS = ("label", "labels", "annotations")


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
    if not path.exists() and not is_brat_file(path):
        raise ValueError(f"{path}: no such file or folder. Check the path")
    name = None
    if path.is_dir() or is_brat_file(path):
        name = "brat"
    elif path.suffix.lower() in _JSON_SUFFIXES:
        _check_content(path)
        first = find_first_object(path)
        _check_export(first, path)
        name = _guess_from_object(first)
        if name is None and path.suffix.lower() in JSON_LINES:
            name = "doccano"
    if name is None:
        advice = _EXPORT_ADVICE.get(path.suffix.lower(), "")
        raise ValueError(
            f"{path}: cannot detect the annotation format. {advice}Name it: {', '.join(FORMATS)}"
        )
    return name


def holds_annotation(path: str | Path) -> bool:
    """Check whether a .jsonl file is in one of the annotation formats, and no file of raw texts.

    path (str | Path): The file.
    RETURNS (bool): Whether its first object has a field that only annotation has, in the form that
        the format gives it. The output of `spacy tabcnn annotate` holds raw texts.
    RAISES (ValueError): If the file does not exist or cannot be read.
    """
    first = find_first_object(path)
    name = _guess_from_object(first)
    if name is None or not isinstance(get_optional(first, "text"), str):
        return name is not None
    if name == "doccano":
        return _is_doccano(path)
    if name == "labelstudio":
        return has_any_field(first, ("annotations", "completions", "predictions"))
    if name == "dygiepp":
        return isinstance(get_optional(first, "sentences"), list)
    is_tokenized = isinstance(get_optional(first, "tokens"), list)
    return is_tokenized or (name == "prodigy" and _is_prodigy(first))


def check_options(path: str | Path, format_name: str | None, options: ReadingOptions) -> None:
    """Check that options of reading apply to the format of a file.

    path (str | Path): The file.
    format_name (str | None): The format; detected from the file if None.
    options (ReadingOptions): The options. Those that are not changed apply to every format.
    RAISES (ValueError): If one does not, or the file cannot be read.
    """
    format_name = format_name or guess_format(path)
    for option, formats in _FORMATS_OF_OPTIONS.items():
        is_given = getattr(options, option) != getattr(DEFAULT_OPTIONS, option)
        if is_given and format_name not in formats:
            raise ValueError(
                f"{path}: its format is {format_name}, and --{option.replace('_', '-')} applies to "
                f"{', '.join(formats)} only. Leave the option out, or name another --format"
            )


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
    strict (bool): Refuse entities and relations that cannot be kept. By default they are left out
        and counted.
    options (ReadingOptions): The choices of the user.
    RETURNS (tuple[list[Doc], ConversionReport]): The documents, and counts of the kept and the
        left-out parts.
    RAISES (ValueError): If the file is malformed, with the place of each malformed record; or in
        strict mode.
    """
    path = Path(path)
    if format_name is None:
        format_name = guess_format(path)
    elif format_name in ("doccano", "labelstudio"):
        _check_export(find_first_object(path), path)
    format_ = get_format(format_name)
    content = format_.read(path)
    return format_.parse(content, nlp, source=str(path), strict=strict, options=options)


def write_annotations(
    path: str | Path,
    docs: Iterable[Doc],
    *,
    format_name: str,
    source: str = "<docs>",
    strict: bool = False,
    written_as: Written | None = None,
    model_version: str = DEFAULT_MODEL_VERSION,
) -> ConversionReport:
    """Write annotated documents to a file in one of the annotation formats.

    path (str | Path): The file, or the folder of brat's files; made if needed.
    docs (Iterable[Doc]): The documents.
    format_name (str): The format.
    source (str): The file that the documents come from, for messages.
    strict (bool): Stop at the first entity or relation that cannot be represented.
    written_as (Written | None): Finished annotations, or predictions with scores. None for
        predictions if the format has a place for them and a component predicted a document.
    model_version (str): The name of the model, in predictions.
    RETURNS (ConversionReport): Counts of the written and the left-out parts.
    RAISES (ValueError): In strict mode, or if the format has no place for predictions.
    """
    format_ = get_format(format_name)
    if written_as is Written.PREDICTIONS and format_.render_predictions is None:
        raise ValueError(
            f"the format {format_name} has no place for predictions. Choose labelstudio or "
            "prodigy, or write annotations"
        )
    if format_.render_predictions is not None and written_as is not Written.ANNOTATIONS:
        docs = list(docs)
        if written_as is Written.PREDICTIONS or any(map(is_predicted, docs)):
            content, report = format_.render_predictions(
                docs, source=source, strict=strict, model_version=model_version
            )
            format_.write(Path(path), content)
            return report
    content, report = format_.render(docs, source=source, strict=strict)
    format_.write(Path(path), content)
    return report


def _check_content(path: Path) -> None:
    """Check that a file is not empty."""
    content = check_json_file(path).read_bytes().removeprefix(codecs.BOM_UTF8)
    if not content.strip():
        raise ValueError(f"{path}: the file is empty. Export it again, or check the path")


def _is_doccano(path: str | Path) -> bool:
    """Check whether the first entity of a file is one of doccano's."""
    for record in read_records(path, unit="document"):
        entities = get_optional(record.value, "entities")
        if entities and isinstance(entities, list):
            return has_field(entities[0], "start_offset")
        if not isinstance(entities, list | None):
            return False
    return True


def _is_prodigy(first: JsonValue) -> bool:
    """Check whether an object has a field of Prodigy's tasks in the form that they give it."""
    if isinstance(get_optional(first, "spans"), list) or has_field(first, "_task_hash"):
        return True
    return get_optional(first, "answer") in (ACCEPT, *NOT_ACCEPTED)


def _guess_from_object(first: JsonValue) -> str | None:
    """Return the format of a file from its first object, or None if it fits none."""
    if has_field(first, "sentences"):
        return "dygiepp"
    if isinstance(get_optional(first, "data"), dict):
        return "labelstudio"
    if has_field(first, "tags"):
        return "tablert"
    if has_any_field(first, _PRODIGY_FIELDS):
        return "prodigy"
    if has_field(first, "tokens"):
        return _guess_from_tokens(first)
    if has_field(first, "entities"):
        return "doccano"
    return None


def _guess_from_tokens(first: JsonValue) -> str | None:
    """Return the format of a file with tokens, which are strings in SpERT's format."""
    if has_field(first, "entities"):
        return "spert"
    if has_field(first, "text"):
        return "prodigy"
    return None


def _check_export(first: JsonValue, path: Path) -> None:
    """Refuse an export of a tool that holds no relations, and name the right one.

    first (JsonValue): The first object of the file.
    path (Path): The file, for messages.
    RAISES (ValueError): If it is such an export.
    """
    if isinstance(get_optional(first, "data"), dict):
        return
    # JSON-MIN names a field after each control tag, so that it may have fields of other formats.
    is_json_min = all(has_field(first, name) for name in _JSON_MIN_FIELDS)
    if not is_json_min and has_any_field(first, _COMPLETE_FIELDS):
        return
    if has_any_field(first, _JSON_MIN_FIELDS):
        raise ValueError(
            f"{path}: this is Label Studio's export JSON-MIN, which holds no relations. Export the "
            "project again as JSON"
        )
    text = get_optional(first, "text", get_optional(first, "data"))
    if isinstance(text, str) and has_any_field(first, _PLAIN_DOCCANO_FIELDS):
        raise ValueError(
            f"{path}: this is doccano's plain export JSONL, which holds no relations. Export the "
            "project again as JSONL(Relation)"
        )
