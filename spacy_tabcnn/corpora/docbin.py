""".spacy files: documents with their user data, which holds the relations."""

import zlib
from collections.abc import Iterable, Iterator, Mapping
from operator import attrgetter
from pathlib import Path

import numpy as np
import srsly
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from ..documents import ORIG_ID
from ..files import open_output
from ..relations import get_entity_scores, get_relations
from .files import check_file

DOCBIN_SUFFIX = ".spacy"

# A file may expand to the larger one of these limits: a number of bytes, and a multiple of its own
# size. A file of few bytes could fill the memory otherwise: zlib shrinks up to 1,000 times.
MAX_BYTES = 2**28
MAX_RATIO = 200
MAX_ITEMS = 2**20  # documents, or different strings
_TOO_LARGE = (
    f"more than {MAX_ITEMS} documents or different strings. Divide them: a corpus may be a folder "
    "of several files"
)
# In msgpack's message of a list that is too long.
_TOO_LARGE_SIGN = f"max_array_len({MAX_ITEMS})"
_CHUNK = 2**24  # bytes to expand at a time
_INT_SIZE = 8  # bytes of an attribute of a token
# The parts of a file with an item for each document. Older versions of spaCy write some of them.
_PER_DOC = ("cats", "flags", "span_groups", "user_data")

# The attribute with the words, which spaCy puts first.
_ORTH = DocBin().attrs[0]
# The attributes of tokens that hold the key of a string.
_STRINGS: list[int | str] = []
_STRINGS += ["ORTH", "NORM", "LEMMA", "TAG", "POS", "DEP", "MORPH"]
_STRINGS += ["ENT_TYPE", "ENT_ID", "ENT_KB_ID"]


def list_docbins(folder: Path) -> list[Path]:
    """Return the .spacy files of a folder and its sub-folders.

    folder (Path): The folder.
    RETURNS (list[Path]): The files, sorted. Hidden files are left out, as in spaCy, and so are
        those that a killed command has left. Empty if there is none, or no such folder.
    """
    paths = []
    for found in sorted(folder.rglob(f"*{DOCBIN_SUFFIX}")):
        is_hidden = any(part.startswith(".") for part in found.relative_to(folder).parts)
        if found.is_file() and not is_hidden:
            paths.append(found)
    return paths


def read_docbin(path: str | Path, vocab: Vocab) -> Iterator[Doc]:
    """Read the documents of a .spacy file, with their user data.

    path (str | Path): The file.
    vocab (Vocab): The vocabulary of the documents.
    YIELDS (Doc): The documents.
    RAISES (ValueError): If the file does not exist, is not a .spacy file, or holds a document or
        relations that cannot be read.
    """
    path = check_file(path)
    doc_bin = _load(path)
    docs = doc_bin.get_docs(vocab)
    known: set[int] = set()
    for position in range(len(doc_bin)):
        where = f"{path}, document {position}"
        try:
            doc = next(docs)
            _check_strings(doc, known)
            len(doc.ents)  # refuses entities that overlap
        except Exception as err:
            raise ValueError(
                f"{where}: cannot be read ({_describe(err)}). The file is damaged; make it again"
            ) from err
        _check_annotation(doc, where)
        yield doc


def _load(path: Path) -> DocBin:
    """Load a file whose parts fit together."""
    data = path.read_bytes()
    try:
        content = _expand(data)
        _check_message(_unpack(content))
        return DocBin().from_bytes(data)
    # zlib, msgpack and numpy raise many kinds of errors on bytes of another format.
    except Exception as err:
        if _TOO_LARGE_SIGN in str(err):
            raise ValueError(f"{path}: {_TOO_LARGE}") from err
        raise ValueError(
            f"{path}: not a .spacy file ({_describe(err)}). Make one with `spacy tabcnn convert` "
            "or DocBin.to_disk"
        ) from err


def _unpack(content: bytes) -> object:
    """Decode the message of a file.

    msgpack makes room for a list as soon as it reads the length. So lengths are limited: lists
    inside lists that claim to be long would take much time.
    """
    limit = min(len(content), MAX_ITEMS)
    return srsly.msgpack.unpackb(content, raw=False, max_array_len=limit, max_map_len=limit)


def _describe(err: Exception) -> str:
    """Return the message of an error, or its name if it has none."""
    return str(err) or type(err).__name__


def _expand(data: bytes) -> bytes:
    """Expand the bytes of a file, up to the limit."""
    limit = max(MAX_BYTES, MAX_RATIO * len(data))
    expander = zlib.decompressobj()
    pieces: list[bytes] = []
    size = 0
    while not expander.eof:
        piece = expander.decompress(data, _CHUNK)
        data = expander.unconsumed_tail
        size += len(piece)
        if not piece and not data:
            raise ValueError("the file is cut off")
        if size > limit:
            raise ValueError(
                f"it expands to more than {limit // 2**20} MB. Divide the corpus into several files"
            )
        pieces.append(piece)
    if expander.unused_data:
        raise ValueError(
            "other bytes follow its end. If several files were joined, give `spacy tabcnn convert` "
            "or the config a folder of them instead"
        )
    return b"".join(pieces)


def _check_message(message: object) -> None:
    """Check that no document of a file would be lost in silence: all parts have the same length."""
    if not isinstance(message, dict):
        raise ValueError("its content is no DocBin")
    attrs = message["attrs"]
    if _ORTH not in attrs or len(set(attrs)) != len(attrs):
        raise ValueError("its attributes are damaged")
    lengths = np.frombuffer(message["lengths"], dtype="int32").astype(np.int64)
    n_tokens = int(lengths.sum())
    if lengths.size and lengths.min() < 0:
        raise ValueError("the length of a document is negative")
    if len(message["tokens"]) != n_tokens * len(attrs) * _INT_SIZE:
        raise ValueError("the documents have another number of tokens than the file")
    if len(message["spaces"]) != n_tokens:
        raise ValueError("the documents have another number of spaces than the file")
    for name in _PER_DOC:
        _check_part(message, name, len(lengths))


def _check_part(message: Mapping[str, object], name: str, n_docs: int) -> None:
    part = message.get(name)
    if part is None and name != "cats":
        return
    if not isinstance(part, list) or len(part) != n_docs:
        raise ValueError(f"its part {name!r} does not have an item for each document")


def _check_strings(doc: Doc, known: set[int]) -> None:
    """Check that the vocabulary has the strings of all attributes of a document's tokens.

    `known` holds the keys of strings that were found before, and gets those of this document.
    """
    keys = np.asarray(doc.to_array(_STRINGS), dtype=np.uint64)
    for key in set(map(int, np.unique(keys))) - known:
        doc.vocab.strings[key]  # raises E018
        known.add(key)


def _check_annotation(doc: Doc, where: str) -> None:
    """Check that the entities, the relations and the id of a document can be used."""
    try:
        "".join(map(attrgetter("label"), get_relations(doc)))  # refuses a label that is no string
        get_entity_scores(doc)
    except Exception as err:
        raise ValueError(
            f"{where}: its relations cannot be read ({err}). Set doc._.relations again, and save "
            "the document"
        ) from err
    orig_id = doc.user_data.get(ORIG_ID)
    if not isinstance(orig_id, str | int | float | None):
        kind = type(orig_id).__name__
        raise ValueError(
            f"{where}: doc.user_data[{ORIG_ID!r}] is of the type {kind}; expected a string or a "
            "number. Set it again, and save the document"
        )


def write_docbin(path: str | Path, docs: Iterable[Doc]) -> None:
    """Write documents with their user data to a .spacy file, whole or not at all.

    path (str | Path): The file; its folder is made if needed. It is replaced if it exists.
    docs (Iterable[Doc]): The documents.
    RAISES (OSError): If the file cannot be written; an old one is kept.
    RAISES (ValueError): If the user data of a document cannot be saved, or there are more documents
        or different strings than a file may have.
    """
    doc_bin = DocBin(store_user_data=True)
    for position, doc in enumerate(docs):
        try:
            doc_bin.add(doc)
        except (OverflowError, TypeError, ValueError) as err:
            raise ValueError(
                f"{path}, document {position}: cannot be saved ({err}). Remove from its user data "
                "everything but strings, numbers of 64 bits, lists and dictionaries"
            ) from err
    if max(len(doc_bin), len(doc_bin.strings)) > MAX_ITEMS:
        raise ValueError(f"{path}: {_TOO_LARGE}")
    data = doc_bin.to_bytes()
    with open_output(path) as file_:
        file_.write(data)
