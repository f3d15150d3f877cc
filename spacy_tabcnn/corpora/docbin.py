""".spacy files: documents with their user data, which holds the relations."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

DOCBIN_SUFFIX = ".spacy"


def read_docbin(path: str | Path, vocab: Vocab) -> Iterator[Doc]:
    """Read the documents of a .spacy file, with their user data.

    path (str | Path): The file.
    vocab (Vocab): The vocabulary of the documents.
    YIELDS (Doc): The documents.
    RAISES (ValueError): If the file does not exist or is not a .spacy file.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file. Check the path")
    try:
        doc_bin = DocBin().from_disk(path)
    # Whatever zlib, msgpack and numpy raise on bytes that are something else.
    except Exception as err:
        raise ValueError(
            f"{path}: not a .spacy file ({err}). Make one with `spacy tabcnn convert` or DocBin.to_disk"
        ) from err
    yield from doc_bin.get_docs(vocab)


def write_docbin(path: str | Path, docs: Iterable[Doc]) -> None:
    """Write documents with their user data to a .spacy file, making its folder if needed.

    path (str | Path): The file.
    docs (Iterable[Doc]): The documents.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    DocBin(docs=docs, store_user_data=True).to_disk(path)
