""".spacy files: documents with their user data, which holds the relations."""

from collections.abc import Iterable, Iterator
from operator import attrgetter
from pathlib import Path

import numpy as np
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from ..files import open_output
from ..relations import get_relations
from .files import check_file

DOCBIN_SUFFIX = ".spacy"

# The attributes of tokens that hold the key of a string.
_STRINGS: list[int | str] = []
_STRINGS += ["ORTH", "NORM", "LEMMA", "TAG", "POS", "DEP", "MORPH"]
_STRINGS += ["ENT_TYPE", "ENT_ID", "ENT_KB_ID"]


def read_docbin(path: str | Path, vocab: Vocab) -> Iterator[Doc]:
    """Read the documents of a .spacy file, with their user data.

    path (str | Path): The file.
    vocab (Vocab): The vocabulary of the documents.
    YIELDS (Doc): The documents.
    RAISES (ValueError): If the file does not exist, is not a .spacy file, or holds a document or
        relations that cannot be read.
    """
    path = check_file(path)
    try:
        doc_bin = DocBin().from_disk(path)
    # zlib, msgpack and numpy raise many kinds of errors on bytes of another format.
    except Exception as err:
        raise ValueError(
            f"{path}: not a .spacy file ({err}). Make one with `spacy tabcnn convert` or "
            "DocBin.to_disk"
        ) from err
    docs = doc_bin.get_docs(vocab)
    known: set[int] = set()
    for position in range(len(doc_bin)):
        where = f"{path}, document {position}"
        try:
            doc = next(docs)
            _check_strings(doc, known)
        except Exception as err:
            raise ValueError(
                f"{where}: cannot be read ({err}). The file is damaged; make it again"
            ) from err
        _check_annotation(doc, where)
        yield doc


def _check_strings(doc: Doc, known: set[int]) -> None:
    """Check that the vocabulary has the strings of all attributes of a document's tokens.

    `known` holds the keys of strings that were found before, and gets those of this document.
    """
    keys = np.asarray(doc.to_array(_STRINGS), dtype=np.uint64)
    for key in set(map(int, np.unique(keys))) - known:
        doc.vocab.strings[key]  # raises E018
        known.add(key)


def _check_annotation(doc: Doc, where: str) -> None:
    """Check that the relations and the id of a document can be used."""
    try:
        "".join(map(attrgetter("label"), get_relations(doc)))  # refuses a label that is no string
    except Exception as err:
        raise ValueError(
            f"{where}: its relations cannot be read ({err}). Set doc._.relations again, and save "
            "the document"
        ) from err


def write_docbin(path: str | Path, docs: Iterable[Doc]) -> None:
    """Write documents with their user data to a .spacy file, whole or not at all.

    path (str | Path): The file; its folder is made if needed. It is replaced if it exists.
    docs (Iterable[Doc]): The documents.
    RAISES (OSError): If the file cannot be written; an old one is kept.
    """
    data = DocBin(docs=docs, store_user_data=True).to_bytes()
    with open_output(path) as file_:
        file_.write(data)
