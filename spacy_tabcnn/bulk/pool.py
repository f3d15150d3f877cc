"""A pool of documents to choose from: corpora, annotation files, and files of raw texts."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from spacy.language import Language
from spacy.tokens import Doc

from ..corpora.brat import WITHOUT_ANNOTATION
from ..corpora.docbin import DOCBIN_SUFFIX, list_docbins, read_docbin
from ..corpora.fields import is_number_of_id
from ..corpora.formats import JSON_LINES, holds_annotation, read_annotations
from ..corpora.options import DEFAULT_OPTIONS, ReadingOptions
from ..corpora.prodigy import NOT_ACCEPTED
from ..documents import ORIG_ID
from ..relations import has_relations
from .json_rows import ID, Record
from .rows import ROW_FORMATS, Row, read_rows

# The name of raw texts among the formats.
TEXT = "text"
# What readers of annotation count as ignored and is a document, no part of one.
_IGNORED_DOCUMENTS = (*NOT_ACCEPTED.values(), WITHOUT_ANNOTATION)


@dataclass
class Pool:
    """The documents of a pool.

    docs (list[Doc]): The documents, each with an id in `doc.user_data["orig_id"]`: its own one, or
        its position or another number, which no other document has.
    positions (list[int]): The position of each document, from 0: among the rows of a file of raw
        texts, else among the documents that were read.
    left_out (Counter[str]): Numbers of documents that were left out, by reason.
    examples (dict[str, str]): The first document that was left out, by reason.
    """

    docs: list[Doc] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def leave_out(self, reason: str, example: str) -> None:
        """Count a document that is left out.

        reason (str): The reason.
        example (str): The document.
        """
        self.left_out[reason] += 1
        self.examples.setdefault(reason, example)


def read_pool(
    path: Path,
    nlp: Language,
    *,
    format_name: str | None = None,
    options: ReadingOptions = DEFAULT_OPTIONS,
) -> Pool:
    """Read the documents of a pool, annotated or not.

    path (Path): A .spacy file or a folder of them; a file in one of the annotation formats; or raw
        texts in a .jsonl, .ndjson, .txt (a document a line), .csv, .tsv or .parquet file.
    nlp (Language): Gives the vocabulary, and the tokenizer of raw text.
    format_name (str | None): An annotation format, or "text" for raw texts. None: the suffix and
        the fields of the first document show it.
    options (ReadingOptions): The choices of the user. Tasks without annotation are read, too.
    RETURNS (Pool): The documents with words; the others are counted.
    RAISES (ImportError): If the file is Parquet and pyarrow is missing.
    RAISES (ValueError): If the file does not exist or cannot be read.
    """
    if not path.exists():
        raise ValueError(f"{path}: no such file or folder. Check the path")
    pool = Pool()
    docs: Iterable[Doc | None]
    if format_name is None and is_corpus(path):
        docs = read_corpus(path, nlp)
    elif format_name == TEXT or (format_name is None and _holds_texts(path)):
        docs = _read_texts(path, nlp, options, pool)
    else:
        docs = _read_annotated(path, nlp, format_name, options, pool)
    for position, doc in enumerate(docs):
        if doc is None:
            continue  # counted before
        if len(doc):
            pool.docs.append(doc)
            pool.positions.append(position)
        else:
            pool.leave_out("without words", f"document {position}")
    _give_ids(pool)
    return pool


def _give_ids(pool: Pool) -> None:
    """Set missing ids: the position of a document, or a higher number if that is another's id."""
    taken = {str(doc.user_data.get(ORIG_ID)) for doc in pool.docs}
    n_positions = 1 + max(pool.positions, default=0)
    for doc, position in zip(pool.docs, pool.positions, strict=True):
        if ORIG_ID not in doc.user_data:
            number = position
            while str(number) in taken:
                number += n_positions
            doc.user_data[ORIG_ID] = number


def is_annotated(doc: Doc) -> bool:
    """Check whether a document has annotation of entities or of relations.

    doc (Doc): The document.
    RETURNS (bool): Whether it has.
    """
    return doc.has_annotation("ENT_IOB") or has_relations(doc)


def is_corpus(path: Path) -> bool:
    """Check whether a path is a .spacy file or a folder of them.

    path (Path): The path.
    RETURNS (bool): Whether it is.
    """
    return path.suffix == DOCBIN_SUFFIX or bool(list_docbins(path))


def read_corpus(path: Path, nlp: Language) -> Iterator[Doc]:
    """Read the documents of a .spacy file or of a folder of them.

    path (Path): The file or the folder.
    nlp (Language): Gives the vocabulary.
    YIELDS (Doc): The documents, the files in the order of their names.
    RAISES (ValueError): If a file cannot be read.
    """
    paths = [path]
    if path.is_dir():
        paths = list_docbins(path)
    for file_ in paths:
        yield from read_docbin(file_, nlp.vocab)


def _holds_texts(path: Path) -> bool:
    """Check whether a file holds raw texts."""
    suffix = path.suffix.lower()
    if suffix in JSON_LINES:
        return not holds_annotation(path)
    # Next to a file of the same name with the suffix .ann, a text is one of brat's.
    return suffix in ROW_FORMATS and not path.with_suffix(".ann").exists()


def _read_texts(
    path: Path, nlp: Language, options: ReadingOptions, pool: Pool
) -> Iterator[Doc | None]:
    """Yield the document of each row; None for a row that cannot be read."""
    for row in read_rows(path, text_field=options.text_field or TEXT):
        yield _read_text(row, nlp, options, f"{path}, line {row.line}", pool)


def _read_text(
    row: Row, nlp: Language, options: ReadingOptions, where: str, pool: Pool
) -> Doc | None:
    """Return the document of a row, or count it as left out."""
    if row.reason is not None:
        pool.leave_out("cannot be read", f"{where}: {row.reason}")
        return None
    try:
        doc = nlp.make_doc(row.get_text(options.text_field or TEXT))
    except ValueError as err:  # a text that is too long for the pipeline
        pool.leave_out("cannot be read", f"{where}: {err}")
        return None
    if row.record.get(ID) is not None:
        doc.user_data[ORIG_ID] = _read_id(row.record)
    return doc


def _read_id(record: Record) -> str | int | float:
    """Return the id of a row; as a string, if a corpus cannot hold it."""
    orig_id = record[ID]
    if is_number_of_id(orig_id):
        return orig_id
    return str(orig_id)


def _read_annotated(
    path: Path, nlp: Language, format_name: str | None, options: ReadingOptions, pool: Pool
) -> list[Doc]:
    options = replace(options, unannotated=True)
    try:
        docs, report = read_annotations(path, nlp, format_name=format_name, options=options)
    except ValueError as err:
        if format_name is None and path.suffix.lower() in JSON_LINES:
            raise ValueError(f"{err}\nIf the file holds raw texts, say so: --format text") from err
        raise
    for reason, count in report.ignored.items():
        if reason in _IGNORED_DOCUMENTS:
            pool.left_out[reason] += count
    for problem in report.bad_records:
        pool.leave_out("cannot be read", problem)
    return docs
