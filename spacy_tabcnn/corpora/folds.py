"""Folds of a corpus that has no division of its own, for cross-validation."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from spacy.tokens import Doc

from .annotations import ORIG_ID, check_array, describe, read_json
from .docbin import DOCBIN_SUFFIX, write_docbin

# The two parts of a fold's folder.
TRAIN, TEST = f"train{DOCBIN_SUFFIX}", f"test{DOCBIN_SUFFIX}"


def read_folds(path: str | Path) -> list[list[Any]]:
    """Read which documents make each fold.

    path (str | Path): A JSON file: a list of folds, each one a list of the ids (`orig_id`) of its documents.
    RETURNS (list[list[int | str]]): The folds.
    RAISES (ValueError): If the file is malformed or an id occurs twice.
    """
    folds = check_array(read_json(path), str(path))
    fold_of: dict[int | str, int] = {}
    for number, fold in enumerate(folds):
        if not isinstance(fold, list):
            raise ValueError(
                f"{path}, fold {number}: found {describe(fold)}; expected a list of ids"
            )
        for orig_id in fold:
            if type(orig_id) not in (int, str):
                raise ValueError(
                    f"{path}, fold {number}: found {describe(orig_id)}; expected an integer or a string"
                )
            if orig_id in fold_of:
                raise ValueError(
                    f"{path}, fold {number}: the id {orig_id!r} is in fold {fold_of[orig_id]} too. Keep one of the two"
                )
            fold_of[orig_id] = number
    if len(folds) < 2:
        raise ValueError(f"{path}: holds {len(folds)} folds; expected at least two")
    return folds


def write_folds(folder: str | Path, docs: Iterable[Doc], folds: Sequence[Sequence[Any]]) -> None:
    """Write one folder for each fold: `test.spacy` with the documents of this fold, `train.spacy` with all others.
    The folders are named 0, 1, ...; the documents keep their order.

    folder (str | Path): Where to make them.
    docs (Iterable[Doc]): The documents, each with its id.
    folds (Sequence[Sequence[int | str]]): The ids of the documents of each fold.
    RAISES (ValueError): If a document has no id or is in no fold, two have the same, or one of a fold is absent.
    """
    fold_of = {orig_id: number for number, fold in enumerate(folds) for orig_id in fold}
    placed: dict[Any, Doc] = {}
    for index, doc in enumerate(docs):
        orig_id = doc.user_data.get(ORIG_ID)
        if orig_id not in fold_of:
            raise ValueError(
                f"document {index} (orig_id {orig_id}) is in no fold. Add its id to one, or leave it out"
            )
        if orig_id in placed:
            raise ValueError(
                f"document {index} has the id of an earlier one, {orig_id!r}. Read each document once"
            )
        placed[orig_id] = doc
    absent = [orig_id for orig_id in fold_of if orig_id not in placed]
    if absent:
        raise ValueError(
            f"{len(absent)} documents of the folds are absent, the first one with orig_id {absent[0]!r}. "
            "Read all files of the corpus"
        )
    for number in range(len(folds)):
        path = Path(folder) / str(number)
        write_docbin(
            path / TRAIN, [doc for orig_id, doc in placed.items() if fold_of[orig_id] != number]
        )
        write_docbin(
            path / TEST, [doc for orig_id, doc in placed.items() if fold_of[orig_id] == number]
        )
