"""Folds of a corpus without a division of its own, for cross-validation."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from spacy.tokens import Doc

from ..files import fill_folder
from .docbin import DOCBIN_SUFFIX, write_docbin
from .fields import check_array, check_list, describe
from .files import JsonValue, read_json
from .gold import ORIG_ID
from .split import split_documents

# The two files in the folder of a fold.
TRAIN = f"train{DOCBIN_SUFFIX}"
TEST = f"test{DOCBIN_SUFFIX}"

DocId: TypeAlias = int | str


def read_folds(path: str | Path) -> list[list[DocId]]:
    """Read the division of a corpus into folds.

    path (str | Path): A JSON file with a list of folds. Each fold is a list of the ids (`orig_id`)
        of its documents.
    RETURNS (list[list[int | str]]): The folds.
    RAISES (ValueError): If the file is malformed or an id occurs twice.
    """
    folds: list[list[DocId]] = []
    fold_of: dict[DocId, int] = {}
    for number, fold in enumerate(check_array(read_json(path), str(path))):
        where = f"{path}, fold {number}"
        ids = _check_ids(fold, where)
        if not ids:
            raise ValueError(f"{where}: holds no id. Remove it, or add documents to it")
        for orig_id in ids:
            if orig_id in fold_of:
                raise ValueError(
                    f"{where}: the id {orig_id!r} is in fold {fold_of[orig_id]} too. "
                    "Keep one of the two"
                )
            fold_of[orig_id] = number
        folds.append(ids)
    if len(folds) < 2:
        raise ValueError(f"{path}: holds {len(folds)} folds; expected at least two")
    return folds


def write_folds(folder: str | Path, docs: Iterable[Doc], folds: Sequence[Sequence[DocId]]) -> None:
    """Write one folder for each fold.

    `test.spacy` holds the documents of the fold and `train.spacy` all others. The folders are named
    0, 1, ...; the documents keep their order.

    folder (str | Path): The folder to write to.
    docs (Iterable[Doc]): The documents, each with its id.
    folds (Sequence[Sequence[int | str]]): The ids of the documents of each fold.
    RAISES (ValueError): If a document has no id or is in no fold, two documents have the same id,
        or a document of a fold is absent.
    """
    fold_of: dict[DocId, int] = {}
    for number, fold in enumerate(folds):
        fold_of.update(dict.fromkeys(fold, number))
    placed = _index_by_id(docs, fold_of)
    absent = [orig_id for orig_id in fold_of if orig_id not in placed]
    if absent:
        raise ValueError(
            f"{len(absent)} documents of the folds are absent, the first one with orig_id "
            f"{absent[0]!r}. Read all files of the corpus"
        )
    numbers = [*map(fold_of.__getitem__, placed)]
    _write_divided(folder, list(placed.values()), numbers, len(folds))


def make_folds(
    folder: str | Path, docs: Sequence[Doc], n_folds: int, *, seed: int = 0
) -> list[int]:
    """Divide documents into folds with alike shares of each label, and write a folder for each.

    Documents with the same text are in the same fold; see `split_documents`. The folders are as in
    `write_folds`.

    folder (str | Path): The folder to write to.
    docs (Sequence[Doc]): The documents.
    n_folds (int): Number of folds, at least two.
    seed (int): Chooses among divisions that are equally good.
    RETURNS (list[int]): The fold of each document.
    RAISES (ValueError): If there are fewer different documents than folds.
    """
    if n_folds < 2:
        raise ValueError(f"{n_folds} folds; expected at least two")
    fold_of = split_documents(docs, [1.0 / n_folds] * n_folds, seed=seed)
    _write_divided(folder, docs, fold_of, n_folds)
    return fold_of


def _write_divided(
    folder: str | Path, docs: Sequence[Doc], fold_of: Sequence[int], n_folds: int
) -> None:
    """Write the documents of each fold, and all others.

    fold_of (Sequence[int]): The fold of each document.
    """
    with fill_folder(folder) as new:
        for number in range(n_folds):
            outside, inside = [], []
            for doc, fold in zip(docs, fold_of, strict=True):
                if fold == number:
                    inside.append(doc)
                else:
                    outside.append(doc)
            write_docbin(new / str(number) / TRAIN, outside)
            write_docbin(new / str(number) / TEST, inside)


def _check_ids(fold: JsonValue, where: str) -> list[DocId]:
    ids: list[DocId] = []
    for orig_id in check_list(fold, "ids", where):
        # JSON's true and false would pass as integers.
        if not isinstance(orig_id, int | str) or isinstance(orig_id, bool):
            raise ValueError(f"{where}: found {describe(orig_id)}; expected an integer or a string")
        ids.append(orig_id)
    return ids


def _index_by_id(docs: Iterable[Doc], fold_of: Mapping[DocId, int]) -> dict[DocId, Doc]:
    """Return the documents by their ids, each of which must be in a fold and occur once."""
    placed: dict[DocId, Doc] = {}
    for index, doc in enumerate(docs):
        orig_id = doc.user_data.get(ORIG_ID)
        if orig_id is None or orig_id not in fold_of:
            raise ValueError(
                f"document {index} (orig_id {orig_id!r}) is in no fold. "
                "Add its id to one, or leave it out"
            )
        if orig_id in placed:
            raise ValueError(
                f"document {index} has the id of an earlier document, {orig_id!r}. "
                "Read each document once"
            )
        placed[orig_id] = doc
    return placed
